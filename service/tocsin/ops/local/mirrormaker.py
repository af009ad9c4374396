"""One MirrorMaker 2 process: it carries topics from one region's broker to another's, in one direction.

One process for each direction, beside its target, as MirrorMaker's manual advises: each can be killed, paused or cut
off alone. It reads the source through a network path of its own, writes to the target straight, and keeps all of its
own there, so that nothing but what is copied crosses the path.

It is at least once: after a kill it copies anew what it had copied since its last flush of offsets.

It remembers its configuration, addresses included, in a topic of the target, and a new process begins with what it
finds there. A set that starts anew has other ports, and the old ones may by now be another set's. So that topic
(`remembered`) is to be removed before the first start.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tocsin.ops.local.kafka import RECORD_BYTES_MAX, Java, log4j_option, round_trip, write_properties
from tocsin.ops.local.program import Program

HEAP_MB: Final = 320
PROBE: Final = "tocsin-probe"
"""The topic of round trips through a mirror."""
OFFSETS_EVERY_S: Final = 1
REFRESH_EVERY_S: Final = 5
"""How often it looks for topics that it is to carry and that were not there."""


class End(NamedTuple):
    """A cluster as a mirror knows it."""

    alias: str
    bootstrap: str


def remembered(source_alias: str) -> str:
    """The target's topic in which a mirror remembers its configuration."""
    return f"mm2-configs.{source_alias}.internal"


def mirror(
    name: str, folder: Path, java: Java, source: End, target: End, source_bootstrap: str, topics: Sequence[str]
) -> Program:
    """A mirror whose files are written to the folder. Copies are named `<alias of the source>.<topic>`.

    `source` is reached by the mirror's own path; round trips begin at `source_bootstrap`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    properties = folder / "mirror.properties"
    write_properties(properties, _properties(source, target, [*topics, PROBE]))
    main = ["org.apache.kafka.connect.mirror.MirrorMaker", str(properties), "--clusters", target.alias]
    return Program(
        name=name,
        folder=folder,
        command=java.command(HEAP_MB, *main, options=[log4j_option(folder)]),
        port=None,
        works=lambda: round_trip(source_bootstrap, target.bootstrap, PROBE, f"{source.alias}.{PROBE}"),
    )


def _properties(source: End, target: End, topics: Sequence[str]) -> dict[str, object]:
    there, back = f"{source.alias}->{target.alias}", f"{target.alias}->{source.alias}"
    return {
        "clusters": f"{source.alias},{target.alias}",
        f"{source.alias}.bootstrap.servers": source.bootstrap,
        f"{target.alias}.bootstrap.servers": target.bootstrap,
        f"{there}.enabled": "true",
        f"{there}.topics": ",".join(topics),
        f"{back}.enabled": "false",
        "replication.factor": 1,
        "heartbeats.topic.replication.factor": 1,
        "checkpoints.topic.replication.factor": 1,
        "offset-syncs.topic.replication.factor": 1,
        f"{target.alias}.offset.storage.replication.factor": 1,
        f"{target.alias}.config.storage.replication.factor": 1,
        f"{target.alias}.status.storage.replication.factor": 1,
        "offset-syncs.topic.location": "target",
        "emit.heartbeats.enabled": "false",
        "sync.topic.acls.enabled": "false",
        "refresh.topics.interval.seconds": REFRESH_EVERY_S,
        "tasks.max": 1,
        "dedicated.mode.enable.internal.rest": "false",
        # Keys of the worker count under the alias of the target alone.
        f"{target.alias}.offset.flush.interval.ms": OFFSETS_EVERY_S * 1_000,
        # After a kill, a member that is gone is not waited for.
        f"{target.alias}.scheduled.rebalance.max.delay.ms": 0,
        f"{target.alias}.producer.linger.ms": 0,
        f"{target.alias}.producer.max.request.size": RECORD_BYTES_MAX,
        f"{source.alias}.consumer.max.partition.fetch.bytes": RECORD_BYTES_MAX,
    }

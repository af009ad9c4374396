"""Topics: made as Tocsin needs them, and checked for it when they are there already.

Whoever made a topic (an administrator, Terraform, MirrorMaker 2, an earlier version) chose its settings, and a setting
that does not fit shows late: as a ledger that loses words, as a record that no retry can append. So the settings that
Tocsin relies on are compared at each start, and what is said names the setting and the command that sets it. Nothing
that exists is altered here. Of a mirrored topic the source region decides the retention, which its mirror copies. Of
replicas and election a mirror copies nothing: they are this cluster's own, and checked as for any topic.
"""

import asyncio
import math
import shlex
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from aiokafka.protocol.admin import CreateTopicsRequest, DescribeConfigsRequest

from tocsin.engines.errors import Misconfigured, Unavailable
from tocsin.engines.kafka.brokers import Brokers
from tocsin.engines.kafka.connection import CALL_S, RETRY_PAUSE_S
from tocsin.engines.kafka.errors import TOPIC_ALREADY_EXISTS, UNKNOWN_TOPIC_OR_PARTITION, failure, meaning
from tocsin.engines.log import Topic
from tocsin.topology import KafkaLog

RECORD_BYTES_MAX: Final = 2 * 1024 * 1024
"""The largest record (key, value and headers): four times the largest event, as on every engine."""
MESSAGE_BYTES: Final = RECORD_BYTES_MAX + 64 * 1024
"""What a topic must take: the largest record, with what Kafka writes around it."""
COMPACTION_LAG_S: Final = 60.0
"""Records younger than this are not compacted away, so that whoever is that close behind (a mirror that starts anew)
reads every one."""
COMPACTION_LAG_S_MAX: Final = 3600.0
"""Records older than this are compacted whatever the share of them: an owner reads its ledgers whole."""
COMPACTED_SEGMENT_S: Final = 600.0
"""Kafka compacts all but the newest segment: so much is read uncompacted."""
FOR_EVER: Final = "-1"
_CHECKED: Final = (
    *("cleanup.policy", "retention.ms", "max.message.bytes", "message.timestamp.type", "min.insync.replicas"),
    "unclean.leader.election.enable",
)
_TOPIC: Final = 2  # the kind of resource, in Kafka's protocol


class Topics:
    """The topics of one cluster, with what the region file says of them; `mirrored` are those of other regions."""

    def __init__(self, brokers: Brokers, section: KafkaLog, mirrored: Collection[str]) -> None:
        self._brokers = brokers
        self._section = section
        self._mirrored = frozenset(mirrored)

    async def ensure(self, wanted: Topic) -> Topic:
        """Makes the topic if it is missing, and returns it as it is; see `Log.ensure_topic`."""
        if wanted.partitions < 1:
            raise Misconfigured(
                f"topic {wanted.name} was asked for with {wanted.partitions} partitions: it needs at least one"
            )
        found = await self._describe(wanted.name)
        if found is None:
            await self._make(wanted)
            found = await self._appeared(wanted.name)
        topic, settings = found
        self._check(topic, settings, wanted)
        return topic

    async def find(self, name: str) -> Topic | None:
        """The topic as it is, None when there is none."""
        found = await self._describe(name)
        return found[0] if found else None

    async def _make(self, wanted: Topic) -> None:
        settings = settings_of(wanted, self._section.min_insync_replicas)
        request = CreateTopicsRequest(
            [(wanted.name, wanted.partitions, self._section.replication_factor, [], list(settings.items()))],
            int(CALL_S * 1000),
            validate_only=False,
        )
        doing = f"making topic {wanted.name}"
        response = await self._brokers.ask_controller(request, _passing_code, doing)
        _, code, said = response.topic_errors[0]
        if code not in (0, TOPIC_ALREADY_EXISTS):  # somebody else may have been quicker
            raise failure(code, f"{doing} ({said})" if said else doing)

    async def _appeared(self, name: str) -> tuple[Topic, Mapping[str, str]]:
        """The topic once it is there, with a leader for each partition; raises `Unavailable` after `CALL_S`."""
        try:
            async with asyncio.timeout(CALL_S):
                while True:
                    metadata = (await self._brokers.metadata([name])).topics.get(name)
                    if metadata and min(metadata.leaders.values()) >= 0 and (found := await self._describe(name)):
                        return found
                    await asyncio.sleep(RETRY_PAUSE_S)
        except TimeoutError as error:
            raise Unavailable(f"topic {name} was made, and has no leaders after {CALL_S:g} s") from error

    async def _describe(self, name: str) -> tuple[Topic, Mapping[str, str]] | None:
        metadata = await self._brokers.metadata([name])
        if name not in metadata.topics:
            if (code := metadata.errors.get(name, UNKNOWN_TOPIC_OR_PARTITION)) == UNKNOWN_TOPIC_OR_PARTITION:
                return None
            raise failure(code, f"looking for topic {name}")
        request = DescribeConfigsRequest([(_TOPIC, name, list(_CHECKED))])
        doing = f"reading the settings of topic {name}"
        response = await self._brokers.ask_any(request, _code_of_description, doing)
        ((code, _, _, _, entries),) = response.resources
        if code == UNKNOWN_TOPIC_OR_PARTITION:  # deleted in between
            return None
        settings = {setting: value for setting, value, *_ in entries}
        found = metadata.topics[name]
        policy = settings["cleanup.policy"].split(",")
        retention_ms = int(settings["retention.ms"]) if "delete" in policy else -1
        retention_s = retention_ms / 1000 if retention_ms >= 0 else None
        return Topic(name, found.incarnation, len(found.leaders), "compact" in policy, retention_s), settings

    def _check(self, topic: Topic, settings: Mapping[str, str], wanted: Topic) -> None:
        if (topic.partitions, topic.compacted) != (wanted.partitions, wanted.compacted):
            raise Misconfigured(
                f"topic {topic.name} has {topic.partitions} partitions, compacted: {topic.compacted}; asked for were "
                f"{wanted.partitions}, compacted: {wanted.compacted}. Both are fixed for the life of a topic: set what "
                "is there, or give the topic another name"
            )
        faults = dict(self._faults(topic, settings, wanted))
        if faults:
            alter = ",".join(f"{setting}={value}" for setting, (value, _) in faults.items())
            raise Misconfigured(
                f"topic {topic.name} does not fit: {'; '.join(why for _, why in faults.values())}. Set it: "
                f"kafka-configs.sh --bootstrap-server {self._section.bootstrap[0]} --alter --entity-type topics "
                f"--entity-name {shlex.quote(topic.name)} --add-config {alter}"
            )

    def _faults(
        self, topic: Topic, settings: Mapping[str, str], wanted: Topic
    ) -> Iterator[tuple[str, tuple[str, str]]]:
        """Which settings do not fit: each with the value that does, and why."""
        if int(settings["max.message.bytes"]) < MESSAGE_BYTES:
            why = f"it takes records of {settings['max.message.bytes']} bytes, and ours may have {MESSAGE_BYTES}"
            yield "max.message.bytes", (str(MESSAGE_BYTES), why)
        if settings["message.timestamp.type"] != "CreateTime":
            yield "message.timestamp.type", ("CreateTime", "it replaces the times of records by the broker's own")
        if (least := self._section.min_insync_replicas) > int(settings["min.insync.replicas"]):
            why = f"it acknowledges records that {settings['min.insync.replicas']} replicas have, and {least} should"
            yield "min.insync.replicas", (str(least), why)
        if settings["unclean.leader.election.enable"] != "false":
            why = "a replica that lacks acknowledged records may become its leader"
            yield "unclean.leader.election.enable", ("false", why)
        if topic.name not in self._mirrored and (topic.retention_s or math.inf) < (wanted.retention_s or math.inf):
            why = f"it keeps records for {topic.retention_s:g} s, and {_shown(wanted.retention_s)} was asked for"
            yield "retention.ms", (_milliseconds(wanted.retention_s), why)


def settings_of(wanted: Topic, min_insync_replicas: int) -> dict[str, str]:
    """The settings that a topic is made with."""
    settings = {
        "cleanup.policy": _policy(wanted),
        "retention.ms": _milliseconds(wanted.retention_s),
        "retention.bytes": FOR_EVER,
        "min.insync.replicas": str(min_insync_replicas),
        "unclean.leader.election.enable": "false",  # Amazon MSK's default is true
        "max.message.bytes": str(MESSAGE_BYTES),
        "message.timestamp.type": "CreateTime",
    }
    if wanted.compacted:
        settings |= {
            "min.compaction.lag.ms": _milliseconds(COMPACTION_LAG_S),
            "max.compaction.lag.ms": _milliseconds(COMPACTION_LAG_S_MAX),
            "segment.ms": _milliseconds(COMPACTED_SEGMENT_S),
        }
    return settings


def _passing_code(response: Any) -> int:
    code = int(response.topic_errors[0][1])
    return code if code and meaning(code).passes else 0


def _code_of_description(response: Any) -> int:
    code = int(response.resources[0][0])
    return 0 if code == UNKNOWN_TOPIC_OR_PARTITION else code


def _policy(wanted: Topic) -> str:
    if not wanted.compacted:
        return "delete"
    return "compact" if wanted.retention_s is None else "compact,delete"


def _milliseconds(s: float | None) -> str:
    return FOR_EVER if s is None else str(int(s * 1000))


def _shown(retention_s: float | None) -> str:
    return "for ever" if retention_s is None else f"{retention_s:g} s"

"""The topics that a set starts with: each region's own, and the copies that its mirrors write.

They are made before the mirrors start: a mirror that finds a topic later pauses all others to take it up.
"""

from collections.abc import Iterator
from typing import Final

from aiokafka.admin import NewTopic

from tocsin.ops.local.kafka import make_topics, remove_topics
from tocsin.ops.local.mirrormaker import PROBE, remembered
from tocsin.topology import LEDGER, REQUESTS, Peer, Region

MIRRORED: Final = (REQUESTS, LEDGER)
"""What each region's mirrors carry to the others."""


async def make(bootstrap: str, region: Region) -> None:
    """Makes a region's topics where they are missing, and has its mirrors forget addresses; raises KafkaError."""
    await remove_topics(bootstrap, [remembered(alias(peer)) for peer in region.peers])
    await make_topics(bootstrap, list(_topics(region)))


def alias(peer: Peer) -> str:
    """What a mirror calls a peer: MirrorMaker puts that and a dot before the names of its topics."""
    return peer.mirror_prefix.removesuffix(".")


def _topics(region: Region) -> Iterator[NewTopic]:
    kept = {"cleanup.policy": "delete", "retention.ms": str(int(region.log.retention_s * 1_000))}
    for name in region.requests_topics.values():
        yield NewTopic(name, region.partitions, 1, topic_configs=kept)
    for name in region.ledger_topics.values():
        yield NewTopic(name, region.partitions, 1, topic_configs={"cleanup.policy": "compact"})
    for name in (PROBE, *(f"{alias(peer)}.{PROBE}" for peer in region.peers)):
        yield NewTopic(name, 1, 1, topic_configs={"retention.ms": "60000"})

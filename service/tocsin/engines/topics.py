"""The topics of a region: the same on every engine, made by whoever comes first."""

from tocsin.engines.log import Log
from tocsin.topology import Region


async def make_topics(log: Log, region: Region) -> None:
    """Makes the region's topics, own and mirrored, where they are missing; raises `Misconfigured`."""
    for topic in region.requests_topics.values():
        await log.ensure_topic(topic, region.partitions, retention_s=region.log.retention_s)
    for topic in region.ledger_topics.values():
        await log.ensure_topic(topic, region.partitions, compacted=True)
    for topic in region.directory_topics.values():
        await log.ensure_topic(topic, region.partitions, compacted=True)
    for topic in (region.assignments, *region.feedback_topics.values()):
        await log.ensure_topic(topic, region.partitions, retention_s=region.log.retention_s)

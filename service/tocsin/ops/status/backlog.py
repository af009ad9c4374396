"""The backlog of a region whose store cannot be asked: what its log has above what was committed there.

A creator commits the low watermark to its log after each save, for tools like this one. What is done above it is not
known, so this is the most that can wait; and since ticks come in every second, the age of the oldest is how long the
region has stored nothing.
"""

from typing import Final, NamedTuple

from tocsin.engines.log import Log
from tocsin.topology import Region

CREATOR: Final = "creator"
BYTES_MAX: Final = 1


class Backlog(NamedTuple):
    """Records that may not be done, and the age of the oldest."""

    records: int
    age_s: float


async def backlog(log: Log, region: Region, now_us: int) -> Backlog | None:
    """What waits in all partitions; None when nothing was ever committed. Raises `EngineError`."""
    records, oldest_ms, is_known = 0, None, False
    for topic in region.requests_topics.values():
        for partition in range(region.partitions):
            done = await log.committed(f"{CREATOR}.{region.serving_stack}", topic, partition)
            if done is None:
                continue
            is_known = True
            start, end = await log.bounds(topic, partition)
            first = max(start, done)
            if first >= end:
                continue
            records += end - first
            fetched = await log.fetch(topic, partition, first, records_max=1, bytes_max=BYTES_MAX, wait_s=0.0)
            for _, record in fetched.records:
                oldest_ms = record.timestamp_ms if oldest_ms is None else min(oldest_ms, record.timestamp_ms)
    if not is_known:
        return None
    return Backlog(records, 0.0 if oldest_ms is None else max(0.0, now_us / 1e6 - oldest_ms / 1e3))

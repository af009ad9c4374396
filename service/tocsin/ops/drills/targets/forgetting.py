"""Retention in no time: logs forget all that they hold of a drill, as they would once it had become too old.

What is forgotten is kept here, and put back into the log of whoever had not read it: the backfill from what a peer has,
which no command does yet. A record that is put back is the one that it was, received-at and all, so whoever has it
already is not changed by it.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from tocsin.core.requests import Record, Tick, decode_record
from tocsin.engines.log import Log
from tocsin.topology import Region

RECORDS_MAX: Final = 1_000
BYTES_MAX: Final = 4 * 1024 * 1024
Remove = Callable[[Region, Log, str, int, int], Awaitable[None]]
"""`(region, log, topic, partition, before_offset)`"""


class Forgotten:
    """The records that logs have forgotten, by partition number, each once."""

    def __init__(self) -> None:
        self._records: dict[int, dict[Record, None]] = {}

    async def forget(self, region: Region, log: Log, remove: Remove, since_ms: int) -> None:
        """Removes all requests from a region's log, and keeps those that are not older than `since_ms`.

        Ticks are not kept: they promise that all before them was there. Raises `EngineError`.
        """
        for topic in region.requests_topics.values():
            for partition in range(region.partitions):
                _, end = await log.bounds(topic, partition)
                at = await log.offset_at(topic, partition, since_ms)
                kept = self._records.setdefault(partition, {})
                while at < end:
                    fetched = await log.fetch(
                        topic, partition, at, records_max=RECORDS_MAX, bytes_max=BYTES_MAX, wait_s=0.0
                    )
                    at = fetched.next_offset
                    found = (delivered.record for delivered in fetched.records if delivered.offset < end)
                    kept.update(dict.fromkeys(one for one in found if not isinstance(decode_record(one), Tick)))
                await remove(region, log, topic, partition, end)

    async def put_back(self, region: Region, log: Log) -> None:
        """Appends what is kept to a region's own log, and keeps it no longer. Raises `EngineError`."""
        for partition in list(self._records):
            records: Sequence[Record] = list(self._records[partition])
            for first in range(0, len(records), RECORDS_MAX):
                await log.append(region.requests, partition, records[first : first + RECORDS_MAX])
            del self._records[partition]

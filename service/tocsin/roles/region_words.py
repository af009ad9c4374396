"""What people said of regions, for processes that own no partition: which regions are drained.

A person's `drained`, `joined` or `removed` stands in every ledger partition, so that each owner finds it in its own.
Whoever owns none reads partition 0 of all ledgers, own and mirrored, for as long as it lives.
"""

import asyncio
import logging
from typing import Final

from tocsin.core.book import Book
from tocsin.core.statements import RegionOrder, decode_statement
from tocsin.engines.errors import EngineError
from tocsin.engines.log import Log
from tocsin.topology import Region, Topology

PARTITION: Final = 0
RECORDS_MAX: Final = 1_000
BYTES_MAX: Final = 1024 * 1024
FETCH_WAIT_S: Final = 5.0
RETRY_S: Final = 1.0
_log = logging.getLogger(__name__)


class RegionWords:
    """Reads what people say of regions, and knows the latest."""

    def __init__(self, log: Log, region: Region, topology: Topology) -> None:
        self._log = log
        self._topics = tuple(region.ledger_topics.values())
        self._founding = {other.name: other.founding for other in topology.regions}
        self._book = Book()

    @property
    def drained(self) -> frozenset[str]:
        """The regions that count as drained, by what was read so far."""
        founding = self._founding.items()
        return frozenset(name for name, is_one in founding if self._book.is_drained(name, founding=is_one))

    async def run(self) -> None:
        """Reads until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for topic in self._topics:
                group.create_task(self._follow(topic))

    async def _follow(self, topic: str) -> None:
        offset = 0
        while True:
            try:
                fetched = await self._log.fetch(
                    topic, PARTITION, offset, records_max=RECORDS_MAX, bytes_max=BYTES_MAX, wait_s=FETCH_WAIT_S
                )
            except EngineError as error:
                # Whatever it is, an answer that was right a moment ago is better than none.
                _log.warning("ledger read failed: %s", error, extra={"action": "ledger_read_failed", "topic": topic})
                offset = 0
                await asyncio.sleep(RETRY_S)
                continue
            offset = fetched.next_offset
            for _, record in fetched.records:
                statement = decode_statement(record.key, record.value)
                if isinstance(statement, RegionOrder):
                    self._book.merge(statement)

"""The newest part of every ledger that can be read: how each region last said it is, and what people last said.

Theory
------
Each region's log has its own ledger and a copy of each peer's. So one log that answers is enough to know how *all*
regions are, only later than they know it themselves; and the difference between a peer's own ledger and the copy is how
far the mirror is behind. A ledger is compacted, so its end holds what counts now; reading from there keeps the cost of
a look the same whatever happened in the weeks before.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Final

from tocsin.core.book import Book
from tocsin.core.statements import RegionOrder, RequestOrder, Standing, decode_statement
from tocsin.engines.errors import EngineError
from tocsin.engines.log import Log
from tocsin.ops.status.facts import SILENT_S, Condition, State
from tocsin.topology import Topology

TAIL_RECORDS: Final = 1_000
"""Of each ledger partition so many of the latest records are read."""
BYTES_MAX: Final = 4 * 1024 * 1024


class Heartbeats:
    """What the ends of the ledgers say, by the region whose log was read and the region that spoke."""

    def __init__(self) -> None:
        self._books: dict[tuple[str, str], dict[int, Book]] = {}
        self.orders: set[RegionOrder | RequestOrder] = set()
        """Words of people, those included that a later one took back."""

    @classmethod
    async def read(cls, logs: Mapping[str, Log], topology: Topology, within_s: float) -> "Heartbeats":
        """Reads all ledgers at once, each for so long at most; what could not be read is not there."""
        heartbeats = cls()
        await asyncio.gather(
            *(
                heartbeats._read(log, region, origin, topic, topology, within_s)
                for region, log in logs.items()
                for origin, topic in topology.region(region).ledger_topics.items()
            )
        )
        return heartbeats

    async def _read(self, log: Log, region: str, origin: str, topic: str, topology: Topology, within_s: float) -> None:
        books: dict[int, Book] = {}
        try:
            async with asyncio.timeout(within_s):
                if await log.topic(topic) is None:
                    return
                for partition in range(topology.region(region).partitions):
                    book = books.setdefault(partition, Book())
                    start, end = await log.bounds(topic, partition)
                    offset = max(start, end - TAIL_RECORDS)
                    while offset < end:
                        fetched = await log.fetch(
                            topic, partition, offset, records_max=TAIL_RECORDS, bytes_max=BYTES_MAX, wait_s=0.0
                        )
                        said = [decode_statement(record.key, record.value) for _, record in fetched.records]
                        book.merge_all(said)
                        self.orders.update(one for one in said if isinstance(one, RegionOrder | RequestOrder))
                        offset = fetched.next_offset
        except (EngineError, TimeoutError):
            if not any(book.standings for book in books.values()):
                return
        self._books[region, origin] = books

    # How regions are ---------------------------------------------------------------------------------------------

    def latest_us(self, log: str, origin: str) -> int | None:
        """When a region said the latest heartbeat that is in this region's log; None when none is, or none was read."""
        return max((one.at_us for one in self._standings(log, origin)), default=None)

    def condition(self, region: str, now_us: int) -> tuple[Condition, Standing] | None:
        """How a region said it is, in the log that has its latest heartbeat, and that heartbeat; None: in no log."""
        said = [
            (one.at_us, log, one)
            for log, origin in self._books
            if origin == region
            for one in self._standings(log, origin)
        ]
        if not said:
            return None
        at_us, log, last = max(said, key=lambda one: (one[0], one[1] == region))
        source = "its heartbeat" if log == region else f"its heartbeat in the log of region {log}"
        if now_us - at_us > SILENT_S * 1e6:
            return Condition(state=State.SILENT, at_us=at_us, source=source, since_us=at_us), last
        state = state_of(drained=last.draining, ill=last.ill, halted=last.halted)
        return Condition(state=state, at_us=at_us, source=source), last

    def _standings(self, log: str, origin: str) -> Iterator[Standing]:
        for book in self._books.get((log, origin), {}).values():
            yield from (one for replica, one in book.standings.items() if replica.region == origin)


def state_of(*, drained: bool, ill: bool, halted: bool) -> State:
    """The one word for a region of which several may hold: what a person did goes before what befell it."""
    if drained:
        return State.DRAINED
    return State.ILL if ill else State.HALTED if halted else State.SERVING

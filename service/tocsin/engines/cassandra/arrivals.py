"""Arrivals: what there is of all parents, by the second, so that lists across parents need no scan.

Theory
------
A row for each entry in an index would double the cost of a write. So what one write stored of one second is one row:
its keys, packed, named by the digest of what it holds. Written again it is the same row; written again in another
set it is one more that says the same, and readers drop what they have seen.

A partition is a minute: at 20,000 a second it has about 100 MB. The minutes of a day that have any are rows of their
own, and so are the days: a list walks no empty ones. What this process has put there once it does not write again.

An index is a hint and never the truth. It has each key in the second in which it belongs, and may have it in others:
where a record came first that later proved not to be the entry, or an incident began before an earlier opening came.
Whoever reads it looks at the row itself.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from hashlib import blake2b
from itertools import groupby
from typing import Final, NamedTuple

import msgspec

from tocsin.core.ids import RequestKey
from tocsin.engines.cassandra.batches import Unit, write_units
from tocsin.engines.cassandra.columns import ID_BYTES, id_of, key_of, parent_of
from tocsin.engines.cassandra.known import Known
from tocsin.engines.cassandra.session import Session
from tocsin.engines.errors import EngineError

PART_BYTES: Final = 16 * 1024
"""About the size of a row's items: two fit in a batch."""
ITEM_BYTES: Final = 32
"""Counted for each item besides its parent, request and word."""
PAGE_ROWS: Final = 64
SECONDS_A_MINUTE: Final = 60
MINUTES_A_DAY: Final = 24 * 60
US_A_SECOND: Final = 1_000_000
EARLIEST_US: Final = -(2**63)
LATEST_US: Final = 2**63 - 1

_PUT = "INSERT INTO arrivals (list, minute, second, part, items) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP 1"
_PUT_MINUTE = "INSERT INTO arrival_minutes (list, day, minute) VALUES (?, ?, ?) USING TIMESTAMP 1"
_PUT_DAY = "INSERT INTO arrival_days (list, day) VALUES (?, ?) USING TIMESTAMP 1"
_DAYS = "SELECT day FROM arrival_days WHERE list = ? AND day >= ? AND day <= ?"
_MINUTES = "SELECT minute FROM arrival_minutes WHERE list = ? AND day = ? AND minute >= ? AND minute <= ?"
_SECOND = "SELECT items FROM arrivals WHERE list = ? AND minute = ? AND second = ?"
_BETWEEN = "SELECT second, items FROM arrivals WHERE list = ? AND minute = ? AND second >= ? AND second <= ?"
_EARLIEST_FIRST = " ORDER BY second ASC, part DESC"


class Item(NamedTuple):
    """What is listed: when it happened (Unix microseconds), its key's columns, and a word that filters go by."""

    at_us: int
    parent: bytes
    request: bytes
    word: str

    @property
    def key(self) -> RequestKey:
        """The key; raises ValueError when it is damaged."""
        return key_of(self.parent, self.request)

    @property
    def order(self) -> tuple[int, bytes, bytes, bytes]:
        """The order of lists: by time, id, parent and digest."""
        return self.at_us, self.request[:ID_BYTES], parent_of(self.parent).place, self.request[ID_BYTES:]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Item])


class Listing(NamedTuple):
    """An item, and the second under which it is to be found."""

    second: int
    item: Item


def second_of(at_us: int) -> int:
    """The second of a time."""
    return at_us // US_A_SECOND


class Arrivals:
    """One list: entries by when they were received and by their ids, incidents by creation, kept rows by their ids."""

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self._name = name
        self._known_minutes = Known()

    async def add(self, listings: Sequence[Listing]) -> dict[int, EngineError]:
        """Lists the items; returns the errors of those that were not, by index. Raises none."""
        units: list[Unit] = []
        depending: list[list[int]] = []
        minutes: dict[int, list[int]] = {}
        by_second: dict[int, list[int]] = {}
        for index, listing in enumerate(listings):
            by_second.setdefault(listing.second, []).append(index)
        for second, indices in by_second.items():
            minute = second // SECONDS_A_MINUTE
            minutes.setdefault(minute, []).extend(indices)
            for part in _parts(listings, indices):
                packed = _encoder.encode(sorted({listings[index].item for index in part}))
                name = blake2b(packed, digest_size=16).digest()
                statement = _PUT, (self._name, minute, second, name, packed)
                units.append(Unit(minute, (statement,), len(packed)))
                depending.append(part)
        new = [minute for minute in minutes if minute not in self._known_minutes]
        for minute in new:
            for unit in self._calendar(minute):
                units.append(unit)
                depending.append(minutes[minute])
        failed = await write_units(self._session, units)
        self._known_minutes.add(minute for minute in new if not failed)
        return {index: error for place, error in failed.items() for index in depending[place]}

    def _calendar(self, minute: int) -> tuple[Unit, Unit]:
        day = minute // MINUTES_A_DAY
        return (
            Unit(("minutes", day), ((_PUT_MINUTE, (self._name, day, minute)),), 0),
            Unit("days", ((_PUT_DAY, (self._name, day)),), 0),
        )

    async def named(self, temporal_id: int) -> list[RequestKey]:
        """The keys with this id that are listed in the id's second."""
        second = temporal_id >> 32
        rows = await self._session.execute(_SECOND, (self._name, second // SECONDS_A_MINUTE, second))
        items = (item for (packed,) in rows for item in _decoder.decode(packed))
        return sorted({item.key for item in items if id_of(item.request) == temporal_id})

    async def walk(
        self, since_us: int | None, until_us: int | None, *, latest_first: bool = True
    ) -> AsyncIterator[list[Item]]:
        """The items that happened from `since_us` to below `until_us`, a second at a time, each once and in order."""
        low_us = EARLIEST_US if since_us is None else since_us
        high_us = LATEST_US if until_us is None else until_us - 1
        low, high = second_of(low_us), second_of(high_us)
        async for minute in self._minutes(low // SECONDS_A_MINUTE, high // SECONDS_A_MINUTE, latest_first):
            async for second, packed in self._seconds(minute, low, high, latest_first):
                items = {item for part in packed for item in _decoder.decode(part)}
                found = [item for item in items if second_of(item.at_us) == second and low_us <= item.at_us <= high_us]
                if found:
                    yield sorted(found, key=lambda item: item.order, reverse=latest_first)

    async def _minutes(self, low: int, high: int, latest_first: bool) -> AsyncIterator[int]:  # noqa: FBT001 - of this class
        first_day, last_day = low // MINUTES_A_DAY, high // MINUTES_A_DAY
        days = await self._session.execute(_DAYS, (self._name, first_day, last_day))
        for (day,) in sorted(days, reverse=latest_first):
            minutes = await self._session.execute(_MINUTES, (self._name, day, low, high))
            for (minute,) in sorted(minutes, reverse=latest_first):
                yield minute

    async def _seconds(
        self,
        minute: int,
        low: int,
        high: int,
        latest_first: bool,  # noqa: FBT001 - of this class
    ) -> AsyncIterator[tuple[int, list[bytes]]]:
        query = _BETWEEN if latest_first else _BETWEEN + _EARLIEST_FIRST
        at: int | None = None
        parts: list[bytes] = []
        async for page in self._session.pages(query, (self._name, minute, low, high), page_rows=PAGE_ROWS):
            for second, rows in groupby(page, key=lambda row: int(row[0])):
                if at is not None and second != at:
                    yield at, parts
                    parts = []
                at = second
                parts += [packed for _, packed in rows]
        if at is not None:
            yield at, parts


def _parts(listings: Sequence[Listing], indices: Iterable[int]) -> list[list[int]]:
    """The items of a second in rows of about `PART_BYTES`."""
    parts: list[list[int]] = []
    used = PART_BYTES
    for index in indices:
        item = listings[index].item
        size = len(item.parent) + len(item.request) + len(item.word) + ITEM_BYTES
        if used + size > PART_BYTES:
            parts.append([])
            used = 0
        parts[-1].append(index)
        used += size
    return parts

"""Entries and marks in Cassandra: the rows of requests, by shard and time.

A message set is a few batches: its entries by partition, in the same call the buckets that its parents had not yet,
and then, of what was stored, one row or two that list it by the second. Whatever is listed is stored.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from tocsin.core.entries import Entry
from tocsin.core.failures import Failure, Kind
from tocsin.core.ids import Parent, RequestKey
from tocsin.engines.cassandra import entry_cell
from tocsin.engines.cassandra.arrivals import Arrivals, Item, Listing, second_of
from tocsin.engines.cassandra.batches import Unit, write_units
from tocsin.engines.cassandra.columns import Place, key_of, place_of, shard_and_bytes
from tocsin.engines.cassandra.failures import failure
from tocsin.engines.cassandra.flight import Row
from tocsin.engines.cassandra.known import Known
from tocsin.engines.cassandra.queries import chunks, execute_all
from tocsin.engines.cassandra.session import Session
from tocsin.engines.errors import Refused

BODY_BYTES_MAX: Final = 1 << 20
"""The largest body that this store takes, as every other: more than the canonical form of any event has."""
BREATH: Final = 256
"""After so many entries encoded the event loop gets its turn."""

_PUT = (
    "UPDATE log_entries USING TIMESTAMP ? SET entry = ? WHERE shard = ? AND bucket = ? AND parent = ? AND request = ?"
)
_PUT_PARENT = "INSERT INTO parents (shard, parent, bucket) VALUES (?, ?, ?) USING TIMESTAMP 1"
_MARK = (
    "UPDATE log_entries USING TIMESTAMP ? SET mark = ? WHERE shard = ? AND bucket = ? AND parent = ? AND request = ?"
)
_MARK_TOO = "UPDATE marks USING TIMESTAMP ? SET mark = ? WHERE shard = ? AND parent = ? AND request = ?"
_MARKS = "SELECT parent, request, mark FROM marks"
_SELECT = "SELECT parent, request, entry, mark FROM log_entries WHERE shard = ? AND bucket = ?"
_BY_REQUESTS = f"{_SELECT} AND parent = ? AND request IN ?"
_BY_PARENTS = f"{_SELECT} AND parent IN ?"
_MARK_OF = "SELECT mark FROM log_entries WHERE shard = ? AND bucket = ? AND parent = ? AND request = ?"
_BUCKETS = "SELECT parent, bucket FROM parents WHERE shard = ? AND parent IN ?"


class Found(NamedTuple):
    """An entry, and whether a person's word leaves it out."""

    entry: Entry
    dropped: bool


class EntryTable:
    """The entries of one keyspace."""

    def __init__(self, session: Session, arrivals: Arrivals) -> None:
        self._session = session
        self._arrivals = arrivals
        self._known_buckets = Known()

    # Writing -----------------------------------------------------------------------------------------------------

    async def write(self, entries: Sequence[Entry]) -> dict[int, Failure]:
        """Stores the entries; the failures by index."""
        failures: dict[int, Failure] = {}
        placed: dict[int, Place] = {}
        units: list[Unit] = []
        depending: list[list[int]] = []
        for index, entry in enumerate(entries):
            try:
                place, unit = _unit_of(entry)
            except (Refused, *entry_cell.UNENCODABLE) as error:
                failures[index] = Failure(Kind.REJECTED, f"the store refuses this row: {error}")
                continue
            placed[index] = place
            units.append(unit)
            depending.append([index])
            if index % BREATH == BREATH - 1:
                await asyncio.sleep(0)
        buckets = self._new_buckets(placed)
        for (shard, bucket, parent), indices in buckets.items():
            units.append(Unit(("parents", shard), ((_PUT_PARENT, (shard, parent, bucket)),), len(parent)))
            depending.append(indices)
        errors = await write_units(self._session, units)
        failures |= {index: failure(error) for at, error in errors.items() for index in depending[at]}
        self._known_buckets.add(bucket for bucket, indices in buckets.items() if failures.keys().isdisjoint(indices))
        return failures | await self._list(entries, {i: place for i, place in placed.items() if i not in failures})

    def _new_buckets(self, placed: dict[int, Place]) -> dict[tuple[int, int, bytes], list[int]]:
        """The buckets of parents that this process has not written down yet, and the entries that need them."""
        found: dict[tuple[int, int, bytes], list[int]] = {}
        for index, place in placed.items():
            bucket = place[:3]
            if bucket not in self._known_buckets:
                found.setdefault(bucket, []).append(index)
        return found

    async def _list(self, entries: Sequence[Entry], placed: dict[int, Place]) -> dict[int, Failure]:
        """Lists stored entries under the second in which they were received, and under that of their id."""
        listings: list[Listing] = []
        depending: list[int] = []
        for index, place in placed.items():
            entry = entries[index]
            item = Item(entry.received_us, place.parent, place.request, entry.action)
            for second in {second_of(entry.received_us), entry.key.id >> 32}:
                listings.append(Listing(second, item))
                depending.append(index)
        errors = await self._arrivals.add(listings)
        return {depending[at]: failure(error) for at, error in errors.items()}

    async def mark(self, key: RequestKey, number: int, *, dropped: bool) -> None:
        """A register: the highest number counts, and of two alike dropped wins, in whatever order they come."""
        shard, bucket, parent, request = place_of(key)
        mark = 2 * number + dropped
        await self._session.execute(_MARK_TOO, (mark, mark, shard, parent, request))
        await self._session.execute(_MARK, (mark, mark, shard, bucket, parent, request))

    # Reading -----------------------------------------------------------------------------------------------------

    async def by_keys(self, keys: Iterable[RequestKey]) -> dict[RequestKey, Found]:
        """The entries of these keys, as far as they are stored."""
        wanted: dict[tuple[int, int, bytes], list[bytes]] = {}
        for key in keys:
            shard, bucket, parent, request = place_of(key)
            wanted.setdefault((shard, bucket, parent), []).append(request)
        queries = [(*place, some) for place, requests in wanted.items() for some in chunks(requests)]
        return {one.entry.key: one for one in await self._found(_BY_REQUESTS, queries)}

    async def by_id(self, temporal_id: int) -> list[Entry]:
        """The entries of an id, under any parent."""
        found = await self.by_keys(await self._arrivals.named(temporal_id))
        return [one.entry for one in found.values()]

    async def by_parents(self, parents: Sequence[Parent]) -> dict[Parent, list[Entry]]:
        """The entries of each parent in fold order, the dropped ones left out."""
        shards: dict[int, list[bytes]] = {}
        for parent in dict.fromkeys(parents):
            shard, column = shard_and_bytes(parent)
            shards.setdefault(shard, []).append(column)
        asked = [(shard, some) for shard, columns in shards.items() for some in chunks(columns)]
        answers = await execute_all(self._session, _BUCKETS, asked)
        buckets: dict[tuple[int, int], list[bytes]] = {}
        for (shard, _), rows in zip(asked, answers, strict=True):
            for parent_column, bucket in rows:
                buckets.setdefault((shard, bucket), []).append(parent_column)
        queries = [(*place, some) for place, columns in buckets.items() for some in chunks(columns)]
        found: dict[Parent, list[Entry]] = {parent: [] for parent in parents}
        for entry, dropped in await self._found(_BY_PARENTS, queries):
            if not dropped:
                found[entry.key.parent].append(entry)
        for entries in found.values():
            entries.sort(key=lambda entry: entry.order)
        return found

    async def marked(self, key: RequestKey) -> bool:
        """Whether the key's mark says dropped."""
        rows = await self._session.execute(_MARK_OF, place_of(key))
        return any(_says_dropped(mark) for (mark,) in rows)

    async def marks(self) -> list[tuple[RequestKey, int, bool]]:
        """All marks, by key."""
        rows = await self._session.execute(_MARKS)
        return sorted((key_of(parent, request), mark >> 1, _says_dropped(mark)) for parent, request, mark in rows)

    async def _found(self, cql: str, queries: Sequence[Sequence[object]]) -> list[Found]:
        answers = await execute_all(self._session, cql, queries)
        return [found for rows in answers for row in rows if (found := found_in(row)) is not None]


def found_in(row: Row) -> Found | None:
    """What a row (parent, request, entry, mark) holds; None when it is a mark alone."""
    parent, request, cell, mark = row
    if cell is None:
        return None
    return Found(entry_cell.decode(key_of(parent, request), cell), _says_dropped(mark))


def _unit_of(entry: Entry) -> tuple[Place, Unit]:
    if len(entry.body) > BODY_BYTES_MAX:
        raise Refused(f"rows over {BODY_BYTES_MAX} bytes; this body has {len(entry.body)}")
    cell = entry_cell.encode(entry)
    place = place_of(entry.key)
    values = entry_cell.write_time(entry.received_us), cell, *place
    return place, Unit(place[:2], ((_PUT, values),), len(cell) + len(place.parent) + len(place.request))


def _says_dropped(mark: int | None) -> bool:
    return mark is not None and mark & 1 == 1

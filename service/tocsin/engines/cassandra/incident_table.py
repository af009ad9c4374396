"""Folded incidents in Cassandra: rows of a parent, with versions for write times, and no read before a write.

Theory
------
A whole put removes what the parent had at the version before its own, and writes its rows at its own. The removal is a
range that stays: whatever a former owner still sends, at a lower version, is below it and never seen. An update
writes its rows over those of lower versions. So the order in which writes arrive does not matter.

What a version promises is that it is used once: two puts of one version and different content would be settled by their
bytes. And a put that is larger than a batch arrives in parts.

Writes of one moment go out together. The writer puts hundreds of parents at the same time, a call each; they are few
shards, and so few batches.
"""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, NamedTuple

import msgspec

from tocsin.core.ids import SHARDS, Parent, RequestKey
from tocsin.core.incidents import Incident, Status
from tocsin.engines.cassandra.arrivals import Arrivals, Item, Listing, second_of
from tocsin.engines.cassandra.batches import Unit, write_units
from tocsin.engines.cassandra.columns import key_of, parent_of, request_of, shard_and_bytes
from tocsin.engines.cassandra.entry_cell import UNENCODABLE
from tocsin.engines.cassandra.known import Known
from tocsin.engines.cassandra.queries import chunks, execute_all
from tocsin.engines.cassandra.session import Session, Statement
from tocsin.engines.errors import EngineError, Refused

PAGE_ROWS: Final = 200
SHARDS_AHEAD: Final = 16
"""Shards that a scan asks at one time, at most: where one ends early, others may be empty."""
SHARDS_A_QUERY: Final = 16
"""Shards that one query for what is not resolved names. A replica gives up a read of 100,000 removed rows, which a busy
hour leaves in the table: it counts them by partition where partitions are named, and all together where none is.
"""

_REMOVE = "DELETE FROM incidents USING TIMESTAMP ? WHERE shard = ? AND parent = ?"
_REMOVE_OPEN = "DELETE FROM open_incidents USING TIMESTAMP ? WHERE shard = ? AND parent = ?"
_PUT = "UPDATE incidents USING TIMESTAMP ? SET state = ? WHERE shard = ? AND parent = ? AND request = ?"
_OPEN = "INSERT INTO open_incidents (shard, parent, request) VALUES (?, ?, ?) USING TIMESTAMP ?"
_CLOSE = "DELETE FROM open_incidents USING TIMESTAMP ? WHERE shard = ? AND parent = ? AND request = ?"
_OF_PARENT = "SELECT state FROM incidents WHERE shard = ? AND parent = ?"
_SOME_OF_PARENT = f"{_OF_PARENT} AND request IN ?"
_ABOVE = "SELECT parent, state FROM incidents WHERE shard = ? AND parent > ?"
_OPEN_IN = "SELECT parent, request FROM open_incidents WHERE shard IN ?"

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Incident)


class _Put(NamedTuple):
    """One put of a parent."""

    unit: Unit
    incidents: Sequence[Incident]


class IncidentTable:
    """The incidents of one keyspace."""

    def __init__(self, session: Session, arrivals: Arrivals) -> None:
        self._session = session
        self._arrivals = arrivals
        self._known_openings = Known()
        self._waiting: list[_Put] = []
        self._sending: asyncio.Task[dict[int, EngineError]]

    # Writing -----------------------------------------------------------------------------------------------------

    async def replace(self, parent: Parent, incidents: Sequence[Incident], version: int) -> None:
        """Replaces the incidents of a parent."""
        values = version - 1, *shard_and_bytes(parent)
        removals = (_REMOVE, values), (_REMOVE_OPEN, values)
        await self._put(parent, incidents, version, removals)

    async def update(self, parent: Parent, changed: Sequence[Incident], version: int) -> None:
        """Writes incidents of a parent beside its others."""
        await self._put(parent, changed, version, ())

    async def _put(
        self, parent: Parent, incidents: Sequence[Incident], version: int, before: Sequence[Statement]
    ) -> None:
        try:
            put = _Put(_unit_of(parent, incidents, version, before), incidents)
        except UNENCODABLE as error:
            raise Refused(f"Cassandra cannot take an incident of {parent}: {error}") from error
        puts = self._waiting
        puts.append(put)
        if len(puts) == 1:
            self._sending = asyncio.create_task(self._send())  # runs after all that are about to be put as well
        index = len(puts) - 1
        errors = await asyncio.shield(self._sending)
        if index in errors:
            raise errors[index]

    async def _send(self) -> dict[int, EngineError]:
        """Writes what waits; returns the errors by place."""
        puts, self._waiting = self._waiting, []
        listings, owners = self._new_listings(puts)
        written, listed = await asyncio.gather(
            write_units(self._session, [put.unit for put in puts]), self._arrivals.add(listings)
        )
        self._known_openings.add(listing for place, listing in enumerate(listings) if place not in listed)
        return {owners[place]: error for place, error in listed.items()} | written

    def _new_listings(self, puts: Sequence["_Put"]) -> tuple[list[Listing], list[int]]:
        """What this process has not listed yet, and of which put each is."""
        listings: list[Listing] = []
        owners: list[int] = []
        for index, put in enumerate(puts):
            for incident in put.incidents:
                item = Item(incident.created_us, incident.parent.encode(), request_of(incident.key), "")
                listing = Listing(second_of(incident.created_us), item)
                if listing not in self._known_openings:
                    listings.append(listing)
                    owners.append(index)
        return listings, owners

    # Reading -----------------------------------------------------------------------------------------------------

    async def of_parent(self, parent: Parent) -> list[Incident]:
        """The incidents of a parent, oldest first."""
        rows = await self._session.execute(_OF_PARENT, shard_and_bytes(parent))
        return sorted((_decoder.decode(state) for (state,) in rows), key=lambda incident: incident.order)

    async def by_keys(self, keys: Iterable[RequestKey]) -> dict[RequestKey, Incident]:
        """The incidents of these opening entries, as far as there are any."""
        wanted: dict[tuple[int, bytes], list[bytes]] = {}
        for key in keys:
            wanted.setdefault(shard_and_bytes(key.parent), []).append(request_of(key))
        queries = [(*place, some) for place, requests in wanted.items() for some in chunks(requests)]
        answers = await execute_all(self._session, _SOME_OF_PARENT, queries)
        found = (_decoder.decode(state) for rows in answers for (state,) in rows)
        return {incident.key: incident for incident in found}

    async def open_keys(self) -> list[RequestKey]:
        """The keys of the incidents that are not resolved, and perhaps of some that are."""
        queries = [(range(first, first + SHARDS_A_QUERY),) for first in range(0, SHARDS, SHARDS_A_QUERY)]
        answers = await execute_all(self._session, _OPEN_IN, queries)
        return [key_of(parent, request) for rows in answers for parent, request in rows]

    async def scan(self, after: Parent | None, limit: int) -> list[tuple[Parent, list[Incident]]]:
        """The incidents of the next `limit` parents that have any, in order of their places."""
        found: list[tuple[Parent, list[Incident]]] = []
        shard, above = shard_and_bytes(after) if after else (0, b"")
        step = 1
        while shard < SHARDS and len(found) < limit:
            ahead = range(shard, min(SHARDS, shard + step))
            firsts = [above, *[b""] * (len(ahead) - 1)]
            pages = await asyncio.gather(
                *(self._parents_above(*place, limit - len(found)) for place in zip(ahead, firsts, strict=True))
            )
            found += [one for page in pages for one in page]
            shard, above, step = ahead.stop, b"", min(SHARDS_AHEAD, 2 * step)
        return found[:limit]

    async def _parents_above(self, shard: int, above: bytes, limit: int) -> list[tuple[Parent, list[Incident]]]:
        """The first `limit` parents of a shard above one."""
        found: dict[bytes, list[Incident]] = {}
        async for page in self._session.pages(_ABOVE, (shard, above), page_rows=PAGE_ROWS):
            for parent, rows in groupby(page, key=lambda row: bytes(row[0])):
                found.setdefault(parent, []).extend(_decoder.decode(state) for _, state in rows)
            if len(found) > limit:
                break
        some = list(found.items())[:limit]
        return [(parent_of(parent), sorted(incidents, key=lambda one: one.order)) for parent, incidents in some]


def _unit_of(parent: Parent, incidents: Sequence[Incident], version: int, before: Sequence[Statement]) -> Unit:
    shard, column = shard_and_bytes(parent)
    statements = list(before)
    size = 0
    for incident in incidents:
        request, state = request_of(incident.key), _encoder.encode(incident)
        statements.append((_PUT, (version, state, shard, column, request)))
        if incident.status != Status.RESOLVED:
            statements.append((_OPEN, (shard, column, request, version)))
        elif not before:  # what is removed before has removed it, and for each removal reads have to step over a trace
            statements.append((_CLOSE, (version, shard, column, request)))
        size += len(state) + 2 * (len(column) + len(request))
    return Unit(shard, statements, size)

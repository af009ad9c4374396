"""Scans of entries in the order of parents' places: what two regions are compared by.

Theory
------
Within a partition rows lie in order of (parent, request), and a shard's partitions are its buckets. So some parents at
a time are taken from the shard's list, which is in order, and their rows from each of the buckets that they have: put
together, they are in order. How many parents are taken goes by how many rows those before them had, so that a page
reads little that it does not give. Within a parent the buckets are in order themselves.
"""

from typing import Final, NamedTuple

from tocsin.core.entries import Entry
from tocsin.core.ids import SHARDS, RequestKey
from tocsin.engines.cassandra.columns import bucket_of, id_of, place_of
from tocsin.engines.cassandra.entry_table import found_in
from tocsin.engines.cassandra.flight import Row
from tocsin.engines.cassandra.queries import execute_all
from tocsin.engines.cassandra.session import Session

SHARDS_AHEAD: Final = 16
"""Shards that are asked at one time whether they have anything, at most."""
BUCKETS_MAX: Final = 1_000
"""Rows of the list of parents that are read at one time."""

_FIRST = "SELECT parent FROM parents WHERE shard = ? LIMIT 1"
_PARENTS = "SELECT parent, bucket FROM parents WHERE shard = ? AND parent > ? LIMIT ?"
_BUCKETS = "SELECT bucket FROM parents WHERE shard = ? AND parent = ? AND bucket >= ?"
_SELECT = "SELECT parent, request, entry, mark FROM log_entries WHERE shard = ? AND bucket = ?"
_OF_PARENT = f"{_SELECT} AND parent = ? AND request > ? LIMIT ?"
_OF_PARENTS = f"{_SELECT} AND parent > ? AND parent <= ? LIMIT ?"


class _Position(NamedTuple):
    """How far a scan is: above this request of a parent, or above all of the parent when there is none."""

    shard: int
    parent: bytes = b""
    request: bytes | None = None


class EntryScan:
    """Pages of one keyspace's entries. All that it holds is how many rows parents had lately."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rows_a_bucket = 1.0

    async def page(self, after: RequestKey | None, limit: int) -> list[Entry]:
        """The first `limit` entries above a key, or from the start."""
        at = _Position(0)
        if after is not None:
            place = place_of(after)
            at = _Position(place.shard, place.parent, place.request)
        entries: list[Entry] = []
        while len(entries) < limit and at.shard < SHARDS:
            wanted = limit - len(entries)
            rows, at = await (self._of_parents(at, wanted) if at.request is None else self._of_parent(at, wanted))
            entries += [found.entry for row in rows if (found := found_in(row)) is not None]
        return entries

    async def _of_parent(self, at: _Position, limit: int) -> tuple[list[Row], _Position]:
        """The next rows of the parent that the scan is in."""
        shard, parent, request = at.shard, at.parent, at.request or b""
        low = bucket_of(id_of(request)) if request else 0
        buckets = await self._session.execute(_BUCKETS, (shard, parent, low))
        rows: list[Row] = []
        for (bucket,) in buckets:
            rows += await self._session.execute(_OF_PARENT, (shard, bucket, parent, request, limit - len(rows)))
            if len(rows) == limit:
                return rows, at._replace(request=rows[-1][1])
        return rows, at._replace(request=None)

    async def _of_parents(self, at: _Position, limit: int) -> tuple[list[Row], _Position]:
        """The next rows of the parents above the one that the scan has passed."""
        asked = min(BUCKETS_MAX, 2 + round(limit / self._rows_a_bucket))
        listed = await self._session.execute(_PARENTS, (at.shard, at.parent, asked))
        if not listed:
            return [], _Position(await self._next_shard(at.shard + 1))
        last, after = listed[-1][0], _Position(at.shard, listed[-1][0])
        if len(listed) < asked:
            after = _Position(await self._next_shard(at.shard + 1))
        elif listed[0][0] == last:
            return [], _Position(at.shard, last, b"")  # a parent with many buckets is gone through by them
        else:  # the last parent may have more of them
            listed = [row for row in listed if row[0] != last]
            last, after = listed[-1][0], _Position(at.shard, listed[-1][0])
        queries = [(at.shard, bucket, at.parent, last, limit) for bucket in sorted({bucket for _, bucket in listed})]
        rows = sorted(row for some in await execute_all(self._session, _OF_PARENTS, queries) for row in some)
        self._rows_a_bucket = max(1.0, len(rows) / len(listed))
        return (rows, after) if len(rows) < limit else (rows[:limit], _Position(at.shard, *rows[limit - 1][:2]))

    async def _next_shard(self, shard: int) -> int:
        """The first shard from this one on that has parents; `SHARDS` when none has."""
        step = 1
        while shard < SHARDS:
            ahead = range(shard, min(SHARDS, shard + step))
            answers = await execute_all(self._session, _FIRST, [(one,) for one in ahead])
            found = next((one for one, rows in zip(ahead, answers, strict=True) if rows), None)
            if found is not None:
                return found
            shard, step = ahead.stop, min(SHARDS_AHEAD, 2 * step)  # where one is empty, others may be
        return SHARDS

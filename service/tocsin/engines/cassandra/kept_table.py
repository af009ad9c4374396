"""What is kept of failures in Cassandra: rows that change in place, found by key, parent, id and partition number.

The record of a row never changes while its stage does, so it is a row of its own, named by its digest and in pieces:
what no entry could hold, a mutation of any cluster holds. It is written before the row that names it. Then the row is,
with its version for a write time; then what finds it by partition number and by id. Only the row counts: what led to
it may be older.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from tocsin.core.ids import Parent, RequestKey, digest
from tocsin.core.kept import Kept, Stage
from tocsin.engines.cassandra.arrivals import Arrivals, Item, Listing
from tocsin.engines.cassandra.columns import key_of, request_of, shard_and_bytes
from tocsin.engines.cassandra.flight import Row
from tocsin.engines.cassandra.known import Known
from tocsin.engines.cassandra.queries import execute_all
from tocsin.engines.cassandra.session import Session

PIECE_BYTES: Final = 512 * 1024
RECORDS_KNOWN_MAX: Final = 1_000

_PUT_PIECE = "INSERT INTO kept_records (digest, piece, content) VALUES (?, ?, ?) USING TIMESTAMP 1"
_PIECES = "SELECT content FROM kept_records WHERE digest = ?"
_PUT = (
    "INSERT INTO kept (shard, parent, request, partition, stage, since_us, record, state) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
)
_PUT_BY_PARTITION = (
    "INSERT INTO kept_by_partition (partition, parent, request, stage) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
)
_OF_PARENT = "SELECT record, state FROM kept WHERE shard = ? AND parent = ?"
_BY_KEY = f"{_OF_PARENT} AND request = ?"
_OF_ALL = "SELECT parent, request, stage FROM kept"
_OF_PARTITION = "SELECT parent, request, stage FROM kept_by_partition WHERE partition = ?"

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Kept)


class _Without(NamedTuple):
    """A kept row without its record, whose digest it has."""

    row: Kept
    record: bytes


class KeptTable:
    """The kept rows of one keyspace."""

    def __init__(self, session: Session, arrivals: Arrivals) -> None:
        self._session = session
        self._arrivals = arrivals
        self._known_records = Known(RECORDS_KNOWN_MAX)

    async def put(self, kept: Kept) -> None:
        """Keeps a row when its version is above the one there."""
        shard, parent = shard_and_bytes(kept.key.parent)
        request = request_of(kept.key)
        name = await self._put_record(kept.record)
        state = _encoder.encode(msgspec.structs.replace(kept, record=b""))
        row = shard, parent, request, kept.partition, kept.stage.value, kept.since_us, name, state, kept.version
        await self._session.execute(_PUT, row)
        by_partition = kept.partition, parent, request, kept.stage.value, kept.version
        await self._session.execute(_PUT_BY_PARTITION, by_partition)
        errors = await self._arrivals.add([Listing(kept.key.id >> 32, Item(0, parent, request, ""))])
        for error in errors.values():
            raise error

    async def _put_record(self, record: bytes) -> bytes:
        name = digest(record)
        if name not in self._known_records:
            for piece, start in enumerate(range(0, max(1, len(record)), PIECE_BYTES)):
                content = record[start : start + PIECE_BYTES]
                await self._session.execute(_PUT_PIECE, (name, piece, content))
            self._known_records.add([name])
        return name

    async def by_key(self, key: RequestKey) -> Kept | None:
        """The kept row of a key."""
        rows = await self._whole(await self._by_keys([key]))
        return rows[0] if rows else None

    async def by_id(self, temporal_id: int) -> list[Kept]:
        """The kept rows of an id, under any parent."""
        return await self._whole(_in_order(await self._by_keys(await self._arrivals.named(temporal_id))))

    async def by_parent(self, parent: Parent) -> list[Kept]:
        """The kept rows of a parent."""
        rows = await self._session.execute(_OF_PARENT, shard_and_bytes(parent))
        return await self._whole(_in_order(map(_without, rows)))

    async def find(self, partition: int | None, stages: Sequence[Stage], limit: int | None) -> list[Kept]:
        """Kept rows of a partition or all, in these stages or any, oldest first."""
        if partition is None:
            rows = await self._session.execute(_OF_ALL)
        else:
            rows = await self._session.execute(_OF_PARTITION, (partition,))
        keys = [key_of(parent, request) for parent, request, stage in rows if not stages or stage in stages]
        found = [
            one
            for one in await self._by_keys(keys)
            if partition in (None, one.row.partition) and (not stages or one.row.stage in stages)
        ]
        return await self._whole(_in_order(found)[:limit])

    async def _by_keys(self, keys: Iterable[RequestKey]) -> list[_Without]:
        places = [(*shard_and_bytes(key.parent), request_of(key)) for key in keys]
        answers = await execute_all(self._session, _BY_KEY, places)
        return [_without(row) for rows in answers for row in rows]

    async def _whole(self, rows: Sequence[_Without]) -> list[Kept]:
        """The rows with their records; raises ValueError when one is damaged."""
        answers = await execute_all(self._session, _PIECES, [(one.record,) for one in rows])
        return [_joined(one, pieces) for one, pieces in zip(rows, answers, strict=True)]


def _without(row: Row) -> _Without:
    record, state = row
    return _Without(_decoder.decode(state), record)


def _joined(one: _Without, pieces: Iterable[Row]) -> Kept:
    record = b"".join(content for (content,) in pieces)
    if digest(record) != one.record:
        message = f"the record of kept row {one.row.key.printed} is damaged or not there"
        raise ValueError(message)
    return msgspec.structs.replace(one.row, record=record)


def _in_order(rows: Iterable[_Without]) -> list[_Without]:
    def order(one: _Without) -> tuple[int, int, bytes, bytes]:
        key = one.row.key
        return one.row.since_us, key.id, key.parent.place, key.digest

    return sorted(rows, key=order)

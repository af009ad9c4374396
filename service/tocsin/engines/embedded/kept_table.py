"""What is kept of failures in the embedded store: the whole row as one value, and the columns that it is found by."""

# ruff: noqa: S608 - statements are put together from column names and placeholders of this module alone

import sqlite3
from collections.abc import Sequence

import msgspec

from tocsin.core.ids import Parent, RequestKey
from tocsin.core.kept import Kept, Stage
from tocsin.engines.embedded.schema import id_column, key_columns, places, rows_of

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Kept)


def put(connection: sqlite3.Connection, kept: Kept) -> None:
    """Keeps a row when its version is above the one there."""
    connection.execute(
        """INSERT INTO kept (parent, id, digest, partition, stage, since_us, version, state)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (parent, id, digest) DO UPDATE
        SET partition = excluded.partition, stage = excluded.stage, since_us = excluded.since_us,
            version = excluded.version, state = excluded.state
        WHERE excluded.version > kept.version""",
        (*key_columns(kept.key), kept.partition, kept.stage.value, kept.since_us, kept.version, _encoder.encode(kept)),
    )


def by_key(connection: sqlite3.Connection, key: RequestKey) -> Kept | None:
    """The kept row of a key."""
    rows = _rows(connection, "(parent, id, digest) = (?, ?, ?)", *key_columns(key))
    return rows[0] if rows else None


def by_id(connection: sqlite3.Connection, temporal_id: int) -> list[Kept]:
    """The kept rows of an id, under any parent."""
    return _rows(connection, "id = ?", id_column(temporal_id))


def by_parent(connection: sqlite3.Connection, parent: Parent) -> list[Kept]:
    """The kept rows of a parent."""
    return _rows(connection, "parent = ?", parent.place)


def find(
    connection: sqlite3.Connection, partition: int | None, stages: Sequence[Stage], limit: int | None
) -> list[Kept]:
    """Kept rows of a partition or all, in these stages or any."""
    conditions, values = ["TRUE"], list[object]()
    if partition is not None:
        conditions.append("partition = ?")
        values.append(partition)
    if stages:
        conditions.append(f"stage IN ({places(len(stages))})")
        values.extend(stage.value for stage in stages)
    return _rows(connection, " AND ".join(conditions), *values, limit=limit)


def _rows(connection: sqlite3.Connection, condition: str, *values: object, limit: int | None = None) -> list[Kept]:
    """Oldest `since` first; -1 is SQLite's word for no limit."""
    query = f"SELECT state FROM kept WHERE {condition} ORDER BY since_us, id, parent, digest LIMIT ?"
    found = rows_of(connection, query, *values, -1 if limit is None else limit)
    return [_decoder.decode(state) for (state,) in found]

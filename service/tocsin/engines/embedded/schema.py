"""The tables of the embedded outcome store, and how keys become columns.

Ids are eight bytes big-endian, because SQLite's integers are signed and an id is not; parents are their own bytes, so
the file's order is exactly the port's. Entries have a row id of their own: bodies are large, and a table without one
would keep them in the tree that every look-up walks. Everything else that is small and found by key has none.
"""

import sqlite3
from typing import Any, Final

import msgspec

from tocsin.core.ids import Parent, RequestKey
from tocsin.engines.embedded.database import Format

Row = tuple[Any, ...]

_INDEXES_OF_2: Final = (
    "CREATE INDEX entries_by_time ON entries (received_us, id)",
    "CREATE INDEX incidents_by_number ON incidents (id, created_us)",
    "CREATE INDEX incidents_by_end ON incidents (resolved_us, created_us, id)",
    "CREATE INDEX incidents_by_urgency ON incidents (urgency, created_us, id)",
)

_USERS: Final = """CREATE TABLE users (
    partition INTEGER NOT NULL, user TEXT NOT NULL, version INTEGER NOT NULL, state BLOB NOT NULL,
    PRIMARY KEY (partition, user)) WITHOUT ROWID"""


class _Resolved(msgspec.Struct):
    resolved_us: int | None


def _to_2(connection: sqlite3.Connection) -> None:
    """Format 2 lists entries by time, and incidents by their end, number and urgency."""
    connection.execute("ALTER TABLE incidents ADD COLUMN resolved_us INTEGER")
    for row, state in connection.execute("SELECT row, state FROM incidents").fetchall():
        ended_us = msgspec.msgpack.decode(state, type=_Resolved).resolved_us
        connection.execute("UPDATE incidents SET resolved_us = ? WHERE row = ?", (ended_us, row))
    for statement in _INDEXES_OF_2:
        connection.execute(statement)


def _to_3(connection: sqlite3.Connection) -> None:
    """Format 3 has the shard before the parent's bytes: the order in which all stores are scanned."""
    connection.create_function("place", 1, lambda raw: parent_of(b"\0" + raw).place, deterministic=True)
    for table in ("entries", "marks", "journal", "folds", "incidents", "kept"):
        connection.execute(f"UPDATE {table} SET parent = place(parent)")  # noqa: S608 - names of this module


def _to_4(connection: sqlite3.Connection) -> None:
    """Format 4 has the users of the notifier."""
    connection.execute(_USERS)


STORE: Final = Format(
    what="Tocsin outcome store",
    application_id=int.from_bytes(b"TocS", "big"),
    version=4,
    schema=(
        "CREATE TABLE identity (uuid TEXT NOT NULL)",
        "INSERT INTO identity VALUES (lower(hex(randomblob(16))))",
        "CREATE TABLE ping (count INTEGER NOT NULL)",
        "INSERT INTO ping VALUES (0)",
        # Entries, and what people said of them
        """CREATE TABLE entries (
            parent BLOB NOT NULL, id BLOB NOT NULL, digest BLOB NOT NULL, received_us INTEGER NOT NULL,
            region TEXT NOT NULL, schema INTEGER NOT NULL, action TEXT NOT NULL, body BLOB NOT NULL)""",
        "CREATE UNIQUE INDEX entries_by_key ON entries (parent, id, digest)",
        "CREATE INDEX entries_by_id ON entries (id)",
        """CREATE TABLE marks (
            parent BLOB NOT NULL, id BLOB NOT NULL, digest BLOB NOT NULL, number INTEGER NOT NULL,
            dropped INTEGER NOT NULL, PRIMARY KEY (parent, id, digest)) WITHOUT ROWID""",
        """CREATE TABLE journal (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, parent BLOB NOT NULL, id BLOB NOT NULL, digest BLOB NOT NULL,
            effect TEXT NOT NULL, written_us INTEGER NOT NULL)""",
        # Incidents: written by parent, whose version stays when the last of them is gone
        "CREATE TABLE folds (parent BLOB PRIMARY KEY NOT NULL, version INTEGER NOT NULL) WITHOUT ROWID",
        """CREATE TABLE incidents (
            row INTEGER PRIMARY KEY, parent BLOB NOT NULL, id BLOB NOT NULL, digest BLOB NOT NULL,
            service TEXT NOT NULL, dedup_key TEXT NOT NULL, status TEXT NOT NULL, urgency TEXT NOT NULL,
            created_us INTEGER NOT NULL, resolved_us INTEGER, state BLOB NOT NULL)""",
        "CREATE UNIQUE INDEX incidents_by_key ON incidents (parent, id, digest)",
        "CREATE INDEX incidents_by_time ON incidents (created_us, id)",
        "CREATE INDEX incidents_by_service ON incidents (service, created_us, id)",
        "CREATE INDEX incidents_by_dedup_key ON incidents (dedup_key, created_us, id)",
        "CREATE INDEX incidents_by_status ON incidents (status, created_us, id)",
        """CREATE TABLE incident_names (
            id BLOB NOT NULL, incident INTEGER NOT NULL REFERENCES incidents (row) ON DELETE CASCADE,
            PRIMARY KEY (id, incident)) WITHOUT ROWID""",
        "CREATE INDEX incident_names_by_incident ON incident_names (incident)",
        # What is kept of failures
        """CREATE TABLE kept (
            parent BLOB NOT NULL, id BLOB NOT NULL, digest BLOB NOT NULL, partition INTEGER NOT NULL,
            stage TEXT NOT NULL, since_us INTEGER NOT NULL, version INTEGER NOT NULL, state BLOB NOT NULL)""",
        "CREATE UNIQUE INDEX kept_by_key ON kept (parent, id, digest)",
        "CREATE INDEX kept_by_id ON kept (id)",
        "CREATE INDEX kept_by_partition ON kept (partition, stage, since_us)",
        "CREATE INDEX kept_by_stage ON kept (stage, since_us)",
        # Progress, lost ranges, documents
        """CREATE TABLE progress (
            partition INTEGER NOT NULL, epoch INTEGER NOT NULL, clean INTEGER NOT NULL, sources BLOB NOT NULL,
            PRIMARY KEY (partition, epoch)) WITHOUT ROWID""",
        """CREATE TABLE lost (
            partition INTEGER NOT NULL, source TEXT NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL,
            found_us INTEGER NOT NULL, PRIMARY KEY (partition, source, start, "end")) WITHOUT ROWID""",
        """CREATE TABLE documents (
            name TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID""",
        _USERS,
        *_INDEXES_OF_2,
    ),
    upgrades=(_to_2, _to_3, _to_4),
)


def id_column(temporal_id: int) -> bytes:
    """The column of a temporal id; raises OverflowError outside 64 bits."""
    return temporal_id.to_bytes(8, "big")


def key_columns(key: RequestKey) -> tuple[bytes, bytes, bytes]:
    """The columns (parent, id, digest); raises OverflowError or UnicodeEncodeError for what is no key."""
    return key.parent.place, key.id.to_bytes(8, "big"), key.digest


def parent_of(column: bytes) -> Parent:
    """The parent of a column, which is its place; raises ValueError when it is none. `Parent.decode` refuses the parent
    of undecodable records, which a store must hold.
    """
    service, separator, dedup_key = column[1:].decode().partition("\0")
    if not separator:
        message = f"the parent of a row is damaged: {column[:40]!r}"
        raise ValueError(message)
    return Parent(service, dedup_key)


def key_of(parent: bytes, temporal_id: bytes, digest: bytes) -> RequestKey:
    """The key of its columns."""
    return RequestKey(parent_of(parent), int.from_bytes(temporal_id, "big"), digest)


def rows_of(connection: sqlite3.Connection, query: str, *values: object) -> list[Row]:
    """All rows that a query answers."""
    return connection.execute(query, values).fetchall()


def places(values: int) -> str:
    """`?, ?, ?` for so many values."""
    return ", ".join("?" * values)

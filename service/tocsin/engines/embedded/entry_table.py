"""Entries and marks in the embedded store.

An entry is written by a conditional upsert: whatever the order of arrival, the lowest (received-at, region) stays.
One statement writes the whole batch; only when the engine refuses a row of it are the rows tried one by one, which
finds the bad ones and costs nothing that was written already, since writing again changes nothing.
"""

# ruff: noqa: S608 - statements are put together from column names and placeholders of this module alone

import sqlite3
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from tocsin.core.entries import Entry, EntryFilter
from tocsin.core.failures import Failure, Kind
from tocsin.core.ids import Parent, RequestKey
from tocsin.engines.embedded.schema import Row, id_column, key_columns, key_of, parent_of, places, rows_of

BODY_BYTES_MAX: Final = 1 << 20
"""The largest body that this store takes: twice what intake lets in."""
PARENTS_A_QUERY: Final = 500

_MERITS = (sqlite3.IntegrityError, sqlite3.DataError, OverflowError, UnicodeEncodeError)
"""What SQLite and its driver raise for a value of a row; everything else is about the store."""

_COLUMNS = "entries.parent, entries.id, entries.digest, received_us, region, schema, action, body"
_UPSERT = """
    INSERT INTO entries (parent, id, digest, received_us, region, schema, action, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (parent, id, digest) DO UPDATE
    SET received_us = excluded.received_us, region = excluded.region, schema = excluded.schema,
        action = excluded.action, body = excluded.body
    WHERE (excluded.received_us, excluded.region) < (entries.received_us, entries.region)"""


class JournalRow(NamedTuple):
    """One attempt to write an entry that was committed: `effect` is inserted, replaced or same."""

    seq: int
    key: RequestKey
    effect: str
    written_us: int


def write(connection: sqlite3.Connection, entries: Sequence[Entry], *, journal: bool) -> dict[int, Failure]:
    """Stores the entries in the running transaction; the refused ones by index."""
    failures = {
        index: Failure(
            Kind.REJECTED,
            f"the store refuses rows over {BODY_BYTES_MAX} bytes; this body has {len(entry.body)}",
        )
        for index, entry in enumerate(entries)
        if len(entry.body) > BODY_BYTES_MAX
    }
    rest = [entry for entry in entries if len(entry.body) <= BODY_BYTES_MAX] if failures else entries
    if not journal:
        try:
            connection.executemany(_UPSERT, map(_row_of, rest))
        except _MERITS:
            pass
        else:
            return failures
    for index, entry in enumerate(entries):
        if index in failures:
            continue
        try:
            _write_one(connection, entry, journal=journal)
        except _MERITS as error:
            failures[index] = Failure(Kind.REJECTED, f"the store refuses this row: {error}")
    return failures


def _write_one(connection: sqlite3.Connection, entry: Entry, *, journal: bool) -> None:
    row = _row_of(entry)
    there = rows_of(connection, "SELECT 1 FROM entries WHERE (parent, id, digest) = (?, ?, ?)", *row[:3])
    changed = connection.execute(_UPSERT, row).rowcount
    if journal:
        effect = "same" if not changed else "replaced" if there else "inserted"
        connection.execute(
            "INSERT INTO journal (parent, id, digest, effect, written_us) VALUES (?, ?, ?, ?, ?)",
            (*row[:3], effect, time.time_ns() // 1000),
        )


def journal_rows(connection: sqlite3.Connection) -> list[JournalRow]:
    """All that the journal holds, in the order of writing."""
    rows = rows_of(connection, "SELECT seq, parent, id, digest, effect, written_us FROM journal ORDER BY seq")
    return [JournalRow(row[0], key_of(*row[1:4]), row[4], row[5]) for row in rows]


def by_key(connection: sqlite3.Connection, key: RequestKey) -> Entry | None:
    """The entry of a key."""
    rows = rows_of(
        connection, f"SELECT {_COLUMNS} FROM entries WHERE (parent, id, digest) = (?, ?, ?)", *key_columns(key)
    )
    return _entry_of(rows[0]) if rows else None


def by_id(connection: sqlite3.Connection, temporal_id: int) -> list[Entry]:
    """The entries of an id, under any parent."""
    query = f"SELECT {_COLUMNS} FROM entries WHERE id = ? ORDER BY parent, digest"
    return [_entry_of(row) for row in rows_of(connection, query, id_column(temporal_id))]


def by_parents(connection: sqlite3.Connection, parents: Sequence[Parent]) -> dict[Parent, list[Entry]]:
    """The entries of each parent in fold order, the dropped ones left out."""
    found: dict[Parent, list[Entry]] = {parent: [] for parent in parents}
    wanted = [parent.place for parent in found]
    for start in range(0, len(wanted), PARENTS_A_QUERY):
        some = wanted[start : start + PARENTS_A_QUERY]
        query = f"""
            SELECT {_COLUMNS} FROM entries LEFT JOIN marks USING (parent, id, digest)
            WHERE entries.parent IN ({places(len(some))}) AND dropped IS NOT TRUE"""
        for row in rows_of(connection, query, *some):
            entry = _entry_of(row)
            found[entry.key.parent].append(entry)
    for entries in found.values():
        entries.sort(key=lambda entry: entry.order)
    return found


def find(connection: sqlite3.Connection, where: EntryFilter) -> list[Entry]:
    """The entries that match, newest first, the dropped ones left out."""
    matching, values = _matching(where)
    query = f"""
        SELECT {_COLUMNS} {matching}
        ORDER BY received_us DESC, entries.id DESC, entries.parent DESC, entries.digest DESC LIMIT ? OFFSET ?"""
    return [_entry_of(row) for row in rows_of(connection, query, *values, where.limit, where.offset)]


def count(connection: sqlite3.Connection, where: EntryFilter) -> int:
    """How many entries match."""
    matching, values = _matching(where)
    return int(rows_of(connection, f"SELECT count(*) {matching}", *values)[0][0])


def _matching(where: EntryFilter) -> tuple[str, list[object]]:
    conditions, values = ["dropped IS NOT TRUE"], list[object]()
    if where.services:
        # Of a parent's place the service is what stands between the shard and the NUL.
        conditions.append(f"({' OR '.join(['substr(entries.parent, 2, ?) = ?'] * len(where.services))})")
        for name in where.services:
            prefix = name.encode() + b"\x00"
            values += [len(prefix), prefix]
    if where.actions:
        conditions.append(f"action IN ({places(len(where.actions))})")
        values += where.actions
    for condition, value in (("received_us >= ?", where.since_us), ("received_us < ?", where.until_us)):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    return f"FROM entries LEFT JOIN marks USING (parent, id, digest) WHERE {' AND '.join(conditions)}", values


def scan(connection: sqlite3.Connection, after: RequestKey | None, limit: int) -> list[Entry]:
    """Entries in order of their keys' columns, from above `after`."""
    above, values = ("WHERE (parent, id, digest) > (?, ?, ?)", key_columns(after)) if after else ("", ())
    query = f"SELECT {_COLUMNS} FROM entries {above} ORDER BY parent, id, digest LIMIT ?"
    return [_entry_of(row) for row in rows_of(connection, query, *values, limit)]


def mark(connection: sqlite3.Connection, key: RequestKey, number: int, *, dropped: bool) -> None:
    """A register: the highest number counts, and of two alike dropped wins, in whatever order they come."""
    connection.execute(
        """INSERT INTO marks (parent, id, digest, number, dropped) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (parent, id, digest) DO UPDATE SET number = excluded.number, dropped = excluded.dropped
        WHERE (excluded.number, excluded.dropped) > (marks.number, marks.dropped)""",
        (*key_columns(key), number, dropped),
    )


def marked(connection: sqlite3.Connection, key: RequestKey) -> bool:
    """Whether the key's mark says dropped."""
    query = "SELECT dropped FROM marks WHERE (parent, id, digest) = (?, ?, ?)"
    return any(dropped for (dropped,) in rows_of(connection, query, *key_columns(key)))


def marks(connection: sqlite3.Connection) -> list[tuple[RequestKey, int, bool]]:
    """All marks, by key."""
    rows = rows_of(connection, "SELECT parent, id, digest, number, dropped FROM marks ORDER BY parent, id, digest")
    return [(key_of(*row[:3]), row[3], bool(row[4])) for row in rows]


def _row_of(entry: Entry) -> Row:
    (parent, temporal_id, digest), received_us, region, schema, action, body = entry
    return parent.place, temporal_id.to_bytes(8, "big"), digest, received_us, region, schema, action, body


def _entry_of(row: Row) -> Entry:
    parent, temporal_id, digest, *rest = row
    return Entry(RequestKey(parent_of(parent), int.from_bytes(temporal_id, "big"), digest), *rest)

"""What retention and compaction remove from one partition of the embedded log.

Both are safe to stop anywhere and to run twice at once. Rows are removed in small chunks, so that an append of another
process waits for one chunk at most.
"""

import sqlite3
from typing import Final

from tocsin.engines.embedded.database import Database
from tocsin.engines.embedded.places import PLACES_EACH, place

CHUNK: Final = 500
"""Rows removed in one transaction."""


async def expire(database: Database, partition_id: int, before_ms: int) -> int:
    """Moves the log's start up to the first record that is not older, then removes what is below it.

    The start moves first: a reader never finds records missing that are above the start it was told.
    """
    start = await database.write(lambda connection: _move_start(connection, partition_id, before_ms))
    return await _remove_all_below(database, partition_id, start)


async def truncate(database: Database, partition_id: int, start: int) -> int:
    """Moves the log's start up to this offset, whatever the age of what is below it, and removes that."""
    await database.write(lambda connection: _put_start(connection, partition_id, start))
    return await _remove_all_below(database, partition_id, start)


async def compact(database: Database, partition_id: int, before_ms: int) -> int:
    """Removes the records that are older and have a later one of the same key. Records without a key stay."""
    outdated = await database.read(lambda connection: _outdated(connection, partition_id, before_ms))
    for at in range(0, len(outdated), CHUNK):
        chunk = outdated[at : at + CHUNK]
        await database.write(lambda connection, chunk=chunk: _remove(connection, chunk))  # type: ignore[misc]
    return len(outdated)


async def _remove_all_below(database: Database, partition_id: int, start: int) -> int:
    base = place(partition_id, 0)
    removed = 0
    while count := await database.write(lambda connection: _remove_below(connection, base, base + start)):
        removed += count
    return removed


def _move_start(connection: sqlite3.Connection, partition_id: int, before_ms: int) -> int:
    row = connection.execute("SELECT log_start, next_offset FROM partitions WHERE id = ?", (partition_id,)).fetchone()
    if row is None:  # its topic was deleted meanwhile
        return 0
    base = place(partition_id, 0)
    first = connection.execute(
        "SELECT place FROM records WHERE place >= ? AND place < ? AND timestamp_ms >= ? ORDER BY place LIMIT 1",
        (base + row[0], base + row[1], before_ms),
    ).fetchone()
    start: int = row[1] if first is None else first[0] - base
    _put_start(connection, partition_id, start)
    return start


def _put_start(connection: sqlite3.Connection, partition_id: int, start: int) -> None:
    connection.execute("UPDATE partitions SET log_start = ? WHERE id = ?", (start, partition_id))


def _remove_below(connection: sqlite3.Connection, first: int, end: int) -> int:
    return connection.execute(
        "DELETE FROM records WHERE place IN (SELECT place FROM records WHERE place >= ? AND place < ? LIMIT ?)",
        (first, end, CHUNK),
    ).rowcount


def _outdated(connection: sqlite3.Connection, partition_id: int, before_ms: int) -> list[tuple[int]]:
    base = place(partition_id, 0)
    return connection.execute(
        "SELECT place FROM (SELECT place, timestamp_ms, max(place) OVER (PARTITION BY key) AS latest FROM records "
        "WHERE place >= ? AND place < ? AND key IS NOT NULL) WHERE place < latest AND timestamp_ms < ?",
        (base, base + PLACES_EACH, before_ms),
    ).fetchall()


def _remove(connection: sqlite3.Connection, places: list[tuple[int]]) -> None:
    connection.executemany("DELETE FROM records WHERE place = ?", places)

"""The embedded log: the log port over one SQLite file a region, for the processes of one machine.

Theory
------
It stands in for a broker on one machine, no more: partitions, offsets, claims, read by time, retention, compaction.
A record's row number is its place: (partition's id << 40) + offset, so an append goes to the end of a partition's range
and a fetch is one walk along the table. Ids of partitions are never used again, and a partition keeps its next offset
in a row of its own: no offset comes twice within a topic incarnation, whatever retention or compaction removed.

Nothing runs in the background: `housekeep` removes what retention and compaction allow, and one process of the machine
calls it now and then (who else calls it does no harm). Compaction leaves gaps in the offsets and never moves the log's
start; retention removes from the start, up to the first record that is young enough.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from tocsin.core.requests import Record
from tocsin.engines.embedded.claims import ClaimFiles
from tocsin.engines.embedded.database import Database, Format
from tocsin.engines.embedded.housekeeping import compact, expire, truncate
from tocsin.engines.embedded.places import PLACES_EACH, place
from tocsin.engines.embedded.waiters import Waiters, Wake
from tocsin.engines.errors import Misconfigured, OutOfRange, Refused
from tocsin.engines.log import Claim, Delivered, Fetched, Topic

RECORD_BYTES_MAX: Final = 2 * 1024 * 1024
"""The largest record (key, value and headers as stored) unless said otherwise: four times the largest event."""
COMPACTION_LAG_S: Final = 10.0
"""Records younger than this are not compacted away, so that whoever is that close behind reads every one."""
TIMESTAMP_END_MS: Final = 2**53

LOG_FORMAT: Final = Format(
    "log of Tocsin",
    0x54434C47,
    1,
    (
        "CREATE TABLE cluster (id TEXT NOT NULL)",
        "INSERT INTO cluster VALUES (lower(hex(randomblob(16))))",
        """CREATE TABLE topics (
            id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, incarnation TEXT NOT NULL,
            partitions INTEGER NOT NULL, compacted INTEGER NOT NULL, retention_s REAL)""",
        """CREATE TABLE partitions (
            id INTEGER PRIMARY KEY AUTOINCREMENT, topic_id INTEGER NOT NULL REFERENCES topics ON DELETE CASCADE,
            number INTEGER NOT NULL, log_start INTEGER NOT NULL, next_offset INTEGER NOT NULL,
            UNIQUE (topic_id, number))""",
        """CREATE TABLE records (
            place INTEGER PRIMARY KEY, timestamp_ms INTEGER NOT NULL, key BLOB, value BLOB NOT NULL,
            headers BLOB NOT NULL)""",
        """CREATE TABLE committed (
            group_name TEXT NOT NULL, partition_id INTEGER NOT NULL REFERENCES partitions ON DELETE CASCADE,
            next_offset INTEGER NOT NULL, PRIMARY KEY (group_name, partition_id)) WITHOUT ROWID""",
        """CREATE TABLE claims (
            group_name TEXT NOT NULL, partition INTEGER NOT NULL, epoch INTEGER NOT NULL,
            PRIMARY KEY (group_name, partition)) WITHOUT ROWID""",
    ),
)

_Row = tuple[int, bytes | None, bytes, bytes]
_headers_decoder: Final = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...])


class EmbeddedLog:
    """The log of one region in the file `path`, which is made with its folder at first use."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        record_bytes_max: int = RECORD_BYTES_MAX,
        compaction_lag_s: float = COMPACTION_LAG_S,
    ) -> None:
        self._database = Database(path, LOG_FORMAT)
        self._waiters = Waiters(self._database)
        self._claims = ClaimFiles(path.with_name(path.name + ".claims"))
        self._claimed: set[Claim] = set()
        self._clock = clock
        self._record_bytes_max = record_bytes_max
        self._compaction_lag_s = compaction_lag_s

    # Topics ------------------------------------------------------------------------------------------------------

    async def cluster(self) -> str:
        """The identity of the cluster, made with the file."""
        return await self._database.read(_cluster)

    async def ensure_topic(
        self, name: str, partitions: int, *, compacted: bool = False, retention_s: float | None = None
    ) -> Topic:
        """Makes the topic if it is missing, and returns it as it is.

        Raises `Misconfigured` when it exists with another partition count or compaction.
        """
        if partitions < 1:
            raise Misconfigured(f"topic {name} was asked for with {partitions} partitions: it needs at least one")
        wanted = Topic(name, "", partitions, compacted, retention_s)
        found = await self._database.write(lambda connection: _ensure_topic(connection, wanted))
        if (found.partitions, found.compacted) != (partitions, compacted):
            raise Misconfigured(
                f"topic {name} has {found.partitions} partitions, compacted: {found.compacted}; asked for were "
                f"{partitions}, compacted: {compacted}. Both are fixed for the life of a topic: set what is there"
            )
        return found

    async def topic(self, name: str) -> Topic | None:
        """The topic as it is, None when there is none."""
        return await self._database.read(lambda connection: _topic(connection, name))

    async def delete_topic(self, name: str) -> None:
        """Removes a topic with all its records, for tests and drills; one that is not there is no error."""
        await self._database.write(lambda connection: _delete_topic(connection, name))

    # Records -----------------------------------------------------------------------------------------------------

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        """Appends the records in order, all or none; returns the first one's offset once they are committed.

        A record with timestamp 0 gets the log's own time. Raises `Refused` when a record is over the size limit,
        `Misconfigured` for an unknown topic or partition. After `Unavailable` the records may or may not be there.
        """
        rows = [self._encode(topic, record) for record in records]
        return await self._database.write(lambda connection: _append(connection, topic, partition, rows))

    async def fetch(
        self, topic: str, partition: int, offset: int, *, records_max: int, bytes_max: int, wait_s: float
    ) -> Fetched:
        """The message set at `offset`, after at most `wait_s` when there is none yet.

        At least one record is returned whatever its size, when there is one. Raises `OutOfRange` above the log's end,
        `Misconfigured` for an unknown topic or partition.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while True:
            left_s = deadline - loop.time()
            wake: Wake | None = loop.create_future() if left_s > 0 else None

            def look(connection: sqlite3.Connection, wake: Wake | None = wake) -> Fetched:
                partition_id, start, end = _partition(connection, topic, partition)
                if offset > end:
                    raise OutOfRange(
                        f"offset {offset} of {topic}/{partition} is above the log's end, {end}: it is not the log "
                        "that the offset is from"
                    )
                if offset == end and wake is not None:
                    self._waiters.add(wake, partition_id, offset)
                return _read(connection, partition_id, Fetched((), offset, start, end), records_max, bytes_max)

            try:
                fetched = await self._database.read(look)
                if wake is None or offset < fetched.log_end:
                    return fetched
                await asyncio.wait((wake,), timeout=left_s)
                if not wake.done():
                    return fetched
            finally:
                if wake is not None:
                    self._waiters.remove(wake)

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """(first offset still there, one above the last)."""
        return await self._database.read(lambda connection: _partition(connection, topic, partition)[1:])

    async def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        """The first offset whose record has this timestamp or a later one; the log's end when there is none.

        A walk from the log's start: it is for rewinds, which are rare, and spares each append an index.
        """
        return await self._database.read(lambda connection: _offset_at(connection, topic, partition, timestamp_ms))

    async def housekeep(self, now: float) -> int:
        """Removes what retention and compaction allow at `now` (Unix seconds); returns how many records went."""
        removed = 0
        for partition_id, compacted, retention_s in await self._database.read(_kept_for):
            if retention_s is not None:
                removed += await expire(self._database, partition_id, int((now - retention_s) * 1000))
            if compacted:
                removed += await compact(self._database, partition_id, int((now - self._compaction_lag_s) * 1000))
        return removed

    async def delete_records(self, topic: str, partition: int, before_offset: int) -> None:
        """Removes the records below an offset, however young, for drills; raises `Misconfigured` for an unknown
        partition.
        """
        partition_id, start, end = await self._database.read(
            lambda connection: _partition(connection, topic, partition)
        )
        await truncate(self._database, partition_id, min(max(start, before_offset), end))

    def _encode(self, topic: str, record: Record) -> _Row:
        try:
            headers = msgspec.msgpack.encode(record.headers)
        except UnicodeEncodeError as error:
            raise Refused(f"a header of a record for {topic} is no valid text: {error}") from error
        size = len(record.key or b"") + len(record.value) + len(headers)
        if size > self._record_bytes_max:
            raise Refused(f"a record for {topic} has {size} bytes, and the log takes {self._record_bytes_max} at most")
        if not 0 <= record.timestamp_ms < TIMESTAMP_END_MS:
            raise Refused(f"a record for {topic} has timestamp {record.timestamp_ms} ms, which is no time of our era")
        return record.timestamp_ms or int(self._clock() * 1000), record.key, record.value, headers

    # Groups ------------------------------------------------------------------------------------------------------

    async def claim(self, group: str, partition: int) -> Claim:
        """Makes this process the owner of a partition number; raises `Owned`, naming the owner, while another is.

        Freed when the process dies, by whatever means. The epoch rises with each claim and never falls.
        """
        self._claims.take(group, partition)
        try:
            epoch = await self._database.write(lambda connection: _next_epoch(connection, group, partition))
        except BaseException:
            self._claims.drop(group, partition)
            raise
        claim = Claim(group, partition, epoch)
        self._claimed.add(claim)
        return claim

    def holds(self, claim: Claim) -> bool:
        """Whether a claim of this instance is in force: it ends by `release` and `close`, never by itself."""
        return claim in self._claimed

    def asked_back(self, claim: Claim) -> bool:  # noqa: ARG002 - part of the port
        """Never: a lock says nothing of who waits for it."""
        return False

    async def release(self, claim: Claim) -> None:
        """Ends an ownership in good order; one that has ended is no error."""
        if claim in self._claimed:
            self._claimed.remove(claim)
            self._claims.drop(claim.group, claim.partition)

    async def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Tells lag tools the low watermark; it goes with the topic. Raises `Misconfigured` for an unknown topic."""
        await self._database.write(lambda connection: _commit(connection, group, (topic, partition), offset))

    async def committed(self, group: str, topic: str, partition: int) -> int | None:
        """What was committed, None when nothing was."""
        return await self._database.read(lambda connection: _committed(connection, group, (topic, partition)))

    async def close(self) -> None:
        """Ends all claims and frees everything."""
        self._claimed.clear()
        self._claims.drop_all()
        await self._database.close()


# What runs in the worker thread ----------------------------------------------------------------------------------


def _cluster(connection: sqlite3.Connection) -> str:
    return str(connection.execute("SELECT id FROM cluster").fetchone()[0])


def _topic(connection: sqlite3.Connection, name: str) -> Topic | None:
    row = connection.execute(
        "SELECT incarnation, partitions, compacted, retention_s FROM topics WHERE name = ?", (name,)
    ).fetchone()
    return Topic(name, row[0], row[1], bool(row[2]), row[3]) if row else None


def _ensure_topic(connection: sqlite3.Connection, wanted: Topic) -> Topic:
    found = _topic(connection, wanted.name)
    if found is not None:
        return found
    cursor = connection.execute(
        "INSERT INTO topics (name, incarnation, partitions, compacted, retention_s) "
        "VALUES (?, lower(hex(randomblob(16))), ?, ?, ?)",
        (wanted.name, wanted.partitions, wanted.compacted, wanted.retention_s),
    )
    connection.executemany(
        "INSERT INTO partitions (topic_id, number, log_start, next_offset) VALUES (?, ?, 0, 0)",
        [(cursor.lastrowid, number) for number in range(wanted.partitions)],
    )
    made = _topic(connection, wanted.name)
    assert made is not None  # noqa: S101 - inserted above, in this transaction
    return made


def _delete_topic(connection: sqlite3.Connection, name: str) -> None:
    ids = connection.execute(
        "SELECT p.id FROM partitions p JOIN topics t ON t.id = p.topic_id WHERE t.name = ?", (name,)
    ).fetchall()
    for (partition_id,) in ids:
        start = place(partition_id, 0)
        connection.execute("DELETE FROM records WHERE place >= ? AND place < ?", (start, start + PLACES_EACH))
    connection.execute("DELETE FROM topics WHERE name = ?", (name,))


def _partition(connection: sqlite3.Connection, topic: str, partition: int) -> tuple[int, int, int]:
    """(id, log start, log end) of a partition; raises `Misconfigured` when there is none."""
    row = connection.execute(
        "SELECT p.id, p.log_start, p.next_offset FROM topics t JOIN partitions p ON p.topic_id = t.id "
        "WHERE t.name = ? AND p.number = ?",
        (topic, partition),
    ).fetchone()
    if row is None:
        raise _unknown(connection, topic, partition)
    return row[0], row[1], row[2]


def _unknown(connection: sqlite3.Connection, topic: str, partition: int) -> Misconfigured:
    found = _topic(connection, topic)
    if found is None:
        return Misconfigured(f"this log has no topic {topic}: is its name right, and was it made with ensure_topic?")
    return Misconfigured(
        f"topic {topic} has no partition {partition}: they are numbered 0 to {found.partitions - 1}. The settings of "
        "who asks have another partition count than the topic"
    )


def _append(connection: sqlite3.Connection, topic: str, partition: int, rows: list[_Row]) -> int:
    grown = connection.execute(
        "UPDATE partitions SET next_offset = next_offset + ? "
        "WHERE topic_id = (SELECT id FROM topics WHERE name = ?) AND number = ? RETURNING id, next_offset",
        (len(rows), topic, partition),
    ).fetchall()
    if not grown:
        raise _unknown(connection, topic, partition)
    partition_id, end = grown[0]
    first: int = end - len(rows)
    connection.executemany(
        "INSERT INTO records (place, timestamp_ms, key, value, headers) VALUES (?, ?, ?, ?, ?)",
        [(at, *row) for at, row in enumerate(rows, place(partition_id, first))],
    )
    return first


def _read(
    connection: sqlite3.Connection, partition_id: int, empty: Fetched, records_max: int, bytes_max: int
) -> Fetched:
    """`empty` with the records from its next offset on. Gaps up to the end count as passed."""
    base = place(partition_id, 0)
    first = max(empty.next_offset, empty.log_start)
    found: list[Delivered] = []
    size = 0
    rows = connection.execute(
        "SELECT place, timestamp_ms, key, value, headers FROM records WHERE place >= ? AND place < ? "
        "ORDER BY place LIMIT ?",
        (base + first, base + empty.log_end, max(1, records_max)),
    )
    with closing(rows):  # a walk that stops early would hold its snapshot, and the file could not be tidied
        for at, timestamp_ms, key, value, headers in rows:
            size += len(key or b"") + len(value) + len(headers)
            if found and size > bytes_max:
                break
            found.append(Delivered(at - base, Record(key, value, _headers_decoder.decode(headers), timestamp_ms)))
    next_offset = found[-1].offset + 1 if found else empty.log_end
    return Fetched(tuple(found), next_offset, empty.log_start, empty.log_end)


def _offset_at(connection: sqlite3.Connection, topic: str, partition: int, timestamp_ms: int) -> int:
    partition_id, start, end = _partition(connection, topic, partition)
    base = place(partition_id, 0)
    row = connection.execute(
        "SELECT place FROM records WHERE place >= ? AND place < ? AND timestamp_ms >= ? ORDER BY place LIMIT 1",
        (base + start, base + end, timestamp_ms),
    ).fetchone()
    return end if row is None else int(row[0]) - base


def _kept_for(connection: sqlite3.Connection) -> list[tuple[int, int, float | None]]:
    return connection.execute(
        "SELECT p.id, t.compacted, t.retention_s FROM partitions p JOIN topics t ON t.id = p.topic_id "
        "WHERE t.compacted OR t.retention_s IS NOT NULL"
    ).fetchall()


def _next_epoch(connection: sqlite3.Connection, group: str, partition: int) -> int:
    rows = connection.execute(
        "INSERT INTO claims VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
        (group, partition),
    ).fetchall()
    return int(rows[0][0])


def _commit(connection: sqlite3.Connection, group: str, of: tuple[str, int], offset: int) -> None:
    partition_id, _, _ = _partition(connection, *of)
    connection.execute(
        "INSERT INTO committed VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset",
        (group, partition_id, offset),
    )


def _committed(connection: sqlite3.Connection, group: str, of: tuple[str, int]) -> int | None:
    row = connection.execute(
        "SELECT c.next_offset FROM topics t JOIN partitions p ON p.topic_id = t.id "
        "JOIN committed c ON c.partition_id = p.id WHERE c.group_name = ? AND t.name = ? AND p.number = ?",
        (group, *of),
    ).fetchone()
    return None if row is None else int(row[0])

"""The store port on one SQLite file: creator, its child processes, querier and commands use it at the same time.

One file is one stack's outcome store. Each call is one hop into the database's worker thread and back; what several
callers write at the same moment is committed together (`database.py`). What a row is refused for is that row's failure
alone; what befalls the file befalls every entry of the call, and says nothing about any of them.
"""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from tocsin.core.entries import Entry, EntryFilter
from tocsin.core.failures import Failure, Kind
from tocsin.core.ids import Parent, RequestKey
from tocsin.core.incidents import Incident, IncidentFilter
from tocsin.core.kept import Kept, Stage
from tocsin.core.paging.effects import UserRow
from tocsin.core.progress import ProgressRow
from tocsin.engines.embedded import entry_table, incident_table, kept_table
from tocsin.engines.embedded.database import Database
from tocsin.engines.embedded.entry_table import JournalRow
from tocsin.engines.embedded.schema import STORE, Row, rows_of
from tocsin.engines.errors import EngineError, Refused, Unavailable
from tocsin.engines.store import Document, Lost

T = TypeVar("T")
_KEEP_USER: Final = """
    INSERT INTO users VALUES (?, ?, ?, ?) ON CONFLICT (partition, user) DO UPDATE
    SET version = excluded.version, state = excluded.state WHERE excluded.version > users.version"""


class EmbeddedStore:
    """One stack's outcome store in the file at `path`, made at the first call unless `read_only`.

    With `journal` each committed attempt to write an entry is also recorded, in the same transaction, so that tests
    can count how often something was written. Raises `Misconfigured` for a file that is not one of ours, that a newer
    release wrote, or (`read_only`) that is not there.
    """

    def __init__(self, path: Path, *, journal: bool = False, read_only: bool = False) -> None:
        self._database = Database(path, STORE, read_only=read_only)
        self._journal = journal

    async def identity(self) -> str:
        """The identity of the data in this file."""
        [(uuid,)] = await self._rows("SELECT uuid FROM identity")
        return str(uuid)

    async def ping(self) -> None:
        """Counts up a row of its own and reads it back."""

        def count(connection: sqlite3.Connection) -> int:
            return int(connection.execute("UPDATE ping SET count = count + 1 RETURNING count").fetchone()[0])

        written = await self._database.write(count)
        [(found,)] = await self._rows("SELECT count FROM ping")
        if found < written:
            raise Unavailable(f"{self._database.path} lost what it acknowledged: take this file out of service")

    # Entries -----------------------------------------------------------------------------------------------------

    async def write(self, entries: Sequence[Entry]) -> dict[int, Failure]:
        """Stores the entries in one transaction; the failures by index."""
        if not entries:
            return {}
        try:
            return await self._database.write(lambda c: entry_table.write(c, entries, journal=self._journal))
        except EngineError as error:
            return dict.fromkeys(range(len(entries)), Failure(Kind.UNAVAILABLE, str(error)))

    async def journal_rows(self) -> list[JournalRow]:
        """The committed attempts to write an entry, in order: this store's own log of writes."""
        return await self._database.read(entry_table.journal_rows)

    async def entry(self, key: RequestKey) -> Entry | None:
        """The entry of a key."""
        return await self._database.read(lambda c: entry_table.by_key(c, key))

    async def entries_of(self, parents: Sequence[Parent]) -> dict[Parent, list[Entry]]:
        """The entries of each parent in fold order."""
        return await self._database.read(lambda c: entry_table.by_parents(c, parents))

    async def find_entries(self, temporal_id: int) -> list[Entry]:
        """The entries with this id."""
        return await self._database.read(lambda c: entry_table.by_id(c, temporal_id))

    async def list_entries(self, where: EntryFilter) -> list[Entry]:
        """The entries that match, newest first."""
        return await self._database.read(lambda c: entry_table.find(c, where))

    async def count_entries(self, where: EntryFilter) -> int:
        """How many entries match."""
        return await self._database.read(lambda c: entry_table.count(c, where))

    async def mark(self, key: RequestKey, number: int, *, dropped: bool) -> None:
        """Marks a key as dropped, or lifts the mark."""
        await self._put(lambda c: entry_table.mark(c, key, number, dropped=dropped))

    async def marked(self, key: RequestKey) -> bool:
        """Whether a key is marked as dropped."""
        return await self._database.read(lambda c: entry_table.marked(c, key))

    # Incidents ---------------------------------------------------------------------------------------------------

    async def put_incidents(self, parent: Parent, incidents: Sequence[Incident], version: int) -> None:
        """Replaces the incidents of a parent."""
        await self._put(lambda c: incident_table.replace(c, parent, incidents, version))

    async def update_incidents(self, parent: Parent, changed: Sequence[Incident], version: int) -> None:
        """Writes some incidents of a parent beside its others."""
        await self._put(lambda c: incident_table.update(c, parent, changed, version))

    async def incidents_of(self, parent: Parent) -> list[Incident]:
        """The incidents of a parent."""
        return await self._database.read(lambda c: incident_table.of_parent(c, parent))

    async def find_incidents(self, where: IncidentFilter) -> list[Incident]:
        """The incidents that match."""
        return await self._database.read(lambda c: incident_table.find(c, where))

    async def count_incidents(self, where: IncidentFilter) -> int:
        """How many incidents match."""
        return await self._database.read(lambda c: incident_table.count(c, where))

    # What is kept of failures ------------------------------------------------------------------------------------

    async def put_kept(self, kept: Kept) -> None:
        """Keeps a row."""
        await self._put(lambda c: kept_table.put(c, kept))

    async def kept(self, key: RequestKey) -> Kept | None:
        """The kept row of a key."""
        return await self._database.read(lambda c: kept_table.by_key(c, key))

    async def kept_rows(
        self, *, partition: int | None = None, stages: Sequence[Stage] = (), limit: int | None = None
    ) -> list[Kept]:
        """Kept rows, oldest `since` first."""
        return await self._database.read(lambda c: kept_table.find(c, partition, stages, limit))

    async def find_kept(self, temporal_id: int) -> list[Kept]:
        """The kept rows with this id."""
        return await self._database.read(lambda c: kept_table.by_id(c, temporal_id))

    async def kept_of(self, parent: Parent) -> list[Kept]:
        """The kept rows of a parent."""
        return await self._database.read(lambda c: kept_table.by_parent(c, parent))

    # Progress ----------------------------------------------------------------------------------------------------

    async def save_progress(self, row: ProgressRow) -> None:
        """Saves an owner's account under its epoch."""
        values = row.partition, row.epoch, row.clean, row.encode()
        await self._do("INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?)", values)

    async def progress(self, partition: int | None = None) -> list[ProgressRow]:
        """All owners' accounts, by partition and epoch."""
        rows = await self._rows(
            "SELECT partition, epoch, clean, sources FROM progress WHERE ?1 IS NULL OR partition = ?1 ORDER BY 1, 2",
            partition,
        )
        return [ProgressRow.decode(at, epoch, clean=bool(clean), raw=raw) for at, epoch, clean, raw in rows]

    async def forget_progress(self, partition: int, below_epoch: int) -> None:
        """Removes the rows of older epochs."""
        values = partition, below_epoch
        await self._do("DELETE FROM progress WHERE partition = ? AND epoch < ?", values)

    async def put_lost(self, lost: Lost) -> None:
        """Records a lost range."""
        await self._do("INSERT OR IGNORE INTO lost VALUES (?, ?, ?, ?, ?)", lost)

    async def lost(self) -> list[Lost]:
        """All lost ranges, in order."""
        return [Lost(*row) for row in await self._rows('SELECT * FROM lost ORDER BY partition, source, start, "end"')]

    # Documents ---------------------------------------------------------------------------------------------------

    async def document(self, name: str) -> Document | None:
        """The document of this name."""
        rows = await self._rows("SELECT name, version, value FROM documents WHERE name = ?", name)
        return Document(*rows[0]) if rows else None

    async def documents(self, prefix: str) -> list[Document]:
        """All documents whose names start with the prefix, by name."""
        rows = await self._rows(
            "SELECT name, version, value FROM documents WHERE name >= ?1 AND substr(name, 1, ?2) = ?1 ORDER BY name",
            prefix,
            len(prefix),
        )
        return [Document(*row) for row in rows]

    async def put_document(self, document: Document, *, after: int | None = None) -> bool:
        """Writes a document if the version there allows it; whether it was written."""
        return await self._put(lambda c: _put_document(c, document, after))

    # Users of the notifier ---------------------------------------------------------------------------------------

    async def keep_users(self, partition: int, rows: Sequence[UserRow], version: int) -> None:
        """Keeps these users, in one transaction. One that was forgotten leaves its version behind."""
        values = [(partition, row.user, version, row.state) for row in rows]
        await self._do(_KEEP_USER, *values)

    async def kept_users(self, partition: int) -> list[UserRow]:
        """All that is kept of the users of a partition number."""
        query = "SELECT user, state FROM users WHERE partition = ? AND state != x''"
        return [UserRow(*row) for row in await self._rows(query, partition)]

    # Comparison --------------------------------------------------------------------------------------------------

    async def scan_entries(self, after: RequestKey | None, limit: int) -> list[Entry]:
        """Entries in order of their keys, from above `after`."""
        return await self._database.read(lambda c: entry_table.scan(c, after, limit))

    async def scan_incidents(self, after: Parent | None, limit: int) -> list[tuple[Parent, list[Incident]]]:
        """The incidents of the next `limit` parents that have any."""
        return await self._database.read(lambda c: incident_table.scan(c, after, limit))

    async def scan_marks(self) -> list[tuple[RequestKey, int, bool]]:
        """All marks, by key."""
        return await self._database.read(entry_table.marks)

    async def close(self) -> None:
        """Finishes what is waiting and closes the file."""
        await self._database.close()

    async def _rows(self, query: str, *values: object) -> list[Row]:
        return await self._database.read(lambda c: rows_of(c, query, *values))

    async def _do(self, statement: str, *rows: Sequence[object]) -> None:
        """Executes a statement for each of these rows of values."""

        def work(connection: sqlite3.Connection) -> None:
            # No cursor may leave this thread: where it ends elsewhere, it resets a statement that may be at work here.
            connection.executemany(statement, rows)

        await self._put(work)

    async def _put(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """A write whose values the engine may refuse."""
        try:
            return await self._database.write(work)
        except (sqlite3.IntegrityError, UnicodeEncodeError) as error:
            raise Refused(f"{self._database.path} cannot take a value: {error}") from error


def _put_document(connection: sqlite3.Connection, document: Document, after: int | None) -> bool:
    if after == 0:
        statement = "INSERT INTO documents VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING"
        return connection.execute(statement, document).rowcount == 1
    if after is not None:
        statement = "UPDATE documents SET version = ?2, value = ?3 WHERE name = ?1 AND version = ?4 AND ?2 > ?4"
        return connection.execute(statement, (*document, after)).rowcount == 1
    statement = """
        INSERT INTO documents VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE
        SET version = excluded.version, value = excluded.value WHERE excluded.version > documents.version"""
    return connection.execute(statement, document).rowcount == 1

"""The store port on Cassandra: one keyspace is one stack's outcome store.

Nothing is read before it is written, but for documents: what comes twice or late is settled by write times that follow
from the rows themselves. What each table is for, and what it holds the partitions to, its own module says.
"""

import time
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from tocsin.core.entries import Entry, EntryFilter
from tocsin.core.failures import Failure, Kind
from tocsin.core.ids import Parent, RequestKey
from tocsin.core.incidents import Incident, IncidentFilter
from tocsin.core.kept import Kept, Stage
from tocsin.core.paging.effects import UserRow
from tocsin.core.progress import ProgressRow
from tocsin.engines.cassandra import entry_list
from tocsin.engines.cassandra.arrivals import Arrivals
from tocsin.engines.cassandra.document_table import DocumentTable
from tocsin.engines.cassandra.entry_cell import UNENCODABLE
from tocsin.engines.cassandra.entry_scan import EntryScan
from tocsin.engines.cassandra.entry_table import EntryTable
from tocsin.engines.cassandra.incident_list import IncidentList
from tocsin.engines.cassandra.incident_table import IncidentTable
from tocsin.engines.cassandra.kept_table import KeptTable
from tocsin.engines.cassandra.progress_table import ProgressTable
from tocsin.engines.cassandra.session import Session
from tocsin.engines.cassandra.user_table import UserTable
from tocsin.engines.errors import EngineError, Refused, Unavailable
from tocsin.engines.store import Document, Lost
from tocsin.topology.engines import CassandraStack

T = TypeVar("T")
_PING = "INSERT INTO ping (name, at_us) VALUES ('ping', ?) USING TIMESTAMP ?"
_PONG: Final = "SELECT at_us FROM ping WHERE name = 'ping'"


class CassandraStore:
    """One stack's outcome store in a keyspace that `tocsin store migrate` made.

    Files that the stack names are relative to `data_dir`. With `read_only` nothing is made that is not there. Raises
    `Misconfigured` at the first call when the keyspace is not there, or is not of this version.
    """

    def __init__(self, stack: CassandraStack, data_dir: Path, *, read_only: bool = False) -> None:
        self._session = session = Session(stack, data_dir)
        self._read_only = read_only
        self._arrivals = Arrivals(session, "entries")
        openings = Arrivals(session, "incidents")
        self._entries = EntryTable(session, self._arrivals)
        self._scan = EntryScan(session)
        self._incidents = IncidentTable(session, openings)
        self._incident_list = IncidentList(self._incidents, self._arrivals, openings)
        self._kept = KeptTable(session, Arrivals(session, "kept"))
        self._progress = ProgressTable(session)
        self._documents = DocumentTable(session)
        self._users = UserTable(session)

    async def identity(self) -> str:
        """The identity of the data in this keyspace."""
        return await self._documents.identity(read_only=self._read_only)

    async def ping(self) -> None:
        """Writes a time to a row that all share, and reads it or a later one back."""
        now_us = time.time_ns() // 1000
        await self._session.execute(_PING, (now_us, now_us))
        rows = await self._session.execute(_PONG)
        if not rows or rows[0][0] < now_us:
            raise Unavailable(
                f"keyspace {self._session.stack.keyspace} lost what it acknowledged: are the nodes' disks sound?"
            )

    # Entries -----------------------------------------------------------------------------------------------------

    async def write(self, entries: Sequence[Entry]) -> dict[int, Failure]:
        """Stores the entries; the failures by index."""
        failures = await self._entries.write(entries)
        if len(failures) == len(entries) and any(failure.kind is Kind.REJECTED for failure in failures.values()):
            try:
                await self.ping()
            except EngineError as error:  # of a store that is away a refusal says nothing
                return dict.fromkeys(failures, Failure(Kind.UNAVAILABLE, str(error)))
        return failures

    async def entry(self, key: RequestKey) -> Entry | None:
        """The entry of a key."""
        found = await self._entries.by_keys([key])
        return found[key].entry if key in found else None

    async def entries_of(self, parents: Sequence[Parent]) -> dict[Parent, list[Entry]]:
        """The entries of each parent in fold order."""
        return await self._entries.by_parents(parents)

    async def find_entries(self, temporal_id: int) -> list[Entry]:
        """The entries with this id."""
        return await self._entries.by_id(temporal_id)

    async def list_entries(self, where: EntryFilter) -> list[Entry]:
        """The entries that match, newest first."""
        return await entry_list.find(self._entries, self._arrivals, where)

    async def count_entries(self, where: EntryFilter) -> int:
        """How many entries match."""
        return await entry_list.count(self._entries, self._arrivals, where)

    async def mark(self, key: RequestKey, number: int, *, dropped: bool) -> None:
        """Marks a key as dropped, or lifts the mark."""
        await _put(self._entries.mark(key, number, dropped=dropped))

    async def marked(self, key: RequestKey) -> bool:
        """Whether a key is marked as dropped."""
        return await self._entries.marked(key)

    # Incidents ---------------------------------------------------------------------------------------------------

    async def put_incidents(self, parent: Parent, incidents: Sequence[Incident], version: int) -> None:
        """Replaces the incidents of a parent."""
        await _put(self._incidents.replace(parent, incidents, version))

    async def update_incidents(self, parent: Parent, changed: Sequence[Incident], version: int) -> None:
        """Writes some incidents of a parent beside its others."""
        await _put(self._incidents.update(parent, changed, version))

    async def incidents_of(self, parent: Parent) -> list[Incident]:
        """The incidents of a parent."""
        return await self._incidents.of_parent(parent)

    async def find_incidents(self, where: IncidentFilter) -> list[Incident]:
        """The incidents that match."""
        return await self._incident_list.find(where)

    async def count_incidents(self, where: IncidentFilter) -> int:
        """How many incidents match."""
        return await self._incident_list.count(where)

    # What is kept of failures ------------------------------------------------------------------------------------

    async def put_kept(self, kept: Kept) -> None:
        """Keeps a row."""
        await _put(self._kept.put(kept))

    async def kept(self, key: RequestKey) -> Kept | None:
        """The kept row of a key."""
        return await self._kept.by_key(key)

    async def kept_rows(
        self, *, partition: int | None = None, stages: Sequence[Stage] = (), limit: int | None = None
    ) -> list[Kept]:
        """Kept rows, oldest `since` first."""
        return await self._kept.find(partition, stages, limit)

    async def find_kept(self, temporal_id: int) -> list[Kept]:
        """The kept rows with this id."""
        return await self._kept.by_id(temporal_id)

    async def kept_of(self, parent: Parent) -> list[Kept]:
        """The kept rows of a parent."""
        return await self._kept.by_parent(parent)

    # Progress ----------------------------------------------------------------------------------------------------

    async def save_progress(self, row: ProgressRow) -> None:
        """Saves an owner's account under its epoch."""
        await self._progress.save(row)

    async def progress(self, partition: int | None = None) -> list[ProgressRow]:
        """All owners' accounts, by partition and epoch."""
        return await self._progress.rows(partition)

    async def forget_progress(self, partition: int, below_epoch: int) -> None:
        """Removes the rows of older epochs."""
        await self._progress.forget(partition, below_epoch)

    async def put_lost(self, lost: Lost) -> None:
        """Records a lost range."""
        await self._progress.put_lost(lost)

    async def lost(self) -> list[Lost]:
        """All lost ranges, in order."""
        return await self._progress.lost()

    # Documents ---------------------------------------------------------------------------------------------------

    async def document(self, name: str) -> Document | None:
        """The document of this name."""
        return await self._documents.by_name(name)

    async def documents(self, prefix: str) -> list[Document]:
        """All documents whose names start with the prefix, by name."""
        return await self._documents.by_prefix(prefix)

    async def put_document(self, document: Document, *, after: int | None = None) -> bool:
        """Writes a document if the version there allows it; whether it was written."""
        return await self._documents.put(document, after)

    # Users of the notifier ---------------------------------------------------------------------------------------

    async def keep_users(self, partition: int, rows: Sequence[UserRow], version: int) -> None:
        """Keeps these users."""
        await _put(self._users.keep(partition, rows, version))

    async def kept_users(self, partition: int) -> list[UserRow]:
        """All that is kept of the users of a partition number."""
        return await self._users.of_partition(partition)

    # Comparison --------------------------------------------------------------------------------------------------

    async def scan_entries(self, after: RequestKey | None, limit: int) -> list[Entry]:
        """Entries in order of their keys' places, from above `after`."""
        return await self._scan.page(after, limit)

    async def scan_incidents(self, after: Parent | None, limit: int) -> list[tuple[Parent, list[Incident]]]:
        """The incidents of the next `limit` parents that have any."""
        return await self._incidents.scan(after, limit)

    async def scan_marks(self) -> list[tuple[RequestKey, int, bool]]:
        """All marks, by key."""
        return await self._entries.marks()

    async def close(self) -> None:
        """Ends all connections."""
        await self._session.close()


async def _put(putting: Awaitable[T]) -> T:
    """A write whose values may be none that a column can hold."""
    try:
        return await putting
    except UNENCODABLE as error:
        raise Refused(f"Cassandra cannot take a value: {error}") from error

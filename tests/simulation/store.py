"""A simulated store: one process's connection to a region's rows, and the store port.

A request can be poison to a release: writing it ends the process that tries, as a bug in a driver or a codec would. The
entries of a write share no fate: each is looked at by itself by what ails the store.
"""

from collections.abc import Callable, Sequence
from typing import Final

from tests.simulation.network import Server
from tests.simulation.rows import Rows
from tocsin.core.entries import Entry, EntryFilter
from tocsin.core.failures import Failure, Kind
from tocsin.core.ids import Parent, RequestKey
from tocsin.core.incidents import Incident, IncidentFilter
from tocsin.core.kept import Kept, Stage
from tocsin.core.paging.effects import UserRow
from tocsin.core.progress import ProgressRow
from tocsin.engines.errors import Refused, Unavailable
from tocsin.engines.store import Document, Lost

BODY_BYTES_MAX: Final = 1_000_000
APPLIED_CHANCE: Final = 0.2
"""So often a row that is not answered for is written all the same."""
Told = Callable[[str, object], None]


class Database:
    """A region's rows behind their server. What is applied is told, so that promises can be checked in flight."""

    def __init__(self, rows: Rows, server: Server) -> None:
        self.rows = rows
        self.server = server
        self.told: list[Told] = []
        """Told, after each change, what was applied: the name of the call, and its argument."""

    def write(self, entries: Sequence[Entry]) -> dict[int, Failure]:
        """Each entry by itself: stored, or failed in its own way; what is not answered may be stored all the same."""
        failures: dict[int, Failure] = {}
        stored: list[Entry] = []
        for index, entry in enumerate(entries):
            failure = self._failure(entry)
            if failure is not None:
                failures[index] = failure
            if failure is None or (
                failure.kind is Kind.UNAVAILABLE and self.server.around.net.random() < APPLIED_CHANCE
            ):
                self.rows.write(entry)
                stored.append(entry)
        self.tell("write", stored)
        return failures

    def _failure(self, entry: Entry) -> Failure | None:
        if len(entry.body) > BODY_BYTES_MAX:
            return Failure(Kind.REJECTED, "the store refuses this row: too large")
        for ailment in self.server.ailments:
            if ailment.refuses("entry", entry.key.parent):
                return Failure(Kind.REJECTED, "the store refuses this row")
            if ailment.silent("entry", entry.key.parent):
                return Failure(Kind.UNAVAILABLE, "the store gave no answer for this row")
        return None

    def check(self, table: str, parent: Parent) -> None:
        """Raises what ails one row."""
        for ailment in self.server.ailments:
            if ailment.refuses(table, parent):
                raise Refused("the store refuses this row")
            if ailment.silent(table, parent):
                raise Unavailable("the store gave no answer for this row")

    def tell(self, what: str, subject: object) -> None:
        """Tells what was applied."""
        for told in self.told:
            told(what, subject)


class SimStore:
    """The store port on a region's database, for one process."""

    def __init__(self, database: Database, poisoned: Callable[[Parent], bool] = lambda _: False) -> None:
        """`poisoned` is shown the parent of each entry before it is written, and may end or hold the process: True."""
        self._database = database
        self._server = database.server
        self._poisoned = poisoned

    @property
    def _rows(self) -> Rows:
        return self._database.rows

    async def identity(self) -> str:
        return await self._server.call("identity", lambda: self._rows.identity)

    async def ping(self) -> None:
        await self._server.call("ping", lambda: None)

    # Entries ------------------------------------------------------------------------------------------------------

    async def write(self, entries: Sequence[Entry]) -> dict[int, Failure]:
        if any(self._poisoned(entry.key.parent) for entry in entries):
            await self._server.around.loop.create_future()  # for ever: whoever called does not live to see it
        try:
            return await self._server.call(f"write {len(entries)}", lambda: self._database.write(entries))
        except Unavailable as error:
            return dict.fromkeys(range(len(entries)), Failure(Kind.UNAVAILABLE, str(error)))

    async def entry(self, key: RequestKey) -> Entry | None:
        def act() -> Entry | None:
            self._database.check("read entry", key.parent)
            return self._rows.entries.get(key)

        return await self._server.call("entry", act)

    async def entries_of(self, parents: Sequence[Parent]) -> dict[Parent, list[Entry]]:
        def act() -> dict[Parent, list[Entry]]:
            for parent in parents:
                self._database.check("read entry", parent)
            return {parent: self._rows.entries_of(parent) for parent in parents}

        return await self._server.call("entries_of", act)

    async def find_entries(self, temporal_id: int) -> list[Entry]:
        return await self._server.call("find_entries", lambda: self._rows.find_entries(temporal_id))

    async def list_entries(self, where: EntryFilter) -> list[Entry]:
        found = await self._server.call("list_entries", lambda: self._rows.list_entries(where))
        return found[where.offset : where.offset + where.limit]

    async def count_entries(self, where: EntryFilter) -> int:
        return len(await self._server.call("count_entries", lambda: self._rows.list_entries(where)))

    async def mark(self, key: RequestKey, number: int, *, dropped: bool) -> None:
        await self._server.call("mark", lambda: self._rows.mark(key, number, dropped=dropped))

    async def marked(self, key: RequestKey) -> bool:
        return await self._server.call("marked", lambda: self._rows.is_dropped(key))

    # Incidents ----------------------------------------------------------------------------------------------------

    async def put_incidents(self, parent: Parent, incidents: Sequence[Incident], version: int) -> None:
        def act() -> None:
            self._database.check("incident", parent)
            self._rows.put_incidents(parent, incidents, version)

        await self._server.call("put_incidents", act)

    async def update_incidents(self, parent: Parent, changed: Sequence[Incident], version: int) -> None:
        def act() -> None:
            self._database.check("incident", parent)
            self._rows.update_incidents(parent, changed, version)

        await self._server.call("update_incidents", act)

    async def incidents_of(self, parent: Parent) -> list[Incident]:
        return await self._server.call("incidents_of", lambda: self._rows.incidents_of(parent))

    async def find_incidents(self, where: IncidentFilter) -> list[Incident]:
        found = await self._server.call("find_incidents", lambda: self._rows.find_incidents(where))
        return found[where.offset : where.offset + where.limit]

    async def count_incidents(self, where: IncidentFilter) -> int:
        return len(await self._server.call("count_incidents", lambda: self._rows.find_incidents(where)))

    # What is kept of failures -------------------------------------------------------------------------------------

    async def put_kept(self, kept: Kept) -> None:
        def act() -> None:
            self._database.check("kept", kept.key.parent)
            self._rows.put_kept(kept)
            self._database.tell("put_kept", kept)

        await self._server.call("put_kept", act)

    async def kept(self, key: RequestKey) -> Kept | None:
        return await self._server.call("kept", lambda: self._rows.kept.get(key))

    async def kept_rows(
        self, *, partition: int | None = None, stages: Sequence[Stage] = (), limit: int | None = None
    ) -> list[Kept]:
        return (await self._server.call("kept_rows", lambda: self._rows.kept_rows(partition, stages)))[:limit]

    async def find_kept(self, temporal_id: int) -> list[Kept]:
        rows = await self._server.call("find_kept", lambda: self._rows.kept_rows(None, ()))
        return [row for row in rows if row.key.id == temporal_id]

    async def kept_of(self, parent: Parent) -> list[Kept]:
        rows = await self._server.call("kept_of", lambda: self._rows.kept_rows(None, ()))
        return [row for row in rows if row.key.parent == parent]

    # Progress -----------------------------------------------------------------------------------------------------

    async def save_progress(self, row: ProgressRow) -> None:
        def act() -> None:
            self._rows.save_progress(row)
            self._database.tell("save_progress", row)

        await self._server.call("save_progress", act)

    async def progress(self, partition: int | None = None) -> list[ProgressRow]:
        return await self._server.call("progress", lambda: self._rows.progress(partition))

    async def forget_progress(self, partition: int, below_epoch: int) -> None:
        await self._server.call("forget_progress", lambda: self._rows.forget_progress(partition, below_epoch))

    async def put_lost(self, lost: Lost) -> None:
        await self._server.call("put_lost", lambda: self._rows.lost.setdefault(lost[:4], lost))

    async def lost(self) -> list[Lost]:
        return await self._server.call("lost", lambda: list(self._rows.lost.values()))

    # Documents ----------------------------------------------------------------------------------------------------

    async def document(self, name: str) -> Document | None:
        return await self._server.call("document", lambda: self._rows.documents.get(name))

    async def documents(self, prefix: str) -> list[Document]:
        return await self._server.call("documents", lambda: self._rows.documents_from(prefix))

    async def put_document(self, document: Document, *, after: int | None = None) -> bool:
        return await self._server.call("put_document", lambda: self._rows.put_document(document, after))

    # Users of the notifier ----------------------------------------------------------------------------------------

    async def keep_users(self, partition: int, rows: Sequence[UserRow], version: int) -> None:
        await self._server.call("keep_users", lambda: self._rows.keep_users(partition, rows, version))

    async def kept_users(self, partition: int) -> list[UserRow]:
        return await self._server.call("kept_users", lambda: self._rows.kept_users(partition))

    # Comparison ---------------------------------------------------------------------------------------------------

    async def scan_entries(self, after: RequestKey | None, limit: int) -> list[Entry]:
        return await self._server.call("scan_entries", lambda: self._rows.scan_entries(after, limit))

    async def scan_incidents(self, after: Parent | None, limit: int) -> list[tuple[Parent, list[Incident]]]:
        return await self._server.call("scan_incidents", lambda: self._rows.scan_incidents(after, limit))

    async def scan_marks(self) -> list[tuple[RequestKey, int, bool]]:
        marks = await self._server.call("scan_marks", lambda: dict(self._rows.marks))
        return [(key, *marks[key]) for key in sorted(marks)]

    async def close(self) -> None:
        """There is nothing to free."""

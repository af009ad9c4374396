"""The store port: what Tocsin needs of a region's outcome store.

Entries are immutable; of several records with one key the lowest (received-at, region) wins, by a conditional upsert.
All other rows are versioned by their writer, who uses a version once: a put below the version there changes nothing,
and the same put again neither; of two different ones with one version a store may keep either. Bodies and records are
opaque bytes to a store. Every call may raise `Unavailable`, `Misconfigured` or (for puts) `Refused`; `write` alone
never does, because one entry's fate says nothing of its neighbours'.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from tocsin.core.entries import Entry, EntryFilter
from tocsin.core.failures import Failure
from tocsin.core.ids import Parent, RequestKey
from tocsin.core.incidents import Incident, IncidentFilter
from tocsin.core.kept import Kept, Stage
from tocsin.core.paging.effects import UserRow
from tocsin.core.progress import ProgressRow


class Lost(NamedTuple):
    """A range of a source that retention removed before this region had read it."""

    partition: int
    source: str
    start: int
    end: int
    found_us: int


class Document(NamedTuple):
    """A small versioned row of JSON: budgets, a partition's status."""

    name: str
    version: int
    value: bytes


class Store(Protocol):
    """One stack's outcome store in one region."""

    async def identity(self) -> str:
        """The identity of the data: made with the database, made anew by a restore."""

    async def ping(self) -> None:
        """A write and a read of a row of its own; returns when both worked, raises `Unavailable` when not."""

    # Entries -----------------------------------------------------------------------------------------------------

    async def write(self, entries: Sequence[Entry]) -> dict[int, Failure]:
        """Stores the entries; returns the failures by index, empty when all are acknowledged.

        Never raises `EngineError`. An entry that is refused on its merits is REJECTED alone; its neighbours are stored.
        Writing again what is there changes nothing. A whole store that is away is UNAVAILABLE for every index.
        """

    async def entry(self, key: RequestKey) -> Entry | None:
        """The entry of a key, None when it is not stored."""

    async def entries_of(self, parents: Sequence[Parent]) -> dict[Parent, list[Entry]]:
        """All entries of each parent in fold order, without those that are marked as dropped; an empty list for a
        parent that has none.
        """

    async def find_entries(self, temporal_id: int) -> list[Entry]:
        """The entries with this id: usually one, more after a collision."""

    async def list_entries(self, where: EntryFilter) -> list[Entry]:
        """The entries that match, of any parent, the one received last first; without those that are marked as
        dropped. Among those of one microsecond by id and parent, so that pages never overlap.
        """

    async def count_entries(self, where: EntryFilter) -> int:
        """How many entries match, whatever the filter's offset and limit. Of a request that was received before
        `since_us` and once more after it, a store may count what came after.
        """

    async def mark(self, key: RequestKey, number: int, *, dropped: bool) -> None:
        """Marks a key as dropped, or lifts the mark, whether its entry is there or not. Of several marks of a key the
        highest number counts; of two with one number, dropped.
        """

    async def marked(self, key: RequestKey) -> bool:
        """Whether a key is marked as dropped."""

    # Incidents ---------------------------------------------------------------------------------------------------

    async def put_incidents(self, parent: Parent, incidents: Sequence[Incident], version: int) -> None:
        """Replaces the folded incidents of a parent, unless a higher version of them is there. Once acknowledged, it
        hides what is written to the parent with a lower version, however late that comes. After a failure part of it
        may be there: put the parent whole again, with a higher version.
        """

    async def update_incidents(self, parent: Parent, changed: Sequence[Incident], version: int) -> None:
        """Writes these incidents of a parent, each in the place of the one with its key if there is one; the parent's
        others stay. Below the version of the last whole put nothing of it is seen. Above it this is for the owner that
        put the parent whole, and that waits for the end of one update before the next; after a failure part of it may
        be there: put the parent whole again, with a higher version.
        """

    async def incidents_of(self, parent: Parent) -> list[Incident]:
        """The folded incidents of a parent, oldest first."""

    async def find_incidents(self, where: IncidentFilter) -> list[Incident]:
        """The incidents that match, newest first unless the filter says otherwise. An id names an incident through the
        entry that has it: what was folded from entries that are not stored is not found by id.
        """

    async def count_incidents(self, where: IncidentFilter) -> int:
        """How many incidents match, whatever the filter's offset and limit."""

    # What is kept of failures ------------------------------------------------------------------------------------

    async def put_kept(self, kept: Kept) -> None:
        """Keeps a row, unless one of this version or a higher one is there."""

    async def kept(self, key: RequestKey) -> Kept | None:
        """The kept row of a key, None when there is none."""

    async def kept_rows(
        self, *, partition: int | None = None, stages: Sequence[Stage] = (), limit: int | None = None
    ) -> list[Kept]:
        """Kept rows, oldest `since` first; of one partition or all, in these stages or any."""

    async def find_kept(self, temporal_id: int) -> list[Kept]:
        """The kept rows with this temporal id."""

    async def kept_of(self, parent: Parent) -> list[Kept]:
        """The kept rows of a parent, in any stage."""

    # Progress ----------------------------------------------------------------------------------------------------

    async def save_progress(self, row: ProgressRow) -> None:
        """Saves an owner's account under its epoch: the latest save of an epoch is its row. A repeated or late save
        changes no other owner's row.
        """

    async def progress(self, partition: int | None = None) -> list[ProgressRow]:
        """All owners' accounts."""

    async def forget_progress(self, partition: int, below_epoch: int) -> None:
        """Removes the rows of older epochs, after their union was saved under a newer one."""

    async def put_lost(self, lost: Lost) -> None:
        """Records a lost range; again changes nothing."""

    async def lost(self) -> list[Lost]:
        """All lost ranges."""

    # Documents ---------------------------------------------------------------------------------------------------

    async def document(self, name: str) -> Document | None:
        """The document of this name."""

    async def documents(self, prefix: str) -> list[Document]:
        """All documents whose names start with the prefix, by name."""

    async def put_document(self, document: Document, *, after: int | None = None) -> bool:
        """Writes a document: with `after`, only if the version there is that one (0: none there). In any case the
        version there must be lower than the document's. Returns whether it was written.
        """

    # Users of the notifier ---------------------------------------------------------------------------------------

    async def keep_users(self, partition: int, rows: Sequence[UserRow], version: int) -> None:
        """Keeps what the notifier knows of these users of a partition number, each unless a higher version of it is
        there; an empty state forgets the user. Many at once cost little more than one. After a failure some may be
        kept. A version is used once.
        """

    async def kept_users(self, partition: int) -> list[UserRow]:
        """All that is kept of the users of a partition number, in any order."""

    # Comparison --------------------------------------------------------------------------------------------------

    async def scan_entries(self, after: RequestKey | None, limit: int) -> list[Entry]:
        """Entries (marked ones included) in order of (parent's place, id, digest), from above `after` or the start."""

    async def scan_incidents(self, after: Parent | None, limit: int) -> list[tuple[Parent, list[Incident]]]:
        """The folded incidents of the next `limit` parents that have any, in order of the parents' places."""

    async def scan_marks(self) -> list[tuple[RequestKey, int, bool]]:
        """All marks: (key, number, dropped)."""

    async def close(self) -> None:
        """Frees everything."""

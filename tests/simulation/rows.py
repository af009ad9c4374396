"""What a simulated store holds: the semantics of the store port, without the calls.

Everything mutable is kept as bytes, so that nobody's later changes reach into it: a backup is a shallow copy.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from tocsin.core.entries import Entry, EntryFilter
from tocsin.core.ids import Parent, RequestKey
from tocsin.core.incidents import Incident, IncidentFilter, SortBy
from tocsin.core.kept import Kept, Stage
from tocsin.core.paging.effects import UserRow
from tocsin.core.progress import ProgressRow
from tocsin.engines.store import Document, Lost


class Rows:
    """One database. `identity` names its data."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.entries: dict[RequestKey, Entry] = {}
        self.marks: dict[RequestKey, tuple[int, bool]] = {}
        self.kept: dict[RequestKey, Kept] = {}
        self.documents: dict[str, Document] = {}
        self.users: dict[tuple[int, str], tuple[int, bytes]] = {}
        """(partition, user) to (version, state)."""
        self.lost: dict[tuple[int, str, int, int], Lost] = {}
        self._by_parent: dict[Parent, dict[RequestKey, None]] = defaultdict(dict)
        self._incidents: dict[Parent, tuple[int, tuple[Incident, ...]]] = {}
        self._progress: dict[tuple[int, int], tuple[bool, bytes]] = {}

    def backup(self) -> "Rows":
        """A copy of everything, as it is now."""
        copy = Rows(self.identity)
        for name in ("entries", "marks", "kept", "documents", "lost", "users", "_incidents", "_progress"):
            setattr(copy, name, dict(getattr(self, name)))
        copy._by_parent.update({parent: dict(keys) for parent, keys in self._by_parent.items()})
        return copy

    # Entries and marks --------------------------------------------------------------------------------------------

    def write(self, entry: Entry) -> None:
        """The conditional upsert: of records with one key the earliest arrival is the entry."""
        there = self.entries.get(entry.key)
        if there is None or entry.precedes(there):
            self.entries[entry.key] = entry
            self._by_parent[entry.key.parent][entry.key] = None

    def entries_of(self, parent: Parent) -> list[Entry]:
        """In fold order, without those that are dropped."""
        keys = self._by_parent.get(parent, ())
        return sorted((self.entries[key] for key in keys if not self.is_dropped(key)), key=lambda entry: entry.order)

    def find_entries(self, temporal_id: int) -> list[Entry]:
        """By parent and digest."""
        return [self.entries[key] for key in sorted(self.entries, key=_place) if key.id == temporal_id]

    def list_entries(self, where: EntryFilter) -> list[Entry]:
        """All that match, newest first, whatever offset and limit."""
        matching = (
            entry
            for key, entry in self.entries.items()
            if not self.is_dropped(key)
            and (not where.services or key.parent.service in where.services)
            and (not where.actions or entry.action in where.actions)
            and _within(entry.received_us, where)
        )
        return sorted(matching, key=lambda entry: (entry.received_us, *_newest(entry.key)), reverse=True)

    def mark(self, key: RequestKey, number: int, *, dropped: bool) -> None:
        """A register: the highest number counts, dropped wins a tie."""
        self.marks[key] = max(self.marks.get(key, (number, dropped)), (number, dropped))

    def is_dropped(self, key: RequestKey) -> bool:
        """Whether a key is marked as dropped."""
        return self.marks.get(key, (0, False))[1]

    def scan_entries(self, after: RequestKey | None, limit: int) -> list[Entry]:
        """In the order of keys."""
        keys = sorted(self.entries, key=_place)
        return [self.entries[key] for key in keys if after is None or _place(key) > _place(after)][:limit]

    # Incidents ----------------------------------------------------------------------------------------------------

    def put_incidents(self, parent: Parent, incidents: Sequence[Incident], version: int) -> None:
        """Replaces all of a parent, unless this version or a higher one is there."""
        if version > self._incidents.get(parent, (0, ()))[0]:
            self._incidents[parent] = version, tuple(incidents)

    def update_incidents(self, parent: Parent, changed: Sequence[Incident], version: int) -> None:
        """Replaces some of a parent by their keys."""
        known, there = self._incidents.get(parent, (0, ()))
        if version > known:
            merged = {incident.key: incident for incident in (*there, *changed)}
            self._incidents[parent] = version, tuple(merged.values())

    def incidents_of(self, parent: Parent) -> list[Incident]:
        """Oldest first."""
        return sorted(self._incidents.get(parent, (0, ()))[1], key=lambda incident: incident.order)

    def find_incidents(self, where: IncidentFilter) -> list[Incident]:
        """All that match, in order, whatever offset and limit."""
        found = [
            incident
            for parent in self._incidents
            for incident in self.incidents_of(parent)
            if (not where.services or parent.service in where.services)
            and (not where.statuses or incident.status in where.statuses)
            and (not where.urgencies or incident.urgency in where.urgencies)
            and (where.dedup_key is None or parent.dedup_key == where.dedup_key)
            and (where.id is None or incident.is_named(where.id))
            and _within(incident.created_us, where)
        ]
        rest = where.sort[-1].descending if where.sort else True
        found.sort(key=lambda one: (one.created_us, *_newest(one.key)), reverse=rest)
        for sort in reversed(where.sort):
            found.sort(key=lambda one, by=sort.by: _sorted_by(one, by), reverse=sort.descending)  # type: ignore[misc]
        return found

    def scan_incidents(self, after: Parent | None, limit: int) -> list[tuple[Parent, list[Incident]]]:
        """By parents' places."""
        parents = sorted(
            (parent for parent, (_, some) in self._incidents.items() if some), key=lambda parent: parent.place
        )
        above = [parent for parent in parents if after is None or parent.place > after.place]
        return [(parent, self.incidents_of(parent)) for parent in above[:limit]]

    # What is kept, progress, documents ----------------------------------------------------------------------------

    def put_kept(self, kept: Kept) -> None:
        """Unless this version or a higher one is there."""
        there = self.kept.get(kept.key)
        if there is None or there.version < kept.version:
            self.kept[kept.key] = kept

    def kept_rows(self, partition: int | None, stages: Sequence[Stage]) -> list[Kept]:
        """Oldest first."""
        rows = (
            row
            for row in self.kept.values()
            if (partition is None or row.partition == partition) and (not stages or row.stage in stages)
        )
        return sorted(rows, key=lambda row: (row.since_us, _place(row.key)))

    def save_progress(self, row: ProgressRow) -> None:
        """The latest save of an epoch is its row."""
        self._progress[row.partition, row.epoch] = row.clean, row.encode()

    def progress(self, partition: int | None = None) -> list[ProgressRow]:
        """All owners' accounts."""
        return [
            ProgressRow.decode(number, epoch, clean=clean, raw=raw)
            for (number, epoch), (clean, raw) in sorted(self._progress.items())
            if partition in (None, number)
        ]

    def forget_progress(self, partition: int, below_epoch: int) -> None:
        """Removes older epochs."""
        for place in [place for place in self._progress if place[0] == partition and place[1] < below_epoch]:
            del self._progress[place]

    def keep_users(self, partition: int, rows: Sequence[UserRow], version: int) -> None:
        """Keeps users, each unless a higher version is there."""
        for row in rows:
            if self.users.get((partition, row.user), (0, b""))[0] < version:
                self.users[partition, row.user] = version, row.state

    def kept_users(self, partition: int) -> list[UserRow]:
        """What is kept of the users of a partition number."""
        return [UserRow(user, state) for (at, user), (_, state) in self.users.items() if at == partition and state]

    def put_document(self, document: Document, after: int | None) -> bool:
        """A conditional write."""
        there = self.documents.get(document.name)
        version = there.version if there else 0
        if (after is not None and after != version) or version >= document.version:
            return False
        self.documents[document.name] = document
        return True

    def documents_from(self, prefix: str) -> list[Document]:
        """By name."""
        return [self.documents[name] for name in sorted(self.documents) if name.startswith(prefix)]

    def outcome(self, key: RequestKey) -> str:
        """Where a request is here, as a reader would be told."""
        if self.is_dropped(key):
            return "dropped"
        if key in self.entries:
            return "stored"
        kept = self.kept.get(key)
        return str(kept.stage) if kept else "absent"

    def lost_offsets(self, partition: int, source: str) -> Iterator[range]:
        """What retention took unread, as far as it was written down."""
        return (range(x.start, x.end) for x in self.lost.values() if (x.partition, x.source) == (partition, source))


def _place(key: RequestKey) -> tuple[bytes, int, bytes]:
    return key.parent.place, key.id, key.digest


def _newest(key: RequestKey) -> tuple[int, bytes, bytes]:
    return key.id, key.parent.place, key.digest


def _within(at_us: int, where: EntryFilter | IncidentFilter) -> bool:
    return (where.since_us is None or at_us >= where.since_us) and (where.until_us is None or at_us < where.until_us)


def _sorted_by(incident: Incident, by: SortBy) -> Any:
    match by:
        case SortBy.CREATED:
            return incident.created_us
        case SortBy.ID:
            return incident.key.id
        case SortBy.RESOLVED:
            return incident.resolved_us is not None, incident.resolved_us or 0
        case SortBy.URGENCY:
            return incident.urgency == "high"

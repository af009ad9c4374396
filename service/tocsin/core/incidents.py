"""Incidents: the fold of a parent's entries, in one order, whatever order they came in.

Theory
------
An incident's state is a function of the *set* of its parent's entries: they are put in the order (received-at, id,
digest), and each makes the step that `STEPS` says. So replay, duplication and reordering change nothing, and two
regions with equal entries hold equal incidents. A trigger opens an incident when none is open and is counted by it when
one is; what fits nowhere (an acknowledge or resolve with nothing open) stays in the log and belongs to no incident.
What a machine sends is about the latest incident; what a person does, and what tells of a page, is about the one that
it names (`acts.py`, `notices.py`).

An incident is known by its opening entry: when an earlier opening arrives late, the fold starts the incident there, and
the entry that opened it before becomes one more trigger, an alias.

Title, source and severity are those of the opening entry, as with PagerDuty: whoever was paged for an incident finds it
under the name that the page had. What later triggers said is in their entries.

`fold` is the definition. `Folding` gets there one entry at a time, for a cache: it takes what sorts after all that it
has seen, knows repeats, and says when it cannot tell; then the caller folds anew from the store.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from tocsin.core.acts import ANNOTATE, act_of
from tocsin.core.entries import Entry
from tocsin.core.ids import Parent, RequestKey
from tocsin.core.notices import NOTIFY, notice_of

ALIASES_MAX: Final = 32
"""The first so many ids are kept with the incident; a later one is found through its entry."""
KNOWN_MAX: Final = 4_096
"""The newest so many keys are remembered by a `Folding`, to know repeats by."""


class Status(StrEnum):
    """Where an incident is."""

    TRIGGERED = "triggered"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Incident(msgspec.Struct, frozen=True):
    """The folded state of one incident. Its key is that of its opening entry; times are Unix microseconds.

    `acknowledged_us` is that of the first acknowledgement; `..._by` is the address of the person, empty for a machine.

    `aliases` are the ids of later triggers that were folded in: an id that was once an incident's own, before an
    earlier opening arrived, still names it. `entries` counts the entries that belong to it and `updated_us` is when the
    last of them was received.
    """

    key: RequestKey
    status: str
    urgency: str
    severity: str
    title: str
    source: str
    created_us: int
    updated_us: int
    acknowledged_us: int | None
    resolved_us: int | None
    triggers: int
    entries: int
    aliases: tuple[int, ...] = ()
    acknowledged_by: str = ""
    resolved_by: str = ""

    @property
    def parent(self) -> Parent:
        """What the incident's entries belong to."""
        return self.key.parent

    def is_named(self, temporal_id: int) -> bool:
        """Whether this id is, or once was, the incident's own."""
        return temporal_id == self.key.id or temporal_id in self.aliases

    @property
    def order(self) -> tuple[int, int, bytes]:
        """The place of its opening entry in the fold."""
        return self.created_us, self.key.id, self.key.digest


class SortBy(StrEnum):
    """What a list of incidents can be in order of; `ID` is the order of incident numbers too."""

    CREATED = "created_us"
    ID = "id"
    RESOLVED = "resolved_us"
    """One that is not resolved comes before all that are."""
    URGENCY = "urgency"
    """`high` is more than `low`."""


class Sort(msgspec.Struct, frozen=True):
    """One key of an order."""

    by: SortBy
    descending: bool = False


NEWEST_FIRST: Final = (Sort(SortBy.CREATED, descending=True),)


class IncidentFilter(msgspec.Struct, frozen=True):
    """What to list: empty sequences mean any. `since_us` and `until_us` bound `created_us` (until excluded).

    What `sort` leaves open is settled by creation, id and parent in the way of its last key, so that pages never
    overlap.
    """

    services: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    urgencies: tuple[str, ...] = ()
    dedup_key: str | None = None
    id: int | None = None
    since_us: int | None = None
    until_us: int | None = None
    sort: tuple[Sort, ...] = NEWEST_FIRST
    offset: int = 0
    limit: int = 25


WORDS: Final = (ANNOTATE, NOTIFY)
"""What is said about an incident: it changes nothing of how that is, and may come after the end."""
STEPS: Final[dict[tuple[Status, str], Status]] = {
    (Status.TRIGGERED, "trigger"): Status.TRIGGERED,
    (Status.TRIGGERED, "acknowledge"): Status.ACKNOWLEDGED,
    (Status.TRIGGERED, "resolve"): Status.RESOLVED,
    (Status.ACKNOWLEDGED, "trigger"): Status.ACKNOWLEDGED,  # somebody is on it: it stays silent
    (Status.ACKNOWLEDGED, "acknowledge"): Status.ACKNOWLEDGED,
    (Status.ACKNOWLEDGED, "resolve"): Status.RESOLVED,
    **{(status, action): status for status in Status for action in WORDS},
}
"""(status, action) to the next status. What is not here belongs to no incident; but a trigger opens the next one."""

URGENCIES: Final = {"critical": "high", "error": "high", "warning": "low", "info": "low"}


class _Payload(msgspec.Struct):
    summary: str = ""
    source: str = ""
    severity: str = ""


class _Trigger(msgspec.Struct):
    payload: _Payload = msgspec.field(default_factory=_Payload)


_TRIGGER: Final = msgspec.json.Decoder(_Trigger)


def urgency_of(severity: str) -> str:
    """The urgency that a severity has while the directory says nothing else; an unknown one is high."""
    return URGENCIES.get(severity, "high")


def fold(entries: Iterable[Entry]) -> list[Incident]:
    """The incidents of one parent's entries, oldest first; entries in any order and number."""
    return Folding.of(entries).incidents


def incident_of(entry: Entry, incidents: Iterable[Incident]) -> Incident | None:
    """Of a parent's incidents the one that was the latest when the entry came; None before the first.

    That an entry falls into an incident's time does not mean that it belongs to it: it may have come after the end.
    """
    found = None
    for incident in incidents:
        if incident.order > entry.order:
            break
        found = incident
    return found


def named_by(entry: Entry) -> int | None:
    """The id of the incident that an entry names; None for one that is about whichever is the latest."""
    said = act_of(entry) or notice_of(entry)
    return said.incident_id if said else None


def owner_of(entry: Entry, incidents: Sequence[Incident]) -> Incident | None:
    """Of a parent's incidents the one that the entry belongs to, as far as that can be told without the other entries.

    Only a fold can tell whether an entry of the same microsecond as an incident's end came before or after it.
    """
    named = named_by(entry)
    if named is not None:
        found = next((incident for incident in incidents if incident.is_named(named)), None)
    else:
        found = incident_of(entry, incidents)
    if found is None or entry.action in WORDS:
        return found
    ended_us = found.resolved_us
    return found if ended_us is None or entry.received_us <= ended_us else None


def after(incident: Incident, entries: Iterable[Entry]) -> Incident:
    """What an incident will be once these entries, the next of its parent, are folded in."""
    folding = Folding()
    folding.incidents.append(incident)
    for entry in entries:
        folding.take(entry)
    return folding.incidents[0]


def entries_in(key: RequestKey, entries: Iterable[Entry]) -> list[Entry]:
    """Of a parent's entries those that belong to the incident of this key, in fold order."""
    folding = Folding()
    return [entry for entry in _winners(entries) if (owner := folding.take(entry)) is not None and owner.key == key]


class Folding:
    """The fold of one parent's entries so far.

    Invariant: `incidents` is `fold` of all entries for which `apply` returned True.
    """

    __slots__ = ("_changed", "_forgotten_id", "_ids", "_known", "_last", "collisions", "incidents")

    def __init__(self) -> None:
        self.incidents: list[Incident] = []
        self.collisions = 0
        """Entries whose id an earlier one has with another digest: both are kept."""
        self._changed: set[int] = set()
        self._ids: set[int] = set()
        self._last: tuple[int, int, bytes] | None = None
        self._known: dict[tuple[int, bytes], tuple[int, str]] = {}
        self._forgotten_id = -1

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "Folding":
        """The fold of all these entries of one parent, in any order and number."""
        folding = cls()
        for entry in _winners(entries):
            folding.take(entry)
        return folding

    def apply(self, entry: Entry) -> bool:
        """Takes an entry of the same parent in; False when only a fold from the start can tell what it changes.

        That is so when it sorts before what was taken, when it precedes the record that was taken for its key, and
        when its id is so old that it may be the repeat of a key no longer remembered.
        """
        arrival = entry.received_us, entry.region
        known = self._known.get((entry.key.id, entry.key.digest))
        if known is not None:
            return arrival >= known
        if entry.key.id <= self._forgotten_id or (self._last is not None and entry.order < self._last):
            return False
        self.take(entry)
        return True

    def take(self, entry: Entry) -> Incident | None:
        """Takes in an entry that is known to come next in fold order, and to be no repeat.

        Returns the incident that it belongs to, as it is now; None when it belongs to none.
        """
        self._last = entry.order
        self.collisions += entry.key.id in self._ids
        self._ids.add(entry.key.id)
        self._known[entry.key.id, entry.key.digest] = entry.received_us, entry.region
        if len(self._known) > 2 * KNOWN_MAX:
            self._forget()
        place = self._place(entry)
        status = None if place is None else STEPS.get((Status(self.incidents[place].status), entry.action))
        if place is not None and status is not None:
            self.incidents[place] = _step(self.incidents[place], entry, status)
        elif entry.action == "trigger":
            place = len(self.incidents)
            self.incidents.append(_open(entry))
        else:
            return None
        self._changed.add(place)
        return self.incidents[place]

    def changes(self) -> list[Incident]:
        """The incidents that are new or have changed since this was last asked, oldest first."""
        changed = [self.incidents[place] for place in sorted(self._changed)]
        self._changed.clear()
        return changed

    def _place(self, entry: Entry) -> int | None:
        """Where the incident is that the entry is about."""
        named = named_by(entry)
        if named is None:
            return len(self.incidents) - 1 if self.incidents else None
        places = range(len(self.incidents) - 1, -1, -1)
        return next((place for place in places if self.incidents[place].is_named(named)), None)

    def _forget(self) -> None:
        # The lowest ids, not the earliest arrivals: of an id above all forgotten ones it is certain that it is new.
        keys = sorted(self._known)
        for key in keys[:-KNOWN_MAX]:
            del self._known[key]
        self._ids = {id for id, _ in self._known}
        self._forgotten_id = max(self._forgotten_id, keys[-KNOWN_MAX - 1][0])


def _winners(entries: Iterable[Entry]) -> list[Entry]:
    """Of the records of each key the one that is the entry, in fold order."""
    winners: dict[RequestKey, Entry] = {}
    for entry in entries:
        other = winners.get(entry.key)
        if other is None or entry.precedes(other):
            winners[entry.key] = entry
    return sorted(winners.values(), key=lambda entry: entry.order)


def _open(entry: Entry) -> Incident:
    try:
        payload = _TRIGGER.decode(entry.body).payload
    except (ValueError, RecursionError):
        payload = _Payload()  # no such entry passes the creator; but the fold is total, and the log entry is there
    return Incident(
        key=entry.key,
        status=Status.TRIGGERED,
        urgency=urgency_of(payload.severity),
        severity=payload.severity,
        title=payload.summary,
        source=payload.source,
        created_us=entry.received_us,
        updated_us=entry.received_us,
        acknowledged_us=None,
        resolved_us=None,
        triggers=1,
        entries=1,
    )


def _step(incident: Incident, entry: Entry, status: Status) -> Incident:
    triggers, aliases = incident.triggers, incident.aliases
    if entry.action == "trigger":
        triggers += 1
        if len(aliases) < ALIASES_MAX:
            aliases = (*aliases, entry.key.id)
    step = msgspec.structs.replace(
        incident,
        status=status,
        updated_us=entry.received_us,
        triggers=triggers,
        entries=incident.entries + 1,
        aliases=aliases,
    )
    act = act_of(entry)
    agent = act.agent.email if act else ""
    if entry.action == "acknowledge" and incident.acknowledged_us is None:
        return msgspec.structs.replace(step, acknowledged_us=entry.received_us, acknowledged_by=agent)
    if entry.action == "resolve":
        return msgspec.structs.replace(step, resolved_us=entry.received_us, resolved_by=agent)
    return step

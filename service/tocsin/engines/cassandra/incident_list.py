"""Lists of incidents across parents, by the way that looks at the fewest of them.

- By id: an id names an incident through the entry that has it, so the entries' list finds the parents.
- By service and dedup key: those are the parents.
- Not resolved: there is a table of those.
- All else: by the second in which they were created, in the order that is asked for where that is by creation.

Whichever way an incident was found, it is read, and the whole filter is put to it.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final

from tocsin.core.ids import Parent
from tocsin.core.incidents import Incident, IncidentFilter, SortBy, Status
from tocsin.engines.cassandra.arrivals import Arrivals, Item
from tocsin.engines.cassandra.incident_table import IncidentTable

LOOKED_AT: Final = 100
"""Incidents read at one time."""
SORTED_AT: Final = 1_000
"""So many more than are wanted are gathered before all but the first are let go."""
OPEN: Final = frozenset(Status) - {Status.RESOLVED}


class IncidentList:
    """Lists over the incidents of one keyspace; `entries` and `openings` say what there is."""

    def __init__(self, incidents: IncidentTable, entries: Arrivals, openings: Arrivals) -> None:
        self._incidents = incidents
        self._entries = entries
        self._openings = openings

    async def find(self, where: IncidentFilter) -> list[Incident]:
        """The incidents that match, in the order that the filter asks for."""
        wanted = where.offset + where.limit
        if where.limit <= 0:
            return []
        by_creation = _goes_by_creation(where) and (not where.sort or where.sort[0].by is SortBy.CREATED)
        found: list[Incident] = []
        async for some in self._matching(where, min(LOOKED_AT, wanted) if by_creation else LOOKED_AT):
            found += some
            if by_creation:
                if len(found) >= wanted:
                    break
            elif len(found) >= wanted + SORTED_AT:
                found = in_order(found, where)[:wanted]
        return in_order(found, where)[where.offset : wanted]

    async def count(self, where: IncidentFilter) -> int:
        """How many incidents match."""
        return sum([len(some) async for some in self._matching(where, LOOKED_AT)])

    async def _matching(self, where: IncidentFilter, step: int) -> AsyncIterator[list[Incident]]:
        """What matches, about `step` at a time by the second of creation, or all at once and in no order."""
        if _goes_by_creation(where):
            async for some in self._by_creation(where, step):
                yield some
            return
        if where.id is not None:
            keys = await self._entries.named(where.id)
            found = await self._of_parents(dict.fromkeys(key.parent for key in keys))
        elif parents := _parents_in(where):
            found = await self._of_parents(parents)
        else:
            found = list((await self._incidents.by_keys(await self._incidents.open_keys())).values())
        yield [incident for incident in found if matches(incident, where)]

    async def _of_parents(self, parents: Iterable[Parent]) -> list[Incident]:
        return [incident for parent in parents for incident in await self._incidents.of_parent(parent)]

    async def _by_creation(self, where: IncidentFilter, step: int) -> AsyncIterator[list[Incident]]:
        latest_first = not where.sort or where.sort[0].by is not SortBy.CREATED or where.sort[0].descending
        waiting: list[Item] = []
        async for items in self._openings.walk(where.since_us, where.until_us, latest_first=latest_first):
            waiting += [item for item in items if _may_match(item, where)]
            if len(waiting) >= step:  # only whole seconds: what the order leaves open within one is settled later
                yield await self._read(waiting, where)
                waiting = []
        yield await self._read(waiting, where)

    async def _read(self, items: Sequence[Item], where: IncidentFilter) -> list[Incident]:
        found = await self._incidents.by_keys(item.key for item in items)
        return [
            incident
            for item in items
            if (incident := found.get(item.key)) is not None
            and incident.created_us == item.at_us
            and matches(incident, where)
        ]


def matches(incident: Incident, where: IncidentFilter) -> bool:
    """Whether an incident is one of those that the filter means."""
    return (
        (not where.services or incident.parent.service in where.services)
        and (not where.statuses or incident.status in where.statuses)
        and (not where.urgencies or incident.urgency in where.urgencies)
        and (where.dedup_key is None or incident.parent.dedup_key == where.dedup_key)
        and (where.id is None or incident.is_named(where.id))
        and (where.since_us is None or incident.created_us >= where.since_us)
        and (where.until_us is None or incident.created_us < where.until_us)
    )


def in_order(incidents: Sequence[Incident], where: IncidentFilter) -> list[Incident]:
    """In the order of the filter; what it leaves open goes by creation, id, parent and digest, as its last key does."""
    rest = where.sort[-1].descending if where.sort else True
    ordered = sorted(incidents, key=_place, reverse=rest)
    for sort in reversed(where.sort):
        ordered.sort(key=_KEYS[sort.by], reverse=sort.descending)
    return ordered


def _place(incident: Incident) -> tuple[int, int, bytes, bytes]:
    return incident.created_us, incident.key.id, incident.parent.place, incident.key.digest


_KEYS: Final = {
    SortBy.CREATED: lambda incident: incident.created_us,
    SortBy.ID: lambda incident: incident.key.id,
    SortBy.RESOLVED: lambda incident: (incident.resolved_us is not None, incident.resolved_us or 0),
    SortBy.URGENCY: lambda incident: incident.urgency == "high",
}


def _parents_in(where: IncidentFilter) -> list[Parent]:
    """The parents, where the filter names them whole."""
    return [] if where.dedup_key is None else [Parent(service, where.dedup_key) for service in where.services]


def _only_open(where: IncidentFilter) -> bool:
    return bool(where.statuses) and OPEN.issuperset(where.statuses)


def _goes_by_creation(where: IncidentFilter) -> bool:
    """Whether no way is shorter than through all that were created."""
    return where.id is None and not _parents_in(where) and not _only_open(where)


def _may_match(item: Item, where: IncidentFilter) -> bool:
    """Whether the parent is one that the filter means."""
    service, _, dedup_key = item.parent.decode().partition("\0")
    return (not where.services or service in where.services) and where.dedup_key in (None, dedup_key)

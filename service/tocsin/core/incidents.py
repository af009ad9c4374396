"""Incidents: the fold of a parent's entries, in one order, whatever order they came in."""

import msgspec

from tocsin.core.ids import Parent, RequestKey


class Incident(msgspec.Struct, frozen=True):
    """The folded state of one incident. Its key is that of its opening entry; times are Unix microseconds.

    `aliases` are the ids of later triggers that were folded in: an id that was once an incident's own, before an
    earlier opening arrived, still names it.
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

    @property
    def parent(self) -> Parent:
        """What the incident's entries belong to."""
        return self.key.parent


class IncidentFilter(msgspec.Struct, frozen=True):
    """What to list: empty sequences mean any. `since_us` and `until_us` bound `created_us` (until excluded)."""

    services: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    urgencies: tuple[str, ...] = ()
    dedup_key: str | None = None
    id: int | None = None
    since_us: int | None = None
    until_us: int | None = None
    oldest_first: bool = False
    offset: int = 0
    limit: int = 25

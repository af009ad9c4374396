"""Watching: what changed between two looks at the open incidents, and how long to wait for the next look.

The rhythm is an alarm's: while something changes, somebody is at it and wants to see it at once; when nothing has for a
while, a look costs more than it shows. So each change brings the looks to `EVERY_S_MIN`, and each look without one
spreads them, up to `EVERY_S_MAX`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

FOLLOWED_MAX: Final = 1_000
"""Of the open incidents the newest so many are followed."""
EVERY_S_MIN: Final = 0.5
EVERY_S_MAX: Final = 10.0
SPREAD: Final = 1.5

Incident = Mapping[str, Any]


class Change(NamedTuple):
    """What is new about an incident: `open` at the first look, its status when that is new, else what came to it."""

    what: str
    incident: Incident


class Watch:
    """What was seen of the incidents that are open."""

    def __init__(self) -> None:
        self._seen: dict[str, Incident] | None = None
        self.every_s = EVERY_S_MIN

    def look(self, found: Iterable[Incident]) -> tuple[list[Change], list[str]]:
        """What changed since the last look, oldest change first; and the ids of those that are not there any more."""
        now = {incident["id"]: incident for incident in found}
        before = self._seen
        changes = [
            Change(what, incident)
            for incident in sorted(now.values(), key=lambda one: str(one["updated_at"]))
            if (what := "open" if before is None else _what(before.get(incident["id"]), incident))
        ]
        gone = [id for id in before or {} if id not in now]
        self._seen = now
        is_quiet = before is not None and not changes and not gone
        self.every_s = min(self.every_s * SPREAD, EVERY_S_MAX) if is_quiet else EVERY_S_MIN
        return changes, gone


def _what(before: Incident | None, now: Incident) -> str:
    if before is None or before["status"] != now["status"]:
        return str(now["status"])
    if _triggers(before) != _triggers(now):
        return "triggered again"
    return "changed" if before["updated_at"] != now["updated_at"] else ""


def _triggers(incident: Incident) -> int:
    return int((incident.get("tocsin") or {}).get("triggers", 0))

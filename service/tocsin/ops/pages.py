"""Pages as the regions' logs tell of them: each entry of the action `notify` is about one incident of a page.

Every region's log holds the notices of all regions, once the mirrors brought them; what several hold is one.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from tocsin.core.entries import Entry, EntryFilter
from tocsin.core.ids import Parent, RequestKey
from tocsin.core.notices import NOTIFY, Notice, notice_of
from tocsin.engines.store import Store

ENTRIES_A_READ: Final = 500
ENTRIES_MAX: Final = 50_000
"""So many notices of a region are looked through at most, the newest first."""


class Named(NamedTuple):
    """An incident that a page named: its printed id, what it belongs to, and whether the page was about it."""

    incident: str
    parent: Parent
    is_new: bool


class Page(NamedTuple):
    """One bundle that was handed over, or was to be. `told` is any of its notices: they differ in the incident."""

    told: Notice
    incidents: tuple[Named, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """As JSON knows it. Times are Unix microseconds."""
        told = self.told
        return {
            "bundle": told.bundle,
            "at_us": told.at_us,
            "user": told.user,
            "method": told.method,
            "taken_by": told.taken_by,
            "urgency": told.urgency,
            "outcome": told.outcome,
            "region": told.region,
            "place": told.place,
            "why": told.why,
            "reason": told.reason,
            "due_us": told.due_us,
            "ended_us": told.ended_us,
            "incidents": [
                {"id": one.incident, "service": one.parent.service, "dedup_key": one.parent.dedup_key}
                for one in self.incidents
            ],
        }


async def find(
    stores: Mapping[str, Store], wanted: Callable[[Notice], bool], *, since_us: int | None = None, limit: int
) -> list[Page]:
    """The newest pages of which a notice is wanted, newest first; raises `EngineError`."""
    found: dict[RequestKey, Entry] = {}
    for store in stores.values():
        bundles: set[str] = set()
        for offset in range(0, ENTRIES_MAX, ENTRIES_A_READ):
            where = EntryFilter(actions=(NOTIFY,), since_us=since_us, offset=offset, limit=ENTRIES_A_READ)
            entries = await store.list_entries(where)
            told = {entry.key: notice for entry in entries if (notice := notice_of(entry)) and wanted(notice)}
            bundles |= {notice.bundle for notice in told.values()}
            found |= {entry.key: entry for entry in entries}
            if len(entries) < ENTRIES_A_READ or len(bundles) > limit:
                break
    return [page for page in pages_of(found.values()) if wanted(page.told)][:limit]


def pages_of(entries: Iterable[Entry]) -> list[Page]:
    """The pages that entries tell of, newest first. Of one that ended twice, the better known end is told."""
    bundles: dict[str, dict[str, tuple[Notice, Parent]]] = {}
    for entry in entries:
        notice = notice_of(entry)
        if notice is not None:
            incidents = bundles.setdefault(notice.bundle, {})
            known = incidents.get(notice.incident)
            if known is None or _rank(notice) > _rank(known[0]):
                incidents[notice.incident] = notice, entry.key.parent
    pages = [_page(list(incidents.values())) for incidents in bundles.values()]
    return sorted(pages, key=lambda page: (page.told.at_us, page.told.bundle), reverse=True)


def _page(told: list[tuple[Notice, Parent]]) -> Page:
    best = max((notice for notice, _ in told), key=_rank)
    return Page(best, tuple(Named(notice.incident, parent, notice.is_new) for notice, parent in told))


def _rank(notice: Notice) -> int:
    return {"delivered": 2, "failed": 1}.get(notice.outcome, 0)

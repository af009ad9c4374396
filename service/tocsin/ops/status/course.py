"""The course of events: open incidents and who is told of them, what people changed, what the log says latest."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from tocsin.config import ConfigError
from tocsin.core.acts import act_of
from tocsin.core.directory import faults
from tocsin.core.entries import Entry as Row
from tocsin.core.entries import EntryFilter
from tocsin.core.ids import format_id
from tocsin.core.incidents import Incident as Open
from tocsin.core.incidents import IncidentFilter, Sort, SortBy, Status
from tocsin.core.notices import notice_of
from tocsin.core.paging.assignments import user_partition
from tocsin.core.paging.explain import explain
from tocsin.core.paging.state import decode_user
from tocsin.core.statements import RegionOrder, RequestOrder
from tocsin.engines.audit import Deed, lines
from tocsin.engines.directory import Directory
from tocsin.engines.errors import EngineError
from tocsin.engines.opening import audit_path
from tocsin.engines.store import Store
from tocsin.ops import directory as directories
from tocsin.ops.pages import Page as Found
from tocsin.ops.pages import find, pages_of
from tocsin.ops.regions import Reached
from tocsin.ops.status.facts import Change, Entry, Incident, Next, Page, Paging
from tocsin.settings import Settings
from tocsin.telemetry import redacted
from tocsin.topology import Region, Topology

READ_S_MAX: Final = 4.0
"""How long each of the questions here may take."""
INCIDENTS_MAX: Final = 5
"""Open incidents that are told one by one."""
RESPONDERS_MAX: Final = 5
"""Responders of an incident of whom it is told when they are paged next."""
PAGES_SHOWN_MAX: Final = 10
"""Pages about one incident that are told, the latest."""
PAGES_MAX: Final = 50
PAGES_S: Final = 900.0
"""Pages so young say how paging goes now."""
CHANGES_MAX: Final = 10
CHANGES_S: Final = 86_400.0
ENTRIES_MAX: Final = 10
TEXT_MAX: Final = 120
_CHANGES: Final = frozenset(
    {Deed.DIRECTORY, Deed.BUDGET_RELEASED, Deed.TOKEN_CREATED, Deed.TOKEN_ROTATED, Deed.TOKEN_REVOKED}
)
"""What the ledger does not have: a person's words are read there."""


# Incidents and pages -------------------------------------------------------------------------------------------------


async def paging(settings: Settings, topology: Topology, reached: Reached, best: str, now_us: int) -> Paging:
    """The open incidents as the region `best` has them, and the latest pages; what took too long is named."""
    found = Paging(region=best)
    if not best:
        return found
    store, region = reached.stores[best], topology.region(best)
    try:
        async with asyncio.timeout(READ_S_MAX):
            await _count(found, store)
            pages = await find({best: store}, lambda _: True, since_us=now_us - round(PAGES_S * 1e6), limit=PAGES_MAX)
            found.pages = [_page(page) for page in pages]
            shown = await _shown(store)
            told = await store.entries_of([one.parent for one in shown])
    except (EngineError, TimeoutError) as error:
        found.away["incidents"] = str(error) or f"no answer within {READ_S_MAX:g} s"
        return found
    found.incidents = [_incident(one, pages_of(told[one.parent])) for one in shown]
    try:
        async with asyncio.timeout(READ_S_MAX):
            async with directories.opened(settings, topology, best) as place:
                directory = place.directory
                found.unreachable = faults(directory.services(), directory.user)
                plans = [await _plan(one, directory, store, region, now_us) for one in shown]
    except (EngineError, ConfigError, ValueError, TimeoutError) as error:
        found.away["directory"] = str(error) or f"no answer within {READ_S_MAX:g} s"
        return found
    found.incidents = [
        msgspec.structs.replace(one, next=tuple(following), obstacles=tuple(obstacles))
        for one, (following, obstacles) in zip(found.incidents, plans, strict=True)
    ]
    return found


async def _count(found: Paging, store: Store) -> None:
    found.triggered = await store.count_incidents(IncidentFilter(statuses=(Status.TRIGGERED,)))
    found.acknowledged = await store.count_incidents(IncidentFilter(statuses=(Status.ACKNOWLEDGED,)))
    oldest = await store.find_incidents(
        IncidentFilter(statuses=(Status.TRIGGERED, Status.ACKNOWLEDGED), sort=(Sort(SortBy.CREATED),), limit=1)
    )
    found.oldest_us = oldest[0].created_us if oldest else None


async def _shown(store: Store) -> list[Open]:
    shown: list[Open] = []
    for status in (Status.TRIGGERED, Status.ACKNOWLEDGED):
        if room := INCIDENTS_MAX - len(shown):
            shown += await store.find_incidents(IncidentFilter(statuses=(status,), limit=room))
    return shown


def _incident(incident: Open, pages: Iterable[Found]) -> Incident:
    id = format_id(incident.key.id)
    names = {id, *map(format_id, incident.aliases)}
    about = [_page(page) for page in pages if any(one.incident in names for one in page.incidents)]
    return Incident(
        id=id,
        title=_text(incident.title),
        service=incident.parent.service,
        urgency=incident.urgency,
        created_us=incident.created_us,
        acknowledged_us=incident.acknowledged_us,
        acknowledged_by=incident.acknowledged_by,
        pages=tuple(sorted(about, key=lambda one: one.at_us)[-PAGES_SHOWN_MAX:]),
    )


async def _plan(
    incident: Open, directory: Directory, store: Store, region: Region, now_us: int
) -> tuple[list[Next], list[str]]:
    """When each responder is paged next for an incident, and what keeps them from it."""
    service = directory.service(incident.parent.service)
    if service is None:
        return [], [f"the directory has no service {incident.parent.service}"]
    if not service.responders:
        return [], [f"service {service.id} has no responders: nobody is paged for it"]
    following: list[Next] = []
    for id in service.responders[:RESPONDERS_MAX]:
        rows = await store.kept_users(user_partition(id, region.partitions))
        user = next((decode_user(row) for row in rows if row.user == id), None)
        views = explain(user, region.paging, now_us).channels if user else ()
        following += [
            Next(user=id, method=view.method, at_us=view.next_us, because=view.because)
            for view in views
            if any(one.incident == str(incident.key) for one in view.waiting)
        ]
    more = len(service.responders) - RESPONDERS_MAX
    return following, [f"{more} more responders are not looked at here"] if more > 0 else []


def _page(page: Found) -> Page:
    told = page.told
    return Page(
        user=told.user,
        method=told.taken_by or told.method,
        outcome=told.outcome,
        region=told.region,
        at_us=told.at_us,
        due_us=told.due_us,
        why=told.why,
        reason=_text(told.reason),
    )


# The log -------------------------------------------------------------------------------------------------------------


async def entries(stores: Mapping[str, Store], within_s: float) -> list[Entry] | None:
    """The latest entries of the regions' logs, each once, oldest first; None when no store answers."""
    read = await asyncio.gather(*(_latest(store, within_s) for store in stores.values()))
    if all(rows is None for rows in read):
        return None
    found = {row.key: row for rows in read for row in rows or ()}
    latest = sorted(found.values(), key=lambda row: row.order)[-ENTRIES_MAX:]
    return [Entry(at_us=row.received_us, region=row.region, what=_text(_what(row))) for row in latest]


async def _latest(store: Store, within_s: float) -> Sequence[Row] | None:
    try:
        async with asyncio.timeout(within_s):
            return await store.list_entries(EntryFilter(limit=ENTRIES_MAX))
    except (EngineError, TimeoutError):
        return None


def _what(row: Row) -> str:
    """An entry in a few words."""
    about = f"{row.key.parent.service}, {row.key.parent.dedup_key}"
    if notice := notice_of(row):
        return f"page to {notice.user} by {notice.taken_by or notice.method}: {notice.outcome} ({about})"
    if act := act_of(row):
        note = f": {act.note}" if act.note else ""
        return f"{row.action} by {act.agent.name or act.agent.email} ({about}){note}"
    return f"{row.action} ({about}): {_summary(row.body)}"


def _summary(body: bytes) -> str:
    try:
        return str(json.loads(body)["payload"]["summary"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return "without a summary"


def _text(text: str) -> str:
    """A stranger's text: without what looks like a secret, and no longer than fits a line."""
    safe = str(redacted(text))
    return safe if len(safe) <= TEXT_MAX else f"{safe[: TEXT_MAX - 3]}..."


# What people changed -------------------------------------------------------------------------------------------------


async def changes(
    settings: Settings, regions: Iterable[str], orders: Iterable[RegionOrder | RequestOrder], now_us: int
) -> list[Change]:
    """What people did to Tocsin in the last day, by the ledgers and the audit trails of this machine; oldest first."""
    since_us = now_us - round(CHANGES_S * 1e6)
    found = {_ordered(order) for order in orders if order.at_us >= since_us}
    for region in regions:
        found.update(await asyncio.to_thread(_audited, settings, region, since_us))
    # What was done to a token stands in the trail of every region, at a moment of its own.
    each = {(one.at_us // 1_000_000, one.by, one.what): one for one in found}
    return sorted(each.values(), key=lambda one: (one.at_us, one.what))[-CHANGES_MAX:]


def _ordered(order: RegionOrder | RequestOrder) -> Change:
    about = f"region {order.region}" if isinstance(order, RegionOrder) else f"request {order.key.printed}"
    why = f": {order.why}" if order.why else ""
    return Change(at_us=order.at_us, by=order.by, what=_text(f"said {order.word} of {about}{why}"))


def _audited(settings: Settings, region: str, since_us: int) -> list[Change]:
    """What a region's audit trail has of changes since then, the latest first; what one command did is one change."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    try:
        for line in lines(audit_path(settings, region)):
            at_us, action = line.get("at_us"), line.get("action")
            if not isinstance(at_us, int) or action not in _CHANGES:
                continue
            if at_us < since_us or len(groups) > CHANGES_MAX:
                break
            alike = line.get("name") if action != Deed.DIRECTORY else (line.get("does"), line.get("outcome"))
            groups.setdefault((at_us // 1_000_000, action, line.get("by"), alike), []).append(line)
    except OSError:  # another's file, or none: what is known without it is told
        pass
    return [
        Change(at_us=some[-1]["at_us"], by=str(some[0].get("by", "")), what=_deed(region, some[-1], len(some) - 1))
        for some in groups.values()
    ]


def _deed(region: str, line: Mapping[str, Any], more: int) -> str:
    if line["action"] == Deed.DIRECTORY:
        outcome = "" if line.get("outcome") == "recorded" else f" ({line.get('outcome', 'outcome not known')})"
        others = f" and {more:,} more" if more else ""
        return _text(f"{line.get('does', 'changed')} {line.get('record', 'the directory')}{others}{outcome}")
    if line["action"] == Deed.BUDGET_RELEASED:
        return _text(f"released the budget of region {region}; counted: {', '.join(map(str, line.get('counted', [])))}")
    return _text(f"{str(line['action']).replace('_', ' ')}: {line.get('name', '')} ({line.get('scope', '')})")

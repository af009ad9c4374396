"""Reading log entries across all incidents, by time; and one by its id.

An entry that belongs to no incident (an acknowledge with nothing open) is in the log, so it is listed, without one.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from tocsin.core.entries import Entry, EntryFilter
from tocsin.core.incidents import WORDS, Incident, owner_of
from tocsin.roles.rest import models
from tocsin.roles.rest.desk import PAGE_DEFAULT, Desk, Id, Limit, Offset, Page, Total
from tocsin.roles.rest.errors import invalid
from tocsin.roles.rest.gate import caller_of
from tocsin.roles.rest.moments import microseconds
from tocsin.roles.web import answer

OVERVIEW: Final = ("trigger", "acknowledge", "resolve")
"""The actions that change an incident."""
EntryInclude = Annotated[
    tuple[Literal["incidents", "services", "channels", "teams", "users"], ...],
    Query(alias="include[]"),
]
Overview = Annotated[bool, Query(description="Whether to show only what changed an incident.")]


def actions_of(*, is_overview: bool) -> tuple[str, ...]:
    """The actions of the entries to show. Change events are kept in the log too, and are none of an incident."""
    return OVERVIEW if is_overview else (*OVERVIEW, *WORDS)


def routes(desk: Desk) -> APIRouter:
    """The routes."""
    router = APIRouter()

    @router.get(
        "/log_entries",
        summary="List log entries of all incidents, newest first",
        responses=models.listed("log_entries", models.LogEntry),
    )
    async def log_entries(
        request: Request,
        *,
        include: EntryInclude = (),
        since: datetime | None = None,
        until: datetime | None = None,
        is_overview: Overview = False,
        limit: Limit = PAGE_DEFAULT,
        offset: Offset = 0,
        total: Total = False,
    ) -> Response:
        page = Page.of(limit, offset)
        where = EntryFilter(
            services=caller_of(request).token.services,
            actions=actions_of(is_overview=is_overview),
            since_us=microseconds(since) if since else None,
            until_us=microseconds(until) if until else None,
            offset=page.offset,
            limit=page.limit + 1,
        )
        return await desk.bounded(_list(desk, request, page, where, include, counted=total))

    @router.get("/log_entries/{id}", summary="Get a log entry", responses=models.one("log_entry", models.LogEntry))
    async def log_entry(request: Request, id: str, include: EntryInclude = ()) -> Response:
        return await desk.bounded(_one(desk, request, Id.parse(id), include))

    return router


async def _list(
    desk: Desk, request: Request, page: Page, where: EntryFilter, include: Sequence[str], *, counted: bool
) -> Response:
    freshness = await desk.freshness.read()
    found = await desk.store.list_entries(where)
    total = await desk.store.count_entries(where) if counted else None
    shown, shapes = found[: page.limit], desk.shapes(request, include)
    owners = await _owners(desk, shown)
    rendered = [shapes.log_entry(entry, owner) for entry, owner in zip(shown, owners, strict=True)]
    return answer(
        200,
        page.wrap("log_entries", rendered, total, more=len(found) > page.limit),
        await desk.headers_of_list(freshness, where.until_us, where.services),
    )


async def _one(desk: Desk, request: Request, wanted: Id, include: Sequence[str]) -> Response:
    freshness = await desk.freshness.read()
    found = [entry for entry in await desk.entries(wanted) if entry.action in actions_of(is_overview=False)]
    if not found:
        return await desk.absent(caller_of(request), wanted, freshness)
    if len(found) > 1:
        raise invalid(f"the id names several log entries: {', '.join(sorted(entry.key.printed for entry in found))}")
    (entry,), (owner,) = found, await _owners(desk, found)
    desk.check(request, entry.key.parent.service)
    body = {"log_entry": desk.shapes(request, include).log_entry(entry, owner)}
    return answer(200, body, freshness.headers(pending=freshness.is_pending(entry.received_us)))


async def _owners(desk: Desk, entries: Sequence[Entry]) -> list[Incident | None]:
    """The incident of each entry, None of one that belongs to none."""
    parents = list(dict.fromkeys(entry.key.parent for entry in entries))
    incidents = dict(
        zip(parents, await asyncio.gather(*(desk.store.incidents_of(parent) for parent in parents)), strict=True)
    )
    return [owner_of(entry, incidents[entry.key.parent]) for entry in entries]

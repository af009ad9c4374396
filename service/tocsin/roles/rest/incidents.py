"""Reading incidents: lists, one by one, their log entries and notes."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from tocsin.core.entries import Entry
from tocsin.core.incidents import NEWEST_FIRST, Incident, IncidentFilter, Sort, SortBy, Status, entries_in
from tocsin.roles.rest import models
from tocsin.roles.rest.desk import PAGE_DEFAULT, Desk, Id, Limit, Offset, Page, Total, Word, Words
from tocsin.roles.rest.errors import invalid
from tocsin.roles.rest.gate import caller_of
from tocsin.roles.rest.log_entries import EntryInclude, Overview, actions_of
from tocsin.roles.rest.moments import microseconds
from tocsin.roles.web import answer

SORTS: Final = {
    "incident_number": SortBy.ID,
    "created_at": SortBy.CREATED,
    "resolved_at": SortBy.RESOLVED,
    "urgency": SortBy.URGENCY,
}
SORTS_MAX: Final = 2
_PATTERN: Final = rf"^({'|'.join(SORTS)})(:(asc|desc))?(,({'|'.join(SORTS)})(:(asc|desc))?)*$"
Include = Literal[
    "acknowledgers", "agents", "assignees", "conference_bridge", "escalation_policies", "first_trigger_log_entries",
    "incidents", "priorities", "services", "teams", "users",
]  # fmt: skip
"""What may be asked for; what we have none of is shown as ever."""
SortWords = Annotated[
    tuple[Annotated[str, Query(max_length=200, pattern=_PATTERN)], ...],
    Query(
        description=f"At most {SORTS_MAX} of {', '.join(SORTS)}, each with `:asc`, the default, or `:desc`.",
        max_length=SORTS_MAX,
    ),
]


def routes(desk: Desk) -> APIRouter:
    """The routes."""
    router = APIRouter()

    @router.get("/incidents", summary="List incidents", responses=models.listed("incidents", models.Incident))
    async def incidents(  # noqa: PLR0913 (one argument a parameter)
        request: Request,
        *,
        statuses: Annotated[tuple[Status, ...], Query(alias="statuses[]")] = (),
        service_ids: Annotated[Words, Query(alias="service_ids[]")] = (),
        urgencies: Annotated[tuple[Literal["high", "low"], ...], Query(alias="urgencies[]")] = (),
        include: Annotated[tuple[Include, ...], Query(alias="include[]")] = (),
        sort_by: SortWords = (),
        incident_key: Word | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        date_range: Annotated[
            Literal["all"] | None, Query(description="`all` leaves since and until out of account.")
        ] = None,
        limit: Limit = PAGE_DEFAULT,
        offset: Offset = 0,
        total: Total = False,
    ) -> Response:
        page = Page.of(limit, offset)
        services = caller_of(request).visible(service_ids)
        is_bounded = date_range is None
        where = IncidentFilter(
            services=services or (),
            statuses=statuses,
            urgencies=urgencies,
            dedup_key=incident_key,
            since_us=microseconds(since) if since and is_bounded else None,
            until_us=microseconds(until) if until and is_bounded else None,
            sort=_sorts(sort_by),
            offset=page.offset,
            limit=page.limit + 1,
        )
        reading = _list(desk, request, page, where, include, counted=total, nothing=services is None)
        return await desk.bounded(reading)

    @router.get("/incidents/{id}", summary="Get an incident", responses=models.one("incident", models.Incident))
    async def incident(
        request: Request, id: str, include: Annotated[tuple[Include, ...], Query(alias="include[]")] = ()
    ) -> Response:
        return await desk.bounded(_one(desk, request, Id.parse(id), include))

    @router.get(
        "/incidents/{id}/log_entries",
        summary="List the log entries of an incident, newest first",
        responses=models.listed("log_entries", models.LogEntry),
    )
    async def log_entries(  # noqa: PLR0913
        request: Request,
        id: str,
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
        actions = actions_of(is_overview=is_overview)
        since_us = microseconds(since) if since else None
        until_us = microseconds(until) if until else None

        async def read() -> Response:
            return await _members(
                desk,
                request,
                Id.parse(id),
                lambda incident, entries: _entries_body(
                    desk, request, incident, page, include,
                    [
                        entry
                        for entry in entries
                        if entry.action in actions
                        and (since_us is None or entry.received_us >= since_us)
                        and (until_us is None or entry.received_us < until_us)
                    ],
                    counted=total,
                ),
            )  # fmt: skip

        return await desk.bounded(read())

    @router.get(
        "/incidents/{id}/notes",
        summary="List the notes on an incident, newest first",
        responses=models.unpaged("notes", models.Note),
    )
    async def notes(request: Request, id: str) -> Response:
        shapes = desk.shapes(request)

        def body(_incident: Incident, entries: Sequence[Entry]) -> dict[str, Any]:
            shown = [shapes.note(entry) for entry in entries]
            return {"notes": [note for note in shown if note["content"]]}

        return await desk.bounded(_members(desk, request, Id.parse(id), body))

    return router


def _sorts(words: Sequence[str]) -> tuple[Sort, ...]:
    """The order that `sort_by` asks for; several keys come in one word with commas, or in several."""
    keys = [key.partition(":") for word in words for key in word.split(",")]
    if len(keys) > SORTS_MAX:
        raise invalid(f"sort_by: at most {SORTS_MAX} keys")
    return tuple(Sort(SORTS[name], descending=way == "desc") for name, _, way in keys) or NEWEST_FIRST


async def _list(
    desk: Desk,
    request: Request,
    page: Page,
    where: IncidentFilter,
    include: Sequence[Include],
    *,
    counted: bool,
    nothing: bool,
) -> Response:
    freshness = await desk.freshness.read()
    found = [] if nothing else await desk.store.find_incidents(where)
    total = (0 if nothing else await desk.store.count_incidents(where)) if counted else None
    shown, shapes = found[: page.limit], desk.shapes(request, include)
    openings = await _openings(desk, shown, include)
    rendered = [shapes.incident(one, opening) for one, opening in zip(shown, openings, strict=True)]
    services = where.services or caller_of(request).token.services
    return answer(
        200,
        page.wrap("incidents", rendered, total, more=len(found) > page.limit),
        await desk.headers_of_list(freshness, where.until_us, services),
    )


async def _one(desk: Desk, request: Request, wanted: Id, include: Sequence[Include]) -> Response:
    incident, freshness = await desk.found(request, wanted)
    if incident is None:
        return await desk.absent(caller_of(request), wanted, freshness)
    (opening,) = await _openings(desk, [incident], include)
    body = {"incident": desk.shapes(request, include).incident(incident, opening)}
    return answer(200, body, await desk.headers_of(incident, freshness))


async def _openings(desk: Desk, incidents: Sequence[Incident], include: Sequence[Include]) -> list[Entry | None]:
    """The opening entries, where they are to be shown."""
    if "first_trigger_log_entries" not in include:
        return [None] * len(incidents)
    return list(await asyncio.gather(*(desk.store.entry(incident.key) for incident in incidents)))


async def _members(desk: Desk, request: Request, wanted: Id, body: Any) -> Response:
    """An answer made from an incident and the entries that belong to it, newest first."""
    incident, freshness = await desk.found(request, wanted)
    if incident is None:
        return await desk.absent(caller_of(request), wanted, freshness)
    entries, headers = await asyncio.gather(
        desk.store.entries_of([incident.parent]), desk.headers_of(incident, freshness)
    )
    newest_first = entries_in(incident.key, entries.get(incident.parent, []))[::-1]
    return answer(200, body(incident, newest_first), headers)


def _entries_body(
    desk: Desk,
    request: Request,
    incident: Incident,
    page: Page,
    include: Sequence[str],
    entries: Sequence[Entry],
    *,
    counted: bool,
) -> dict[str, Any]:
    shapes = desk.shapes(request, include)
    end = page.offset + page.limit
    return page.wrap(
        "log_entries",
        [shapes.log_entry(entry, incident) for entry in entries[page.offset : end]],
        len(entries) if counted else None,
        more=len(entries) > end,
    )

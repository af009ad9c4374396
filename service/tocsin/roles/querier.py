"""Querier: answers reads from the region's outcome store, and says of each answer how complete it is.

Theory
------
Creation is asynchronous, so there are three answers about an id and not two: here it is; *pending* (202), when it is
younger than complete-until and may be on its way; *unknown* (404), when it is in no log that this region has read. A
request that could not be stored is a fourth: known, and set aside or quarantined. Reads show it by its key, since an
answer that leaves it out silently would be a lie.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal, NamedTuple, TypeVar

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import Field

from tocsin.config import ConfigError
from tocsin.core.completeness import CLOCK_BOUND_S, covers
from tocsin.core.documents import STATUS_PREFIX, PartitionStatus
from tocsin.core.ids import format_id, id_seconds, parse_id, parse_printed
from tocsin.core.incidents import Incident, IncidentFilter, Status, entries_in, incident_of
from tocsin.core.kept import Kept, Stage
from tocsin.engines.directory import Directory
from tocsin.engines.errors import EngineError
from tocsin.engines.store import Store
from tocsin.engines.tokens import Scope, TokenFile
from tocsin.roles import rest
from tocsin.roles.freshness import Freshness, FreshnessReader
from tocsin.roles.rest import RestError, Shapes
from tocsin.roles.web import answer, make_app
from tocsin.telemetry import Counter, Meters

PAGE_DEFAULT: Final = 25
PAGE_MAX: Final = 100
REACH_MAX: Final = 10_000
"""Offset and limit together; to see more, narrow the time."""
KEPT_LOOKED_AT_MAX: Final = 1_000
READ_S_MAX: Final = 5.0
RETRY_AFTER_S: Final = 2
_AUTHORIZATION: Final = re.compile(r'(?:Token\s+(?:token=)?"?([^\s"]+)"?|Bearer\s+(\S+))\s*\Z', re.IGNORECASE)
_SHOWN: Final = (Stage.ASIDE, Stage.QUARANTINED)
_RETRY: Final = {"Retry-After": str(RETRY_AFTER_S)}
T = TypeVar("T")

Word = Annotated[str, Field(max_length=255, pattern=r"^[^\x00]*$")]
Words = Annotated[list[Word], Field(max_length=PAGE_MAX)]
Limit = Annotated[int, Query(ge=1)]
Offset = Annotated[int, Query(ge=0)]


@dataclass(frozen=True, slots=True)
class QuerierParts:
    """What a querier is put together from. `regions` are all regions by name, this one included."""

    regions: tuple[str, ...]
    partitions: int
    store: Store
    tokens: TokenFile
    directory: Directory
    meters: Meters
    clock_us: Callable[[], int]
    monotonic: Callable[[], float] = time.monotonic
    read_s_max: float = READ_S_MAX


class _Id(NamedTuple):
    """What a path names: a temporal id, and with a printed request key the begin of the digest."""

    id: int
    digest: bytes

    @property
    def shown(self) -> str:
        return format_id(self.id) + (f".{self.digest.hex()}" if self.digest else "")


class Querier:
    """Reads for clients."""

    def __init__(self, parts: QuerierParts) -> None:
        self._parts = parts
        self._store = parts.store
        self._freshness = FreshnessReader(
            parts.store, partitions=parts.partitions, regions=parts.regions, monotonic=parts.monotonic
        )

    def app(self) -> FastAPI:
        """The ASGI app."""
        app = make_app("Tocsin querier", _error_body, self._count, [Depends(self._authorize)])
        app.add_exception_handler(RestError, _rest_error)
        app.add_exception_handler(RequestValidationError, _invalid_input)

        @app.get("/incidents")
        async def incidents(  # noqa: PLR0913 (one argument a parameter)
            request: Request,
            *,
            statuses: Annotated[list[Status], Query(alias="statuses[]", default_factory=list)],
            service_ids: Annotated[Words, Query(alias="service_ids[]", default_factory=list)],
            urgencies: Annotated[list[Literal["high", "low"]], Query(alias="urgencies[]", default_factory=list)],
            incident_key: Word | None = None,
            since: datetime | None = None,
            until: datetime | None = None,
            limit: Limit = PAGE_DEFAULT,
            offset: Offset = 0,
        ) -> Response:
            where = IncidentFilter(
                services=tuple(service_ids),
                statuses=tuple(statuses),
                urgencies=tuple(urgencies),
                dedup_key=incident_key,
                since_us=None if since is None else rest.microseconds(since),
                until_us=None if until is None else rest.microseconds(until),
                offset=offset,
                limit=_page(limit, offset) + 1,
            )
            return await self._bounded(self._incidents(self._shapes(request), where))

        @app.get("/incidents/{id}")
        async def incident(request: Request, id: str) -> Response:
            return await self._bounded(self._incident(self._shapes(request), _parse(id)))

        @app.get("/incidents/{id}/log_entries")
        async def log_entries(request: Request, id: str, limit: Limit = PAGE_DEFAULT, offset: Offset = 0) -> Response:
            page = _page(limit, offset)
            return await self._bounded(self._log_entries(self._shapes(request), _parse(id), offset, page))

        return app

    def _count(self, status: int) -> None:
        self._parts.meters.add(Counter.READ, status=str(status))

    async def unready(self) -> list[str]:
        """Why clients should ask another region, empty when there is no reason."""
        try:
            async with asyncio.timeout(self._parts.read_s_max):
                documents = await self._store.documents(STATUS_PREFIX)
        except (EngineError, TimeoutError) as error:
            return [f"the store does not answer: {str(error) or 'no answer in time'}"]
        reasons = [*self._parts.directory.problems, *self._parts.tokens.problems]
        for document in documents:
            try:
                status = PartitionStatus.decode(document.value)
            except ValueError as error:
                reasons.append(f"the document {document.name} is damaged: {error}")
                continue
            reasons += [f"partition {status.partition} is halted: {why}" for why in status.halted]
            if status.ill:
                reasons.append(f"partition {status.partition} is ill: the store does not take its entries")
        return reasons

    # What every read needs ---------------------------------------------------------------------------------------

    async def _authorize(self, request: Request) -> None:
        match = _AUTHORIZATION.match(request.headers.get("authorization", ""))
        if not match:
            what = "Authorization must be `Token token=...` or `Bearer ...`"
            raise RestError(401, rest.UNAUTHENTICATED, "Unauthorized", [what], {"WWW-Authenticate": "Token"})
        try:
            token = self._parts.tokens.check(match[1] or match[2], self._parts.clock_us())
        except ConfigError as error:
            what = "this region cannot read its tokens; ask another one"
            raise RestError(503, rest.TOO_SLOW, "Service Unavailable", [what], _RETRY) from error
        if token is None:
            what = "no such token, or it has expired or was revoked"
            raise RestError(401, rest.UNAUTHENTICATED, "Unauthorized", [what], {"WWW-Authenticate": "Token"})
        if not token.scope.includes(Scope.READ):
            what = f"the token's scope is {token.scope}; this needs {Scope.READ}"
            raise RestError(403, rest.DENIED, "Access Denied", [what])

    async def _bounded(self, reading: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._parts.read_s_max):
                return await reading
        except (EngineError, TimeoutError) as error:
            why = str(error) or f"no answer within {self._parts.read_s_max:g} s"
            message = "The store of this region does not answer; try again later, or ask another region now"
            raise RestError(503, rest.TOO_SLOW, message, [why], _RETRY) from error

    def _shapes(self, request: Request) -> Shapes:
        return Shapes(str(request.base_url).rstrip("/"), self._parts.directory)

    # Reads -------------------------------------------------------------------------------------------------------

    async def _incidents(self, shapes: Shapes, where: IncidentFilter) -> Response:
        freshness = await self._freshness.read()
        found = await self._store.find_incidents(where)
        aside = await self._store.kept_rows(stages=_SHOWN, limit=KEPT_LOOKED_AT_MAX)
        limit = where.limit - 1
        return answer(
            200,
            {
                "incidents": [shapes.incident(incident) for incident in found[:limit]],
                "limit": limit,
                "offset": where.offset,
                "more": len(found) > limit,
                "total": None,
            },
            freshness.headers(
                # A list may lack what it does not show, so it is its range that must be complete, not its rows.
                pending=freshness.is_pending(where.until_us),
                set_aside=[kept for kept in aside if not where.services or kept.key.parent.service in where.services],
            ),
        )

    async def _incident(self, shapes: Shapes, wanted: _Id) -> Response:
        freshness = await self._freshness.read()
        incident = await self._find(wanted)
        if incident is None:
            return await self._absent(wanted, freshness)
        headers = freshness.headers(
            pending=freshness.is_pending(incident.updated_us), set_aside=await self._aside(incident)
        )
        return answer(200, {"incident": shapes.incident(incident)}, headers)

    async def _log_entries(self, shapes: Shapes, wanted: _Id, offset: int, limit: int) -> Response:
        freshness = await self._freshness.read()
        incident = await self._find(wanted)
        if incident is None:
            return await self._absent(wanted, freshness)
        entries = (await self._store.entries_of([incident.parent])).get(incident.parent, [])
        newest_first = entries_in(incident.key, entries)[::-1]
        page = newest_first[offset : offset + limit]
        return answer(
            200,
            {
                "log_entries": [shapes.log_entry(entry, incident) for entry in page],
                "limit": limit,
                "offset": offset,
                "more": len(newest_first) > offset + limit,
                "total": None,
            },
            freshness.headers(pending=freshness.is_pending(incident.updated_us), set_aside=await self._aside(incident)),
        )

    async def _aside(self, incident: Incident) -> list[Kept]:
        return [kept for kept in await self._store.kept_of(incident.parent) if kept.stage in _SHOWN]

    async def _find(self, wanted: _Id) -> Incident | None:
        """The incident that an id names: its own, an alias of it, or that of an entry in its time.

        Raises `RestError` when an id without digest names several.
        """
        named = await self._store.find_incidents(IncidentFilter(id=wanted.id, limit=PAGE_MAX))
        own = [incident for incident in named if incident.key.id == wanted.id]
        found = [incident for incident in own if incident.key.digest.startswith(wanted.digest)]
        if not found:
            entries = await self._store.find_entries(wanted.id)
            for entry in entries:
                if entry.key.digest.startswith(wanted.digest):
                    incident = incident_of(entry, await self._store.incidents_of(entry.key.parent))
                    if incident and (incident.resolved_us is None or entry.received_us <= incident.resolved_us):
                        found.append(incident)
        if len({incident.key for incident in found}) > 1:
            keys = ", ".join(sorted(incident.key.printed for incident in found))
            raise RestError(400, rest.INVALID, "Invalid Input Provided", [f"the id names several incidents: {keys}"])
        return found[0] if found else None

    async def _absent(self, wanted: _Id, freshness: Freshness) -> Response:
        """The answer about an id that names no incident here."""
        kept = [row for row in await self._store.find_kept(wanted.id) if row.key.digest.startswith(wanted.digest)]
        kept = [row for row in kept if row.stage is not Stage.DONE]
        is_recorded = any(
            entry.key.digest.startswith(wanted.digest) for entry in await self._store.find_entries(wanted.id)
        )
        # An id from the future was minted by no intake whose clock is right: nothing will ever make it appear.
        is_future = id_seconds(wanted.id) > self._parts.clock_us() / 1e6 + CLOCK_BOUND_S
        may_come = not covers(freshness.until_us, wanted.id) and not is_future
        headers = freshness.headers(pending=may_come, set_aside=[row for row in kept if row.stage in _SHOWN])
        if any(row.stage in (Stage.HELD, Stage.ASIDE) for row in kept):
            what = f"it could not be stored yet ({kept[0].stage.replace('_', ' ')}): {kept[0].reason}"
        elif kept:
            what = f"it is {kept[0].stage}: {kept[0].reason}"
            raise RestError(404, rest.NOT_FOUND, "Not Found", [f"{wanted.shown}: {what}"], headers)
        elif may_come:
            what = "it is younger than what is complete here: if a region accepted it, it is on its way"
        else:
            what = (
                "it is recorded, but belongs to no incident" if is_recorded else "it is in no log that was read so far"
            )
            raise RestError(404, rest.NOT_FOUND, "Not Found", [f"{wanted.shown}: {what}"], headers)
        return answer(202, {"status": "pending", "id": wanted.shown, "message": what}, headers)


def _page(limit: int, offset: int) -> int:
    if offset + limit > REACH_MAX:
        what = f"offset and limit together must not exceed {REACH_MAX}; narrow since and until instead"
        raise RestError(400, rest.INVALID, "Invalid Input Provided", [what])
    return min(limit, PAGE_MAX)


def _parse(text: str) -> _Id:
    try:
        return _Id(*parse_printed(text)) if "." in text else _Id(parse_id(text), b"")
    except ValueError as error:
        raise RestError(404, rest.NOT_FOUND, "Not Found", [str(error)]) from error


async def _rest_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RestError)  # noqa: S101 (what it is registered for)
    return answer(error.status, error.body, error.headers)


async def _invalid_input(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = [f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}" for fault in error.errors()]
    return answer(400, rest.error_body(rest.INVALID, "Invalid Input Provided", errors))


def _error_body(status: int, text: str) -> object:
    words = {404: ("Not Found", rest.NOT_FOUND), 405: ("Method Not Allowed", rest.INVALID)}
    message, code = words.get(status, ("Internal Error", rest.TOO_SLOW))
    return rest.error_body(code, message, [text])

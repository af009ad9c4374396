"""The desk: what all routes of the REST interface share. How complete an answer is, what an id names, pages, bounds.

Creation is asynchronous, so there are three answers about an id and not two: here it is; *pending* (202), when it is
younger than complete-until and may be on its way; *unknown* (404), when it is in no log that this region has read. A
request that could not be stored is a fourth: known, and set aside or quarantined. Reads show it by its key, since an
answer that leaves it out silently would be a lie.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple, TypeVar

from fastapi import Query, Request
from fastapi.responses import Response
from pydantic import Field

from tocsin.core.completeness import CLOCK_BOUND_S, covers
from tocsin.core.entries import Entry
from tocsin.core.ids import format_id, id_seconds, parse_id, parse_printed
from tocsin.core.incidents import Incident, IncidentFilter, owner_of
from tocsin.core.kept import Kept, Stage
from tocsin.engines.audit import AuditTrail
from tocsin.engines.directory import Directory
from tocsin.engines.errors import EngineError
from tocsin.engines.store import Store
from tocsin.roles.freshness import Freshness, FreshnessReader
from tocsin.roles.rest.errors import RETRY, TOO_SLOW, RestError, invalid, no_incident
from tocsin.roles.rest.gate import Caller, Gate, caller_of
from tocsin.roles.rest.shapes import Shapes
from tocsin.roles.web import answer

PAGE_DEFAULT: Final = 25
PAGE_MAX: Final = 100
REACH_MAX: Final = 10_000
"""Offset and limit together; to see more, narrow the time."""
KEPT_LOOKED_AT_MAX: Final = 1_000
SHOWN: Final = (Stage.ASIDE, Stage.QUARANTINED)
T = TypeVar("T")

Word = Annotated[str, Field(max_length=255, pattern=r"^[^\x00]*$")]
Words = Annotated[tuple[Word, ...], Field(max_length=PAGE_MAX)]
"""Parameters with many values are tuples, empty by default: pydantic looks at the signature of a factory of lists at
each call, which was about a quarter of the time of a read.
"""
Limit = Annotated[int, Query(ge=1, description=f"At most {PAGE_MAX} are given at once.")]
Offset = Annotated[int, Query(ge=0, description=f"With the limit at most {REACH_MAX}.")]
Total = Annotated[bool, Query(description="Whether to count all that match.")]


class Id(NamedTuple):
    """What a path names: a temporal id, and with a printed request key the begin of the digest."""

    id: int
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> "Id":
        """The id of a path; raises `RestError`."""
        try:
            return cls(*parse_printed(text)) if "." in text else cls(parse_id(text), b"")
        except ValueError as error:
            raise no_incident(str(error)) from error

    @property
    def shown(self) -> str:
        """As it was given."""
        return format_id(self.id) + (f".{self.digest.hex()}" if self.digest else "")


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list that is asked for."""

    offset: int
    limit: int

    @classmethod
    def of(cls, limit: int, offset: int) -> "Page":
        """The page; raises `RestError` for one too far back."""
        if offset + limit > REACH_MAX:
            raise invalid(f"offset and limit together must not exceed {REACH_MAX}; narrow since and until instead")
        return cls(offset, min(limit, PAGE_MAX))

    def wrap(self, name: str, found: Collection[Any], total: int | None, *, more: bool) -> dict[str, Any]:
        """The body of a list."""
        return {name: found, "limit": self.limit, "offset": self.offset, "more": more, "total": total}


@dataclass(frozen=True, slots=True)
class Desk:
    """What answers are made from."""

    store: Store
    freshness: FreshnessReader
    directory: Directory
    gate: Gate
    audit: AuditTrail
    clock_us: Callable[[], int]
    read_s_max: float

    def shapes(self, request: Request, include: Collection[str] = ()) -> Shapes:
        """Shapes for one request."""
        return Shapes(str(request.base_url).rstrip("/"), self.directory, include)

    async def bounded(self, reading: Awaitable[T]) -> T:
        """What reading comes to; `RestError` when the store does not answer in time."""
        try:
            async with asyncio.timeout(self.read_s_max):
                return await reading
        except (EngineError, TimeoutError) as error:
            why = str(error) or f"no answer within {self.read_s_max:g} s"
            message = "The store of this region does not answer; try again later, or ask another region now"
            raise RestError(503, TOO_SLOW, message, [why], RETRY) from error

    # What an id names --------------------------------------------------------------------------------------------

    async def found(self, request: Request, wanted: Id) -> tuple[Incident | None, Freshness]:
        """The incident that an id names, and how fresh that is. Raises `RestError` for one that is not theirs."""
        freshness = await self.freshness.read()
        incident = await self._find(wanted)
        if incident:
            self.check(request, incident.parent.service)
        return incident, freshness

    def check(self, request: Request, service: str) -> None:
        """Raises `RestError` unless what belongs to this service is the caller's to see."""
        caller = caller_of(request)
        if not caller.may_see(service):
            why = f"the token is for services {', '.join(caller.token.services)} alone, and this is of another"
            raise self.gate.denied(request, caller.token, why)

    async def _find(self, wanted: Id) -> Incident | None:
        """The incident that an id names: its own, an alias of it, or that of an entry of it.

        Raises `RestError` when an id without digest names several.
        """
        named = await self.store.find_incidents(IncidentFilter(id=wanted.id, limit=PAGE_MAX))
        own = [incident for incident in named if incident.key.id == wanted.id]
        found = [incident for incident in own if incident.key.digest.startswith(wanted.digest)]
        if not found:
            entries = await self.entries(wanted)
            owners = [owner_of(entry, await self.store.incidents_of(entry.key.parent)) for entry in entries]
            found = [incident for incident in owners if incident]
        if len({incident.key for incident in found}) > 1:
            keys = ", ".join(sorted(incident.key.printed for incident in found))
            raise invalid(f"the id names several incidents: {keys}")
        return found[0] if found else None

    async def entries(self, wanted: Id) -> list[Entry]:
        """The entries that an id names."""
        return [
            entry for entry in await self.store.find_entries(wanted.id) if entry.key.digest.startswith(wanted.digest)
        ]

    async def absent(self, caller: Caller, wanted: Id, freshness: Freshness) -> Response:
        """The answer about an id that names nothing here."""
        kept = [row for row in await self.store.find_kept(wanted.id) if row.key.digest.startswith(wanted.digest)]
        kept = [row for row in kept if row.stage is not Stage.DONE and caller.may_see(row.key.parent.service)]
        # An id from the future was minted by no intake whose clock is right: nothing will ever make it appear.
        is_future = id_seconds(wanted.id) > self.clock_us() / 1e6 + CLOCK_BOUND_S
        may_come = not covers(freshness.until_us, wanted.id) and not is_future
        headers = freshness.headers(pending=may_come, set_aside=[row for row in kept if row.stage in SHOWN])
        if any(row.stage in (Stage.HELD, Stage.ASIDE) for row in kept):
            what = f"it could not be stored yet ({kept[0].stage.replace('_', ' ')}): {kept[0].reason}"
        elif kept:
            raise no_incident(f"{wanted.shown}: it is {kept[0].stage}: {kept[0].reason}", headers=headers)
        elif may_come:
            what = "it is younger than what is complete here: if a region accepted it, it is on its way"
        else:
            is_recorded = any(caller.may_see(entry.key.parent.service) for entry in await self.entries(wanted))
            what = "is recorded, but belongs to no incident" if is_recorded else "is in no log that was read so far"
            raise no_incident(f"{wanted.shown}: it {what}", headers=headers)
        return answer(202, {"status": "pending", "id": wanted.shown, "message": what}, headers)

    # How complete an answer is -----------------------------------------------------------------------------------

    async def headers_of(self, incident: Incident, freshness: Freshness) -> dict[str, str]:
        """What an answer about one incident says of itself."""
        aside = [kept for kept in await self.store.kept_of(incident.parent) if kept.stage in SHOWN]
        return freshness.headers(pending=freshness.is_pending(incident.updated_us), set_aside=aside)

    async def headers_of_list(
        self, freshness: Freshness, until_us: int | None, services: Iterable[str]
    ) -> dict[str, str]:
        """What a list says of itself. It may lack what it does not show, so it is its range that must be complete."""
        aside: list[Kept] = await self.store.kept_rows(stages=SHOWN, limit=KEPT_LOOKED_AT_MAX)
        wanted = frozenset(services)
        shown = [kept for kept in aside if not wanted or kept.key.parent.service in wanted]
        return freshness.headers(pending=freshness.is_pending(until_us), set_aside=shown)

"""Querier: PagerDuty's REST interface on the region's outcome store, and the door of its log for what people do.

It says of each answer how complete it is (`rest/desk.py`), answers reads from the store alone, and changes nothing
there: what a person does goes through the log, as all else does (`rest/changes.py`).
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response

from tocsin.core.documents import STATUS_PREFIX, PartitionStatus
from tocsin.core.rates import Rates
from tocsin.engines.audit import AuditTrail
from tocsin.engines.directory import Directory
from tocsin.engines.errors import EngineError
from tocsin.engines.store import Store
from tocsin.engines.tokens import TokenFile
from tocsin.roles.freshness import FreshnessReader
from tocsin.roles.minting import Mint
from tocsin.roles.openapi import PATH, describe
from tocsin.roles.rest import catalogue, directory_models, errors, incidents, log_entries, models, people
from tocsin.roles.rest.changes import Changes
from tocsin.roles.rest.desk import Desk
from tocsin.roles.rest.errors import RestError, error_body
from tocsin.roles.rest.gate import REQUESTS_PER_MIN_MAX, Gate, RateHeaders
from tocsin.roles.rest.register import Register
from tocsin.roles.web import answer, make_app
from tocsin.telemetry import Counter, Meters

READ_S_MAX: Final = 5.0
ABOUT: Final = """\
PagerDuty's REST API v2 on Tocsin's incident log. Creation is asynchronous: `Tocsin-Complete-Until` says up to when an
answer is complete, `Tocsin-Pending` whether it may lack something, `Tocsin-Set-Aside` what could not be stored."""


@dataclass(frozen=True, slots=True)
class QuerierParts:
    """What a querier is put together from. `regions` are all regions by name, this one included."""

    regions: tuple[str, ...]
    partitions: int
    store: Store
    mint: Mint
    tokens: TokenFile
    directory: Directory
    audit: AuditTrail
    meters: Meters
    clock_us: Callable[[], int]
    monotonic: Callable[[], float] = time.monotonic
    read_s_max: float = READ_S_MAX
    requests_per_min_max: int = REQUESTS_PER_MIN_MAX
    """What one token may ask in a minute."""


class Querier:
    """Answers clients."""

    def __init__(self, parts: QuerierParts) -> None:
        self._parts = parts
        gate = Gate(parts.tokens, parts.audit, parts.clock_us, parts.monotonic, parts.requests_per_min_max, Rates())
        freshness = FreshnessReader(
            parts.store, partitions=parts.partitions, regions=parts.regions, monotonic=parts.monotonic
        )
        self._gate = gate
        self._desk = Desk(parts.store, freshness, parts.directory, gate, parts.audit, parts.clock_us, parts.read_s_max)

    def app(self) -> FastAPI:
        """The ASGI app."""
        app = make_app("Tocsin querier", _error_body, self._count, [Depends(self._gate)])
        app.add_middleware(RateHeaders)
        app.add_exception_handler(RestError, _rest_error)
        app.add_exception_handler(RequestValidationError, _invalid_input)
        register = Register(self._desk, self._parts.mint.random_bytes)
        for routes in (incidents.routes, log_entries.routes):
            app.include_router(routes(self._desk))
        for routes_of_directory in (catalogue.routes, people.routes):
            app.include_router(routes_of_directory(self._desk, register))
        app.include_router(Changes(self._desk, self._parts.mint).routes())

        @app.get(PATH, include_in_schema=False)
        async def openapi() -> Response:
            return answer(200, describe(app, ABOUT, models.ErrorBody, taken=(*models.TAKEN, *directory_models.TAKEN)))

        return app

    def _count(self, status: int, _took_s: float) -> None:
        self._parts.meters.add(Counter.READ, status=str(status))

    async def unready(self) -> list[str]:
        """Why clients should ask another region, empty when there is no reason."""
        try:
            async with asyncio.timeout(self._parts.read_s_max):
                documents = await self._parts.store.documents(STATUS_PREFIX)
        except (EngineError, TimeoutError) as error:
            return [f"the store does not answer: {str(error) or 'no answer in time'}"]
        reasons = [*self._parts.directory.unready, *self._parts.tokens.problems]
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


async def _rest_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RestError)  # noqa: S101 (what it is registered for)
    return answer(error.status, error.body, error.headers)


async def _invalid_input(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    flaws = [f"{'.'.join(map(str, flaw['loc'][1:]))}: {flaw['msg']}" for flaw in error.errors()]
    return answer(400, error_body(errors.INVALID, errors.INVALID_INPUT, flaws))


def _error_body(status: int, text: str) -> object:
    words = {404: ("Not Found", errors.NOT_FOUND), 405: ("Method Not Allowed", errors.INVALID)}
    message, code = words.get(status, ("Internal Error", errors.INTERNAL))
    return error_body(code, message, [text])

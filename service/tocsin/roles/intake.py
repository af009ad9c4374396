"""Intake: takes events at the door, and answers 202 once this region's log has them.

Theory
------
All that is decided here is whether an event is one, by the creator's own code; all that is added is what only the door
knows: the id, when it was received, and where. Nothing is stored and nothing is read back. A 202 means that the log has
the request on its in-sync replicas; any other answer leaves the event with the client, and a 503 says whether it was
never tried or may be recorded all the same. Since entries of one dedup key fold into one incident, sending again after
a 503 is always safe.

A client may mint the id itself and send it in `Idempotency-Key`. It names the request then, whatever its age within
retention; when we received it stays what it is. What the client did not give follows from id and event, so the same
event with the same id is the same request, in every region and however often it comes.

Services do not get in each other's way: each has a rate of its own, and a share of what may wait for the log. Both hold
for one process; a region with two intakes takes twice as much.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from tocsin.core.directory import Service
from tocsin.core.events import InvalidEvent
from tocsin.core.idempotency import HEADER, client_id
from tocsin.core.rates import EVENTS_PER_MIN_MAX, Rates
from tocsin.core.shares import Shares
from tocsin.engines.audit import AuditTrail, Deed
from tocsin.engines.directory import Directory
from tocsin.engines.log import Log
from tocsin.roles.doors import DOORS, ROUTING_KEY, Door, NoSuchService, Refusal, TooMany, described, error_body
from tocsin.roles.minting import Accepted, Mint, NotTaken
from tocsin.roles.openapi import PATH, describe
from tocsin.roles.ticks import Ticker
from tocsin.roles.web import READ_S_MAX, BodyTooLarge, BodyTooSlow, PlainRoute, answer, credential, make_app, read_body
from tocsin.telemetry import NOTHING_FOLLOWED, Bound, Counter, Histogram, Meters, Traces, bound
from tocsin.telemetry.traces import TRACEPARENT, traceparent

ABOUT: Final = """\
Where Tocsin takes events. They are authenticated by the routing key in them. 202, or 200, means that this region's log
has the event; a 503 says whether it may be recorded all the same."""


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """The bounds of intake's waits and queues, in seconds unless said."""

    append_s_max: float = 3.0
    """How long this region's log may take to acknowledge one event; never above the mint-to-append limit."""
    peer_append_s_max: float = 1.5
    """The same for the peers' logs, all asked at one time and before our own."""
    in_flight_max: int = 1_000
    """Events whose append is not acknowledged yet, all services together; one more is answered 503 untried."""
    retry_after_s: int = 2
    """What a 503 tells clients to wait."""
    read_s_max: float = READ_S_MAX
    """How long a client may take to send a body."""


@dataclass(frozen=True, slots=True)
class IntakeParts:
    """What an intake is put together from. `peers` are the peers' own logs, by region, for `ack: all-regions`."""

    region: str
    topic: str
    partitions: int
    log: Log
    directory: Directory
    meters: Meters
    clock_us: Callable[[], int]
    random_bytes: Callable[[int], bytes]
    """Cryptographic randomness."""
    audit: AuditTrail
    peers: Mapping[str, Log] = field(default_factory=dict)
    traces: Traces = NOTHING_FOLLOWED
    readiness: Callable[[], list[str]] = list
    """What else keeps this intake from being ready: a drained region, a clock that is off. It takes events all the
    same.
    """
    retention_s: float = 604_800.0
    """How long the log keeps requests, so how old an id of a client may be."""
    limits: IntakeLimits = IntakeLimits()
    monotonic: Callable[[], float] = time.monotonic


class Intake:
    """One region's door for events."""

    def __init__(self, parts: IntakeParts) -> None:
        self._parts = parts
        self._limits = parts.limits
        self._mint = Mint(
            parts.region,
            parts.topic,
            parts.partitions,
            parts.log,
            parts.clock_us,
            parts.random_bytes,
            parts.peers,
            parts.limits.append_s_max,
            parts.limits.peer_append_s_max,
            parts.monotonic,
        )
        for status in ("2xx", "4xx", "5xx"):
            parts.meters.observe(Histogram.ANSWER_S, (), status=status)
        self._rates = Rates()
        self._shares = Shares(parts.limits.in_flight_max)
        parts.meters.watch(lambda: bound(Bound.EVENTS, self._shares.held, parts.limits.in_flight_max))
        self.ticker = Ticker(
            parts.log,
            parts.topic,
            parts.partitions,
            parts.region,
            clock_us=parts.clock_us,
            monotonic=parts.monotonic,
        )

    def app(self) -> FastAPI:
        """The ASGI app: all doors."""
        app = make_app("Tocsin intake", error_body, self._count)
        for door in DOORS:
            handler = self._handler(door)
            app.router.add_api_route(
                door.path, handler, methods=["POST"], route_class_override=PlainRoute, **described(door)
            )

        @app.get(PATH, include_in_schema=False)
        async def openapi(request: Request) -> Response:
            if self._service_of_header(request) is None:
                self._audit_unknown(request, PATH)
                what = "Authorization must be `Token token=...` or `Bearer ...`, with a routing key"
                return answer(401, error_body(401, what), {"WWW-Authenticate": "Token"})
            return answer(200, describe(app, ABOUT, Refusal, with_token=False))

        return app

    def _count(self, status: int, took_s: float) -> None:
        self._parts.meters.observe(Histogram.ANSWER_S, (took_s,), status=f"{status // 100}xx")
        if status < 300:  # noqa: PLR2004 (HTTP)
            self._parts.meters.add(Counter.ACCEPTED)
        else:
            self._parts.meters.add(Counter.REFUSED, status=str(status))

    async def unready(self) -> list[str]:
        """Why clients should rather go elsewhere, empty when there is no reason."""
        return [*self._parts.readiness(), *self.ticker.unready(), *self._parts.directory.unready]

    # One event, from bytes to answer -----------------------------------------------------------------------------

    def _handler(self, door: Door) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            with self._parts.traces.at_door(f"POST {door.name}", request.headers.get(TRACEPARENT, "")) as span:
                response = await answered(request, traceparent(span))
                span.set_attribute("http.response.status_code", response.status_code)
            return response

        async def answered(request: Request, trace: str) -> Response:
            try:
                body = await read_body(request, bytes_max=door.body_bytes_max, read_s_max=self._limits.read_s_max)
                event = door.parse(body, request.path_params.get(ROUTING_KEY, ""))
                return door.success(await self.take(event, self._given_id(request), trace))
            except BodyTooLarge as error:
                return door.unread(str(error))
            except BodyTooSlow as error:
                return door.slow(str(error))
            except ClientDisconnect:
                return answer(400, error_body(400, "the client went away"))  # nobody is there to read it
            except InvalidEvent as error:
                return door.invalid(error)
            except NoSuchService:
                self._audit_unknown(request, door.name)
                return door.unknown()
            except TooMany as error:
                return door.too_many(error)
            except NotTaken as error:
                return door.unavailable(error, self._limits.retry_after_s)

        return handle

    def _given_id(self, request: Request) -> int | None:
        return client_id(
            request.headers.getlist(HEADER),
            now_s=self._parts.clock_us() / 1_000_000,
            retention_s=self._parts.retention_s,
        )

    async def take(self, event: dict[str, Any], given_id: int | None = None, trace: str = "") -> Accepted:
        """Makes a valid event a request and appends it. `given_id` is the client's own, `trace` the context of the
        trace that follows it.

        Raises `InvalidEvent`, `TooLarge`, `NoSuchService`, `TooMany`, `NotTaken`.
        """
        service = self._service_of(event)
        with self._place(service):
            self._hold_to_rate(service)
            return await self._mint.record(service, event, given_id, trace)

    # What a service may take of this process ---------------------------------------------------------------------

    def _service_of(self, event: dict[str, Any]) -> Service:
        service = self._parts.directory.service_of(event["routing_key"])
        if service is None:
            wait_s = self._rates.take(None, EVENTS_PER_MIN_MAX, self._parts.monotonic())
            if wait_s:
                raise TooMany(f"more than {EVENTS_PER_MIN_MAX} events a minute have a key that nobody has", wait_s)
            raise NoSuchService
        return service

    def _service_of_header(self, request: Request) -> Service | None:
        """Whose routing key stands in `Authorization`."""
        key = credential(request)
        return None if key is None else self._parts.directory.service_of(key)

    def _audit_unknown(self, request: Request, door: str) -> None:
        """Writes down that a key was tried that nobody has. `door`, not the path: the key may be in that."""
        client = request.client.host if request.client else "unknown"
        self._parts.audit.refused(Deed.UNKNOWN_ROUTING_KEY, client=client, door=door)

    def _hold_to_rate(self, service: Service) -> None:
        limit = service.events_per_min_max
        wait_s = self._rates.take(service.id, limit, self._parts.monotonic())
        if wait_s:
            raise TooMany(f"service {service.id} may send {limit} events a minute to this intake", wait_s)

    @contextmanager
    def _place(self, service: Service) -> Iterator[None]:
        if not self._shares.enter(service.id):
            region = self._parts.region
            reason = f"{self._shares.held} events wait for the log of region {region} already, too many of them from "
            raise NotTaken(f"{reason}service {service.id}", may_be_recorded=False)
        try:
            yield
        finally:
            self._shares.leave(service.id)

"""Intake: takes events at the door, and answers 202 once this region's log has them.

Theory
------
All that is decided here is whether an event is one, by the creator's own code; all that is added is what only the door
knows: the id, when it was received, and where. Nothing is stored and nothing is read back. A 202 means that the log has
the request on its in-sync replicas; any other answer leaves the event with the client, and a 503 says whether it was
never tried or may be recorded all the same. Since entries of one dedup key fold into one incident, sending again after
a 503 is always safe.

An append that is not acknowledged within the mint-to-append limit is not accepted, even if it arrives later: ticks
promise readers that whatever was accepted stands below them.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from tocsin.core import requests
from tocsin.core.completeness import MINT_TO_APPEND_S
from tocsin.core.events import (
    EVENT_BYTES_MAX,
    InvalidEvent,
    TooLarge,
    client_digest,
    given_dedup_key,
    parse_event,
    request_body,
)
from tocsin.core.ids import Minter, Parent, RequestKey, format_id, partition_of
from tocsin.engines.directory import Ack, Directory, PeerUnreachable, Service
from tocsin.engines.errors import EngineError, Refused
from tocsin.engines.log import Log
from tocsin.roles.ticks import Ticker
from tocsin.roles.web import READ_S_MAX, BodyTooLarge, BodyTooSlow, admin_app, answer, make_app, read_body, serve
from tocsin.telemetry import Counter, Gauge, Meters

ACK_HEADER: Final = "Tocsin-Ack"


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """The bounds of intake's waits and queues, in seconds unless said."""

    append_s_max: float = 3.0
    """How long this region's log may take to acknowledge one event; never above the mint-to-append limit."""
    peer_append_s_max: float = 1.5
    """The same for the peers' logs, all asked at one time and before our own."""
    in_flight_max: int = 1_000
    """Events whose append is not acknowledged yet; one more is answered 503 untried."""
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
    peers: Mapping[str, Log] = field(default_factory=dict)
    readiness: Callable[[], list[str]] = list
    """What else keeps this intake from being ready: a drained region, a clock that is off. It takes events all the
    same.
    """
    limits: IntakeLimits = IntakeLimits()
    monotonic: Callable[[], float] = time.monotonic


class NotTaken(Exception):
    """An event that was valid and is not accepted. `may_be_recorded`: it may be in some log all the same."""

    def __init__(self, reason: str, *, may_be_recorded: bool) -> None:
        super().__init__(reason)
        self.may_be_recorded = may_be_recorded


class Accepted(NamedTuple):
    """An event that the logs have, and which of them."""

    key: RequestKey
    ack: Ack


class Intake:
    """One region's door for events."""

    def __init__(self, parts: IntakeParts) -> None:
        self._parts = parts
        self._limits = parts.limits
        self._minter = Minter()
        self._in_flight = 0
        self.ticker = Ticker(
            parts.log,
            parts.topic,
            parts.partitions,
            parts.region,
            clock_us=parts.clock_us,
            monotonic=parts.monotonic,
        )

    def app(self) -> FastAPI:
        """The ASGI app: `POST /v2/enqueue` of PagerDuty's Events API v2."""
        app = make_app("Tocsin intake", _error_body, self._count)

        @app.post("/v2/enqueue", status_code=202)
        async def enqueue(request: Request) -> Response:
            return await self._enqueue(request)

        return app

    def _count(self, status: int) -> None:
        if status == 202:  # noqa: PLR2004 (HTTP)
            self._parts.meters.add(Counter.ACCEPTED)
        else:
            self._parts.meters.add(Counter.REFUSED, status=str(status))

    async def unready(self) -> list[str]:
        """Why clients should rather go elsewhere, empty when there is no reason."""
        return [*self._parts.readiness(), *self.ticker.unready(), *self._parts.directory.problems]

    # One event, from bytes to answer -----------------------------------------------------------------------------

    async def _enqueue(self, request: Request) -> Response:
        try:
            body = await read_body(request, bytes_max=EVENT_BYTES_MAX, read_s_max=self._limits.read_s_max)
            event = parse_event(body)
            accepted = await self.take(event)
        except BodyTooLarge as error:
            return _refusal(413, TooLarge("the body", str(error), EVENT_BYTES_MAX), {"Connection": "close"})
        except BodyTooSlow as error:
            return answer(408, _error_body(408, str(error)), {"Connection": "close"})
        except ClientDisconnect:
            return answer(400, _error_body(400, "the client went away"))  # nobody is there to read it
        except TooLarge as error:
            return _refusal(413, error)
        except InvalidEvent as error:
            return _refusal(400, error)
        except NotTaken as error:
            return self._unavailable(error)
        parent = accepted.key.parent
        return answer(
            202,
            {
                "status": "success",
                "message": "Event processed",
                "dedup_key": parent.dedup_key,
                "parent": str(parent),
                "id": format_id(accepted.key.id),
                "request": accepted.key.printed,
            },
            {ACK_HEADER: accepted.ack},
        )

    def _unavailable(self, error: NotTaken) -> Response:
        if error.may_be_recorded:
            advice = "it may be recorded or not: send it again with the same dedup key"
        else:
            advice = "it is not recorded: send it again, here later or to another region now"
        body = {"status": "unavailable", "message": f"Event is not accepted; {advice}", "errors": [str(error)]}
        return answer(503, body, {"Retry-After": str(self._limits.retry_after_s)})

    async def take(self, event: dict[str, Any]) -> Accepted:
        """Makes a valid event a request and appends it. Raises `InvalidEvent`, `TooLarge`, `NotTaken`."""
        service = self._parts.directory.service_of(event["routing_key"])
        if service is None:
            raise InvalidEvent("invalid event", "Event object is invalid", ["Invalid routing key"])
        dedup_key = given_dedup_key(event) or self._parts.random_bytes(16).hex()
        parent = Parent(service.id, dedup_key)
        body = request_body(event, dedup_key)
        with self._slot():
            minted_at = self._parts.monotonic()
            received_us = self._parts.clock_us()
            temporal_id = self._minter.mint(
                received_us // 1_000_000, int.from_bytes(self._parts.random_bytes(4), "big")
            )
            key = RequestKey(parent, temporal_id, client_digest(parent, body))
            request = requests.Request(key, received_us, self._parts.region, requests.SCHEMA, body)
            ack = await self._append(requests.encode_request(request), service, parent)
            if self._parts.monotonic() - minted_at > MINT_TO_APPEND_S:
                reason = f"the log acknowledged it later than {MINT_TO_APPEND_S:g} s after it was received"
                raise NotTaken(reason, may_be_recorded=True)
        return Accepted(key, ack)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if self._in_flight >= self._limits.in_flight_max:
            reason = f"{self._in_flight} events wait for the log of region {self._parts.region} already"
            raise NotTaken(reason, may_be_recorded=False)
        self._in_flight += 1
        self._parts.meters.set(Gauge.IN_FLIGHT, self._in_flight)
        try:
            yield
        finally:
            self._in_flight -= 1
            self._parts.meters.set(Gauge.IN_FLIGHT, self._in_flight)

    # The logs ----------------------------------------------------------------------------------------------------

    async def _append(self, record: requests.Record, service: Service, parent: Parent) -> Ack:
        """Appends to the peers' logs first, if the service wants it, then to our own."""
        partition = partition_of(parent, self._parts.partitions)
        ack = service.ack
        if ack is Ack.ALL_REGIONS:
            unreached = await self._append_to_peers(partition, record)
            if unreached and service.when_peer_unreachable is PeerUnreachable.REFUSE:
                raise NotTaken("; ".join(unreached), may_be_recorded=True)
            if unreached:
                ack = Ack.REGION
        await self._append_to(self._parts.log, self._parts.region, partition, record, self._limits.append_s_max)
        return ack

    async def _append_to_peers(self, partition: int, record: requests.Record) -> list[str]:
        """What went wrong, empty when all peers have it."""

        async def append(region: str, log: Log) -> str | None:
            try:
                await self._append_to(log, region, partition, record, self._limits.peer_append_s_max)
            except NotTaken as error:
                return str(error)
            return None

        outcomes = await asyncio.gather(*(append(region, log) for region, log in self._parts.peers.items()))
        return [outcome for outcome in outcomes if outcome]

    async def _append_to(
        self, log: Log, region: str, partition: int, record: requests.Record, append_s_max: float
    ) -> None:
        try:
            async with asyncio.timeout(append_s_max):
                await log.append(self._parts.topic, partition, [record])
        except TimeoutError as error:
            reason = f"the log of region {region} gave no answer within {append_s_max:g} s"
            raise NotTaken(reason, may_be_recorded=True) from error
        except Refused as error:
            raise InvalidEvent(
                "invalid event", "Event object is invalid", [f"the log of region {region} refuses it: {error}"]
            ) from error
        except EngineError as error:
            raise NotTaken(f"the log of region {region}: {error}", may_be_recorded=True) from error


def intake_app(parts: IntakeParts) -> FastAPI:
    """The ASGI app of an intake by itself, without its ticks."""
    return Intake(parts).app()


async def run_intake(
    parts: IntakeParts, sock: socket.socket, admin_sock: socket.socket, stopping: asyncio.Event
) -> None:
    """Runs an intake with its ticks and its health until `stopping` is set. Its topics must exist."""
    intake = Intake(parts)
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(intake.app(), sock, stopping))
        group.create_task(serve(admin_app("intake", intake.unready, parts.meters), admin_sock, stopping))
        group.create_task(intake.ticker.run(stopping))


def _refusal(status: int, error: InvalidEvent, headers: Mapping[str, str] | None = None) -> Response:
    return answer(status, {"status": error.status, "message": error.message, "errors": error.errors}, headers)


def _error_body(status: int, text: str) -> dict[str, Any]:
    words = {404: "not found", 405: "method not allowed", 408: "timeout", 500: "error"}
    return {"status": words.get(status, "invalid request"), "message": text, "errors": [text]}

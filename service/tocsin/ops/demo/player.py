"""The player: sends events to the regions' intakes as PagerDuty's clients do, and knows what was accepted.

Each try is an operation of the demo's history: what ends in a 503 or a broken connection has an end that nobody knows.

Events of one alert key go one after the other, because a resolve that overtakes its trigger is another story;
different keys go side by side, at both regions. A 503 or a broken connection is no answer: the event is sent again,
within bounds, under the same dedup key, so what was recorded twice is one incident. Who is told that he sends too much
waits as long as he is told.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2

from tocsin.config import ConfigError, Problem
from tocsin.ops.history import Call, Recorder

LANES: Final = 16
"""Events on their way at one time."""
ATTEMPTS_MAX: Final = 40
RETRY_S: Final = 0.25
ACCEPTED: Final = 202
TOO_MANY: Final = 429
UNAVAILABLE: Final = 503
Event = dict[str, Any]


class Accepted(NamedTuple):
    """What intake answered: the printed request key, and where it was sent."""

    request: str
    region: str


class Attempt(NamedTuple):
    """How one sending ended. `status`: what the intake answered; None when it did not. `again_s`: send it again after
    so long; None when there is nothing to be gained by it.
    """

    status: int | None
    accepted: Accepted | None
    again_s: float | None


class Player:
    """Sends events; counts what was accepted."""

    def __init__(self, client: httpx2.AsyncClient, intakes: dict[str, str], recorder: Recorder) -> None:
        """`intakes`: region to the address of its intake."""
        self._client = client
        self._intakes = intakes
        self._recorder = recorder
        self.accepted: list[Accepted] = []
        self.refused: list[tuple[Event, str]] = []

    async def send(self, event: Event, region: str) -> Accepted | None:
        """Sends one event to a region; returns None when it was refused on its merits.

        Raises TimeoutError when no answer came within the bounds.
        """
        for _ in range(ATTEMPTS_MAX):
            attempt = await self.attempt(event, region)
            if attempt.again_s is None:
                return attempt.accepted
            await asyncio.sleep(attempt.again_s)
        message = f"intake of region {region} at {self._intakes[region]} did not answer {ATTEMPTS_MAX} times"
        raise TimeoutError(message)

    async def attempt(self, event: Event, region: str) -> Attempt:
        """Sends one event to a region, once."""
        op = self._recorder.invoke(Call.SEND, "player", region)
        try:
            answer = await self._client.post(f"{self._intakes[region]}/v2/enqueue", json=event)
        except httpx2.TransportError as error:
            self._recorder.info(op, f"{type(error).__name__}: {error}")
            return Attempt(None, None, RETRY_S)
        if answer.status_code == ACCEPTED:
            accepted = Accepted(answer.json()["request"], region)
            self._recorder.ok(op, request=accepted.request)
            self.accepted.append(accepted)
            return Attempt(ACCEPTED, accepted, None)
        why = f"{answer.status_code} {answer.text[:300]}"
        if answer.status_code == UNAVAILABLE:
            self._recorder.info(op, why)
            return Attempt(UNAVAILABLE, None, RETRY_S)
        self._recorder.fail(op, why)
        if answer.status_code == TOO_MANY:
            return Attempt(TOO_MANY, None, float(answer.headers["Retry-After"]))
        self.refused.append((event, why))
        return Attempt(answer.status_code, None, None)

    async def play(self, events: Sequence[Event], regions: Sequence[str], done: Callable[[], None]) -> None:
        """Plays events in at all the regions by turns; `done` is called after each."""
        lanes: list[list[tuple[int, Event]]] = [[] for _ in range(LANES)]
        for number, event in enumerate(events):
            lanes[hash(event.get("dedup_key", number)) % LANES].append((number, event))

        async def walk(lane: Iterable[tuple[int, Event]]) -> None:
            for number, event in lane:
                await self.send(event, regions[number % len(regions)])
                done()

        async with asyncio.TaskGroup() as group:
            for lane in lanes:
                group.create_task(walk(lane))


@asynccontextmanager
async def open_client(ca_file: Path | None) -> AsyncIterator[httpx2.AsyncClient]:
    """A pool of connections; `ca_file` is what the regions' certificates are checked by."""
    async with httpx2.AsyncClient(timeout=10.0, verify=ssl.create_default_context(cafile=ca_file)) as client:
        yield client


def read_events(path: Path, routing_key: str) -> list[Event]:
    """The events of a JSON-lines file; one without a routing key gets this one. Raises ConfigError naming the line."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError([Problem(str(path), "", f"cannot be read: {error.strerror}")]) from error
    events = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except ValueError as error:
            raise ConfigError([Problem(str(path), f"line {number}", f"is not JSON: {error}")]) from error
        if not isinstance(event, dict):
            raise ConfigError([Problem(str(path), f"line {number}", "is not a JSON object, so not an event")])
        events.append({"routing_key": routing_key} | event)
    if not events:
        raise ConfigError([Problem(str(path), "", "holds no events")])
    return events


ALERTS: Final = (
    ("HostDown", "no heartbeat for two minutes", "critical"),
    ("DiskAlmostFull", "less than 5 % of the data volume is free", "error"),
    ("ReplicaLag", "the replica is 90 s behind its primary", "warning"),
    ("CertificateExpires", "the certificate ends within a week", "warning"),
    ("QueueGrows", "more arrives than is worked off, for ten minutes", "error"),
    ("ErrorRate", "more than 1 % of requests end in an error", "critical"),
    ("BackupMissed", "last night's backup was not written", "warning"),
    ("LoginSlow", "signing in takes longer than 3 s at the 99th percentile", "info"),
    ("MemoryPressure", "the kernel is about to kill something", "critical"),
    ("ClockSkew", "the host's clock is 400 ms off", "warning"),
)
HOSTS: Final = 15


def built_in_events(routing_keys: Sequence[str]) -> list[Event]:
    """A night's alerts, each triggered and most of them resolved, spread over the services."""
    triggers, ends = [], []
    for host in range(HOSTS):
        for number, (name, text, severity) in enumerate(ALERTS):
            key = {
                "routing_key": routing_keys[(host + number) % len(routing_keys)],
                "dedup_key": f"{name}/node-{host:02}",
            }
            payload = {
                "summary": f"{name} on node-{host:02}: {text}",
                "source": f"node-{host:02}.example.net",
                "severity": severity,
                "component": name,
                "custom_details": {"host": host, "runbook": f"https://runbooks.example.net/{name}"},
            }
            triggers.append(key | {"event_action": "trigger", "payload": payload})
            if number % 5:
                ends.append(key | {"event_action": "acknowledge"})
            if number % 3:
                ends.append(key | {"event_action": "resolve"})
    return triggers + ends

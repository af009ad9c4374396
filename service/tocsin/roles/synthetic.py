"""The synthetic page: who watches Tocsin? A page that is sent through all of it each minute, and is missed outside.

Theory
------
Every alarm about Tocsin could be lost with Tocsin. So once a minute an event goes in at the door like any client's, for
a service of its own whose only responder is a webhook that leads back here. When the page comes, signed, and about that
very incident, then intake, log, creator, store, notifier and delivery all work; the incident is resolved, and only then
is a dead-man's switch outside called. Whatever breaks, in whatever way, ends the calls, and the service outside pages
somebody by ways of its own.

Which region sent the page does not matter: that it was sent does. What the other regions could not make up for is what
wakes a person here.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx2

from tocsin.roles.clock import now
from tocsin.roles.dead_mans_switch import DeadMansSwitch
from tocsin.roles.page_door import PageDoor
from tocsin.telemetry import Gauge, Reading

PATH: Final = "/v2/enqueue"
CALL_S_MAX: Final = 10.0
MISSED_MAX: Final = 4
"""After so many rounds without a page the process says that it is not ready."""
ACCEPTED: Final = 202
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent where, and how long it may take to come back."""

    region: str
    intake_url: str
    routing_key: str
    every_s: float
    page_s_max: float

    def __repr__(self) -> str:
        """Without the routing key."""
        return f"Plan({self.region}, {self.intake_url}, every {self.every_s:g} s)"


class Synthetic:
    """Sends, waits, resolves, and calls the switch; round after round."""

    def __init__(
        self,
        plan: Plan,
        door: PageDoor,
        client: httpx2.AsyncClient,
        switch: DeadMansSwitch | None,
        monotonic: Callable[[], float] = lambda: now().mono_s,
    ) -> None:
        self._plan = plan
        self._door = door
        self._client = client
        self._switch = switch
        self._monotonic = monotonic
        self._came_s = monotonic()
        """When the last page came, or when we began: a first page that never comes must not look like none yet."""
        self._problem = "none was sent yet"
        self._unresolved: list[str] = []

    async def run(self, stopping: asyncio.Event) -> None:
        """Goes round until `stopping` is set."""
        at = datetime.now(UTC)
        # What a former process left open would swallow the next trigger, and no page would come of that.
        self._unresolved = [_dedup_key(self._plan.region, at - timedelta(hours=1)), _dedup_key(self._plan.region, at)]
        while not stopping.is_set():
            began_s = self._monotonic()
            await self._round()
            try:
                async with asyncio.timeout(max(0.0, began_s + self._plan.every_s - self._monotonic())):
                    await stopping.wait()
            except TimeoutError:
                continue

    @property
    def age_s(self) -> float:
        """How long ago the last page came."""
        return max(0.0, self._monotonic() - self._came_s)

    def readings(self) -> Iterator[Reading]:
        """What gauges show of it."""
        yield Reading(Gauge.SYNTHETIC_AGE_S, self.age_s, {})

    def unready(self) -> list[str]:
        """That the page is missing; empty while it comes."""
        if self.age_s <= MISSED_MAX * max(self._plan.every_s, self._plan.page_s_max):
            return []
        return [f"no synthetic page came for {self.age_s:.0f} s; the last try: {self._problem}"]

    async def _round(self) -> None:
        """1 Resolve what is open. 2 Trigger. 3 Wait for the page. 4 Resolve. 5 Only then, call the switch."""
        if not await self._resolve():
            return
        dedup_key = _dedup_key(self._plan.region, datetime.now(UTC))
        self._unresolved.append(dedup_key)
        incident = await self._send("trigger", dedup_key)
        if not incident:
            return
        with self._door.awaiting(incident) as came:
            try:
                async with asyncio.timeout(self._plan.page_s_max):
                    await came.wait()
            except TimeoutError:
                self._fail(f"the page about {incident} did not come within {self._plan.page_s_max:.0f} s")
        if came.is_set():
            self._came_s = self._monotonic()
        if await self._resolve() and came.is_set():
            self._problem = ""
            if self._switch is not None:
                await self._switch.ping()

    async def _resolve(self) -> bool:
        while self._unresolved:
            if not await self._send("resolve", self._unresolved[0]):
                return False
            self._unresolved.pop(0)
        return True

    async def _send(self, action: str, dedup_key: str) -> str:
        """Sends an event; returns the id of the request, empty when it was not taken."""
        event: dict[str, Any] = {
            "routing_key": self._plan.routing_key,
            "event_action": action,
            "dedup_key": dedup_key,
            "payload": {
                "summary": f"Synthetic page of region {self._plan.region}: it resolves itself",
                "source": "tocsin",
                "severity": "critical",
            },
        }
        try:
            async with asyncio.timeout(CALL_S_MAX):
                answer = await self._client.post(f"{self._plan.intake_url}{PATH}", json=event)
            if answer.status_code == ACCEPTED:
                return str(answer.json()["id"])
            self._fail(f"intake answered {action} with HTTP {answer.status_code}")
        except (httpx2.HTTPError, TimeoutError, ValueError, LookupError, TypeError) as error:
            self._fail(f"intake did not take {action}: {type(error).__name__} {error}".strip())
        return ""

    def _fail(self, problem: str) -> None:
        self._problem = problem
        _log.error("the synthetic page fails: %s", problem, extra={"action": "synthetic_page_failed"})


def _dedup_key(region: str, at: datetime) -> str:
    """One an hour: what belongs together stays small, and does not grow for ever."""
    return f"synthetic/{region}/{at:%Y-%m-%dT%H}"

"""Clients at play: each sends alerts and ends them, one after another, for as long as it is wanted to."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Literal

from tests.acceptance.clients import pdjs, python
from tests.acceptance.clients.alertmanager import SERVICES, Alertmanager, dedup_key
from tests.acceptance.clients.regions import Regions
from tests.acceptance.conftest import until
from tocsin.client import Producer

CLIENTS = ("pagerduty", "pdpyras", "pdjs", "alertmanager v2", "alertmanager webhook", "producer")
TITLE = "Play"
"""All incidents of a play have it in their title."""
EVENTS = 200
"""Each client plays so many, and then goes on until it is told that it is over."""
RESEND_S = 0.2
STEP_S = 0.1
ALERTS_A_STEP = 3
STEPS_OPEN = 5
TOLD_S_MAX = 20.0
PRODUCER_SERVICE = "legacy-monitor"
Send = Callable[[Literal["trigger", "resolve"], str], bool]
"""Sends an event of a dedup key; whether the client said that it is taken."""


@dataclass
class Played:
    """What a client has played so far."""

    service: str
    keys: list[str] = field(default_factory=list)
    """The dedup keys of the alerts that it sent and ended."""
    accepted: int = 0
    """Events that it said are taken."""
    failed: int = 0
    """Events that it said are not, so that its user had to send them again; Alertmanager does so itself."""
    intakes: set[str] = field(default_factory=set)
    """Who took them, of a client that says so."""
    ids: dict[str, str] = field(default_factory=dict)
    """Dedup key to the id of the trigger, of a client that mints it."""


class Players:
    """The clients of this machine that can be tried."""

    def __init__(self, regions: Regions, folder: Path, stack: ExitStack, clients: list[str]) -> None:
        """What they need is closed with the stack."""
        self._regions = regions
        self._folder = folder
        self._stack = stack
        self._alertmanager = (
            stack.enter_context(Alertmanager(regions, folder)) if "alertmanager v2" in clients else None
        )

    def play(self, client: str, played: Played, is_over: Event) -> None:
        """Plays until told that it is over."""
        if self._alertmanager and client.startswith("alertmanager"):
            self._alerts(self._alertmanager, client.removeprefix("alertmanager "), played, is_over)
        elif client == "producer":
            self._producer(played, is_over)
        else:
            _one_by_one(self._pdjs() if client == "pdjs" else self._python(client), played, is_over)

    def _python(self, client: str) -> Send:
        events = self._stack.enter_context(python.EVENTS[client](self._regions, "a"))

        def send(action: str, key: str) -> bool:
            told = events.trigger(TITLE, "db-1", key) if action == "trigger" else events.resolve(key)
            return bool(told == key)  # what it gives up, after retries of its own, it raises

        return send

    def _pdjs(self) -> Send:
        node = self._stack.enter_context(pdjs.Pdjs(self._regions.ca_file))

        def send(action: str, key: str) -> bool:
            more = {"payload": pdjs.payload(TITLE)} if action == "trigger" else {}
            return node.call(action, pdjs.event(self._regions, "a", dedup_key=key, **more)).get("status") == 202

        return send

    def _producer(self, played: Played, is_over: Event) -> None:
        intakes = [self._regions.intake(region) for region in "ab"]
        key, spool = self._regions.routing_key(played.service), self._folder / "spool"
        with Producer(intakes, key, spool, ca_file=self._regions.ca_file) as producer:

            def send(action: str, key: str) -> bool:
                if action == "trigger":
                    receipt = producer.trigger(TITLE, "db-1", "error", key)
                    played.ids[key] = receipt.id
                else:
                    receipt = producer.resolve(key)
                if receipt.region_url:
                    played.intakes.add(receipt.region_url)
                return True  # delivered, or on disk: it is the producer's from here on

            _one_by_one(send, played, is_over)
            assert producer.flush(10) == 0

    @staticmethod
    def _alerts(alertmanager: Alertmanager, door: str, played: Played, is_over: Event) -> None:
        def count() -> int:
            played.accepted, played.failed = alertmanager.requests("webhook" if door == "webhook" else "pagerduty")
            return played.accepted

        open_alerts: list[list[str]] = []
        while len(played.keys) < EVENTS // 2 or not is_over.is_set():
            names = [f"{TITLE}-{len(played.keys) + number}" for number in range(ALERTS_A_STEP)]
            alertmanager.fire(door, names)
            played.keys += [dedup_key(door, name) for name in names]
            open_alerts.append(names)
            if len(open_alerts) > STEPS_OPEN:
                alertmanager.end(door, open_alerts.pop(0))
            time.sleep(STEP_S)
            count()
        for names in open_alerts:
            alertmanager.end(door, names)
        until("it has told all", lambda: count() >= 2 * len(played.keys), TOLD_S_MAX)


def service_of(client: str) -> str:
    """Each client sends for a service of its own."""
    doors = {f"alertmanager {door}": service for door, service in SERVICES.items()}
    return {**python.SERVICES, **doors, "pdjs": pdjs.SERVICE, "producer": PRODUCER_SERVICE}[client]


def _one_by_one(send: Send, played: Played, is_over: Event) -> None:
    while played.accepted < EVENTS or not is_over.is_set():
        key = f"play/{len(played.keys)}"
        for action in ("trigger", "resolve"):
            while not send(action, key):
                played.failed += 1
                time.sleep(RESEND_S)
            played.accepted += 1
        played.keys.append(key)

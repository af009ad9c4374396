"""What the tests of intake and querier share: a clock, a directory, a real socket, and an intake with real logs."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tocsin.core.requests import Record, Request, decode_record
from tocsin.engines.audit import AuditTrail, lines
from tocsin.engines.directory import FileDirectory
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.faults import Fault, FaultSwitch, Rule
from tocsin.engines.faulty import FaultyLog
from tocsin.engines.log import Log
from tocsin.roles.asgi import App
from tocsin.roles.intake import Intake, IntakeLimits, IntakeParts
from tocsin.roles.process import HttpServer, bind
from tocsin.telemetry import Identity, Meters
from tocsin.telemetry.meters import Spread

KEYS = {"demo": "d" * 32, "careful": "c" * 32, "lenient": "1" * 32}
DIRECTORY = f"""
services:
  - {{id: demo, name: Demo, routing_keys: ["{KEYS["demo"]}"]}}
  - {{id: careful, name: Careful, routing_keys: ["{KEYS["careful"]}"], ack: all-regions}}
  - id: lenient
    name: Lenient
    routing_keys: ["{KEYS["lenient"]}"]
    ack: all-regions
    when_peer_unreachable: accept
users:
  - {{id: ann, name: Ann, email: ann@example.org}}
  - {{id: zoe, name: Zoe, email: zoe@example.org}}
"""
NOW_S = 1_700_000_000


class Clock:
    """A clock that goes when it is told to: Unix microseconds, and monotonic seconds that go with it."""

    def __init__(self) -> None:
        self.us = NOW_S * 1_000_000

    def unix_us(self) -> int:
        return self.us

    def monotonic(self) -> float:
        return self.us / 1e6

    def go(self, seconds: float) -> None:
        self.us += int(seconds * 1e6)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def directory(tmp_path: Path) -> FileDirectory:
    path = tmp_path / "directory.yaml"
    path.write_text(DIRECTORY, encoding="utf-8")
    return FileDirectory(path)


@pytest.fixture
def meters() -> Meters:
    return Meters(Identity("a", "blue", "test"))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    opened = EmbeddedStore(tmp_path / "outcomes.db", journal=True)
    yield opened
    await opened.close()


@pytest.fixture
def switch(tmp_path: Path) -> FaultSwitch:
    return FaultSwitch(tmp_path / "faults.json")


def counted(meters: Meters, name: str) -> dict[str, float]:
    """The values of a metric by its only label, `` when it has none."""
    for metric, series in meters.collect():
        if metric.value.name == name:
            return {
                labels[0][1] if labels else "": value
                for labels, value in series.items()
                if not isinstance(value, Spread)
            }
    return {}


@asynccontextmanager
async def served(app: App) -> AsyncIterator[HttpServer]:
    """A role's app on a real socket of this machine; the end is a stop in good order."""
    with bind("127.0.0.1", 0) as sock:
        server = HttpServer(app, sock)
        running = asyncio.create_task(server.serve_socket())
        await server.listens.wait()
        try:
            yield server
        finally:
            server.should_exit = True
            async with asyncio.timeout(10):
                await running


# An intake ---------------------------------------------------------------------------------------------------------

PARTITIONS = 4
LIMITS = IntakeLimits(append_s_max=0.2, peer_append_s_max=0.1, retry_after_s=7, read_s_max=0.2)


class Door:
    """An intake of region a with its log and that of its peer b, behind a fault switch, and a client before it."""

    def __init__(self, place: Path, directory: FileDirectory, meters: Meters, clock: Clock) -> None:
        self.place = place
        self.switch = FaultSwitch(place / "faults.json")
        self.logs: dict[str, Log] = {
            region: FaultyLog(EmbeddedLog(place / f"{region}.log"), self.switch, region) for region in "ab"
        }
        numbers = itertools.count()
        self.clock = clock
        self.parts = IntakeParts(
            region="a",
            topic="requests",
            partitions=PARTITIONS,
            log=self.logs["a"],
            directory=directory,
            meters=meters,
            clock_us=clock.unix_us,
            random_bytes=lambda n: next(numbers).to_bytes(n, "big"),
            audit=AuditTrail(place / "audit.log", clock.unix_us),
            peers={"b": self.logs["b"]},
            limits=LIMITS,
            monotonic=clock.monotonic,
        )
        self.client = self.client_of(self.parts)

    def client_of(self, parts: IntakeParts) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=Intake(parts).app()), base_url="http://intake")

    def fault(self, region: str, kind: Fault, **more: Any) -> None:
        self.switch.set_rule(Rule(id=f"{region}-{kind}", region=region, port="log", kind=kind, op="write", **more))

    def audited(self) -> list[dict[str, Any]]:
        """The lines of the audit trail, the latest first."""
        return list(lines(self.place / "audit.log"))

    async def send(self, event: dict[str, Any]) -> httpx2.Response:
        return await self.client.post("/v2/enqueue", json=event)

    async def records(self, region: str = "a") -> list[Record]:
        """All records of a region's requests."""
        found = []
        for partition in range(PARTITIONS):
            fetched = await self.logs[region].fetch(
                "requests", partition, 0, records_max=1_000, bytes_max=10_000_000, wait_s=0
            )
            found += [delivered.record for delivered in fetched.records]
        return found

    async def requests(self, region: str = "a") -> list[Request]:
        contents = [decode_record(record) for record in await self.records(region)]
        return [content for content in contents if isinstance(content, Request)]


@pytest.fixture
async def door(tmp_path: Path, directory: FileDirectory, meters: Meters, clock: Clock) -> AsyncIterator[Door]:
    door = Door(tmp_path, directory, meters, clock)
    for log in door.logs.values():
        await log.ensure_topic("requests", PARTITIONS)
    yield door
    await door.client.aclose()
    for log in door.logs.values():
        await log.close()


def trigger(service: str = "demo", **changes: Any) -> dict[str, Any]:
    whole = {
        "routing_key": KEYS[service],
        "event_action": "trigger",
        "dedup_key": "disk/web-01",
        "payload": {"summary": "disk full", "source": "web-01", "severity": "critical"},
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}

"""What the tests of the client share: real intakes with real logs, behind doors that can be killed."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.unit.doors import Door
from tocsin.core.requests import Request, decode_record
from tocsin.engines.audit import AuditTrail
from tocsin.engines.directory import FileDirectory
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.roles.asgi import App
from tocsin.roles.intake import Intake, IntakeParts
from tocsin.roles.process import bind
from tocsin.roles.tls import Files, Presented
from tocsin.telemetry import Identity, Meters

ROUTING_KEY = "d" * 32
PARTITIONS = 2


def _now_us() -> int:
    return time.time_ns() // 1_000


class Region:
    """A real intake and its log."""

    def __init__(self, name: str, place: Path) -> None:
        self.log_file = place / f"{name}.log"
        directory = place / "directory.yaml"
        directory.write_text(f'services: [{{id: demo, name: Demo, routing_keys: ["{ROUTING_KEY}"]}}]', encoding="utf-8")
        asyncio.run(self._make_topic())
        parts = IntakeParts(
            region=name,
            topic="requests",
            partitions=PARTITIONS,
            log=EmbeddedLog(self.log_file),
            directory=FileDirectory(directory),
            meters=Meters(Identity(name, "blue", "intake")),
            clock_us=_now_us,
            random_bytes=os.urandom,
            audit=AuditTrail(place / f"{name}.audit", _now_us),
        )
        self.app = Intake(parts).app()

    async def _make_topic(self) -> None:
        log = EmbeddedLog(self.log_file)
        await log.ensure_topic("requests", PARTITIONS)
        await log.close()

    def requests(self) -> list[Request]:
        """All that it accepted, each partition in its order."""

        async def read() -> list[Request]:
            log = EmbeddedLog(self.log_file)
            found: list[Request] = []
            for partition in range(PARTITIONS):
                fetched = await log.fetch(
                    "requests", partition, 0, records_max=100_000, bytes_max=100_000_000, wait_s=0
                )
                contents = [decode_record(delivered.record) for delivered in fetched.records]
                found += [content for content in contents if isinstance(content, Request)]
            await log.close()
            return found

        return asyncio.run(read())


class Answers:
    """An app that answers as it is told to, and counts."""

    def __init__(self, status: int = 503, body: bytes = b"{}", headers: dict[str, str] | None = None) -> None:
        self.status = status
        self.body = body
        self.headers = headers or {}
        self.asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


@pytest.fixture
def region_of(tmp_path: Path) -> Callable[[str], Region]:
    def make(name: str) -> Region:
        place = tmp_path / f"region-{name}"
        place.mkdir()
        return Region(name, place)

    return make


@pytest.fixture
def open_door() -> Iterator[Callable[..., Door]]:
    """Opens doors; those still open at the end are closed."""
    with contextlib.ExitStack() as stack:

        def make(app: App, **more: Any) -> Door:
            door = Door(app, **more)
            stack.callback(door.kill)
            return door

        yield make


@pytest.fixture
def tls(tmp_path: Path) -> tuple[Presented, Path]:
    """What a server presents, and the CA that signed it."""
    ca = trustme.CA()
    file, ca_file = tmp_path / "server.pem", tmp_path / "ca.pem"
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(file)
    ca.cert_pem.write_to_path(ca_file)
    return Presented(lambda: Files(file, file)), ca_file


@pytest.fixture
def free_port() -> int:
    """A port on which nothing listens, though something may later."""
    with bind("127.0.0.1", 0) as socket:
        return int(socket.getsockname()[1])

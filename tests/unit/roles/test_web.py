"""Roles on real sockets: they serve, say how they are, turn the greedy away, and stop in good order."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from tests.unit.roles.conftest import KEYS
from tocsin.core.events import EVENT_BYTES_MAX
from tocsin.engines.directory import FileDirectory
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.tokens import Scope, TokenFile
from tocsin.roles.intake import IntakeParts, run_intake
from tocsin.roles.querier import QuerierParts, run_querier
from tocsin.roles.web import listen
from tocsin.telemetry import Meters

EVENT = {"routing_key": KEYS["demo"], "event_action": "resolve", "dedup_key": "k"}
BODY = json.dumps(EVENT).encode()


def now_us() -> int:
    return 1_700_000_000_000_000


def port_of(sock: socket.socket) -> int:
    port: int = sock.getsockname()[1]
    return port


@asynccontextmanager
async def intake(
    place: Path, directory: FileDirectory, meters: Meters
) -> AsyncIterator[tuple[int, int, asyncio.Event]]:
    """A running intake: its port, its admin port, and the event that stops it."""
    log = EmbeddedLog(place / "a.log")
    await log.ensure_topic("requests", 2)
    parts = IntakeParts("a", "requests", 2, log, directory, meters, clock_us=now_us, random_bytes=bytes)
    sock, admin_sock, stopping = listen("127.0.0.1", 0), listen("127.0.0.1", 0), asyncio.Event()
    running = asyncio.create_task(run_intake(parts, sock, admin_sock, stopping))
    try:
        yield port_of(sock), port_of(admin_sock), stopping
    finally:
        stopping.set()
        async with asyncio.timeout(10):
            await running
        await log.close()


async def raw(port: int, *chunks: bytes) -> bytes:
    """What the server answers to these bytes before it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


async def test_an_intake_takes_events_and_says_that_it_is_ready(
    tmp_path: Path, directory: FileDirectory, meters: Meters
) -> None:
    async with intake(tmp_path, directory, meters) as (port, admin_port, _), httpx2.AsyncClient() as client:
        response = await client.post(f"http://127.0.0.1:{port}/v2/enqueue", json=EVENT)
        assert response.status_code == 202
        assert response.headers["date"]
        assert response.headers["x-request-id"]
        assert "server" not in response.headers
        ready = await client.get(f"http://127.0.0.1:{admin_port}/health/ready")
        assert ready.json() == {"role": "intake", "ready": True, "reasons": []}


async def test_what_a_client_announces_as_too_large_is_refused_unread_and_the_connection_closed(
    tmp_path: Path, directory: FileDirectory, meters: Meters
) -> None:
    head = b"POST /v2/enqueue HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (EVENT_BYTES_MAX + 1)
    async with intake(tmp_path, directory, meters) as (port, _, _):
        response = await raw(port, head)

    assert response.startswith(b"HTTP/1.1 413 ")
    assert b"524289 bytes" in response


@pytest.mark.parametrize("host", [b"a", b"[::", b"a b", b"", b"x" * 300, b"a:99999", b"\xff"])
async def test_a_strange_host_name_breaks_no_read(
    tmp_path: Path, directory: FileDirectory, meters: Meters, host: bytes
) -> None:
    store, tokens = EmbeddedStore(tmp_path / "blue.sqlite"), TokenFile(tmp_path / "tokens.json")
    _, token = tokens.create("test", Scope.READ, now_us=1)
    parts = QuerierParts(("a",), 1, store, tokens, directory, meters, clock_us=now_us)
    sock, admin_sock, stopping = listen("127.0.0.1", 0), listen("127.0.0.1", 0), asyncio.Event()
    running = asyncio.create_task(run_querier(parts, sock, admin_sock, stopping))
    head = b"GET /incidents HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n"
    response = await raw(port_of(sock), head % (host, token.encode()))
    stopping.set()
    await running
    await store.close()

    assert response.split(b" ")[1] in (b"200", b"400")


async def test_a_request_under_way_is_answered_when_the_intake_stops(
    tmp_path: Path, directory: FileDirectory, meters: Meters
) -> None:
    head = b"POST /v2/enqueue HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    async with intake(tmp_path, directory, meters) as (port, _, stopping):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head + BODY[:10])
        await writer.drain()
        await asyncio.sleep(0.05)
        stopping.set()
        await asyncio.sleep(0.05)
        writer.write(BODY[10:])
        async with asyncio.timeout(5):
            assert (await reader.read()).startswith(b"HTTP/1.1 202 ")
        writer.close()


def test_a_port_that_is_taken_is_named() -> None:
    with (
        listen("127.0.0.1", 0) as taken,
        pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port_of(taken)}"),
    ):
        listen("127.0.0.1", port_of(taken))

"""Apps of roles on real sockets: they turn the greedy away, and answer what is under way when they stop."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.unit.roles.conftest import KEYS, served
from tocsin.core.events import EVENT_BYTES_MAX
from tocsin.engines.audit import AuditTrail
from tocsin.engines.directory import FileDirectory
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.tokens import Scope, TokenFile
from tocsin.roles.intake import Intake, IntakeParts
from tocsin.roles.minting import Mint
from tocsin.roles.process import HttpServer
from tocsin.roles.querier import Querier, QuerierParts
from tocsin.telemetry import Meters

EVENT = {"routing_key": KEYS["demo"], "event_action": "resolve", "dedup_key": "k"}
BODY = json.dumps(EVENT).encode()


def now_us() -> int:
    return 1_700_000_000_000_000


@asynccontextmanager
async def intake(place: Path, directory: FileDirectory, meters: Meters) -> AsyncIterator[HttpServer]:
    """An intake on a socket."""
    log = EmbeddedLog(place / "a.log")
    await log.ensure_topic("requests", 2)
    audit = AuditTrail(place / "audit.log", now_us)
    parts = IntakeParts("a", "requests", 2, log, directory, meters, now_us, bytes, audit)
    try:
        async with served(Intake(parts).app()) as server:
            yield server
    finally:
        await log.close()


async def connect(server: HttpServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    url = urlsplit(server.url)
    return await asyncio.open_connection(url.hostname, url.port)


async def raw(server: HttpServer, message: bytes) -> bytes:
    """What the server answers to these bytes before it closes the connection."""
    reader, writer = await connect(server)
    try:
        writer.write(message)
        await writer.drain()
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


async def test_an_answer_has_a_date_and_an_id_and_does_not_say_what_serves(
    tmp_path: Path, directory: FileDirectory, meters: Meters
) -> None:
    async with intake(tmp_path, directory, meters) as server, httpx2.AsyncClient() as client:
        response = await client.post(f"{server.url}/v2/enqueue", json=EVENT)

    assert response.status_code == 202
    assert response.headers["date"]
    assert response.headers["x-request-id"]
    assert "server" not in response.headers


async def test_what_a_client_announces_as_too_large_is_refused_unread_and_the_connection_closed(
    tmp_path: Path, directory: FileDirectory, meters: Meters
) -> None:
    head = b"POST /v2/enqueue HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (EVENT_BYTES_MAX + 1)
    async with intake(tmp_path, directory, meters) as server:
        response = await raw(server, head)

    assert response.startswith(b"HTTP/1.1 413 ")
    assert b"524289 bytes" in response


@pytest.mark.parametrize("host", [b"a", b"[::", b"a b", b"", b"x" * 300, b"a:99999", b"\xff"])
async def test_a_strange_host_name_breaks_no_read(
    tmp_path: Path, directory: FileDirectory, meters: Meters, host: bytes
) -> None:
    store, tokens = EmbeddedStore(tmp_path / "blue.sqlite"), TokenFile(tmp_path / "tokens.json")
    _, token = tokens.create("test", Scope.READ, now_us=1)
    mint = Mint("a", "requests", 1, EmbeddedLog(tmp_path / "log"), now_us, os.urandom)
    audit = AuditTrail(tmp_path / "audit.log", now_us)
    parts = QuerierParts(("a",), 1, store, mint, tokens, directory, audit, meters, clock_us=now_us)
    head = b"GET /incidents HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n"
    async with served(Querier(parts).app()) as server:
        response = await raw(server, head % (host, token.encode()))
    await store.close()

    assert response.split(b" ")[1] in (b"200", b"400")


async def test_a_request_under_way_is_answered_when_the_intake_stops(
    tmp_path: Path, directory: FileDirectory, meters: Meters
) -> None:
    head = b"POST /v2/enqueue HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    async with intake(tmp_path, directory, meters) as server:
        reader, writer = await connect(server)
        writer.write(head + BODY[:10])
        await writer.drain()
        await asyncio.sleep(0.05)
        server.should_exit = True
        await asyncio.sleep(0.05)
        writer.write(BODY[10:])
        async with asyncio.timeout(5):
            assert (await reader.read()).startswith(b"HTTP/1.1 202 ")
        writer.close()

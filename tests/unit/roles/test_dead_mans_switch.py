"""The dead-man's switch: tried again a few times, never for ever, and its URL told to nobody."""

import logging
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from tocsin.engines.errors import Misconfigured
from tocsin.roles.dead_mans_switch import TRIES_MAX, DeadMansSwitch, read_secret

PING = "/ping/8e8b0a52-9b0e-4d0c-9a0e-3c1b3a1a4c11"


class Outside:
    """Answers with these statuses, one a call, the last one from then on."""

    def __init__(self) -> None:
        self.statuses = [200]
        self.paths: list[str] = []
        outside = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outside.paths.append(self.path)
                self.send_response(outside.statuses[min(len(outside.paths), len(outside.statuses)) - 1])
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}{PING}"


@pytest.fixture
def outside() -> Iterator[Outside]:
    found = Outside()
    thread = threading.Thread(target=found.server.serve_forever, daemon=True)
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False) as found:
        yield found


def switch(tmp_path: Path, client: httpx2.AsyncClient, url: str) -> DeadMansSwitch:
    (tmp_path / "ping.url").write_text(url + "\n", encoding="utf-8")
    return DeadMansSwitch(tmp_path / "ping.url", client, pause_s=0.01)


async def test_it_is_called_once_where_that_works(tmp_path: Path, outside: Outside, client: httpx2.AsyncClient) -> None:
    assert await switch(tmp_path, client, outside.url).ping()
    assert outside.paths == [PING]


async def test_a_call_that_fails_is_tried_again(tmp_path: Path, outside: Outside, client: httpx2.AsyncClient) -> None:
    outside.statuses = [500, 503, 200]
    assert await switch(tmp_path, client, outside.url).ping()
    assert outside.paths == [PING] * 3


async def test_it_is_given_up_after_some_tries_and_the_url_is_told_to_nobody(
    tmp_path: Path, outside: Outside, client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    outside.statuses = [404]
    assert not await switch(tmp_path, client, outside.url).ping()
    assert outside.paths == [PING] * TRIES_MAX
    assert "HTTP 404" in caplog.text
    assert PING not in caplog.text


async def test_where_nobody_listens_it_fails_without_telling_the_url(
    tmp_path: Path, client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    assert not await switch(tmp_path, client, f"http://127.0.0.1:1{PING}").ping()
    assert "ConnectError" in caplog.text
    assert PING not in caplog.text


@pytest.mark.parametrize("text", ["", "two words", "example.org/ping/shh", "ftp://example.org/shh", "http://[shh"])
async def test_what_is_no_url_is_refused_and_not_told(tmp_path: Path, client: httpx2.AsyncClient, text: str) -> None:
    with pytest.raises(Misconfigured) as refusal:
        switch(tmp_path, client, text)
    assert "shh" not in str(refusal.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"none\.url, which should hold the URL, cannot be read"):
        read_secret(tmp_path / "none.url", "the URL")

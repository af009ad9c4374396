"""The guard: whatever one client does to a server, it is answered or cut off in time, and the others are served."""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.unit.doors import Door, opened, read_all
from tocsin.roles import process
from tocsin.roles.asgi import Receive, Scope, Send
from tocsin.roles.guard import Bounds, GuardedProtocol
from tocsin.roles.tls import Files, Presented

BOUNDS = Bounds(
    head_bytes_max=4_096, head_s_max=0.4, body_s_max=0.4, send_s_max=0.4, close_s_max=0.2, connections_max=8
)
IN_TIME_S = 3.0
"""The bounds above and the time that a busy machine takes; without bounds the tests would wait for 10 s and fail."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers at once, or reads a body to its end (/body), or gives an answer larger than any buffer (/large)."""
    body = b"well"
    if scope["path"] == "/body":
        while (await receive()).get("more_body"):
            pass
    if scope["path"] == "/large":
        body = b"x" * 50_000_000
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(autouse=True)
def _tight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GuardedProtocol, "bounds", BOUNDS)


@pytest.fixture
def server() -> Iterator[Door]:
    with opened(app) as served:
        yield served


@pytest.fixture
def certificates(tmp_path: Path) -> tuple[Presented, ssl.SSLContext]:
    """What the server presents, and what its clients check that by."""
    ca = trustme.CA()
    file = tmp_path / "server.pem"
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(file)
    client = ssl.create_default_context()
    ca.configure_trust(client)
    return Presented(lambda: Files(file, file)), client


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < IN_TIME_S


def dribble(
    client: socket.socket, first: bytes, byte: Callable[[int], bytes], meanwhile: Callable[[], object]
) -> bytes:
    """Sends a beginning, and then a byte at a time until that is answered or cut off."""
    with contextlib.suppress(ConnectionError):
        client.sendall(first)
        client.settimeout(0.05)
        for number in range(200):
            meanwhile()
            client.sendall(byte(number))
            with contextlib.suppress(TimeoutError):
                return client.recv(65_536)
    return b""


def is_served(server: Door, tls: ssl.SSLContext | None = None) -> None:
    with in_time():
        assert server.ask(tls).endswith(b"\r\n\r\nwell")


# Heads ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("over_tls", [False, True])
def test_a_head_that_comes_a_byte_at_a_time_is_answered_in_time_and_others_are_served_meanwhile(
    certificates: tuple[Presented, ssl.SSLContext], *, over_tls: bool
) -> None:
    presented, tls = certificates if over_tls else (None, None)
    with opened(app, presented) as server, server.connect(tls) as client, in_time():
        answer = dribble(client, b"GET / HTTP/1.1\r\nX: ", lambda _: b"x", lambda: is_served(server, tls))

    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_connection_without_a_word_is_closed_in_time(server: Door) -> None:
    with server.connect() as client, in_time():
        assert read_all(client).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "head",
    [
        b"X: " + b"x" * 1_048_576,
        b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1_000) for number in range(1_024)),
        b"X: " + b"x" * 5_000 + b"\r\n\r\n",
    ],
    ids=["one header of 1 MiB", "1 MiB of headers", "a little too much at once"],
)
def test_a_head_above_the_limit_is_refused_or_cut_off_and_others_are_served(server: Door, head: bytes) -> None:
    with server.connect() as client, in_time():
        with contextlib.suppress(ConnectionError):
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n" + head)
        answer = read_all(client)
        assert answer.startswith(b"HTTP/1.1 431 ") or not answer  # what is still being sent may undo the answer

    assert len(head) > 100_000 or answer
    is_served(server)


def test_a_head_below_the_limit_is_served(server: Door) -> None:
    assert server.ask(head=f"X: {'x' * 3_900}\r\n").endswith(b"well")


def test_what_is_no_http_is_refused(server: Door) -> None:
    with server.connect() as client:
        client.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert read_all(client).startswith(b"HTTP/1.1 400 ")


def test_a_connection_may_rest_between_requests_for_longer_than_a_head_may_take(server: Door) -> None:
    with server.connect() as client:
        for _ in range(2):
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(65_536).endswith(b"well")
            time.sleep(BOUNDS.head_s_max * 1.5)


def test_requests_that_are_sent_ahead_are_answered_in_order(server: Door) -> None:
    with server.connect() as client:
        client.sendall(
            b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab" * 5
            + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        assert read_all(client).count(b"HTTP/1.1 200 OK") == 6


# Bodies and answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/body"])
def test_a_body_that_comes_a_byte_at_a_time_ends_the_connection_in_time(server: Door, path: str) -> None:
    """Also when the app has answered already, and does not read it."""
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n".encode()
    with server.connect() as client, in_time():
        dribble(client, head, lambda _: b"x", lambda: is_served(server))
        with contextlib.suppress(ConnectionError):
            while True:  # still there?
                client.sendall(b"x")
                time.sleep(0.02)


def test_a_client_that_does_not_read_its_answer_is_cut_off_in_time(server: Door) -> None:
    with server.connect() as client, in_time():
        client.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        while not server.server.server_state.connections:
            time.sleep(0.01)
        while server.server.server_state.connections:
            time.sleep(0.01)
        assert len(read_all(client)) < 50_000_000


# Connections ---------------------------------------------------------------------------------------------------------


def test_connections_that_do_nothing_make_room_for_those_that_ask_the_oldest_first(
    server: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GuardedProtocol, "bounds", BOUNDS._replace(head_s_max=30))
    with contextlib.ExitStack() as stack, in_time():
        silent = []
        for _ in range(30):
            silent.append(stack.enter_context(server.connect()))
            is_served(server)
        assert len(server.server.server_state.connections) <= BOUNDS.connections_max
        assert read_all(silent[0]) == b""
        silent[-1].sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert silent[-1].recv(65_536).endswith(b"well")


def test_a_handshake_that_does_not_come_to_its_end_is_broken_off(
    certificates: tuple[Presented, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "HANDSHAKE_S_MAX", 0.3)
    presented, tls = certificates
    with opened(app, presented) as server, server.connect() as client, in_time():
        client.sendall(b"\x16\x03\x01")
        is_served(server, tls)
        assert read_all(client) == b""


def test_tls_below_1_2_is_not_spoken(certificates: tuple[Presented, ssl.SSLContext]) -> None:
    presented, _ = certificates

    assert presented.context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_bounds_are_smaller_than_those_of_the_server_that_they_protect() -> None:
    assert Bounds().connections_max < process.REQUESTS_MAX

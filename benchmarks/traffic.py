"""Traffic for the benchmarks of servers: processes that serve, one that sends, and what came of it.

Theory
------
What serves and what sends are processes of their own, over TLS on loopback, so that neither borrows the other's time or
lock. The sender keeps a fixed number of connections open and has one request under way on each (a closed loop): a slow
server is asked less, so a rate is what the server can do, and a time is the service's own with that many clients. The
sender does as little as one can: requests are bytes that were made before, and of an answer it reads the status and the
length. `Outcome.sender_cores` says how busy it was all the same: near 1, it was the sender that was measured.
"""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import uvloop

from tocsin.settings import CA_FILE, PREFIX

ROOT: Final = Path(__file__).parents[1]
START_S_MAX: Final = 30.0
STOP_S_MAX: Final = 20.0
SEND_S_MAX: Final = 120.0
WARM_UP: Final = 0.1
"""This share of the requests is sent first, and not counted."""

REGION_FILE: Final = """\
name: bench
partitions: 4
log: {engine: embedded, path: log.sqlite, retention_s: 604800}
stacks: {blue: {engine: sqlite, path: blue.sqlite}}
serving_stack: blue
intake: {tls: local}
querier: {tls: local}
directory: directory.yaml
"""


class Place:
    """A region of one machine in a folder: what its processes are told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "regions").mkdir()
        (folder / "regions" / "bench.yaml").write_text(REGION_FILE, encoding="utf-8")
        own = {"REGIONS_DIR": str(folder / "regions"), "DATA_DIR": str(folder), "LOG_LEVEL": "WARNING"}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        self.environ = inherited | {PREFIX + name: value for name, value in own.items()}

    @property
    def ca_file(self) -> Path:
        """What the region's servers are checked by."""
        return self.folder / "authority" / CA_FILE

    def role(self, name: str) -> list[str]:
        """The command that runs one of Tocsin's own roles."""
        return [sys.executable, "-m", "tocsin", "run", name, "--region", "bench"]

    def bare(self, name: str) -> list[str]:
        """The command that serves a bare app in the frame of the role that it is measured against."""
        return [sys.executable, "-m", "benchmarks.bare", name]


@contextmanager
def serving(place: Place, command: Sequence[str]) -> Iterator[str]:
    """Runs a server process; gives its URL once it listens, and ends it in good order."""
    with subprocess.Popen(command, cwd=ROOT, env=place.environ, stdout=subprocess.PIPE, text=True) as process:
        deadline = _Deadline(process)
        try:
            assert process.stdout
            with deadline:
                line = process.stdout.readline()
            assert line, f"{command} ended before it listened"
            yield json.loads(line)["url"]
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()


class _Deadline:
    """Ends a process that does not say in time where it listens, so that nobody waits for its line for ever."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, lambda *_: self._process.kill())
        signal.setitimer(signal.ITIMER_REAL, START_S_MAX)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


# What is sent --------------------------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """What a sender is to do: each of the requests once, over so many connections."""

    url: str
    ca_file: Path
    requests: Sequence[bytes]
    connections: int
    status: int
    """What every answer must be."""


class Outcome(NamedTuple):
    """What a sender saw, its warming up left out."""

    per_s: float
    times_s: list[float]
    sender_cores: float
    last_body: bytes

    def figures(self) -> dict[str, float]:
        """What of it is published: answers a second, and milliseconds from the request's first byte to the answer's
        last.
        """
        ordered = sorted(self.times_s)
        return {
            "per_s": self.per_s,
            "p50_ms": 1000 * ordered[len(ordered) // 2],
            "p99_ms": 1000 * ordered[int(0.99 * len(ordered))],
        }


def http_request(
    method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """A request as bytes."""
    lines = [
        f"{method} {target} HTTP/1.1",
        "Host: localhost",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def send(plan: Plan) -> Outcome:
    """Sends from a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_send, plan).result(SEND_S_MAX + START_S_MAX)


def median_figures(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: median(figures[name] for figures in rounds) for name in rounds[0]}


# The sender's process ------------------------------------------------------------------------------------------------


def _send(plan: Plan) -> Outcome:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_send_all(plan))


async def _send_all(plan: Plan) -> Outcome:
    place = urlsplit(plan.url)
    assert place.hostname
    assert place.port
    context = ssl.create_default_context(cafile=plan.ca_file)
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(plan.connections):
        _, client = await loop.create_connection(
            lambda: _Client(plan.status), place.hostname, place.port, ssl=context, server_hostname="localhost"
        )
        clients.append(client)
    warm_up = int(WARM_UP * len(plan.requests))
    async with asyncio.timeout(SEND_S_MAX):
        await _share(clients, plan.requests[:warm_up])
        for client in clients:
            client.times_s.clear()
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        await _share(clients, plan.requests[warm_up:])
        taken_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    times_s = [taken for client in clients for taken in client.times_s]
    assert len(times_s) == len(plan.requests) - warm_up
    for client in clients:
        client.close()
    return Outcome(len(times_s) / taken_s, times_s, cpu_s / taken_s, clients[0].last_body)


async def _share(clients: Sequence["_Client"], requests: Sequence[bytes]) -> None:
    waiting = deque(requests)
    await asyncio.gather(*(client.drain(waiting) for client in clients))


class _Client(asyncio.Protocol):
    """One connection: sends the next request of a common queue when it has the answer to the one before."""

    def __init__(self, status: int) -> None:
        self.times_s: list[float] = []
        self.last_body = b""
        self._wanted = b"HTTP/1.1 %d " % status
        self._transport: Any = None
        self._waiting: deque[bytes] = deque()
        self._received = b""
        self._sent_at = 0.0
        self._done: asyncio.Future[None] | None = None

    async def drain(self, waiting: deque[bytes]) -> None:
        """Sends until the queue is empty; raises AssertionError at an answer of another status."""
        self._waiting = waiting
        self._done = asyncio.get_running_loop().create_future()
        self._send_next()
        await self._done

    def close(self) -> None:
        """Ends the connection."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has closed it, or we have."""
        if self._done and not self._done.done():
            self._done.set_exception(AssertionError(f"the server closed a connection: {exc}"))

    def data_received(self, data: bytes) -> None:
        """Some bytes of an answer."""
        received = self._received = self._received + data if self._received else data
        head, blank, body = received.partition(b"\r\n\r\n")
        if not blank or len(body) < _length(head):
            return
        self.times_s.append(time.perf_counter() - self._sent_at)
        self._received = b""
        assert self._done
        if not head.startswith(self._wanted):
            self._done.set_exception(AssertionError(f"unexpected answer: {received[:2_000]!r}"))
            return
        self.last_body = body
        self._send_next()

    def _send_next(self) -> None:
        if self._waiting:
            self._sent_at = time.perf_counter()
            self._transport.write(self._waiting.popleft())
        elif self._done:
            self._done.set_result(None)


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0])

"""What every role process has: its place in a region, telemetry, health on an admin port, a stop in good order.

Theory
------
A role process may be killed at any moment and loses nothing. So a stop in good order is a courtesy, to clients in the
middle of a request and to whoever starts next, and it is bounded: what is not finished after `STOP_S_MAX` is ended as a
kill would end it.

A port of 0 is chosen by the operating system. So each process announces where it listens, once it does: one line of
JSON on stdout, `{role, region, pid, url, admin_url}`, and nothing else ever goes there. A line ends with its process,
where a file would have to be told from that of a process which was killed.

What the admin port answers is in `health.py`.
"""

import asyncio
import contextlib
import ctypes
import gc
import ipaddress
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

import uvicorn
import uvloop

from tocsin.engines.errors import Misconfigured
from tocsin.roles.asgi import App
from tocsin.roles.guard import GuardedProtocol
from tocsin.roles.health import Health
from tocsin.roles.tls import Presented, presented
from tocsin.settings import Settings
from tocsin.telemetry import (
    NOTHING_FOLLOWED,
    Bound,
    Identity,
    Meters,
    Reading,
    Traces,
    bound,
    configure_logging,
)
from tocsin.topology import Process, Region, Topology
from tocsin.topology import Server as ServerPlace

if TYPE_CHECKING:
    from tocsin.telemetry.otlp import Export

STOP_S_MAX: Final = 15.0
"""A stop in good order takes no longer; then the process ends as it is."""
REQUESTS_S_MAX: Final = 5
"""How long requests under way may take while the process stops, in whole seconds."""
KEEP_ALIVE_S: Final = 75
"""An idle connection of a client is closed after so many seconds: later than usual proxies do, so that it is they who
close it, and no request is sent into a connection that is closing.
"""
REQUESTS_MAX: Final = 1_000
"""Connections and requests at one time; what is above that is answered 503 at once."""
HANDSHAKE_S_MAX: Final = 10.0
"""How long a client may take for the TLS handshake, and for the end of it."""
BACKLOG: Final = 1_024
PR_SET_PDEATHSIG: Final = 1
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Frame:
    """Which process this is: its role and place, and what it was told."""

    role: str
    settings: Settings
    topology: Topology
    region: Region
    stack: str
    listening: Process
    meters: Meters
    export: "Export | None" = None
    """What sends metrics and traces to a collector, where one is set."""

    @property
    def traces(self) -> Traces:
        """Where its spans begin."""
        return self.export.traces if self.export else NOTHING_FOLLOWED

    @classmethod
    def load(cls, role: str, settings: Settings) -> "Frame":
        """The frame of a role, with logging set up for it; raises ConfigError."""
        topology = settings.topology()
        region = settings.own_region(topology)
        stack, _ = settings.own_stack(region)
        # The mirror and the children for trials are no part of a region file: they serve the engine of one machine.
        listening = settings.listening(region.processes.get(role, Process()))
        identity = Identity(region.name, stack, role)
        configure_logging(identity, level=settings.log_level)
        meters = Meters(identity)
        return cls(role, settings, topology, region, stack, listening, meters, _export(settings, meters))


@dataclass(frozen=True, slots=True)
class Service:
    """What a role does between its start and its stop."""

    run: Callable[[asyncio.Event], Awaitable[None]]
    """Works until the event is set."""
    unready: Callable[[], Awaitable[list[str]]]
    """Why clients, or operators, had better look elsewhere now; empty when all is well."""
    app: App | None = None
    """What clients of the role talk to."""


def _export(settings: Settings, meters: Meters) -> "Export | None":
    if settings.otlp_endpoint is None:
        return None
    from tocsin.telemetry.otlp import Export  # noqa: PLC0415 - it takes a while to load, and most do without

    return Export(settings.otlp_endpoint, settings.headers_for_collector(), settings.trace_ratio, meters)


def run(frame: Frame, opened: AbstractAsyncContextManager[Service]) -> None:
    """Runs a role until SIGTERM or SIGINT. Raises ConfigError or `EngineError` when it cannot start or go on."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(frame, opened))
    except ExceptionGroup as group:
        raise _sole(group) from None


async def _serve(frame: Frame, opened: AbstractAsyncContextManager[Service]) -> None:
    place = frame.listening
    with _Stop() as stop, contextlib.ExitStack() as sockets:
        admin = sockets.enter_context(bind(place.host, place.admin_port))
        if isinstance(place, ServerPlace):
            clients = sockets.enter_context(bind(place.host, place.port))
            tls = presented(f"{frame.region.name}-{frame.role}", place, frame.settings)
        else:
            clients, tls = None, None
        async with opened as service:

            async def unready() -> list[str]:
                return [*(tls.problems if tls else ()), *await service.unready()]

            token = frame.settings.metrics_token
            secret = token.get_secret_value() if token else None
            health = Health(frame.role, unready, stop.wanted, frame.meters, secret)
            servers = [HttpServer(health, admin)]
            if clients and service.app:
                servers.append(HttpServer(service.app, clients, tls))
                frame.meters.watch(servers[-1].readings)
            # Servers end before `opened` closes the engines that requests under way still need.
            async with _exported(frame.export, health.check), _served(servers):
                _settle()
                _announce(frame, *(server.url for server in servers))
                try:
                    await service.run(stop.wanted)
                finally:
                    stop.begin("the end of its work")
    _log.info("stopped", extra={"action": "stopped"})


def _settle() -> None:
    """Takes what is there once all is loaded out of the collector's care: modules and schemas live as long as the
    process, and each full collection that looks at all of them holds everybody up for 50 ms and more.
    """
    gc.collect()
    gc.freeze()


def _announce(frame: Frame, admin_url: str, url: str | None = None) -> None:
    urls = {"url": url, "admin_url": admin_url}
    line = {"role": frame.role, "region": frame.region.name, "pid": os.getpid()} | urls
    print(json.dumps(line), flush=True)  # noqa: T201 - see the theory
    _log.info("listening", extra={"action": "listening", **urls})


class _Stop:
    """The wish to stop: by a signal, or because the work ended. From then on time is limited."""

    def __init__(self) -> None:
        self.wanted = asyncio.Event()
        self._deadline = threading.Timer(STOP_S_MAX, _give_up)
        self._deadline.daemon = True

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.begin, number.name)
        return self

    def __exit__(self, *_: object) -> None:
        self._deadline.cancel()

    def begin(self, why: str) -> None:
        """Begins to stop, the first time."""
        if not self.wanted.is_set():
            _log.info("stopping on %s", why, extra={"action": "stopping"})
            self.wanted.set()
            self._deadline.start()


@contextlib.asynccontextmanager
async def _served(servers: list["HttpServer"]) -> AsyncIterator[None]:
    """Serves while the body runs. However that ends, the servers end in good order: a listening socket that is merely
    dropped holds up the end of the event loop.
    """
    tasks = []
    try:
        for server in servers:
            tasks.append(asyncio.create_task(server.serve_socket()))
            await server.listens.wait()
        yield
    finally:
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks)


@contextlib.asynccontextmanager
async def _exported(export: "Export | None", refresh: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Sends metrics to the collector while the body runs, and after it what waits, within bounds."""
    if export is None:
        yield
        return
    sending = asyncio.create_task(export.run(refresh))
    try:
        yield
    finally:
        sending.cancel()
        await export.close()


def _give_up() -> NoReturn:
    """Runs in a thread of its own: what holds the process up may hold the event loop too."""
    _log.error("did not stop within %.0f s: ended as it was", STOP_S_MAX, extra={"action": "stop_timed_out"})
    os._exit(1)


def _sole(error: Exception) -> Exception:
    """The one error inside of groups of one, so that whoever ran the process sees what happened and not where."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def die_with(parent: int) -> None:
    """Has the kernel kill this process when its parent ends, by whatever means: a supervisor that is killed leaves
    nothing behind. Linux only; elsewhere nothing is done.

    The parent here is the *thread* that started us: supervisors start processes from the thread of their event loop.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it ended before the kernel knew of our wish
        raise Misconfigured(f"the process that started this one, {parent}, has ended")


# Listening -----------------------------------------------------------------------------------------------------------


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; raises `Misconfigured` when the address cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server((str(address[0]), port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise Misconfigured(
            f"cannot listen on {host}, port {port}: {error.strerror or error}. End the process that has it, or choose "
            "another in the region file or with --host, --port and --admin-port (0: any free port)"
        ) from error


def url_of(bound: socket.socket, scheme: str = "http") -> str:
    """Where this machine finds a socket."""
    host, port, *_ = bound.getsockname()
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")  # noqa: PLR2004
    return f"{scheme}://[{address}]:{port}" if address.version == 6 else f"{scheme}://{address}:{port}"  # noqa: PLR2004


class HttpServer(uvicorn.Server):
    """An ASGI app on a socket that is listening already, over TLS if it has something to present; `should_exit` ends it
    within `REQUESTS_S_MAX`.
    """

    def __init__(self, app: App, bound: socket.socket, tls: Presented | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                http=GuardedProtocol,
                ws="none",
                log_config=None,
                access_log=False,
                log_level="warning",
                proxy_headers=False,
                server_header=False,
                backlog=BACKLOG,
                limit_concurrency=REQUESTS_MAX,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=REQUESTS_S_MAX,
            )
        )
        self.listens = asyncio.Event()
        self.url = url_of(bound, "https" if tls else "http")
        self._bound = bound
        self._tls = tls

    def readings(self) -> Iterator[Reading]:
        """What gauges show of it."""
        state = self.server_state
        yield from bound(Bound.REQUESTS, len(state.tasks), REQUESTS_MAX)
        yield from bound(Bound.CONNECTIONS, len(state.connections), GuardedProtocol.bounds.connections_max)

    async def serve_socket(self) -> None:
        """Serves until `should_exit`."""
        keeping = asyncio.create_task(self._tls.keep()) if self._tls else None
        try:
            await self.serve(sockets=[self._bound])
        finally:
            if keeping:
                keeping.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 (as the base class)
        """Listens, and says when it does; if it cannot, `serve_socket` raises why.

        In place of the base class's, which gives a TLS handshake a minute.
        """
        context, bound_s = (self._tls.context, HANDSHAKE_S_MAX) if self._tls else (None, None)
        try:
            server = await asyncio.get_running_loop().create_server(
                lambda: GuardedProtocol(self.config, self.server_state, {}),
                sock=self._bound,
                backlog=BACKLOG,
                ssl=context,
                ssl_handshake_timeout=bound_s,
                ssl_shutdown_timeout=bound_s,
            )
            self.servers = [server]
            self.started = True
        finally:
            self.listens.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the process's business, not a server's: there are two in it."""
        yield


@contextlib.asynccontextmanager
async def closing(*engines: Any) -> AsyncIterator[None]:
    """Closes the engines at the end, each whatever befell the others."""
    async with contextlib.AsyncExitStack() as stack:
        for engine in engines:
            stack.push_async_callback(engine.close)
        yield

"""A role's server in a thread of its own, on the event loop that roles have, for clients that are real."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator

import uvloop

from tocsin.roles.asgi import App
from tocsin.roles.process import HttpServer, bind
from tocsin.roles.tls import Presented


class Door:
    """An app that is served until `stop` or `kill`."""

    def __init__(self, app: App, *, port: int = 0, tls: Presented | None = None) -> None:
        self._bound = bind("127.0.0.1", port)
        self.port = int(self._bound.getsockname()[1])
        self.server = HttpServer(app, self._bound, tls)
        self.url = self.server.url
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), name="door")
        self._thread.start()
        assert started.wait(10)

    def connect(self, tls: ssl.SSLContext | None = None) -> socket.socket:
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        return tls.wrap_socket(raw, server_hostname="127.0.0.1") if tls else raw

    def ask(self, tls: ssl.SSLContext | None = None, head: str = "") -> bytes:
        """A request of its own connection; what was answered."""
        with self.connect(tls) as client:
            client.sendall(f"GET / HTTP/1.1\r\nHost: a\r\n{head}Connection: close\r\n\r\n".encode())
            return read_all(client)

    def stop(self) -> None:
        """Ends in good order, once."""
        self.server.should_exit = True
        self._thread.join()
        self._bound.close()

    def kill(self) -> None:
        """Breaks every connection and stops listening, without a word."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._abort)
        self.stop()

    def _abort(self) -> None:
        for listening in self.server.servers:
            listening.close()
        for protocol in list(self.server.server_state.connections):
            protocol.transport.abort()
        self._serving.cancel()

    def _run(self, started: threading.Event) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            self._loop = runner.get_loop()
            runner.run(self._serve(started))

    async def _serve(self, started: threading.Event) -> None:
        self._serving = asyncio.create_task(self.server.serve_socket())
        await self.server.listens.wait()
        started.set()
        with contextlib.suppress(asyncio.CancelledError):  # killed
            await self._serving


def read_all(client: socket.socket) -> bytes:
    """What comes until the connection ends, in whichever way."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while chunk := client.recv(65_536):
            received += chunk
    return bytes(received)


@contextlib.contextmanager
def opened(app: App, tls: Presented | None = None) -> Iterator[Door]:
    """A door that is open while the body runs."""
    door = Door(app, tls=tls)
    try:
        yield door
    finally:
        door.stop()

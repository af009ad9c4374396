"""A forward proxy that leads wherever a client wants to go to one place: how a fixed address is pointed elsewhere."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

CHUNK_BYTES = 65_536


class Tunnel:
    """A proxy on this machine; what it passes on is not looked into, so TLS is the client's with the end."""

    def __init__(self, to_url: str) -> None:
        place = urlsplit(to_url)
        self.asked: set[str] = set()
        """Where its clients wanted to go."""
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), _handler((str(place.hostname), place.port or 443), self.asked)
        )
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(to: tuple[str, int], asked: set[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.add(self.path)
            with socket.create_connection(to) as there:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_pump, args=(there, self.connection))
                back.start()
                _pump(self.connection, there)
                back.join()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return Handler


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(CHUNK_BYTES):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # one side has gone; so the other has nothing to wait for
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

"""The people of the demo: a server that receives their pages, and knows by itself what each was told and when.

What came is counted here and nowhere else: by what a page covers, not by what its sender says of it. A bundle that
comes again under its own id is the same page.
"""

import datetime as dt
import json
import ssl
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, NamedTuple

from tocsin.engines.authority import LocalAuthority

BODY_BYTES_MAX: Final = 64 * 1024


class Pair(NamedTuple):
    """An incident, by its printed id, and the user who is to be told of it."""

    incident: str
    user: str


class Bundle(NamedTuple):
    """A page as it came. Times are Unix microseconds; `new` are the printed ids of the incidents that it is about."""

    id: str
    region: str
    user: str
    due_us: int
    received_us: int
    new: tuple[str, ...]


class Refusing(Exception):
    """The receiver takes nothing of this region now."""


class Receiver:
    """What came, by bundle. Pages of regions in `refusing` are answered 503; `refused` counts them by region."""

    def __init__(self) -> None:
        self.url = ""
        self.refusing: frozenset[str] = frozenset()
        self.refused: Counter[str] = Counter()
        self._bundles: dict[str, Bundle] = {}
        self._lock = threading.Lock()

    @property
    def bundles(self) -> list[Bundle]:
        """All pages so far, each once."""
        with self._lock:
            return list(self._bundles.values())

    def told(self) -> dict[Pair, list[Bundle]]:
        """By which pages each incident was told to whom."""
        found: dict[Pair, list[Bundle]] = defaultdict(list)
        for bundle in self.bundles:
            for incident in bundle.new:
                found[Pair(incident, bundle.user)].append(bundle)
        return found

    def take(self, body: bytes) -> None:
        """One page; raises ValueError or KeyError when it is none, and `Refusing`."""
        received_us = time.time_ns() // 1000
        data = json.loads(body)["data"]
        if data["region"] in self.refusing:
            with self._lock:
                self.refused[data["region"]] += 1
            raise Refusing
        new = tuple(item["id"] for item in data["incidents"] if item["is_new"])
        bundle = Bundle(data["bundle"], data["region"], data["user"], data["due_us"], received_us, new)
        with self._lock:
            self._bundles.setdefault(bundle.id, bundle)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, receiver: Receiver, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.receiver = receiver
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        """Takes a page."""
        length = int(self.headers.get("content-length", "0"))
        status = 204
        try:
            self.server.receiver.take(self.rfile.read(min(length, BODY_BYTES_MAX)))
        except (ValueError, KeyError, TypeError):
            status = 400
        except Refusing:
            status = 503
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """The show is told in other words."""


@contextmanager
def receiving(folder: Path) -> Iterator[Receiver]:
    """A receiver over TLS on a free port of this machine, until the end; `folder` gets its authority's `ca.pem`."""
    certificate = LocalAuthority(folder).certify("receiver", (), now=dt.datetime.now(dt.UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file)
    receiver = Receiver()
    server = _Server(receiver, context)
    receiver.url = f"https://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, name="receiver", daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""The guard: HTTP connections with bounds on what a client may send, how slowly, and how many wait without a word.

Theory
------
A server that waits for its clients belongs to the slowest of them. One that dribbles a byte a second, in the head, in
the body or in the TLS handshake, one that sends a megabyte of headers, one that never reads its answer, and a thousand
that connect and say nothing must cost the others nothing. uvicorn bounds requests and idle connections; this adds

- a head (request line and headers) of `head_bytes_max`, else 431, within `head_s_max`, else 408;
- a body within `body_s_max`, else the connection is broken; a role that reads bodies has a shorter bound of its own,
  and an answer for it (`web.read_body`);
- an answer that is read: a client that takes nothing of it for `send_s_max` is cut off;
- connections: above `connections_max` the one whose client has been waited for longest makes room. So nobody is refused
  for the sake of connections that do nothing.
"""

import asyncio
import time
from typing import Any, ClassVar, Final, NamedTuple, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle


class Bounds(NamedTuple):
    """What one connection may do, and how many there may be."""

    head_bytes_max: int = 32_768
    head_s_max: float = 10.0
    """From the first byte, or the connection, to the end of the headers."""
    body_s_max: float = 15.0
    """From the end of the headers to the end of the body."""
    send_s_max: float = 30.0
    """How long a client may read nothing while there is an answer for it."""
    close_s_max: float = 5.0
    """How long closing may take before it is forced."""
    connections_max: int = 900
    """Below uvicorn's limit of concurrency, at which it answers 503."""


_TEXTS: Final = {
    400: "Invalid HTTP request received.",
    408: "The head of the request did not arrive in time.",
    431: "The head of the request is too large.",
}


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with the guard's bounds."""

    bounds: ClassVar[Bounds] = Bounds()

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.waits_since: float | None = None
        """When it began to wait for a request of its client; None while a whole one is under way."""
        self._head_bytes = 0
        self._is_in_head = True
        self._arrival: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None

    # The connection ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the base class
        """A client has come."""
        super().connection_made(transport)
        self.waits_since = time.monotonic()
        self._expect_head()
        if len(self.connections) > self.bounds.connections_max:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        for timer in (self._arrival, self._reading, self._closing):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def _make_room(self) -> None:
        """Closes the connection that has waited for longest; when none waits, uvicorn answers 503 to one too many."""
        others = cast("set[GuardedProtocol]", self.connections) - {self}
        waiting = {other: other.waits_since for other in others if other.waits_since is not None}
        if waiting:
            min(waiting, key=waiting.__getitem__).transport.abort()

    # What arrives ------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request."""
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._arrival is None:
                self._expect_head()  # the first bytes of another request on the same connection
        super().data_received(data)
        if self._is_in_head and self._head_bytes > self.bounds.head_bytes_max and not self.transport.is_closing():
            self._refuse(431)

    def on_headers_complete(self) -> None:
        """The head is there."""
        # Bytes were counted as they came in; a chunk may hold more than the head, so what counts is what was parsed.
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > self.bounds.head_bytes_max:
            self._refuse(431)
            raise ValueError(_TEXTS[431])  # ends the parser's work on this connection
        self._is_in_head = False
        self._set_arrival(self.bounds.body_s_max, self._abort)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is there, too."""
        self._is_in_head = True
        self._head_bytes = 0
        self.waits_since = None
        if self._arrival:
            self._arrival.cancel()
            self._arrival = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer was given."""
        super().on_response_complete()
        if not self.pipeline:
            self.waits_since = time.monotonic()

    def _expect_head(self) -> None:
        self._set_arrival(self.bounds.head_s_max, self._head_too_slow)

    def _head_too_slow(self) -> None:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        if cycle is None or cycle.response_complete:
            self._refuse(408)
        else:  # an answer is under way, and the head is that of a further request
            self._abort()

    def _set_arrival(self, seconds: float, then: Any) -> None:
        if self._arrival:
            self._arrival.cancel()
        self._arrival = self.loop.call_later(seconds, then)

    # What is answered --------------------------------------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (as the base class)
        """Answers what cannot be parsed."""
        if not self.transport.is_closing():
            self._refuse(400)

    def _refuse(self, status: int) -> None:
        text = _TEXTS[status].encode()
        headers = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + headers % len(text) + text)
        self._close()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        super().pause_writing()
        self._reading = self.loop.call_later(self.bounds.send_s_max, self._abort)

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        if self._reading:
            self._reading.cancel()
            self._reading = None

    def timeout_keep_alive_handler(self) -> None:
        """The client has said nothing for long enough."""
        self._close()

    def _close(self) -> None:
        """Closes; what the client does not take of it, is dropped."""
        self.transport.close()
        self._closing = self.loop.call_later(self.bounds.close_s_max, self._abort)

    def _abort(self) -> None:
        self.transport.abort()

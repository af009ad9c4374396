"""The page door: where the synthetic page comes back, as a webhook of a person that nobody is.

A page counts only when its signature is right and it is about the incident that is waited for: what somebody else sends
here, or a page of an earlier round, must not pass for one.
"""

import asyncio
import hmac
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from tocsin.roles.asgi import Receive, Scope, Send
from tocsin.roles.delivery import signing
from tocsin.topology import PAGES_PATH

BODY_BYTES_MAX: Final = 64 * 1024
BODY_S_MAX: Final = 5.0
AGE_S_MAX: Final = 300.0
"""A page signed longer ago is a replay, as Standard Webhooks has it; so is one from so far ahead."""


class _Incident(msgspec.Struct):
    id: str


class _Data(msgspec.Struct):
    incidents: list[_Incident]


class _Page(msgspec.Struct):
    data: _Data


_PAGE: Final = msgspec.json.Decoder(_Page)


class PageDoor:
    """Takes pages, and tells who waits for one."""

    def __init__(self, secret: bytes, clock_s: Callable[[], float]) -> None:
        """`secret` is the method's; `clock_s` gives Unix time."""
        self._secret = secret
        self._clock_s = clock_s
        self._awaited = ""
        self._came = asyncio.Event()

    @contextmanager
    def awaiting(self, incident: str) -> Iterator[asyncio.Event]:
        """Waits for a page about this incident, by its printed id: the event is set once it came."""
        self._awaited, self._came = incident, asyncio.Event()
        try:
            yield self._came
        finally:
            self._awaited = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI request."""
        status = await self._status(scope, receive)
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def _status(self, scope: Scope, receive: Receive) -> int:
        if scope["path"] != PAGES_PATH:
            return 404
        if scope["method"] != "POST":
            return 405
        body = await _body(receive)
        if body is None:
            return 413
        if not self._is_signed(dict(scope["headers"]), body):
            return 401
        try:
            page = _PAGE.decode(body)
        except (ValueError, RecursionError):
            return 400
        if self._awaited and any(one.id == self._awaited for one in page.data.incidents):
            self._came.set()
        return 204

    def _is_signed(self, given: dict[bytes, bytes], body: bytes) -> bool:
        id, stamp, signature = (
            given.get(name, b"") for name in (b"webhook-id", b"webhook-timestamp", b"webhook-signature")
        )
        if not stamp.isdigit() or abs(self._clock_s() - int(stamp[:12])) > AGE_S_MAX:
            return False
        try:
            expected = signing.headers(self._secret, id.decode("ascii"), int(stamp), body)["webhook-signature"]
        except UnicodeDecodeError:
            return False
        return any(hmac.compare_digest(one, expected.encode()) for one in signature.split(b" "))


async def _body(receive: Receive) -> bytes | None:
    """The request's body; None when it is too long or too slow."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S_MAX):
            while True:
                message: Any = await receive()
                body += message.get("body", b"")
                if len(body) > BODY_BYTES_MAX or message["type"] != "http.request":
                    return None
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        return None

"""What the apps of all HTTP roles share: JSON answers, whatever goes wrong; request ids; a body that is bounded.

Roles build their apps from arguments and never listen by themselves: `process` puts an app on a socket.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.params import Depends
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.routing import request_response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tocsin.roles.randomness import RandomBytes

READ_S_MAX: Final = 10.0
"""A body that has not arrived by then is not waited for."""
_AUTHORIZATION: Final = re.compile(r'(?:Token\s+(?:token=)?"?([^\s"]+)"?|Bearer\s+(\S+))\s*\Z', re.IGNORECASE)
ErrorBody = Callable[[int, str], Any]
"""The body of an answer that no handler gave: from its status and a sentence."""
Answered = Callable[[int, float], None]
_log = logging.getLogger(__name__)


class BodyTooLarge(Exception):
    """A body over the limit; the message is its size as far as it is known."""


class BodyTooSlow(Exception):
    """A body did not arrive in time."""


def answer(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


async def read_body(request: Request, *, bytes_max: int, read_s_max: float = READ_S_MAX) -> bytes:
    """The request's body. Reads no further than the limit; raises `BodyTooLarge` and `BodyTooSlow`."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > bytes_max:
        raise BodyTooLarge(announced[:20])
    body = bytearray()
    try:
        async with asyncio.timeout(read_s_max):
            async for chunk in request.stream():
                body += chunk
                if len(body) > bytes_max:
                    raise BodyTooLarge(f"at least {len(body)}")
    except TimeoutError as error:
        raise BodyTooSlow(f"{len(body)} bytes of the body came within {read_s_max:g} s, and then no end") from error
    return bytes(body)


def credential(request: Request) -> str | None:
    """What stands in `Authorization`, in the forms that PagerDuty's clients send; None when there is none."""
    match = _AUTHORIZATION.match(request.headers.get("authorization", ""))
    return (match[1] or match[2]) if match else None


class PlainRoute(APIRoute):
    """A route whose handler takes the request as it is and answers by itself. FastAPI describes it, and is not called
    for a request: its own work would be more than that of a handler which asks nothing of it.
    """

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.app = request_response(self.endpoint)


def make_app(
    title: str,
    error_body: ErrorBody,
    answered: Answered = lambda _status, _took_s: None,
    dependencies: Sequence[Depends] = (),
) -> FastAPI:
    """An app without routes: never redirects, and answers in JSON whatever goes wrong.

    Each answer has an `X-Request-Id`, and so has each log record of a failure. `answered` is told the status of each
    and after how many seconds it began; each route has the `dependencies`.
    """
    app = FastAPI(
        title=title,
        dependencies=dependencies,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # ours is `tocsin.telemetry`
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(_Outermost, error_body=error_body, answered=answered)

    async def no_route(request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        headers = getattr(error, "headers", None)
        return answer(status, error_body(status, f"{request.method} {request.url.path[:200]}"), headers)

    for status in (404, 405):
        app.add_exception_handler(status, no_route)
    return app


class _Outermost:
    """Gives each request an id, and answers 500 in JSON for what no handler foresaw; the traceback goes to the log."""

    def __init__(self, app: ASGIApp, error_body: ErrorBody, answered: Answered) -> None:
        self._app = app
        self._error_body = error_body
        self._answered = answered
        self._random_bytes = RandomBytes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._random_bytes(8).hex()
        has_begun, began_s = False, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                self._answered(message["status"], time.perf_counter() - began_s)
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            # The route's pattern, not the path: a webhook's path has its routing key in it.
            route = getattr(scope.get("route"), "path", "none")
            extra = {"action": "unforeseen", "request_id": request_id, "route": route}
            _log.exception("a request failed in a way that no handler foresaw", extra=extra)
            if has_begun:
                raise
            body = self._error_body(500, f"a fault of the server; its log has it under {request_id}")
            await answer(500, body)(scope, receive, send_with_id)

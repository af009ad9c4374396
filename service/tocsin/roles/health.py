"""The admin port of a role: is it alive, is it ready, and what does it measure.

`/health/live` and `/health/ready` answer anyone: a load balancer has no secret. `/metrics` is in Prometheus's text
format. Numbers of services and partitions are nobody else's business, so it answers this machine, where an agent may
run beside the process; and, once a metrics token is set, whoever sends it as `Authorization: Bearer`, this machine's
programs included: what passes a proxy looks local too.
"""

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from tocsin.engines.errors import EngineError
from tocsin.roles.asgi import Receive, Scope, Send
from tocsin.telemetry import Gauge, Meters, Reading
from tocsin.telemetry.prometheus import CONTENT_TYPE, exposition

CHECK_S_MAX: Final = 2.0
"""A check of readiness that takes longer says that the process is not ready."""
Headers = dict[bytes, bytes]


class Health:
    """The admin port: `/health/live`, `/health/ready`, `/metrics`."""

    def __init__(
        self,
        role: str,
        unready: Callable[[], Awaitable[list[str]]],
        stopping: asyncio.Event,
        meters: Meters,
        metrics_token: str | None = None,
    ) -> None:
        self._role = role
        self._unready = unready
        self._stopping = stopping
        self._meters = meters
        self._metrics_token = metrics_token
        self._known = ["nobody has asked yet whether it is ready"]
        meters.watch(self._readings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (as ASGI has it)
        """One ASGI request."""
        status, raw, headers = await self._answer(scope)
        headers = {b"content-type": b"application/json", b"content-length": b"%d" % len(raw), **headers}
        await send({"type": "http.response.start", "status": status, "headers": list(headers.items())})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else raw})

    async def check(self) -> None:
        """Finds out whether the process is ready, for all that show it."""
        self._known = await self._reasons()

    async def _answer(self, scope: Scope) -> tuple[int, bytes, Headers]:
        if scope["method"] not in {"GET", "HEAD"}:
            return _error(405, "only GET and HEAD")
        match scope["path"]:
            case "/health/live":  # must not wait for an engine: who restarts what is not alive would restart in vain
                return 200, self._body(), {}
            case "/health/ready":
                await self.check()
                return 503 if self._known else 200, self._body(), {}
            case "/metrics":
                return await self._metrics(scope)
        return _error(404, "there are /health/live, /health/ready and /metrics")

    async def _metrics(self, scope: Scope) -> tuple[int, bytes, Headers]:
        if self._metrics_token is None:
            if not _is_local(scope.get("client")):
                return _error(403, "metrics are for this machine alone while TOCSIN_METRICS_TOKEN is not set")
        elif not _bears(scope, self._metrics_token):
            return _error(401, "Authorization must be `Bearer` and the metrics token", {b"www-authenticate": b"Bearer"})
        await self.check()
        return 200, exposition(self._meters.collect(), self._meters.identity), {b"content-type": CONTENT_TYPE.encode()}

    def _body(self) -> bytes:
        return json.dumps({"role": self._role, "ready": not self._known, "reasons": self._known}).encode()

    def _readings(self) -> Iterator[Reading]:
        yield Reading(Gauge.READY, 0 if self._known else 1, {})

    async def _reasons(self) -> list[str]:
        if self._stopping.is_set():
            return ["it is stopping"]
        try:
            async with asyncio.timeout(CHECK_S_MAX):
                return await self._unready()
        except TimeoutError:
            return [f"the check of readiness got no answer within {CHECK_S_MAX:.0f} s"]
        except EngineError as error:
            return [str(error)]


def _error(status: int, text: str, headers: Headers | None = None) -> tuple[int, bytes, Headers]:
    return status, json.dumps({"error": text}).encode(), headers or {}


def _is_local(client: tuple[str, int] | None) -> bool:
    return client is not None and ipaddress.ip_address(client[0]).is_loopback


def _bears(scope: Scope, token: str) -> bool:
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, credential = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
    return scheme.lower() == b"bearer" and hmac.compare_digest(credential.strip(), token.encode())

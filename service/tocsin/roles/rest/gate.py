"""The gate of the REST interface: who asks, whether they may, and whether they ask too often.

What reads needs a token of scope read, what changes one of scope write; a token may be good for some services alone.
Each token has a rate of its own, told in every answer by the headers that PagerDuty's clients look at. Refusals go
into the audit trail: without the token, since a secret that is almost right is a secret too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tocsin.config import ConfigError
from tocsin.core.rates import Rates
from tocsin.engines.audit import AuditTrail, Deed
from tocsin.engines.tokens import Scope as TokenScope
from tocsin.engines.tokens import Token, TokenFile
from tocsin.roles.rest.errors import (
    DENIED,
    RETRY,
    TOO_MANY,
    TOO_SLOW,
    UNAUTHENTICATED,
    RestError,
)
from tocsin.roles.web import credential

REQUESTS_PER_MIN_MAX: Final = 960
"""What a token may ask of one querier process in a minute, as at PagerDuty."""
_RATE: Final = "tocsin.rate"
_CALLER: Final = "tocsin.caller"
_CHALLENGE: Final = {"WWW-Authenticate": "Token"}


class Caller(NamedTuple):
    """Who asks."""

    token: Token

    def may_see(self, service: str) -> bool:
        """Whether what belongs to this service is theirs to see."""
        return not self.token.services or service in self.token.services

    def visible(self, wanted: tuple[str, ...]) -> tuple[str, ...] | None:
        """The services to ask a store for when these are wanted, empty for any; None when there is nothing to see."""
        if not self.token.services:
            return wanted
        seen = tuple(service for service in self.token.services if not wanted or service in wanted)
        return seen or None


@dataclass(frozen=True, slots=True)
class Gate:
    """Lets requests through, as a dependency of every route; `RestError` else."""

    tokens: TokenFile
    audit: AuditTrail
    clock_us: Callable[[], int]
    monotonic: Callable[[], float]
    requests_per_min_max: int
    rates: Rates

    async def __call__(self, request: Request) -> None:
        """Notes the caller of the request, for `caller_of`."""
        token = self._token(request)
        needed = TokenScope.READ if request.method in ("GET", "HEAD") else TokenScope.WRITE
        if not token.scope.includes(needed):
            raise self.denied(request, token, f"the token's scope is {token.scope}; this needs {needed}")
        self._hold_to_rate(request, token)
        request.scope[_CALLER] = Caller(token)

    def denied(self, request: Request, token: Token, why: str) -> RestError:
        """The answer to a caller who may not do this."""
        place = {"method": request.method, "path": request.url.path[:200]}
        self.audit.refused(Deed.DENIED, token_id=token.id, why=why, client=_client(request), **place)
        return RestError(403, DENIED, "Access Denied", [why])

    def _token(self, request: Request) -> Token:
        given = credential(request)
        if given is None:
            raise self._unauthorized(request, "Authorization must be `Token token=...` or `Bearer ...`")
        try:
            token = self.tokens.check(given, self.clock_us())
        except ConfigError as error:
            what = "this region cannot read its tokens; ask another one"
            raise RestError(503, TOO_SLOW, "Service Unavailable", [what], RETRY) from error
        if token is None:
            raise self._unauthorized(request, "no such token, or it has expired or was revoked")
        return token

    def _unauthorized(self, request: Request, why: str) -> RestError:
        self.audit.refused(Deed.UNAUTHENTICATED, why=why, client=_client(request), method=request.method)
        return RestError(401, UNAUTHENTICATED, "Unauthorized", [why], _CHALLENGE)

    def _hold_to_rate(self, request: Request, token: Token) -> None:
        now_s, limit = self.monotonic(), self.requests_per_min_max
        wait_s = self.rates.take(token.id, limit, now_s)
        left, reset_s = self.rates.left(token.id, limit, now_s)
        request.scope[_RATE] = (limit, left, wait_s or reset_s)
        if wait_s:
            what = f"a token may ask {limit} times a minute; wait {wait_s} s"
            raise RestError(429, TOO_MANY, "Rate Limit Exceeded", [what], {"Retry-After": str(wait_s)})


def caller_of(request: Request) -> Caller:
    """Who asks; of a request that the gate let through."""
    caller = request.scope[_CALLER]
    assert isinstance(caller, Caller)  # noqa: S101 (the gate's)
    return caller


class RateHeaders:
    """Tells in each answer to a known caller what is left of its rate."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI request."""

        async def send_with_rate(message: Message) -> None:
            if message["type"] == "http.response.start" and _RATE in scope:
                names = (b"ratelimit-limit", b"ratelimit-remaining", b"ratelimit-reset")
                values = zip(names, scope[_RATE], strict=True)
                message["headers"] = [*message["headers"], *((name, b"%d" % value) for name, value in values)]
            await send(message)

        await self._app(scope, receive, send_with_rate)


def _client(request: Request) -> str:
    return request.client.host if request.client else "unknown"

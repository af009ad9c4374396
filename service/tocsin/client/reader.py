"""A reader: asks the regions' read interfaces in turn, and keeps what an answer says of its own completeness.

Every region holds all the data, so one that does not answer is no reason to know nothing: the next is asked. What one
refuses on the merits of the question (a wrong token, an unknown id) is an answer, and the others are not bothered with
it. The region that answered last goes first, so that a poll does not begin with the one that is away.

A region answers from what it has stored so far. How far that reaches stands beside each answer: whoever shows one
without the other tells half the truth.
"""

import json
import re
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import httpx2

from tocsin.client.regions import Unusable, base_url, read_answer

ANSWER_BYTES_MAX: Final = 128 * 1024 * 1024
"""A hundred log entries of the largest size, and room for their frames."""
TOLD_CHARACTERS_MAX: Final = 300
ACCEPT: Final = "application/vnd.pagerduty+json;version=2"
_SECRET: Final = re.compile(r"[!-~]+\Z")
_TRY_ANOTHER: Final = frozenset({408, 425, 429})
"""Client errors that are about the moment, not about the question."""


class Place(NamedTuple):
    """Where a region is read. `ca_file`: what signed its certificate; None for what the system trusts."""

    name: str
    url: str
    ca_file: Path | None = None


class Reading(NamedTuple):
    """An answer, and what it says of itself."""

    region: str
    status: int
    body: dict[str, Any]
    complete_until: str | None
    """ISO 8601: nothing received before it is missing. None when the region cannot tell."""
    is_pending: bool
    """Whether it may lack something that was accepted."""
    set_aside: tuple[str, ...]
    """The printed keys of requests that belong to it and could not be stored."""
    drained: tuple[str, ...]
    """The regions that `complete_until` does not speak for."""
    passed_over: Mapping[str, str]
    """The regions that were asked before this one, and why they gave no answer."""


class Rejected(Exception):
    """A region refuses the question itself: others would, too. `errors` name what is wrong."""

    def __init__(self, region: str, status: int, errors: Sequence[str]) -> None:
        super().__init__(f"region {region} answers {status}: {'; '.join(errors)}")
        self.region = region
        self.status = status
        self.errors = list(errors)


class NotFound(Rejected):
    """What was asked for is not there: it is in no log that the region has read."""


class NoAnswer(Exception):
    """No region answered; `reasons` has why, by region."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("no region answers: " + "; ".join(f"{name}: {why}" for name, why in reasons.items()))
        self.reasons = dict(reasons)


class Reader:
    """Reads, and acts on incidents, by one token. Not for several threads at once."""

    def __init__(self, places: Sequence[Place], token: str, *, timeout_s: float = 10.0) -> None:
        """`places`: the regions, the preferred first. `timeout_s` bounds each step of an attempt, and all of an answer.

        Raises ValueError for an address or a token that is none, OSError for a CA file that cannot be used.
        """
        if not _SECRET.match(token):
            raise ValueError("a token is one word of printable ASCII characters; this is none")
        self._places = [place._replace(url=base_url(place.url, "a region's read interface")) for place in places]
        if not self._places:
            raise ValueError("no region to read from is given")
        self._timeout_s = timeout_s
        self._headers = {"Authorization": f"Token token={token}", "Accept": ACCEPT, "Accept-Encoding": "identity"}
        contexts = {ca_file: _context(ca_file) for ca_file in {place.ca_file for place in self._places}}
        self._clients = {
            ca_file: httpx2.Client(verify=context, timeout=timeout_s) for ca_file, context in contexts.items()
        }

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Reading:
        """What a region answers. Raises `Rejected`, `NotFound` and `NoAnswer`."""
        return self._ask("GET", path, params=params)

    def put(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Reading:
        """Changes something. Raises as `get` does; what raised `NoAnswer` may have been recorded all the same."""
        return self._ask("PUT", path, content=json.dumps(body).encode(), headers=headers)

    def close(self) -> None:
        """Closes the connections."""
        for client in self._clients.values():
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    # In turn -----------------------------------------------------------------------------------------------------

    def _ask(self, method: str, path: str, **more: Any) -> Reading:
        passed_over: dict[str, str] = {}
        for place in list(self._places):
            try:
                status, headers, raw = self._attempt(place, method, path, **more)
                body = _understood(place, status, raw)
            except Unusable as error:
                passed_over[place.name] = str(error)
                continue
            self._places.remove(place)
            self._places.insert(0, place)
            return _reading(place.name, status, headers, body, passed_over)
        raise NoAnswer(passed_over)

    def _attempt(
        self, place: Place, method: str, path: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> tuple[int, httpx2.Headers, bytes]:
        given = self._headers | dict(headers or {})
        if "content" in more:
            given["Content-Type"] = "application/json"
        client = self._clients[place.ca_file]
        try:
            with client.stream(method, place.url + path, headers=given, **more) as response:
                raw = read_answer(response, bytes_max=ANSWER_BYTES_MAX, read_s_max=self._timeout_s)
                return response.status_code, response.headers, raw
        except httpx2.HTTPError as error:
            raise Unusable(f"{type(error).__name__} at {place.url}: {error}") from error


def _understood(place: Place, status: int, raw: bytes) -> dict[str, Any]:
    """The body of an answer that answers; raises `Rejected`, `NotFound` and `Unusable`."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = None
    if 200 <= status < 300 and isinstance(body, dict):  # noqa: PLR2004 (what every 2xx has in common)
        return body
    told = raw[:TOLD_CHARACTERS_MAX].decode(errors="replace")
    if 400 <= status < 500 and status not in _TRY_ANOTHER:  # noqa: PLR2004
        errors = _errors(body) or [told]
        raise (NotFound if status == 404 else Rejected)(place.name, status, errors)  # noqa: PLR2004
    whys = "; ".join(_errors(body)) or told
    raise Unusable(f"answers {status}: {whys}")


def _errors(body: Any) -> list[str]:
    """What an error body of PagerDuty's form says."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return []
    errors = error.get("errors")
    told = [str(each) for each in errors] if isinstance(errors, list) else []
    return told or [str(error["message"])] if "message" in error else told


def _reading(
    region: str, status: int, headers: httpx2.Headers, body: dict[str, Any], passed_over: Mapping[str, str]
) -> Reading:
    complete_until = headers.get("tocsin-complete-until", "unknown")
    return Reading(
        region=region,
        status=status,
        body=body,
        complete_until=None if complete_until == "unknown" else complete_until,
        is_pending=headers.get("tocsin-pending", "true") != "false",
        set_aside=_listed(headers.get("tocsin-set-aside", "")),
        drained=_listed(headers.get("tocsin-drained", "")),
        passed_over=passed_over,
    )


def _listed(value: str) -> tuple[str, ...]:
    return tuple(word for each in value.split(",") if (word := each.strip()))


def _context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context

"""Regions in turn: one attempt after another until one of them has the event.

The region that answered last goes first, so that one which went away is not asked before every event whether it is
back. One that failed rests: for as long as it asked for, or for a pause that doubles with each failure.
"""

import datetime as dt
import json
import math
import random
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2

from tocsin.client.errors import Refused, Unreachable
from tocsin.client.limits import Limits

ENQUEUE: Final = "/v2/enqueue"
ID_HEADER: Final = "Idempotency-Key"
ANSWER_BYTES_MAX: Final = 65_536
DOUBLINGS_MAX: Final = 16
"""So that a power of two stays a number, however long an outage lasts."""
ACCEPTED: Final = 202
REFUSED: Final = frozenset({400, 413})


class Answer(NamedTuple):
    """Where an event was accepted, and the printed key under which it is known there.

    `ack`: what has it, `region` or `all-regions`; empty when the intake does not say.
    """

    region_url: str
    request: str
    ack: str


class Unusable(Exception):
    """An attempt at a region brought nothing. The message says why; `after_s` is what the region asked to wait."""

    def __init__(self, why: str, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.after_s = after_s


def read_answer(response: httpx2.Response, *, bytes_max: int, read_s_max: float) -> bytes:
    """The body of a streamed answer; raises `Unusable` for one that is too large, or does not end in time."""
    raw = bytearray()
    ends_at = time.monotonic() + read_s_max  # a time-out of HTTPX is for each read, not for all of them
    for chunk in response.iter_raw():
        raw += chunk
        if len(raw) > bytes_max:
            raise Unusable(f"answers more than {bytes_max} bytes")
        if time.monotonic() > ends_at:
            raise Unusable(f"did not end its answer within {read_s_max:g} s")
    return bytes(raw)


@dataclass
class _Region:
    url: str
    free_at: float = -math.inf
    failures: int = 0
    why: str = "not tried"


class Regions:
    """The intakes that may be sent to. For several threads."""

    def __init__(self, intakes: Sequence[str], ca_file: Path | None, timeout_s: float, limits: Limits) -> None:
        """`intakes`: base URLs, the preferred first. Raises ValueError for one that is none, OSError for the CA file.

        `timeout_s` bounds each step of an attempt: connecting, sending, waiting for the answer.
        """
        self._regions = [_Region(base_url(url, "an intake")) for url in intakes]
        if not self._regions:
            raise ValueError("intakes is empty: name the address of at least one region's intake")
        self._timeout_s = timeout_s
        self._limits = limits
        self._lock = threading.Lock()
        context = ssl.create_default_context(cafile=ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._http = httpx2.Client(verify=context, timeout=timeout_s)

    def send(self, printed_id: str, body: bytes, *, patience_s: float) -> Answer:
        """Sends an event to the first region that takes it, again and again as long as the patience lasts.

        Raises `Refused`, and `Unreachable` with each region's reason. Patience 0: each that does not rest is tried
        once, so none is when all of them rest.
        """
        give_up_at = time.monotonic() + patience_s
        while True:
            for region in self._in_turn():
                try:
                    answer = self._attempt(region.url, printed_id, body)
                except Unusable as error:
                    self._rest(region, error)
                else:
                    self._prefer(region)
                    return answer
            pause_s = self.pause_s
            if time.monotonic() + pause_s > give_up_at:
                raise Unreachable({region.url: region.why for region in self._regions})
            time.sleep(pause_s)

    @property
    def pause_s(self) -> float:
        """How long all regions are left alone from now."""
        with self._lock:
            return max(0.0, min(region.free_at for region in self._regions) - time.monotonic())

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    # Whose turn it is --------------------------------------------------------------------------------------------

    def _in_turn(self) -> list[_Region]:
        now = time.monotonic()
        with self._lock:
            return [region for region in self._regions if region.free_at <= now]

    def _prefer(self, region: _Region) -> None:
        with self._lock:
            region.failures, region.free_at, region.why = 0, -math.inf, "answered last time"
            self._regions.remove(region)
            self._regions.insert(0, region)

    def _rest(self, region: _Region, error: Unusable) -> None:
        with self._lock:
            doubled = self._limits.pause_first_s * 2.0 ** min(region.failures, DOUBLINGS_MAX)
            jitter = 0.5 + random.random() / 2  # noqa: S311 (spreads clients in time, guards nothing)
            pause_s = min(doubled, self._limits.pause_s_max) * jitter
            asked_s = min(error.after_s, self._limits.retry_after_s_max)
            region.failures += 1
            region.free_at = time.monotonic() + max(pause_s, asked_s)
            region.why = str(error)

    # One attempt -------------------------------------------------------------------------------------------------

    def _attempt(self, url: str, printed_id: str, body: bytes) -> Answer:
        """Raises `Refused` and `Unusable`."""
        try:
            status, headers, raw = self._post(url, printed_id, body)
        except httpx2.HTTPError as error:
            raise Unusable(f"{type(error).__name__}: {error}") from error
        content = _json_object(raw)
        if status == ACCEPTED and isinstance(content.get("request"), str):
            return Answer(url, content["request"], headers.get("tocsin-ack", ""))
        if status in REFUSED:
            errors = content.get("errors")
            told = [str(each) for each in errors] if isinstance(errors, list) and errors else [_text(raw)]
            raise Refused(status, told)
        if status == ACCEPTED:
            raise Unusable(f"answers 202, but not as an intake does: {_text(raw)}")
        raise Unusable(f"answers {status} {_text(raw)}", _retry_after_s(headers.get("retry-after", "")))

    def _post(self, url: str, printed_id: str, body: bytes) -> tuple[int, httpx2.Headers, bytes]:
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", ID_HEADER: printed_id}
        with self._http.stream("POST", url + ENQUEUE, content=body, headers=headers) as response:
            raw = read_answer(response, bytes_max=ANSWER_BYTES_MAX, read_s_max=self._timeout_s)
            return response.status_code, response.headers, raw


def base_url(text: str, of: str) -> str:
    """The address without a slash at its end; raises ValueError for what cannot be the address of `of`."""
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL as error:
        raise ValueError(f"{text!r} is no address of {of}: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host or url.query or url.fragment:
        raise ValueError(f"{text!r} is no address of {of}: expected https://host, https://host:port or one with a path")
    return text.rstrip("/")


def _json_object(raw: bytes) -> dict[str, Any]:
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _text(raw: bytes) -> str:
    return raw[:300].decode(errors="replace")


def _retry_after_s(value: str) -> float:
    """What a Retry-After header asks for, 0 when it cannot be understood: seconds, or a date."""
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        until = parsedate_to_datetime(value)
        return max(0.0, (until - dt.datetime.now(dt.UTC)).total_seconds())
    except (ValueError, TypeError):  # TypeError: a date without a time zone
        return 0.0

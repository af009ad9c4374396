"""The requests of one creator that somebody follows: their traces, from the log to the assignment.

A request's own context stands in its record. While its set is written, and afterwards for as long as there is room, it
is the context of the span in which it was stored: assignments of its incident, now or at a later change, hang from it.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from opentelemetry.trace import INVALID_SPAN, Span

from tocsin.core.ids import RequestKey
from tocsin.core.requests import Content, Record, Request, trace_of
from tocsin.telemetry import Traces
from tocsin.telemetry.traces import traceparent

KEPT_MAX: Final = 1_000
"""So many are remembered; the ones that were followed first are forgotten."""
PLAIN_HEADERS: Final = 5
"""A record with no more headers than a request needs carries no trace."""


class Followed:
    """Which requests are followed, by key."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces
        self._contexts: OrderedDict[RequestKey, str] = OrderedDict()
        self._waiting: set[int] = set()
        """The ids of those that were read and are not stored yet, to find them in a set without a look at each key."""

    def take(self, records: Sequence[Record], contents: Sequence[Content]) -> None:
        """These were read from the log."""
        if not self._traces.is_on:
            return
        for record, content in zip(records, contents, strict=True):
            if len(record.headers) > PLAIN_HEADERS and isinstance(content, Request) and (trace := trace_of(record)):
                self._contexts[content.key] = trace
                self._waiting.add(content.key.id)
        while len(self._contexts) > KEPT_MAX:
            key, _ = self._contexts.popitem(last=False)
            self._waiting.discard(key.id)

    def begin(self, requests: Sequence[Request]) -> Span:
        """The span of writing these, as one set; no span when nobody follows one of them."""
        if not self._waiting:
            return INVALID_SPAN
        keys = [one.key for one in requests if one.key.id in self._waiting and one.key in self._contexts]
        span = self._traces.begin("store set", [self._contexts[key] for key in keys])
        if keys:
            span.set_attribute("tocsin.set.requests", len(requests))
            self._contexts[keys[0]] = traceparent(span) or self._contexts[keys[0]]
        return span

    def stored(self, requests: Sequence[Request]) -> None:
        """These are done: their next writing, if there is one, is nobody's business."""
        if self._waiting:
            self._waiting.difference_update([one.key.id for one in requests])

    def trace(self, key: RequestKey) -> str:
        """The context in which a request was stored, or is being; empty when nobody follows it."""
        return self._contexts.get(key, "")

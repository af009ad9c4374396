"""Traces: one event's way from the door to the page, through both regions.

Theory
------
An event is followed because its sender asks for it (W3C `traceparent`, sampled), or by lot at the door. From there the
context travels with what is made of it, as text: in a header of the record, which mirrors keep, so that each region's
spans hang from the door's; in the assignment; in what is known of the incident until a page names it. Nobody follows
what carries none: no span is made for it, and a process without a collector makes none at all.

Spans are made where work is done many at a time: one for a set of requests, one for a page of many incidents. It hangs
from the first followed one in it and links to the others.
"""

import re
import time
from collections.abc import Callable, Iterable
from typing import Final

from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

TRACEPARENT: Final = "traceparent"
ASKED_PER_S_MAX: Final = 50
"""So many events a second are followed because their senders ask; more are followed by lot, as all others."""
LINKS_MAX: Final = 32
_W3C: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


class Traces:
    """Where the spans of one process begin. `tracer`: None makes none. `ratio`: of events, followed by lot."""

    def __init__(
        self,
        tracer: Tracer | None = None,
        ratio: float = 0.0,
        *,
        random: Callable[[], float] = lambda: 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`random`: from 0 to 1."""
        self._tracer = tracer
        self._ratio = ratio
        self._random = random
        self._monotonic = monotonic
        self._second = 0
        self._asked = 0

    @property
    def is_on(self) -> bool:
        """Whether anything is followed here."""
        return self._tracer is not None

    def at_door(self, name: str, given: str) -> Span:
        """The span of an event at the door, if it is followed: `given` is the sender's `traceparent`, or empty."""
        if self._tracer is None:
            return INVALID_SPAN
        sender = context_of(given)
        if (sender is not None and sender.trace_flags.sampled and self._may_ask()) or (
            (sender is None or sender.trace_flags.sampled) and self._random() < self._ratio
        ):
            parent = set_span_in_context(NonRecordingSpan(sender)) if sender else None
            return self._tracer.start_span(name, parent, SpanKind.SERVER)
        return INVALID_SPAN

    def begin(
        self, name: str, followed: Iterable[str], kind: SpanKind = SpanKind.INTERNAL, *, start_us: int | None = None
    ) -> Span:
        """A span of work on what carries these contexts: below the first, linked to the others. None is made of none.

        `start_us`: when it began, in Unix microseconds; now, when it is left out.
        """
        if self._tracer is None:
            return INVALID_SPAN
        named = [context for text in dict.fromkeys(followed) if (context := context_of(text)) is not None]
        contexts = [context for context in named if context.trace_flags.sampled]
        if not contexts:
            return INVALID_SPAN
        parent = set_span_in_context(NonRecordingSpan(contexts[0]))
        links = [Link(context) for context in contexts[1 : LINKS_MAX + 1]]
        return self._tracer.start_span(
            name, parent, kind, links=links, start_time=None if start_us is None else start_us * 1_000
        )

    def below(self, span: Span, name: str, kind: SpanKind) -> Span:
        """A span below one of ours, if that is one."""
        if self._tracer is None or not span.is_recording():
            return INVALID_SPAN
        return self._tracer.start_span(name, set_span_in_context(span), kind)

    def _may_ask(self) -> bool:
        second = int(self._monotonic())
        if second != self._second:
            self._second, self._asked = second, 0
        self._asked += 1
        return self._asked <= ASKED_PER_S_MAX


NOTHING_FOLLOWED: Final = Traces()


def traceparent(span: Span) -> str:
    """The context of a span as text, to be carried on; empty when nobody follows."""
    if not span.is_recording():
        return ""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def context_of(text: str) -> SpanContext | None:
    """The context that a `traceparent` names; None when it is none."""
    found = _W3C.fullmatch(text)
    if found is None:
        return None
    return SpanContext(int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=TraceFlags(int(found[3], 16)))


def failed(span: Span, why: str) -> None:
    """Marks a span as of work that failed. `why` holds no secret."""
    span.set_status(Status(StatusCode.ERROR, why))

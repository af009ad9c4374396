"""Stage two as the notifier sees it: bundles in, one end each out.

What cannot be queued is not dropped: it ends as failed at once, so that the next region in the order sends it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

from opentelemetry.trace import Span, SpanKind

from tocsin.core.paging.effects import Bundle, Ended
from tocsin.core.paging.feedback import IntentId, Outcome
from tocsin.roles.delivery.carrier import Carrier, Terms
from tocsin.roles.delivery.message import Message
from tocsin.roles.delivery.page import Page
from tocsin.roles.delivery.provider import Provider
from tocsin.telemetry import NOTHING_FOLLOWED, Bound, Counter, Gauge, Histogram, Meters, Reading, Traces, bound

TOLD_EVERY_S: Final = 1.0
"""That pages are refused is said once in this time, not of each."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Means:
    """A provider for the methods of one kind, and what it can take."""

    provider: Provider
    terms: Terms


class Deliveries:
    """Renders and delivers bundles, each by its method or else by the person's others."""

    def __init__(
        self,
        means: Mapping[str, Means],
        render: Callable[[Bundle], Message],
        meters: Meters,
        *,
        end_s_max: float,
        queue_max: int,
        traces: Traces = NOTHING_FOLLOWED,
    ) -> None:
        """`means`: kind of method to what carries it."""
        self._traces = traces
        self._means = means
        self._end_s_max = end_s_max
        self._queue_max = queue_max
        self._pages = 0
        self._refused = 0
        self._told_s = -TOLD_EVERY_S
        self._meters = meters
        meters.observe(Histogram.LATE_S, ())
        for kind, outcome in product(means, Outcome):
            meters.add(Counter.CALLS, 0, kind=kind, outcome=outcome)
        self._carriers = {
            kind: Carrier(
                one.provider,
                one.terms,
                lambda page: render(page.bundle),
                self._fall_back,
                self._counter(kind),
                lambda page: traces.below(page.span, "call provider", SpanKind.CLIENT),
            )
            for kind, one in means.items()
        }
        meters.watch(self._readings)

    async def run(self) -> None:
        """Works until it is cancelled; then pages under way have no end, and whoever comes next says so."""
        async with asyncio.TaskGroup() as group:
            for carrier in self._carriers.values():
                group.create_task(carrier.run())

    async def close(self) -> None:
        """Ends all providers' connections."""
        for one in self._means.values():
            await one.provider.close()

    def hand_over(self, bundle: Bundle, wanted: Callable[[IntentId], bool], ended: Callable[[Ended], None]) -> None:
        """Takes a bundle and returns at once. Asks `wanted` before each call of a provider, and calls `ended` once."""
        span = self._span(bundle)

        def end(how: Ended) -> None:
            self._pages -= 1
            span.set_attribute("tocsin.page.outcome", how.outcome)
            span.end()
            timer.cancel()
            if how.outcome is Outcome.DELIVERED:
                late_s = time.time() - bundle.intent.due_us / 1e6
                self._meters.observe(Histogram.LATE_S, (late_s,))
            ended(how)

        page = Page(bundle, self._end_s_max, wanted, end, span)
        timer = asyncio.get_running_loop().call_later(page.until_us / 1e6 - time.time(), page.expire)
        self._pages += 1
        if self._pages > self._queue_max:
            self._tell_of_refusal()
            page.end(Outcome.FAILED, "too many pages wait for providers here")
            return
        self._queue(page)

    def _span(self, bundle: Bundle) -> Span:
        """The span of a page, from when it was decided to its end, below what it is about."""
        intent = bundle.intent
        followed = [one.assignment.trace for one in bundle.items if one.is_new]
        span = self._traces.begin("page", [text for text in followed if text], start_us=intent.at_us)
        if span.is_recording():
            span.set_attributes({"tocsin.page.intent": str(intent.id), "tocsin.page.why": intent.why})
            span.set_attributes({"tocsin.page.place": intent.place, "tocsin.page.incidents": len(bundle.items)})
            span.add_event("the intent is on the log")
        return span

    def _tell_of_refusal(self) -> None:
        self._refused += 1
        if time.monotonic() - self._told_s >= TOLD_EVERY_S:
            extra = {"action": "pages_refused", "refused": self._refused}
            text = "more than %d pages wait for providers: those above are left to the next region"
            _log.error(text, self._queue_max, extra=extra)
            self._told_s = time.monotonic()

    def _queue(self, page: Page) -> None:
        carrier = self._carriers.get(page.method.kind)
        if carrier is not None:
            carrier.put(page)
            return
        page.failed(f"there is no provider for {page.method.kind} here")
        self._fall_back(page)

    def _fall_back(self, page: Page) -> None:
        if page.fall_back():
            self._queue(page)
            return
        extra = {"action": "page_failed", "intent": str(page.bundle.intent.id), "user": page.bundle.person.id}
        _log.error("no method brought a page: %s", "; ".join(page.reasons), extra=extra)
        page.end(Outcome.FAILED)

    def _counter(self, kind: str) -> Callable[[Outcome], None]:
        return lambda outcome: self._meters.add(Counter.CALLS, kind=kind, outcome=outcome)

    def _readings(self) -> Iterator[Reading]:
        yield from bound(Bound.DELIVERIES, self._pages, self._queue_max)
        for kind, carrier in self._carriers.items():
            yield from bound(Bound.CALLS, carrier.calls, carrier.terms.at_once, kind=kind)
            yield Reading(Gauge.BREAKERS, carrier.open_breakers, {"kind": kind})

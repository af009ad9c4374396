r"""A carrier: all pages for the methods of one kind, within what its provider can take.

    queue --> rate, a slot, the target's own slot, its breaker --> provider --> taken, or again, or the next method

Many pages are carried at one time, few to one target: one that hangs holds up its own pages and nobody else's. What a
breaker keeps back goes to the person's next method at once, where there is one.
"""

import asyncio
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from opentelemetry.trace import INVALID_SPAN, Span

from tocsin.core.paging.effects import Bundle
from tocsin.core.paging.feedback import Outcome
from tocsin.core.paging.people import Method
from tocsin.roles.delivery.breaker import Breaker, Rate
from tocsin.roles.delivery.message import Message
from tocsin.roles.delivery.page import Page
from tocsin.roles.delivery.provider import Delivery, Provider, refused
from tocsin.roles.delivery.queueing import PageQueue

TARGETS_KEPT: Final = 1_000
"""Targets whose breaker is remembered; the least recently used one that is idle is forgotten."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """What one provider can take. `target_of` names what fails as one: a server, a host."""

    at_once: int = 64
    at_once_per_target: int = 16
    per_s: float = 1_000.0
    tries_max: int = 4
    call_s_max: float = 15.0
    retry_first_s: float = 0.5
    retry_s_max: float = 15.0
    target_of: Callable[[Method], str] = lambda method: method.kind


class _Target:
    __slots__ = ("breaker", "calls", "waiting")

    def __init__(self) -> None:
        self.breaker = Breaker()
        self.calls = 0
        self.waiting: PageQueue[Page] = PageQueue(_bundle_of)


class Carrier:
    """Carries pages by one provider. `give_up` is told of a page that this kind of method did not bring, `count` of
    how each call ended; `span` begins the span of a call.
    """

    def __init__(
        self,
        provider: Provider,
        terms: Terms,
        render: Callable[[Page], Message],
        give_up: Callable[[Page], None],
        count: Callable[[Outcome], None],
        span: Callable[[Page], Span] = lambda _page: INVALID_SPAN,
    ) -> None:
        self.calls = 0
        """Under way now."""
        self._provider = provider
        self.terms = terms
        self._render = render
        self._give_up = give_up
        self._count = count
        self._span = span
        self._queue: PageQueue[Page] = PageQueue(_bundle_of)
        self._filled = asyncio.Event()
        self._slots = asyncio.Semaphore(terms.at_once)
        self._rate = Rate(terms.per_s, time.monotonic())
        self._targets: OrderedDict[str, _Target] = OrderedDict()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def open_breakers(self) -> int:
        """Targets that are only probed."""
        return sum(target.breaker.is_open for target in self._targets.values())

    def put(self, page: Page) -> None:
        """Queues a page."""
        self._queue.put(page)
        self._filled.set()

    async def run(self) -> None:
        """Carries until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._slots.acquire()
                await self._rate_allows()  # before a page is chosen: what is chosen is called at once, or not at all
                page, target = await self._next()
                group.create_task(self._carry(page, target))

    async def _rate_allows(self) -> None:
        while pause_s := self._rate.wait_s(time.monotonic()):  # noqa: ASYNC110 - it is time alone that is waited for
            await asyncio.sleep(pause_s)

    async def _next(self) -> tuple[Page, _Target]:
        """The next page that may be carried now."""
        while True:
            page = self._queue.take()
            if page is None:
                self._filled.clear()
                await self._filled.wait()
            elif page.is_ended or _now_us() >= page.until_us:
                page.expire()
            elif not page.is_wanted:
                page.end(Outcome.FAILED, "nothing of it is to be told any more")
            else:
                target = self._target(page.method)
                opens_in_s = target.breaker.opens_in_s(time.monotonic())
                if opens_in_s:
                    self._again(page, "its provider fails, so it is only probed", opens_in_s, at_once_elsewhere=True)
                elif target.calls >= self.terms.at_once_per_target:
                    target.waiting.put(page)
                else:
                    target.calls += 1
                    target.breaker.begin()
                    return page, target

    async def _carry(self, page: Page, target: _Target) -> None:
        self.calls += 1
        try:
            with self._span(page) as span:
                delivery = await self._call(page)
                span.set_attribute("tocsin.method.kind", page.method.kind)
                span.set_attribute("tocsin.call.outcome", delivery.outcome)
        finally:
            self.calls -= 1
            target.calls -= 1
            self._slots.release()
        if delivery.outcome is Outcome.DELIVERED or delivery.is_well:
            target.breaker.succeed()
        else:
            target.breaker.fail(time.monotonic())
        self._count(delivery.outcome)
        while (waiting := target.waiting.take()) is not None:
            self.put(waiting)
            if not target.breaker.is_open:  # one place is free; of an open one each is to look for another way
                break
        self._settle(page, delivery)

    async def _call(self, page: Page) -> Delivery:
        """One call. What a provider raises is a fault of ours: the page goes on to the next method all the same."""
        page.tries += 1
        page.is_called = True
        limit_s = min(self.terms.call_s_max, max(page.until_us - _now_us(), 0) / 1e6)
        try:
            async with asyncio.timeout(limit_s):
                return await self._provider.deliver(self._render(page), page.method)
        except TimeoutError:
            return Delivery(Outcome.UNKNOWN, f"no answer within {limit_s:.0f} s")
        except Exception as error:  # noqa: BLE001 - see above
            extra = {"action": "provider_broken", "kind": page.method.kind}
            _log.exception("a provider for %s ended in an error of ours", page.method.kind, extra=extra)
            return refused(f"an error of ours, {type(error).__name__}")
        finally:
            page.is_called = False

    def _settle(self, page: Page, delivery: Delivery) -> None:
        if delivery.outcome is Outcome.DELIVERED:
            page.end(Outcome.DELIVERED, delivery.reason)
            return
        page.failed(delivery.reason)
        page.in_doubt = page.in_doubt or delivery.outcome is Outcome.UNKNOWN
        if delivery.outcome is Outcome.UNKNOWN and not delivery.may_repeat:
            page.end(Outcome.UNKNOWN)
        elif delivery.is_final or page.tries >= self.terms.tries_max:
            self._give_up(page)
        else:
            pause_s = delivery.retry_after_s
            if pause_s is None:
                longest_s = min(self.terms.retry_first_s * 2 ** (page.tries - 1), self.terms.retry_s_max)
                pause_s = longest_s * random.uniform(0.5, 1.0)  # noqa: S311 - so that not all come back at once
            self._again(page, delivery.reason, pause_s)

    def _again(self, page: Page, why: str, after_s: float, *, at_once_elsewhere: bool = False) -> None:
        """Queues a page once more after a pause, or gives it to the next method when that is sooner of use."""
        page.failed(why)
        if (at_once_elsewhere and page.has_fallback) or _now_us() + after_s * 1e6 >= page.until_us:
            self._give_up(page)
        else:
            asyncio.get_running_loop().call_later(after_s, self.put, page)

    def _target(self, method: Method) -> _Target:
        name = self.terms.target_of(method)
        target = self._targets.get(name)
        if target is None:
            while len(self._targets) >= TARGETS_KEPT:
                idle = next((name for name, one in self._targets.items() if not one.calls and not one.waiting), None)
                if idle is None:
                    break
                del self._targets[idle]
            target = self._targets[name] = _Target()
        self._targets.move_to_end(name)
        return target


def _bundle_of(page: Page) -> Bundle:
    return page.bundle


def _now_us() -> int:
    return time.time_ns() // 1000

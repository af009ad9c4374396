"""How much does a user channel with a pending rule cost, and how many bundles a second does the pager decide?

A million user channels are what one installation may hold, and all of them are in memory: 1 GB is the limit. The pager
is given people and one incident each, whose rules are due in minutes; when all of it is kept, what the process has
grown by is counted. Once with one channel a user, which is the dearest and what the ratio is about, once with four. The
peer is what one would write first: the same people and assignments as objects in dicts, and a heap of moments.

Then as many users are due at once, and it is counted how many bundles a second go the whole way through the machine:
decided, on the log, handed over, ended, the end read again. Log, provider and store answer at once: what is left is our
own work at zero work of others.
"""

import gc
import heapq
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

from benchmarks.measure import Answer, Options, publish
from tocsin.core.effects import Now
from tocsin.core.ids import DIGEST_BYTES, Parent, RequestKey
from tocsin.core.paging.assignments import Assignment
from tocsin.core.paging.effects import (
    Assigned,
    CaughtUp,
    Effect,
    Ended,
    FeedbackRead,
    HandOver,
    Input,
    IntentSaid,
    Keep,
    Kept,
    PersonIs,
    SayEnd,
    SayIntents,
    Tick,
)
from tocsin.core.paging.feedback import Outcome
from tocsin.core.paging.limits import PagingLimits
from tocsin.core.paging.pager import Pager
from tocsin.core.paging.people import Method, Person, Rule

CHANNELS: Final = 1_000_000
BUNDLES: Final = 20_000
LIMIT_BYTES: Final = 1_000.0
"""A channel's share of the 1 GB that a million may take."""
ROUNDS: Final = 3
UNIX_S: Final = 1_760_000_000
PAGE_BYTES: Final = 4096


def at(seconds: float) -> Now:
    return Now(seconds, round((UNIX_S + seconds) * 1e6))


def people(channels: int, each: int, delay_s: float) -> Iterator[tuple[Person, Assignment]]:
    """Users with so many channels each and one incident each; the rules are due in the five minutes from the delay."""
    for n in range(channels // each):
        methods = tuple(Method(f"P{n:06X}{m}", "email", f"someone.{n}.{m}@example.org") for m in range(each))
        rules = tuple(Rule(f"R{n:06X}{m}", f"P{n:06X}{m}", delay_s) for m in range(each))
        person = Person(f"U{n:06X}", f"Some One {n}", f"someone.{n}@example.org", methods, rules)
        incident = RequestKey(
            Parent(f"S{n % 1000:06X}", f"alert {n}"), (UNIX_S << 32) + n, n.to_bytes(DIGEST_BYTES, "big")
        )
        since_us = at(n % 300 if delay_s else 0).unix_us
        title, source = f"Disk of host-{n} is nearly full", f"host-{n}.example.org"
        yield (
            person,
            Assignment(person.id, incident, since_us, "triggered", "high", title, source, f"S{n % 1000:06X}", 1),
        )


class Driver:
    """Answers what the pager asks for, at once and well."""

    def __init__(self) -> None:
        self.pager = Pager("a", 0, 1, ("a",), PagingLimits(), [], at(0))
        self.handed_over = 0

    def take(self, event: Input, seconds: float) -> None:
        """An input, and all that comes of it."""
        events = [event]
        while events:
            for effect in self.pager.step(events.pop(), at(seconds)):
                events += self._answer(effect)

    def _answer(self, effect: Effect) -> list[Input]:
        match effect:
            case SayIntents(intents):
                return [FeedbackRead(intents), *(IntentSaid(intent.id) for intent in intents)]
            case HandOver(bundle):
                self.handed_over += 1
                return [Ended(bundle.intent.id, Outcome.DELIVERED, bundle.method.id, "")]
            case SayEnd(end):
                return [FeedbackRead([end])]
            case Keep(number):
                return [Kept(number, ok=True)]
            case _:
                return []


def grown_by(build: Callable[[], object]) -> float:
    """Bytes that this process grows by."""
    gc.collect()
    before = _resident_bytes()
    built = build()
    gc.collect()
    grown = _resident_bytes() - before
    del built
    return grown


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES


def pager_bytes(channels: int, each: int) -> float:
    """What a channel costs in the pager."""

    def build() -> Pager:
        driver = Driver()
        driver.take(CaughtUp(), 0)
        for person, assignment in people(channels, each, 600.0):
            driver.take(PersonIs(person.id, person), 0)
            driver.take(Assigned([assignment]), 0)
        seconds = 0
        while driver.pager.readings().unkept:
            seconds += 1
            driver.take(Tick(fit=True), seconds)
        assert driver.pager.readings().pending == channels
        assert not driver.handed_over
        return driver.pager

    return grown_by(build) / channels


def objects_bytes(channels: int, each: int) -> float:
    """What a channel costs as objects in dicts with a heap."""

    def build() -> object:
        known: dict[str, tuple[Person, dict[RequestKey, Assignment]]] = {}
        heap: list[tuple[int, str, str]] = []
        for person, assignment in people(channels, each, 600.0):
            known[person.id] = (person, {assignment.incident: assignment})
            for rule in person.rules:
                heapq.heappush(heap, (assignment.since_us + round(rule.delay_s * 1e6), person.id, rule.method))
        return known, heap

    return grown_by(build) / channels


def bundles_a_second(bundles: int) -> float:
    """How many users that are due at once are told a second."""
    driver = Driver()
    for person, assignment in people(bundles, 1, 0.0):
        driver.take(PersonIs(person.id, person), 0)
        driver.take(Assigned([assignment]), 0)
    began_s = perf_counter()
    driver.take(CaughtUp(), 0)
    while driver.pager.wakes_us() == 0:
        driver.take(Tick(fit=True), 0)
    seconds = perf_counter() - began_s
    assert driver.handed_over == bundles
    return bundles / seconds


def alone(measure: Callable[..., float], *given: int) -> float:
    """Measured in a process of its own, which has grown by nothing else."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, *given).result()


def main() -> None:
    options = Options.read()
    channels = CHANNELS // 50 if options.quick else CHANNELS
    bundles = BUNDLES // 10 if options.quick else BUNDLES
    one, four = (alone(pager_bytes, channels, each) for each in (1, 4))
    objects_one, objects_four = (alone(objects_bytes, channels // 4, each) for each in (1, 4))
    rate = median(bundles_a_second(bundles) for _ in range(ROUNDS))
    answer = Answer(
        question=str(__doc__).split("\n", 1)[0],
        ours={
            "bytes_per_channel_of_one_a_user": round(one),
            "bytes_per_channel_of_four_a_user": round(four),
            "bundles_per_s": round(rate),
        },
        peers={
            "objects": {
                "bytes_per_channel_of_one_a_user": round(objects_one),
                "bytes_per_channel_of_four_a_user": round(objects_four),
            }
        },
        ratio=one / LIMIT_BYTES,
        ratio_of="bytes of a channel, the only one of its user / its share of 1 GB for a million",
        better="lower",
        floor=1.0,
        aim=0.5,
        sizes={"channels": channels, "bundles": bundles, "rounds": ROUNDS},
        details={"of_four_a_user": four / LIMIT_BYTES, "against_objects": one / objects_one},
    )
    publish("paging_core", answer, options)


if __name__ == "__main__":
    main()

r"""The owner of one user partition: the thin shell around its `Pager`.

    assignments --\                                /--> fence, feedback, requests (page scribe)
    feedback ------> inbox --> Pager.step --> effects --> stage two, which answers with ends
    directory ----/                                \--> kept users and positions (fence)

One loop takes one input after the other and does what comes out. Nothing here decides anything. Inputs are idempotent
and positions are kept after the users that they are up to, so that whoever comes next resumes exactly.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, NamedTuple

from tocsin.core.documents import PagerPositions, Position
from tocsin.core.paging.assignments import Assignment, InvalidAssignment, decode_assignment
from tocsin.core.paging.effects import (
    Alarm,
    Assigned,
    Bundle,
    CaughtUp,
    Effect,
    Ended,
    FeedbackRead,
    HandOver,
    Input,
    IntentRefused,
    IntentSaid,
    Keep,
    Kept,
    SayEnd,
    SayIntents,
    SayPulse,
    Stop,
    Tick,
)
from tocsin.core.paging.feedback import IntentId, decode_feedback
from tocsin.core.paging.pager import Pager
from tocsin.core.requests import Record
from tocsin.engines.directory import FileDirectory
from tocsin.engines.errors import EngineError, Misconfigured
from tocsin.engines.log import Claim, Log
from tocsin.engines.log_directory import DirectoryTail
from tocsin.engines.store import Store
from tocsin.roles.claiming import ClaimLost
from tocsin.roles.clock import now
from tocsin.roles.feed import Feed
from tocsin.roles.fence import Fence
from tocsin.roles.fitness import Fitness
from tocsin.roles.page_scribe import PageScribe
from tocsin.telemetry import Bound, Counter, Gauge, Meters, Reading, bound
from tocsin.topology import Region

TICK_S: Final = 0.05
STOP_S_MAX: Final = 10.0
INPUTS_MAX: Final = 500
"""Inputs that are taken without anybody else having a turn."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Around:
    """What the owners of one notifier share. `directory`: the region's file of services and users."""

    log: Log
    store: Store
    region: Region
    regions: tuple[str, ...]
    directory: FileDirectory
    fitness: Fitness
    meters: Meters
    hand_over: Callable[["UserPartition", Bundle], None]
    """Stage two: never blocks, and answers with `UserPartition.tell(Ended(...))`."""


class Fed(NamedTuple):
    """Inputs, and what is to be told once they are taken."""

    inputs: Sequence[Input]
    taken: asyncio.Event | None = None


class UserPartition:
    """Runs one user partition from its claim to its release."""

    def __init__(self, around: Around, claim: Claim, fence: Fence, pager: Pager) -> None:
        self.pager = pager
        self.partition = claim.partition
        self.claim = claim
        self.is_caught_up = False
        """Whether all was read that was there at the start; before that nothing is sent."""
        self._around = around
        self._fence = fence
        self._inbox: asyncio.Queue[Fed] = asyncio.Queue()
        self._scribe = PageScribe(around.log, around.region, claim.partition, fence, self._intents_said)
        topics = around.region.feedback_topics.values()
        known = {} if pager.damaged else fence.positions.topics  # who starts from nothing is read of anew
        self._feeds = [
            Feed(around.log, topic, claim.partition, known.get(topic), take)
            for topic, take in (
                (around.region.assignments, self._take_assignments),
                *((topic, self._take_feedback) for topic in topics),
            )
        ]
        self._knows_users = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._in_flight: set[IntentId] = set()
        self._ticked_s = 0.0
        self._stopped = False

    @classmethod
    async def take_over(cls, around: Around, claim: Claim) -> "UserPartition":
        """Shuts earlier owners out and loads what they left.

        Raises `ClaimLost`, `Misconfigured` when the log forgot its claims, ValueError for a damaged document, and
        `EngineError`.
        """
        fence = Fence(around.store, claim)
        try:
            await fence.take()
        except ClaimLost:
            if not around.log.holds(claim):
                raise
            message = (
                f"user partition {claim.partition} is claimed under epoch {claim.epoch}, and an earlier owner had a "
                "higher one: the log has lost its record of claims. Nothing is sent; restore the log, or give the "
                "stack a new store"
            )
            raise Misconfigured(message) from None
        rows = await around.store.kept_users(claim.partition)
        region = around.region
        pager = Pager(region.name, claim.partition, claim.epoch, around.regions, region.paging, rows, now())
        return cls(around, claim, fence, pager)

    # From the outside -------------------------------------------------------------------------------------------

    def tell(self, event: Input) -> None:
        """Puts an input before the machine."""
        self._inbox.put_nowait(Fed((event,)))

    async def run(self, stopping: asyncio.Event) -> None:
        """Drives the machine until `stopping` is set and what was handed over has ended and is said and kept, or
        `STOP_S_MAX` after that: then whoever comes next says that its end is unknown.

        Raises in a group `ClaimLost` when another owns the partition.
        """
        async with asyncio.TaskGroup() as group:
            services = [
                group.create_task(work)
                for work in (
                    self._scribe.run(),
                    self._read_users(),
                    self._catch_up(),
                    *(feed.run() for feed in self._feeds),
                )
            ]
            loop = group.create_task(self._loop(group))
            await stopping.wait()
            self.tell(Stop())
            if (await asyncio.wait((loop,), timeout=STOP_S_MAX))[1]:
                _log.warning("stopped with pages under way", extra={"action": "stop_timed_out"})
            for task in (loop, *services, *((self._keeping,) if self._keeping else ())):
                task.cancel()

    @property
    def unready(self) -> list[str]:
        """Why pages of this partition number may not go out from here as they should."""
        reasons = [] if self.is_caught_up else ["has not read all that was there at its start"]
        if self._scribe.is_failing:
            reasons.append("cannot say what it decides: its fence or the log cannot be written")
        if self.is_caught_up and self.lag_s >= self._around.region.paging.backstop_s:
            reasons.append(f"reads what is {self.lag_s:.0f} s old")
        return [f"user partition {self.partition} {why}" for why in reasons]

    def readings(self) -> Iterator[Reading]:
        """What gauges show of this partition number."""
        here, at = {"partition": str(self.partition)}, now()
        for what, value in self.pager.readings()._asdict().items():
            yield Reading(Gauge.PAGER, value, here | {"what": what})
        for feed in self._feeds:
            yield Reading(Gauge.FEED_LAG, feed.lag_s(at.unix_us / 1e6, at.mono_s), here | {"topic": feed.topic})
        yield from bound(Bound.PAGER_INBOX, self._inbox.qsize(), None, **here)
        yield from bound(Bound.PAGES, len(self._in_flight), None, **here)
        yield from bound(Bound.WORDS, self._scribe.waiting, None, **here)

    def wanted(self, id: IntentId) -> bool:
        """Whether a provider may still be called for a bundle that was handed over."""
        return self._around.log.holds(self.claim) and self.pager.wanted(id)

    # The loop ---------------------------------------------------------------------------------------------------

    async def _loop(self, group: asyncio.TaskGroup) -> None:
        while not (self._stopped and self._is_done):
            fed = await self._next()
            if not self._around.log.holds(self.claim):  # ticks are inputs too: it shows within one
                raise ClaimLost
            for event in fed.inputs:
                self._stopped = self._stopped or isinstance(event, Stop)
                for effect in self.pager.step(event, now()):
                    self._do(effect, group)
            if fed.taken is not None:
                fed.taken.set()
            await asyncio.sleep(0)

    @property
    def _is_done(self) -> bool:
        return (
            self._inbox.empty()
            and not self._in_flight
            and self._scribe.idle
            and self._keeping is None
            and not self.pager.readings().unkept
        )

    async def _next(self) -> Fed:
        """The next input; a tick when it is time, or when the machine wants to go on by itself."""
        at = now()
        wait_s = self._ticked_s + TICK_S - at.mono_s
        if wait_s > 0:
            wakes_us = self.pager.wakes_us()
            if wakes_us is not None and self._inbox.empty():
                wait_s = min(wait_s, (wakes_us - at.unix_us) / 1e6)
            try:
                async with asyncio.timeout(max(wait_s, 0.0)):
                    return await self._inbox.get()
            except TimeoutError:
                pass
        self._ticked_s = now().mono_s
        return Fed((Tick(self._around.fitness.is_fit, self.lag_s),))

    @property
    def lag_s(self) -> float:
        """The age of the oldest input that is there and not taken."""
        at = now()
        return max(feed.lag_s(at.unix_us / 1e6, at.mono_s) for feed in self._feeds)

    # Effects ----------------------------------------------------------------------------------------------------

    def _do(self, effect: Effect, group: asyncio.TaskGroup) -> None:
        match effect:
            case SayIntents(intents=intents):
                for intent in intents:
                    self._around.meters.add(Counter.PAGES_DECIDED, why=intent.why)
                self._scribe.say_intents(intents)
            case HandOver(bundle=bundle):
                self._in_flight.add(bundle.intent.id)
                self._around.hand_over(self, bundle)
            case SayEnd():
                self._around.meters.add(Counter.PAGES_ENDED, outcome=effect.end.outcome)
                self._scribe.say_end(effect)
            case SayPulse(pulse=pulse):
                self._scribe.say_pulse(pulse)
            case Keep():
                self._keeping = group.create_task(self._keep(effect, None if effect.more else self._positions()))
            case Alarm(action=action, subject=subject, text=text):
                extra = {"action": action, "user": subject, "partition": self.partition}
                _log.warning("%s", text, extra=extra)

    def ended(self, end: Ended) -> None:
        """Stage two is done with a bundle."""
        self._in_flight.discard(end.id)
        self.tell(end)

    def _positions(self) -> PagerPositions:
        """How far the inputs are that the machine has taken; what was not read in this run stays as it was."""
        read: dict[str, Position] = {feed.topic: feed.position for feed in self._feeds if feed.position}
        return PagerPositions(topics={**self._fence.positions.topics, **read})

    async def _keep(self, effect: Keep, positions: PagerPositions | None) -> None:
        try:
            await self._fence.keep(effect.rows, positions)
        except EngineError as error:
            _log.warning("users not kept: %s", error, extra={"action": "users_not_kept"})
            ok = False
        else:
            ok = True
        self._keeping = None
        self.tell(Kept(effect.number, ok))

    def _intents_said(self, ids: Sequence[IntentId], on_log: bool) -> None:  # noqa: FBT001 (the scribe's answer)
        answer = IntentSaid if on_log else IntentRefused
        self._inbox.put_nowait(Fed([answer(id) for id in ids]))

    # Reading ----------------------------------------------------------------------------------------------------

    async def _take(self, *events: Input) -> None:
        """Returns once the machine has taken them: what waits of each feed is one set."""
        taken = asyncio.Event()
        self._inbox.put_nowait(Fed(events, taken))
        await taken.wait()

    async def _take_assignments(self, records: Sequence[Record]) -> None:
        found: list[Assignment] = []
        for record in records:
            try:
                found.append(decode_assignment(record.value))
            except InvalidAssignment as error:
                extra = {"action": "assignment_unreadable", "partition": self.partition}
                _log.error("an assignment cannot be read, so nobody is paged by it: %s", error, extra=extra)
        await self._take(Assigned(found))

    async def _take_feedback(self, records: Sequence[Record]) -> None:
        said = [one for record in records if (one := decode_feedback(record.value)) is not None]
        await self._take(FeedbackRead(said))

    async def _read_users(self) -> None:
        around = self._around
        tail = DirectoryTail(around.log, around.region, self.partition, around.directory)
        async with aclosing(tail.changes()) as changes:
            async for people in changes:
                for start in range(0, len(people), INPUTS_MAX):
                    await self._take(*people[start : start + INPUTS_MAX])
                self._knows_users.set()

    async def _catch_up(self) -> None:
        """Has the machine begin to send once all is read that was there at the start."""
        await asyncio.gather(self._knows_users.wait(), *(feed.at_end.wait() for feed in self._feeds))
        await self._take(CaughtUp())
        self.is_caught_up = True
        extra = {"action": "user_partition_serves", "partition": self.partition, "epoch": self.claim.epoch}
        _log.info("sends for user partition %d", self.partition, extra=extra)

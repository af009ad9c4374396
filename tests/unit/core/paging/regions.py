"""Regions in memory that drive real pagers: logs that mirror late, twice or not at all, providers, crashes, restarts.

    regions = Regions(["a", "b"])
    regions.person(person("ann", ("phone", 0)))
    regions.assign(assigned(1, 0))
    regions.run(10)
    assert regions.told("ann") == [(0.0, "a", ["#1"])]

What a region says crosses its own log as bytes. A process that is killed loses what it had in hand; the next one starts
from the kept rows and reads the topics from the kept positions.
"""

import random
from collections.abc import Callable
from typing import NamedTuple

from tests.unit.core.paging.words import now
from tocsin.core.paging.assignments import Assignment, decode_assignment, encode_assignment
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
    PersonIs,
    SayEnd,
    SayIntents,
    SayPulse,
    Tick,
    UserRow,
)
from tocsin.core.paging.feedback import Feedback, Outcome, decode_feedback, encode_feedback
from tocsin.core.paging.limits import PagingLimits
from tocsin.core.paging.pager import Pager
from tocsin.core.paging.people import Person

STEP_S = 0.25


class Told(NamedTuple):
    """A hand-over. `end`: what the provider made of it in the end, None while it is under way or if nobody knows."""

    at_s: float
    region: str
    bundle: Bundle
    end: list[Outcome | None]


class Region:
    """One region: its process (None: dead), its three topics, and what its store keeps."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pager: Pager | None = None
        self.epoch = 0
        self.assignments: list[bytes] = []
        self.people: list[PersonIs] = []
        self.feedback: list[bytes] = []
        self.read = [0, 0, 0]
        self.kept: dict[str, bytes] = {}
        self.kept_read = [0, 0, 0]
        self.fit = True
        self.refuses = False
        self.stalled = False
        self.calls: list[tuple[float, Told]] = []
        self.answers: list[tuple[float, Input]] = []
        self.alarms: list[Alarm] = []
        self.ends: list[SayEnd] = []
        self.closed: set[str] = set()


class Regions:
    """All of them, on one clock that steps by a quarter of a second."""

    def __init__(
        self, names: list[str], *, partition: int = 0, limits: PagingLimits | None = None, seed: int = 0
    ) -> None:
        self.random = random.Random(seed)
        self.at_s = 0.0
        self.limits = limits or PagingLimits()
        self.partition = partition
        self.regions = {name: Region(name) for name in names}
        self.cut: set[tuple[str, str]] = set()
        self.mirror_s = 0.5
        self.twice = False
        self.on_the_way: list[tuple[float, str, str, bytes]] = []
        self.told_all: list[Told] = []
        self.call_s = 1.0
        self.answer: Callable[[Told], Outcome] = lambda _: Outcome.DELIVERED
        self.say_s = 0.0
        self.open: dict[int, str] = {}
        for name in names:
            self.start(name)

    def __getitem__(self, name: str) -> Region:
        return self.regions[name]

    # What happens to regions -------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """A new process: from the kept rows, and all that its log holds since."""
        region = self.regions[name]
        region.epoch += 1
        rows = [UserRow(user, state) for user, state in region.kept.items()]
        names = tuple(self.regions)
        region.pager = Pager(name, self.partition, region.epoch, names, self.limits, rows, now(self.at_s))
        region.read = list(region.kept_read)
        region.closed = set()
        self._read(region)
        self._feed(region, CaughtUp())

    def kill(self, name: str) -> None:
        """What it had in hand is gone; what it called may have been taken or not."""
        region = self.regions[name]
        region.pager = None
        region.answers.clear()
        region.calls.clear()

    def sever(self, *links: tuple[str, str]) -> None:
        """Mirrors from the first to the second stand still."""
        self.cut |= set(links)

    def heal(self) -> None:
        """Everything works again."""
        self.cut.clear()
        for region in self.regions.values():
            region.fit, region.refuses, region.stalled = True, False, False
            if region.pager is None:
                self.start(region.name)

    # What is said ------------------------------------------------------------------------------------------------

    def person(self, person: Person, user: str = "") -> None:
        for region in self.regions.values():
            region.people.append(PersonIs(user or person.id, person))

    def assign(self, *assignments: Assignment, to: str = "", later_s: float = 0.0) -> None:
        """To all regions, or to one; those after the first may learn of it later."""
        for n, region in enumerate(self.regions.values()):
            for one in assignments:
                if to in {"", region.name}:
                    arrival = (self.at_s + n * later_s, "", region.name, encode_assignment(one)[1])
                    self.on_the_way.append(arrival)

    def say(self, region: Region, said: Feedback) -> None:
        """Append to a region's own feedback; its mirrors take it on."""
        value = encode_feedback(said)[1]
        region.feedback.append(value)
        for other in self.regions:
            if other != region.name:
                for _ in range(2 if self.twice else 1):
                    self.on_the_way.append((self.at_s + self.mirror_s, region.name, other, value))

    # Time --------------------------------------------------------------------------------------------------------

    def run(self, seconds: float, step_s: float = STEP_S) -> None:
        for _ in range(round(seconds / step_s)):
            self.step(step_s)

    def step(self, step_s: float = STEP_S) -> None:
        self._mirror()
        for region in self.regions.values():
            if region.pager is None or region.stalled:
                continue
            self._read(region)
            for due_s, call in [one for one in region.calls if one[0] <= self.at_s]:
                region.calls.remove((due_s, call))
                call.end[0] = outcome = self.answer(call)
                self._feed(region, Ended(call.bundle.intent.id, outcome, call.bundle.method.id, "as told"))
            for event in self._answers(region):
                self._feed(region, event)
            self._feed(region, Tick(region.fit))
        self.at_s += step_s

    def _answers(self, region: Region) -> list[Input]:
        """What the log has answered by now."""
        due = [event for due_s, event in region.answers if due_s <= self.at_s]
        region.answers = [one for one in region.answers if one[0] > self.at_s]
        return due

    def _mirror(self) -> None:
        stay = []
        for one in self.on_the_way:
            due_s, source, target, value = one
            if due_s > self.at_s or (source, target) in self.cut:
                stay.append(one)
            elif source:
                self.regions[target].feedback.append(value)
            else:
                self.regions[target].assignments.append(value)
        self.on_the_way = stay

    def _read(self, region: Region) -> None:
        assignments, people, feedback = region.read
        region.read = [len(region.assignments), len(region.people), len(region.feedback)]
        for event in region.people[people:]:
            self._feed(region, event)
        read = [decode_assignment(value) for value in region.assignments[assignments:]]
        region.closed |= {one.title for one in read if not one.is_open}
        if read:
            self._feed(region, Assigned(read))
        said = [one for value in region.feedback[feedback:] if (one := decode_feedback(value)) is not None]
        if said:
            self._feed(region, FeedbackRead(said))

    def _feed(self, region: Region, event: Input) -> None:
        events = [event]
        while events and region.pager is not None:
            for effect in region.pager.step(events.pop(0), now(self.at_s)):
                events += self._do(region, effect)

    def _do(self, region: Region, effect: Effect) -> list[Input]:
        match effect:
            case SayIntents(intents):
                for intent in intents:
                    if not region.refuses:
                        self.say(region, intent)
                    answer = IntentRefused(intent.id) if region.refuses else IntentSaid(intent.id)
                    region.answers.append((self.at_s + self.say_s, answer))
                return self._answers(region)
            case HandOver(bundle):
                wrong = {item.assignment.title for item in bundle.items} & region.closed
                assert not wrong, f"{region.name} pages for {wrong}, which it knows to be closed"
                told = Told(self.at_s, region.name, bundle, [None])
                self.told_all.append(told)
                region.calls.append((self.at_s + self.call_s, told))
            case SayEnd(end):
                region.ends.append(effect)
                self.say(region, end)
            case SayPulse(pulse):
                self.say(region, pulse)
            case Keep(number, rows, more):
                for row in rows:
                    region.kept[row.user] = row.state
                    if not row.state:
                        del region.kept[row.user]
                if not more:
                    region.kept_read = list(region.read)
                return [Kept(number, ok=True)]
            case Alarm():
                region.alarms.append(effect)
        return []

    # What came of it ---------------------------------------------------------------------------------------------

    def told(self, user: str = "ann") -> list[tuple[float, str, list[str]]]:
        """The pages of a user: when, by which region, and what they are about (what is only named: in brackets)."""
        return [
            (
                told.at_s,
                told.region,
                [one.assignment.title if one.is_new else f"({one.assignment.title})" for one in told.bundle.items],
            )
            for told in self.told_all
            if told.bundle.person.id == user
        ]

    def of_pair(self, pair: bytes) -> list[Told]:
        """The hand-overs that a pair was in."""
        return [told for told in self.told_all if pair in told.bundle.intent.pairs]

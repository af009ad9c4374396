r"""The pager: THE machine of one user partition. Inputs and time go in, effects come out; it decides who is told when.

Theory
------
    READING ----the three topics were read to their ends----> SENDING ----> STOPPED

READING: everything is taken in, nothing is sent, no pulse is said. SENDING: a channel whose moment came is bundled by
the region at place 0; the others wait their backstops.

    SayIntents --on the log--> IntentSaid --> HandOver --> Ended --> SayEnd
               \--refused----> forgotten, decided anew after a pause

An intent of ours applies to ourselves at once, and is found again in the log after a crash. One of our region that is
read and that we do not hold was decided by an owner before us, or refused: its end is said for it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from tocsin.core.effects import Now
from tocsin.core.paging import channel as channels
from tocsin.core.paging.assignments import Assignment
from tocsin.core.paging.channel import Channel, Moment
from tocsin.core.paging.concern import Concern
from tocsin.core.paging.covers import Flight
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
    Item,
    Kept,
    PersonIs,
    SayEnd,
    SayIntents,
    SayPulse,
    Stop,
    Tick,
    UserRow,
)
from tocsin.core.paging.feedback import ChannelKey, End, Feedback, Intent, IntentId, Outcome, Pulse
from tocsin.core.paging.keeping import Keeping
from tocsin.core.paging.limits import PagingLimits
from tocsin.core.paging.people import Person, Urgency
from tocsin.core.paging.places import Places
from tocsin.core.paging.state import decode_user
from tocsin.core.paging.user import User, delay_us, ways
from tocsin.core.paging.wheel import NOWHERE, Wheel

BUNDLES_A_STEP_MAX: Final = 1_000
"""Bundles that one step decides at most; the rest goes into the next one, at once (`wakes_us`)."""
EARLY_ENDS_MAX: Final = 1_000
"""Ends that were read before their intents: so many are remembered, the oldest are forgotten."""


class Readings(NamedTuple):
    """How full a partition is. `waiting`: channels that leave their moment to a region before us."""

    users: int
    channels: int
    timers: int
    in_progress: int
    waiting: int
    ready: int
    unkept: int


class Pager:
    """The machine of one user partition, from assignment to the stop."""

    def __init__(
        self,
        region: str,
        partition: int,
        epoch: int,
        regions: tuple[str, ...],
        limits: PagingLimits,
        rows: Iterable[UserRow],
        now: Now,
    ) -> None:
        """`rows` are the kept users; what is damaged among them is named in `damaged` and starts from nothing."""
        self.partition = partition
        self.damaged: list[str] = []
        self._region = region
        self._epoch = epoch
        self._limits = limits
        self._places = Places(region, partition, regions, limits)
        self._keeping = Keeping(limits)
        self._users: dict[str, User] = {}
        self._timers: Wheel[Channel] = Wheel()
        self._sweeps: Wheel[User] = Wheel()
        self._ready: dict[Channel, None] = {}
        self._waiting: set[Channel] = set()
        self._refused: dict[Channel, int] = {}
        self._flying: dict[str, dict[IntentId, Flight]] = {}
        self._orphans: dict[IntentId, Flight] = {}
        self._early: dict[IntentId, End] = {}
        self._sequence = 0
        self._pulse = 0
        self._pulsed_s: float | None = None
        self._caught_up = False
        self._stopped = False
        for row in rows:
            self._restore(row, now.unix_us)

    # What may be asked -------------------------------------------------------------------------------------------

    def wanted(self, id: IntentId) -> bool:
        """Whether a provider may still be called for an intent of ours: it covers, and something of it is open."""
        flight = self._flying.get(id.region, {}).get(id)
        return flight is not None and flight.in_progress and any(c.is_open for c in self._covered(flight))

    def wakes_us(self) -> int | None:
        """When the next step is due, whatever else happens; 0: at once. None: when something is read."""
        if not self._sending:
            return None
        return 0 if self._ready else self._timers.wakes_us()

    def user(self, id: str) -> User | None:
        """A user, to be looked at (`explain.py`)."""
        return self._users.get(id)

    def readings(self) -> Readings:
        """How full it is."""
        return Readings(
            users=len(self._users),
            channels=sum(len(user.channels) for user in self._users.values()),
            timers=len(self._timers),
            in_progress=sum(len(flights) for flights in self._flying.values()),
            waiting=len(self._waiting),
            ready=len(self._ready),
            unkept=len(self._keeping),
        )

    # The step ----------------------------------------------------------------------------------------------------

    def step(self, event: Input, now: Now) -> list[Effect]:
        """Take one input; the effects are to be done in this order."""
        effects: list[Effect] = list(self._take(event, now))
        if self._sending:
            effects += self._advance(now.unix_us)
        if isinstance(event, Tick | Stop | Kept):
            keep = self._keeping.keep(now.mono_s, self._users, at_once=self._stopped)
            effects += [keep] if keep is not None else []
        return effects

    @property
    def _sending(self) -> bool:
        return self._caught_up and not self._stopped

    def _take(self, event: Input, now: Now) -> Iterator[Effect]:  # noqa: C901 - one arm an input
        match event:
            case Assigned(assignments):
                self._assigned(assignments, now.unix_us)
            case PersonIs(id, person):
                self._person_is(id, person, now.unix_us)
            case FeedbackRead(said):
                for one in said:
                    self._heard(one, now.unix_us)
            case CaughtUp():
                self._caught_up = True
                self._places.start()
                yield from self._tell_damaged()
                yield from self._end_orphans(now.unix_us)
            case IntentSaid(id):
                yield from self._said(id, now.unix_us)
            case IntentRefused(id):
                self._forget_refused(id, now.unix_us)
            case Ended(id, outcome, method, reason):
                flight = self._flying.get(id.region, {}).get(id)
                if flight is not None:
                    yield from self._finish(flight, outcome, now.unix_us, reason, method)
            case Kept(number, ok):
                self._keeping.kept(number, ok=ok)
            case Tick(fit, lag_s):
                yield from self._tick(now, fit=fit, lag_s=lag_s)
            case Stop():
                self._stopped = True

    def _tick(self, now: Now, *, fit: bool, lag_s: float) -> Iterator[Effect]:
        if self._places.listen(now.mono_s, fit=fit, lag_s=lag_s):
            self._ready.update(dict.fromkeys(self._waiting))
        if not self._sending:
            return
        self._lapse_silent(now.unix_us)
        yield from self._end_orphans(now.unix_us)
        for user in self._sweeps.expire(now.unix_us):
            self._sweep(user, now.unix_us)
        if self._pulsed_s is None or now.mono_s - self._pulsed_s >= self._limits.pulse_every_s:
            self._pulsed_s = now.mono_s
            yield SayPulse(Pulse(self._region, self._epoch, self._pulse, now.unix_us, self._places.is_fit))
            self._pulse += 1

    def _tell_damaged(self) -> Iterator[Effect]:
        for user in self.damaged:
            yield Alarm(
                "user-row-damaged",
                user,
                f"what was kept of user {user} cannot be read: they start from nothing. What is assigned to them is "
                "known again when it changes, and they may be paged twice. Look at their open incidents.",
            )

    # What is read ------------------------------------------------------------------------------------------------

    def _restore(self, row: UserRow, now_us: int) -> None:
        user = decode_user(row, self._region, self._epoch)
        if user is None:
            self.damaged.append(row.user)
            self._keeping.changed(row.user)
            return
        self._users[row.user] = user
        self._arm(user, user.concerns.values(), now_us)
        self._plan_sweep(user, now_us)
        for channel in user.channels:
            for flight in channel.covers.flights.values() if channel.covers is not None else ():
                self._ready[channel] = None
                if flight.own and not flight.said:
                    self._orphans[flight.intent.id] = flight
                if flight.in_progress:
                    self._flying.setdefault(flight.intent.id.region, {})[flight.intent.id] = flight

    def _user(self, id: str) -> User:
        user = self._users.get(id)
        if user is None:
            user = self._users[id] = User(id)
        self._keeping.changed(id)
        return user

    def _assigned(self, assignments: Sequence[Assignment], now_us: int) -> None:
        by_user: dict[str, list[Assignment]] = {}
        for assignment in assignments:
            by_user.setdefault(assignment.user, []).append(assignment)
        for id, theirs in by_user.items():
            user = self._user(id)
            opened = [concern for one in theirs if (concern := user.assign(one, now_us)) is not None]
            self._arm(user, opened, now_us)
            if len(opened) < len(theirs):
                user.tidy()
                self._plan_sweep(user, now_us)

    def _person_is(self, id: str, person: Person | None, now_us: int) -> None:
        user = self._user(id)
        user.become(person)
        self._arm(user, user.concerns.values(), now_us)
        self._ready.update(dict.fromkeys(user.channels))

    def _arm(self, user: User, concerns: Iterable[Concern], now_us: int) -> None:
        """Have the channels of these incidents wake when the first rule is due."""
        person = user.person
        if person is None:
            return
        for concern in concerns:
            if not concern.is_open:
                continue
            for rule, method in person.reached_by(concern.urgency):
                channel = user.channel(method.id, concern.urgency)
                if channel is not None:
                    self._wake(channel, concern.at_us + delay_us(rule.delay_s), now_us)

    def _wake(self, channel: Channel, at_us: int, now_us: int) -> None:
        if at_us <= now_us:
            self._ready[channel] = None
        elif channel.slot == NOWHERE or at_us < channel.wake_us:
            self._timers.put(channel, at_us, now_us)

    def _heard(self, said: Feedback, now_us: int) -> None:
        if isinstance(said, Pulse):
            self._places.hear(said)
            return
        channel = self._user(said.channel.user).channel(said.channel.method, said.channel.urgency)
        if channel is None:
            return
        flights = channel.covering().flights
        if isinstance(said, Intent):
            if said.id not in flights:
                self._heard_intent(channel, said, now_us)
        elif said.id in flights:
            self._heard_end(flights[said.id], said, now_us)
        else:
            self._early[said.id] = said
            if len(self._early) > EARLY_ENDS_MAX:
                del self._early[next(iter(self._early))]
        self._ready[channel] = None

    def _heard_intent(self, channel: Channel, intent: Intent, now_us: int) -> None:
        """A region that says an intent of the future has a fast clock, or lies: it counts as of now."""
        flight = self._fly(channel, replace(intent, at_us=min(intent.at_us, now_us)), now_us)
        if flight.own:
            self._orphans[intent.id] = flight
            if intent.id.epoch == self._epoch:
                self._sequence = max(self._sequence, intent.id.sequence + 1)
        end = self._early.pop(intent.id, None)
        if end is not None:
            self._heard_end(flight, end, now_us)

    def _heard_end(self, flight: Flight, end: End, now_us: int) -> None:
        flight.finish(end, now_us)
        if flight.end is not None and flight.end.outcome is end.outcome:
            flight.said = True
            self._land(flight)
            self._orphans.pop(end.id, None)
            if flight.own:
                self._users[end.channel.user].tidy()

    # Flights -----------------------------------------------------------------------------------------------------

    def _fly(self, channel: Channel, intent: Intent, now_us: int) -> Flight:
        id = intent.id
        deadline_us = max(intent.at_us + _us(self._limits.end_s_max), now_us + _us(self._limits.silence_s))
        flight = Flight(intent, deadline_us, own=id.region == self._region and id.epoch <= self._epoch)
        channel.covering().add(flight)
        self._flying.setdefault(id.region, {})[id] = flight
        user = self._user(channel.user)
        self._plan_sweep(user, now_us)
        return flight

    def _land(self, flight: Flight) -> None:
        self._flying.get(flight.intent.id.region, {}).pop(flight.intent.id, None)

    def _channel(self, key: ChannelKey) -> Channel | None:
        user = self._users.get(key.user)
        return user.channel(key.method, key.urgency) if user is not None else None

    def _lapse_silent(self, now_us: int) -> None:
        """The intents of a silent region cover no longer."""
        for region, flights in self._flying.items():
            if region == self._region or not flights or not self._places.silent(region):
                continue
            for flight in list(flights.values()):
                flight.lapse(now_us)
                self._land(flight)
                self._changed(flight)

    def _changed(self, flight: Flight) -> None:
        self._keeping.changed(flight.intent.channel.user)
        channel = self._channel(flight.intent.channel)
        if channel is not None:
            self._ready[channel] = None

    def _finish(self, flight: Flight, outcome: Outcome, now_us: int, reason: str, method: str = "") -> Iterator[Effect]:
        """An intent of ours ended: apply it, and say it."""
        intent = flight.intent
        if flight.finish(End(intent.id, intent.channel, outcome, now_us, method, reason), now_us):
            self._changed(flight)
            yield from self._say_end(flight)

    def _say_end(self, flight: Flight) -> Iterator[Effect]:
        if flight.end is None:
            return
        items = [Item(concern.assignment, is_new=True) for concern in self._covered(flight)]
        yield SayEnd(flight.end, items, flight.intent)
        channel = self._channel(flight.intent.channel)
        if flight.is_delivered or channel is None or channel.covers is None:
            return
        spent = sum(len(channel.covers.of(pair)) >= self._limits.tries_max for pair in flight.intent.pairs)
        if spent:
            yield Alarm(
                "page-given-up",
                flight.intent.channel.user,
                f"{spent} of the pages to {flight.intent.channel.user} by {flight.intent.channel.method} were tried "
                f"{self._limits.tries_max} times and none is known to have arrived: {flight.end.reason}. They are not "
                "tried again by this method: reach the user by another way and look at the method's provider.",
            )

    def _end_orphans(self, now_us: int) -> Iterator[Effect]:
        """Say the end of intents that nobody here hands over: an earlier owner's, or refused ones that came through."""
        for flight in list(self._orphans.values()):
            if flight.end is not None:
                yield from self._say_end(flight)
            elif flight.intent.id.epoch < self._epoch:
                yield from self._finish(flight, Outcome.UNKNOWN, now_us, "the notifier that decided it is gone")
            else:
                yield from self._finish(
                    flight, Outcome.FAILED, now_us, "the log had refused it: it was not handed over"
                )
        self._orphans.clear()

    def _covered(self, flight: Flight) -> Iterator[Concern]:
        """The incidents that an intent is about, open or not, as far as they are still known."""
        user = self._users.get(flight.intent.channel.user)
        channel = self._channel(flight.intent.channel)
        if user is None or channel is None:
            return
        covered = set(flight.intent.pairs)
        person = user.person
        rules = ways(person, channel) if person is not None else ()
        for concern in user.concerns.values():
            if concern.packed and concern.urgency == channel.urgency:
                for rule, _ in rules:
                    concern.pair(rule)
                if concern.names is not None and not covered.isdisjoint(concern.names.values()):
                    yield concern

    # Sending -----------------------------------------------------------------------------------------------------

    def _advance(self, now_us: int) -> Iterator[Effect]:
        """Look at every channel whose moment may have come, the urgent ones first."""
        self._ready.update(dict.fromkeys(self._timers.expire(now_us)))
        if not self._ready:
            return
        looked = sorted(self._ready, key=lambda channel: channel.urgency != Urgency.HIGH)
        intents: list[Intent] = []
        for channel in looked:
            if len(intents) >= BUNDLES_A_STEP_MAX:
                break
            del self._ready[channel]
            yield from self._end_overdue(channel, now_us)
            intent = self._look(channel, now_us)
            if intent is not None:
                intents.append(intent)
        if intents:
            yield SayIntents(intents)

    def _end_overdue(self, channel: Channel, now_us: int) -> Iterator[Effect]:
        if channel.covers is None:
            return
        for flight in list(channel.covers.in_progress()):
            if flight.deadline_us > now_us:
                continue
            if flight.own:
                yield from self._finish(flight, Outcome.UNKNOWN, now_us, "no end in time")
            else:
                flight.lapse(flight.deadline_us)
                self._land(flight)

    def _look(self, channel: Channel, now_us: int) -> Intent | None:
        """Page by a channel if its moment and our place in it have come; else have it wake when they do."""
        self._timers.remove(channel)
        self._waiting.discard(channel)
        user = self._users[channel.user]
        person = user.person
        rules = ways(person, channel) if person is not None else ()
        moment = channels.moment(channel, user.concerns.values(), rules, self._limits, now_us)
        if moment is None:
            flights = channel.covers.in_progress() if channel.covers is not None else ()
            deadline_us = min((flight.deadline_us for flight in flights), default=None)
            if deadline_us is not None:
                self._timers.put(channel, deadline_us, now_us)
            return None
        at_us = max(moment.at_us, self._refused.get(channel, 0))
        place = 0
        if at_us <= now_us:
            self._refused.pop(channel, None)
            place = self._places.place(moment.last)
            at_us += place * _us(self._limits.backstop_s)
        if at_us > now_us:
            self._timers.put(channel, at_us, now_us)
            if place:
                self._waiting.add(channel)
            return None
        found = channels.bundle(channel, user.concerns.values(), rules, self._limits, now_us)
        covers = b"".join(dict.fromkeys(one.pair for one in found))
        return self._decide(channel, moment, place, covers, now_us)

    def _decide(self, channel: Channel, moment: Moment, place: int, covers: bytes, now_us: int) -> Intent:
        if place:
            why = "backstop"
        elif moment.last:
            why = "again"
        else:
            why = "paced" if moment.at_us > moment.due_us else "due"
        id = IntentId(self._region, self._epoch, self._sequence)
        self._sequence += 1
        key = ChannelKey(channel.user, channel.method, channel.urgency)
        intent = Intent(id, key, covers, moment.at_us, now_us, place, why)
        self._timers.put(channel, self._fly(channel, intent, now_us).deadline_us, now_us)
        return intent

    def _said(self, id: IntentId, now_us: int) -> Iterator[Effect]:
        """An intent of ours is on the log: hand it over, if it is still to be."""
        flight = self._flying.get(id.region, {}).get(id)
        if flight is None or not flight.in_progress:
            return
        if self._stopped:
            yield from self._finish(flight, Outcome.FAILED, now_us, "the notifier stops: it was not handed over")
            return
        bundle = self._bundle(flight)
        if bundle is None:
            yield from self._finish(flight, Outcome.FAILED, now_us, "nothing of it is to be told any more")
        else:
            yield HandOver(bundle)

    def _bundle(self, flight: Flight) -> Bundle | None:
        """What is handed over, of what is open now. None: all of it closed, or the method is gone."""
        intent = flight.intent
        user = self._users[intent.channel.user]
        channel = self._channel(intent.channel)
        person = user.person
        method = person.method(intent.channel.method) if person is not None else None
        if channel is None or person is None or method is None or not method.is_usable:
            return None
        new = [concern for concern in self._covered(flight) if concern.is_open]
        if not new:
            return None
        told = channels.told_before(channel, user.concerns.values(), ways(person, channel))
        known = set(new)
        old = [concern for concern in told if concern not in known]
        items = [
            *(Item(concern.assignment, is_new=True) for concern in sorted(new, key=_since)),
            *(Item(concern.assignment, is_new=False) for concern in sorted(old, key=_since)),
        ]
        others = tuple(other for other in person.methods if other.is_usable and other.id != method.id)
        return Bundle(intent, person, method, others, tuple(items))

    def _forget_refused(self, id: IntentId, now_us: int) -> None:
        """Nothing was handed over: decide anew after a pause. If it is on the log after all, it is read from there."""
        flight = self._flying.get(id.region, {}).get(id)
        channel = self._channel(flight.intent.channel) if flight is not None else None
        if flight is None or channel is None or channel.covers is None:
            return
        self._land(flight)
        channel.covers.remove(id)
        self._refused[channel] = now_us + _us(self._limits.refused_s)
        self._changed(flight)

    # Forgetting --------------------------------------------------------------------------------------------------

    def _plan_sweep(self, user: User, now_us: int) -> None:
        if user.slot == NOWHERE:
            self._sweeps.put(user, now_us + _us(self._limits.remember_s), now_us)

    def _sweep(self, user: User, now_us: int) -> None:
        """Forget what ended long ago, and a user of whom nothing is left."""
        user.forget(now_us - _us(self._limits.remember_s))
        self._keeping.changed(user.id)
        idle = [one for one in user.channels if one.slot == NOWHERE and not (one.covers and one.covers.flights)]
        user.channels = [one for one in user.channels if one not in idle]
        if user.packed or user.concerns or user.channels:
            if user.channels or any(not concern.is_open for concern in user.concerns.values()):
                self._plan_sweep(user, now_us)
        else:
            del self._users[user.id]


def _us(seconds: float) -> int:
    return round(seconds * 1e6)


def _since(concern: Concern) -> int:
    return concern.at_us

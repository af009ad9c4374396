r"""The pager: THE machine of one user partition. Inputs and time go in, effects come out; it decides who is told when.

Theory
------
    READING ----the three topics were read to their ends----> SENDING ----> STOPPED

READING: everything is taken in, nothing is sent, no pulse is said. SENDING: a channel whose moment came is bundled by
the region at place 0; the others wait their backstops.

    SayIntents --on the log--> IntentSaid --> HandOver --> Ended --> SayEnd
               \--refused----> never was, decided anew after a pause

What is to be told is known where it is worked out: users in `roster.py`, intents in `flights.py`, when a channel pages
in `channel.py`, which region does in `places.py`, what is looked at next in `agenda.py`.

A process that slept, or lags behind, does not know what is open now. It reads before it sends, for `catch_up_s` at
most: so a stall ends with one bundle a channel about what is open, and an overload without end does not end the pages.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from tocsin.core.effects import Now
from tocsin.core.paging import channel as channels
from tocsin.core.paging.agenda import Agenda
from tocsin.core.paging.channel import Channel, Moment
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
    SayIntents,
    SayPulse,
    Stop,
    Tick,
    UserRow,
)
from tocsin.core.paging.feedback import ChannelKey, Intent, IntentId, Outcome, Pulse
from tocsin.core.paging.flights import Flights
from tocsin.core.paging.keeping import Keeping
from tocsin.core.paging.limits import PagingLimits, us
from tocsin.core.paging.places import Places
from tocsin.core.paging.roster import Roster
from tocsin.core.paging.user import User, ways

LOOKS_A_STEP_MAX: Final = 2_000
"""Channels that one step looks at: some tens of milliseconds. The rest is for the next, at once (`wakes_us`)."""
SLEPT_S: Final = 2.0
"""Without a tick for so long nothing is sent until the next one tells how far behind we are."""


class Readings(NamedTuple):
    """How full a partition is. `pending`: timers of channels with something to come; `ready`: channels to be looked at
    at once; `waiting`: those that leave their moment to a region before us; `late_s`: how long after its moment and
    place the latest bundle was decided, since this was last read; `unkept`: users that changed since they were kept.
    """

    users: int
    channels: int
    pending: int
    ready: int
    waiting: int
    in_progress: int
    unkept: int
    late_s: float


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
        """`rows` are the kept users. Who is named in `damaged` starts from nothing: what the directory and the
        assignments say of them is to be read from the start.
        """
        self.partition = partition
        self.damaged: list[str] = []
        self._region = region
        self._epoch = epoch
        self._limits = limits
        self._places = Places(region, partition, regions, limits)
        self._keeping = Keeping(limits)
        self._agenda = Agenda()
        self._roster = Roster(self._agenda, self._keeping, limits, alone=len({region, *regions}) == 1)
        self._flights = Flights(region, epoch, self._roster, self._agenda, self._keeping, limits)
        self._pulse = 0
        self._pulsed_s: float | None = None
        self._ticked_s = now.mono_s
        self._behind_since_s: float | None = None
        self._caught_up = False
        self._stopped = False
        self._late_us = 0
        for row in rows:
            user = self._roster.restore(row, now.unix_us)
            if user is None:
                self.damaged.append(row.user)
            else:
                self._flights.restore(user)

    # What may be asked -------------------------------------------------------------------------------------------

    def wanted(self, id: IntentId) -> bool:
        """Whether a provider may still be called for an intent of ours: it covers, and something of it is open."""
        flight = self._flights.get(id)
        if flight is None or not flight.in_progress:
            return False
        user = self._roster.users[flight.intent.channel.user]
        channel = self._roster.channel(flight.intent.channel)
        return channel is not None and any(one.is_open for one in user.covered(channel, flight.intent))

    def wakes_us(self) -> int | None:
        """When the next step is due, whatever else happens; 0: at once. None: when something is read, or at a tick."""
        idle = not self._caught_up or self._stopped or self._behind_since_s is not None
        return None if idle else self._agenda.wakes_us()

    def user(self, id: str) -> User | None:
        """A user, to be looked at (`explain.py`)."""
        return self._roster.users.get(id)

    def readings(self) -> Readings:
        """How full it is, and how late."""
        late_us, self._late_us = self._late_us, 0
        return Readings(
            users=len(self._roster.users),
            channels=sum(len(user.channels) for user in self._roster.users.values()),
            pending=self._agenda.timers,
            ready=self._agenda.ready,
            waiting=self._agenda.waiting,
            in_progress=len(self._flights),
            unkept=len(self._keeping),
            late_s=late_us / 1e6,
        )

    # The step ----------------------------------------------------------------------------------------------------

    def step(self, event: Input, now: Now) -> list[Effect]:
        """Take one input; the effects are to be done in this order."""
        effects = list(self._take(event, now))
        if self._may_send(now.mono_s):
            effects += self._advance(now.unix_us)
        if self._stopped or isinstance(event, Tick | Kept):
            keep = self._keeping.keep(now.mono_s, self._roster.users, at_once=self._stopped)
            if keep is not None:
                effects.append(keep)
        return effects

    def _may_send(self, mono_s: float) -> bool:
        if not self._caught_up or self._stopped or mono_s - self._ticked_s > SLEPT_S:
            return False
        return self._behind_since_s is None or mono_s - self._behind_since_s >= self._limits.catch_up_s

    def _take(self, event: Input, now: Now) -> Iterator[Effect]:  # noqa: C901 - one arm an input
        match event:
            case Assigned(assignments):
                yield from self._roster.assigned(assignments, now.unix_us)
            case PersonIs(id, person):
                self._roster.person_is(id, person, now.unix_us)
            case FeedbackRead(said):
                for one in said:
                    if isinstance(one, Pulse):
                        self._places.hear(one)
                    else:
                        self._flights.heard(one, now.unix_us)
            case CaughtUp():
                yield from self._start(now)
            case IntentSaid(id):
                yield from self._said(id, now.unix_us)
            case IntentRefused(id):
                self._places.step_back()
                yield from self._flights.refused(id, now.unix_us)
            case Ended(id, outcome, method, reason):
                flight = self._flights.get(id)
                if flight is not None:
                    yield from self._flights.finish(flight, outcome, now.unix_us, reason, method)
            case Kept(number, ok):
                self._keeping.kept(number, now.mono_s, ok=ok)
            case Tick():
                yield from self._tick(event, now)
            case Stop():
                self._stopped = True

    def _start(self, now: Now) -> Iterator[Effect]:
        self._caught_up = True
        self._ticked_s = now.mono_s
        self._places.start()
        for user in self.damaged:
            yield _damaged(user)
        yield from self._flights.end_orphans(now.unix_us)

    def _tick(self, tick: Tick, now: Now) -> Iterator[Effect]:
        self._ticked_s = now.mono_s
        if tick.lag_s < self._limits.backstop_s:
            self._behind_since_s = None
        elif self._behind_since_s is None:
            self._behind_since_s = now.mono_s
        if self._places.listen(now.mono_s, fit=tick.fit, lag_s=tick.lag_s):
            self._agenda.stir()
        if not self._caught_up or self._stopped:
            return
        self._flights.lapse_silent(self._places, now.unix_us)
        yield from self._flights.end_orphans(now.unix_us)
        self._roster.sweep(now.unix_us)
        if self._pulsed_s is None or now.mono_s - self._pulsed_s >= self._limits.pulse_every_s:
            self._pulsed_s = now.mono_s
            yield SayPulse(Pulse(self._region, self._epoch, self._pulse, now.unix_us, self._places.is_fit))
            self._pulse += 1

    # Sending -----------------------------------------------------------------------------------------------------

    def _advance(self, now_us: int) -> Iterator[Effect]:
        """Look at every channel whose moment may have come."""
        intents: list[Intent] = []
        for channel in self._agenda.take(now_us, LOOKS_A_STEP_MAX):
            yield from self._flights.end_overdue(channel, now_us)
            intent = self._look(channel, now_us)
            if intent is not None:
                intents.append(intent)
        if intents:
            yield SayIntents(intents)

    def _look(self, channel: Channel, now_us: int) -> Intent | None:
        """Page by a channel if its moment and our place in it have come; else have it woken when they do."""
        user = self._roster.users.get(channel.user)
        if user is None or channel not in user.channels:  # forgotten meanwhile
            self._agenda.at(channel, None, now_us)
            return None
        person = user.person
        rules = ways(person, channel) if person is not None else ()
        moment = channels.moment(channel, user.concerns, rules, self._limits, now_us)
        if moment is None:
            self._agenda.at(channel, channels.ends_us(channel), now_us)
            return None
        place = self._places.place(moment.last) if moment.start_us <= now_us else 0
        at_us = moment.page_us(place, self._limits) if moment.start_us <= now_us else moment.start_us
        if channel.refused_us:
            at_us = max(at_us, channel.refused_us + us(self._limits.refused_s))
        if at_us > now_us:
            self._agenda.at(channel, at_us, now_us, waiting=place > 0)
            return None
        self._late_us = max(self._late_us, now_us - at_us)
        in_turn = moment.at_us + place * us(self._limits.backstop_s) <= now_us
        over = 0 if in_turn else max(place, 1)
        found = channels.bundle(channel, user.concerns, rules, self._limits, now_us, passed_over=over)
        return self._decide(
            channel, moment, place, moment.why(over or place), b"".join(one.pair for one in found), now_us
        )

    def _decide(self, channel: Channel, moment: Moment, place: int, why: str, covers: bytes, now_us: int) -> Intent:
        """It counts from now on, here; elsewhere once it is on the log."""
        id = IntentId(self._region, self._epoch, self._flights.next)
        key = ChannelKey(channel.user, channel.method, channel.urgency)
        intent = Intent(id, key, covers, moment.at_us, now_us, place, why)
        self._flights.next += 1
        channel.refused_us = 0
        flight = self._flights.add(channel, intent, now_us)
        self._agenda.at(channel, flight.deadline_us, now_us)
        return intent

    def _said(self, id: IntentId, now_us: int) -> Iterator[Effect]:
        """An intent of ours is on the log: hand it over, if it is still to be."""
        flight = self._flights.get(id)
        if flight is None or not flight.in_progress:
            return
        bundle = self._bundle(flight)
        if self._stopped:
            yield from self._flights.finish(flight, Outcome.FAILED, now_us, "the notifier stops: not handed over")
        elif flight.deadline_us <= now_us:
            yield from self._flights.finish(flight, Outcome.FAILED, now_us, "the log took it too late: not handed over")
        elif bundle is None:
            yield from self._flights.finish(flight, Outcome.FAILED, now_us, "nothing of it is to be told any more")
        else:
            yield HandOver(bundle)

    def _bundle(self, flight: Flight) -> Bundle | None:
        """What is handed over, of what is open now. None: all of it closed, or the method is gone."""
        intent = flight.intent
        user = self._roster.users[intent.channel.user]
        channel = self._roster.channel(intent.channel)
        person = user.person
        method = person.method(intent.channel.method) if person is not None else None
        if channel is None or person is None or method is None or not method.is_usable:
            return None
        new = [concern for concern in user.covered(channel, intent) if concern.is_open]
        if not new:
            return None
        named = set(new)
        told = channels.told_before(channel, user.concerns, ways(person, channel))
        old = [concern for concern in told if concern not in named]
        items = [
            *(Item(concern.assignment(user.id), is_new=True) for concern in sorted(new, key=lambda one: one.at_us)),
            *(Item(concern.assignment(user.id), is_new=False) for concern in sorted(old, key=lambda one: one.at_us)),
        ]
        others = tuple(other for other in person.methods if other.is_usable and other.id != method.id)
        return Bundle(intent, person, method, others, tuple(items))


def _damaged(user: str) -> Alarm:
    return Alarm(
        "user_row_damaged",
        user,
        f"what was kept of user {user} cannot be read: they start from nothing, and may be paged twice for what they "
        "were told before. What is assigned to them is known again when it changes: look at their open incidents.",
    )

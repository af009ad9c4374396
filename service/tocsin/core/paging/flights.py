"""Flights: the intents under way in one user partition, of all regions, and what is said of the end of ours.

An intent of ours applies to ourselves when it is decided, before it is on the log; it is found again in the log after a
crash. One of our region that is read and not held here is an *orphan*: an owner before us decided it, or the log took
it after all when it had said no. Nobody hands it over any more, so its end is said for it.
"""

from collections.abc import Iterator
from typing import Final, TypeVar

from msgspec.structs import replace

from tocsin.core.paging.agenda import Agenda
from tocsin.core.paging.channel import Channel
from tocsin.core.paging.covers import Flight, is_better
from tocsin.core.paging.effects import Alarm, Effect, Item, SayEnd
from tocsin.core.paging.feedback import End, Intent, IntentId, Outcome
from tocsin.core.paging.keeping import Keeping
from tocsin.core.paging.limits import PagingLimits, us
from tocsin.core.paging.places import Places
from tocsin.core.paging.roster import Roster
from tocsin.core.paging.user import User

REMEMBERED_MAX: Final = 1_000
"""So many ends that were read before their intents are remembered, and intents of ours that are overdue; the oldest are
forgotten.
"""
Remembered = TypeVar("Remembered", End, Flight)
REFUSED: Final = "the log had refused it: it was not handed over"


class Flights:
    """The intents whose end may still come, and those of ours whose end is not on the log yet."""

    __slots__ = (
        "_agenda",
        "_early",
        "_epoch",
        "_flying",
        "_keeping",
        "_limits",
        "_orphans",
        "_overdue",
        "_region",
        "_roster",
        "next",
    )

    def __init__(
        self, region: str, epoch: int, roster: Roster, agenda: Agenda, keeping: Keeping, limits: PagingLimits
    ) -> None:
        """None under way."""
        self._region = region
        self._epoch = epoch
        self._roster = roster
        self._agenda = agenda
        self._keeping = keeping
        self._limits = limits
        self._flying: dict[str, dict[IntentId, Flight]] = {}
        self._orphans: dict[IntentId, Flight] = {}
        self._early: dict[IntentId, End] = {}
        self._overdue: dict[IntentId, Flight] = {}
        self.next = 0

    def __len__(self) -> int:
        """How many are under way, or of ours and not told to have ended."""
        return sum(len(flights) for flights in self._flying.values())

    def get(self, id: IntentId) -> Flight | None:
        """One that is under way, or of ours and not told to have ended or overdue: it may still end well."""
        return self._flying.get(id.region, {}).get(id) or self._overdue.get(id)

    def is_own(self, id: IntentId) -> bool:
        """Whether this region's owner says its end: it is ours, and of no owner after us."""
        return id.region == self._region and id.epoch <= self._epoch

    # What is read ------------------------------------------------------------------------------------------------

    def restore(self, user: User) -> None:
        """A kept user's intents."""
        for channel in user.channels:
            if channel.covers is None:
                continue
            self._agenda.look_at(channel)
            for id, flight in channel.covers.flights.items():
                flight.own = self.is_own(id)
                if flight.own and not flight.said:
                    self._orphans[id] = flight
                if flight.in_progress:
                    self._flying.setdefault(id.region, {})[id] = flight

    def heard(self, said: Intent | End, now_us: int) -> None:
        """An intent or an end was read."""
        key = said.channel
        channel = self._roster.channel(key)
        flight = channel.covers.flights.get(said.id) if channel is not None and channel.covers is not None else None
        if isinstance(said, End):
            if flight is None:
                known = self._early.get(said.id)
                if known is None or is_better(said, known):
                    _remember(self._early, said.id, said)
            else:
                self._heard_end(flight, said, now_us)
        elif flight is not None:
            flight.logged = True
        else:
            channel = self._roster[key.user].channel(key.method, key.urgency)
            if channel is not None:
                self._heard_intent(channel, said, now_us)

    def _heard_intent(self, channel: Channel, intent: Intent, now_us: int) -> None:
        """A region that says an intent of the future has a fast clock, or lies: it counts as of now."""
        flight = self.add(channel, replace(intent, at_us=min(intent.at_us, now_us)), now_us)
        flight.logged = True
        self._agenda.look_at(channel)
        if flight.own:
            self._orphans[intent.id] = flight
            if intent.id.epoch == self._epoch:
                self.next = max(self.next, intent.id.sequence + 1)
        end = self._early.pop(intent.id, None)
        if end is not None:
            self._heard_end(flight, end, now_us)

    def _heard_end(self, flight: Flight, end: End, now_us: int) -> None:
        if flight.finish(end, now_us):
            self._changed(flight)
        if flight.end is not None and flight.end.outcome is end.outcome and not flight.said:
            flight.said = True
            self._land(flight)
            self._orphans.pop(end.id, None)
            self._keeping.changed(end.channel.user)
            self._roster[end.channel.user].tidy()

    # What becomes of them ----------------------------------------------------------------------------------------

    def add(self, channel: Channel, intent: Intent, now_us: int) -> Flight:
        """It covers from now on. However old it is, its end has the silence limit to be read after it."""
        deadline_us = max(intent.at_us + us(self._limits.end_s_max), now_us + us(self._limits.silence_s))
        flight = Flight(intent, deadline_us, own=self.is_own(intent.id))
        channel.covering().add(flight)
        self._flying.setdefault(intent.id.region, {})[intent.id] = flight
        self._roster.plan_sweep(self._roster[channel.user], now_us)
        return flight

    def refused(self, id: IntentId, now_us: int) -> Iterator[Effect]:
        """The log did not take an intent of ours: it never was. If it is there after all, it is read from there."""
        flight = self.get(id)
        channel = self._roster.channel(flight.intent.channel) if flight is not None else None
        if flight is None or channel is None or channel.covers is None or flight.end is not None:
            return
        channel.refused_us = now_us
        if flight.logged:
            yield from self.finish(flight, Outcome.FAILED, now_us, REFUSED)
        else:
            self._land(flight)
            channel.covers.remove(id)
            self._changed(flight)

    def lapse_silent(self, places: Places, now_us: int) -> None:
        """The intents of a region that is silent cover no longer."""
        for region in [name for name in self._flying if name != self._region and places.silent(name)]:
            for flight in list(self._flying[region].values()):
                flight.lapse(now_us)
                self._land(flight)
                self._changed(flight)

    def end_overdue(self, channel: Channel, now_us: int) -> Iterator[Effect]:
        """What of a channel should have ended by now covers no longer."""
        for flight in list(channel.covers.in_progress()) if channel.covers is not None else ():
            if flight.deadline_us <= now_us:
                if flight.own:
                    _remember(self._overdue, flight.intent.id, flight)
                    yield from self.finish(flight, Outcome.UNKNOWN, now_us, "no end in time")
                else:
                    flight.lapse(flight.deadline_us)
                    self._land(flight)
                    self._keeping.changed(channel.user)

    def end_orphans(self, now_us: int) -> Iterator[Effect]:
        """Say the ends of those that nobody here hands over."""
        orphans = list(self._orphans.values())
        self._orphans.clear()
        for flight in orphans:
            if flight.end is not None:
                yield from self._say_end(flight)
            elif flight.intent.id.epoch < self._epoch:
                yield from self.finish(flight, Outcome.UNKNOWN, now_us, "the notifier that decided it is gone")
            else:
                yield from self.finish(flight, Outcome.FAILED, now_us, REFUSED)

    def finish(self, flight: Flight, outcome: Outcome, now_us: int, reason: str, method: str = "") -> Iterator[Effect]:
        """One of ours ended: that counts here, and is said."""
        intent = flight.intent
        if flight.finish(End(intent.id, intent.channel, outcome, now_us, method, reason), now_us):
            flight.said = False
            self._changed(flight)
            yield from self._say_end(flight)

    def _say_end(self, flight: Flight) -> Iterator[Effect]:
        channel = self._roster.channel(flight.intent.channel)
        if flight.end is None or channel is None or channel.covers is None:
            return
        user = self._roster.users[channel.user]
        items = [Item(concern.assignment(user.id), is_new=True) for concern in user.covered(channel, flight.intent)]
        yield SayEnd(flight.end, items, flight.intent)
        if not flight.is_delivered:
            tries_max = self._limits.tries_max
            spent = sum(len(channel.covers.of(pair)) >= tries_max for pair in flight.intent.pairs)
            if spent:
                yield _given_up(flight.intent, spent, tries_max, flight.end.reason)

    def _land(self, flight: Flight) -> None:
        region = flight.intent.id.region
        flights = self._flying.get(region, {})
        flights.pop(flight.intent.id, None)
        if not flights:
            self._flying.pop(region, None)

    def _changed(self, flight: Flight) -> None:
        self._keeping.changed(flight.intent.channel.user)
        channel = self._roster.channel(flight.intent.channel)
        if channel is not None:
            self._agenda.look_at(channel)


def _remember(known: dict[IntentId, Remembered], id: IntentId, one: Remembered) -> None:
    known[id] = one
    if len(known) > REMEMBERED_MAX:
        del known[next(iter(known))]


def _given_up(intent: Intent, spent: int, tries_max: int, reason: str) -> Alarm:
    return Alarm(
        "page_given_up",
        intent.channel.user,
        f"{spent} of the pages to {intent.channel.user} by {intent.channel.method} were tried {tries_max} times and "
        f"none is known to have arrived: {reason}. They are not tried again by this method: reach the user by another "
        "way and look at the method's provider.",
    )

"""Explaining: why a channel would page, when, and about what; or why it does not. For people, from what is kept.

A reader that has a kept row only, and not the machine, knows no places: whose turn it is is told by the intents.
"""

from typing import Final

import msgspec

from tocsin.core.paging.channel import Channel, moment, pending
from tocsin.core.paging.covers import Flight
from tocsin.core.paging.limits import PagingLimits
from tocsin.core.paging.people import Person
from tocsin.core.paging.user import User, ways

NOT_KNOWN: Final = "the directory has no such user"
NO_WAY: Final = "no method that could be used: none is verified, or all are blocked"
NOTHING_OPEN: Final = "nothing is open"


class Sent(msgspec.Struct, frozen=True):
    """A page that a region decided, and what became of it. Times are Unix microseconds."""

    intent: str
    region: str
    place: int
    why: str
    due_us: int
    at_us: int
    covers: int
    outcome: str
    method: str
    reason: str


class Waiting(msgspec.Struct, frozen=True):
    """An incident that a channel is to tell of, by which rule, and when that is due."""

    incident: str
    title: str
    rule: str
    due_us: int
    tried: str


class ChannelView(msgspec.Struct, frozen=True):
    """A channel: what it waits for, when it pages next at place 0 (None: not), in words why then, and what was sent."""

    method: str
    urgency: str
    next_us: int | None
    because: str
    waiting: tuple[Waiting, ...]
    sent: tuple[Sent, ...]


class UserView(msgspec.Struct, frozen=True):
    """A user: how many incidents are theirs to be told, what keeps them from being told at all, and the channels."""

    user: str
    open: int
    obstacle: str
    channels: tuple[ChannelView, ...]


def explain(user: User, limits: PagingLimits, now_us: int) -> UserView:
    """When and why each channel of a user would page, as known now."""
    person = user.person
    count = sum(concern.is_open for concern in user.concerns)
    obstacle = ""
    if person is None:
        obstacle = NOT_KNOWN
    elif not any(method.is_usable for method in person.methods):
        obstacle = NO_WAY
    elif not count:
        obstacle = NOTHING_OPEN
    views = tuple(_channel(user, person, channel, limits, now_us) for channel in user.channels)
    return UserView(user.id, count, obstacle, views)


def _channel(user: User, person: Person | None, channel: Channel, limits: PagingLimits, now_us: int) -> ChannelView:
    rules = ways(person, channel) if person is not None else ()
    waiting = []
    for one in sorted(pending(channel, user.concerns, rules, limits), key=lambda one: one.due_us):
        assignment = one.concern.assignment(user.id)
        waiting.append(Waiting(str(assignment.incident), assignment.title, one.rule, one.due_us, one.last))
    flights = list(channel.covers.flights.values()) if channel.covers is not None else []
    found = moment(channel, user.concerns, rules, limits, now_us)
    if found is None:
        because = "all that is open was told, or was tried often enough" if user.concerns else NOTHING_OPEN
    elif any(flight.in_progress for flight in flights):
        because = "a page is in progress: after its end, or when it is overdue"
    elif waiting[0].tried:
        tried = waiting[0].tried
        because = f"a page by {tried} did not arrive, as far as is known: once more, by {tried} only if no other does"
    elif found.at_us > found.due_us:
        because = f"the last page was less than {limits.pace_s:g} s before"
    else:
        because = "the rule is due then"
    sent = tuple(_sent(flight) for flight in sorted(flights, key=lambda flight: flight.intent.at_us))
    next_us = None if found is None else found.at_us
    return ChannelView(channel.method, channel.urgency, next_us, because, tuple(waiting), sent)


def _sent(flight: Flight) -> Sent:
    intent, end = flight.intent, flight.end
    outcome = end.outcome.value if end is not None else "in progress" if flight.in_progress else "lapsed without an end"
    return Sent(
        intent=intent.name,
        region=intent.id.region,
        place=intent.place,
        why=intent.why,
        due_us=intent.due_us,
        at_us=intent.at_us,
        covers=len(intent.pairs),
        outcome=outcome,
        method=end.method if end is not None else "",
        reason=end.reason if end is not None else "",
    )

"""A user: what is theirs to be told, by which channels. Each is an island; none knows of another.

The person stands here as bytes and is decoded when rules are looked at: a million people decoded would be most of what
the notifier holds. Rules and methods above the bounds are left out before, so that no user costs more than the bounds.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from tocsin.core.paging.assignments import Assignment
from tocsin.core.paging.channel import Channel, Ways
from tocsin.core.paging.concern import Concern, concern_name
from tocsin.core.paging.feedback import Intent
from tocsin.core.paging.limits import us
from tocsin.core.paging.people import DELAY_S_MAX, METHODS_MAX, RULES_MAX, Person, Urgency
from tocsin.core.paging.wheel import NOWHERE

CHANNELS_MAX: Final = 200
"""Channels of one user that intents of other regions may name; what is above is made up."""
CONCERNS_MAX: Final = 50_000
"""Incidents of one user, ended ones included; the longest ended are forgotten first."""

_PEOPLE: Final = msgspec.msgpack.Decoder(Person)
_URGENCIES: Final[dict[str, str]] = {urgency.value: urgency.value for urgency in Urgency}


class User:
    """One user of the partition."""

    __slots__ = ("channels", "concerns", "id", "packed", "slot", "wake_us")

    def __init__(self, id: str) -> None:
        """Of whom nothing is known yet."""
        self.id = id
        self.packed = b""
        self.concerns: dict[bytes, Concern] = {}
        self.channels: list[Channel] = []
        self.wake_us = 0
        self.slot = NOWHERE

    @property
    def person(self) -> Person | None:
        """The person, as the directory has it; None when it has none."""
        return _PEOPLE.decode(self.packed) if self.packed else None

    def become(self, person: Person | None) -> bool:
        """The directory has them so now; False: as before."""
        before = self.packed
        if person is None:
            self.packed = b""
        else:
            methods, rules = person.methods[:METHODS_MAX], person.rules[:RULES_MAX]
            self.packed = msgspec.msgpack.encode(msgspec.structs.replace(person, methods=methods, rules=rules))
        return self.packed != before

    @staticmethod
    def urgency(word: str) -> str:
        """The one string of an urgency that all share."""
        return _URGENCIES.get(word, word)

    def channel(self, method: str, urgency: str) -> Channel | None:
        """The channel of a method and urgency, made when it is new; None: there are too many."""
        for channel in self.channels:
            if channel.method == method and channel.urgency == urgency:
                return channel
        if len(self.channels) >= CHANNELS_MAX:
            return None
        channel = Channel(self.id, method, self.urgency(urgency))
        self.channels.append(channel)
        return channel

    def has_room(self, more: int) -> bool:
        """Whether so many incidents more are within the bound."""
        return len(self.concerns) + more < CONCERNS_MAX

    def assign(self, assignment: Assignment, from_us: int, now_us: int) -> Concern | None:
        """Take an assignment, to be paged for not before `from_us`. The concern that is open now and was not, or was
        another way; None when there is nothing to arm.
        """
        incident = assignment.incident
        for alias in assignment.aliases:
            self._close(concern_name(incident.parent, alias), assignment.version, now_us)
        name = concern_name(incident.parent, incident.id)
        if not assignment.is_open:
            self._close(name, assignment.version, now_us)
            return None
        known = self.concerns.get(name)
        if known is not None and known.version >= assignment.version:
            return None
        if known is None and not self.has_room(0):
            return None
        if known is not None and known.is_open:
            from_us = known.from_us
        concern = Concern.opened(assignment, self.urgency(assignment.urgency), from_us)
        self.concerns[name] = concern
        return concern

    def _close(self, name: bytes, version: int, now_us: int) -> None:
        known = self.concerns.get(name)
        if known is None:
            self.concerns[name] = Concern(version, now_us, "", b"", is_open=False)
        elif known.version < version:
            was_open = known.is_open
            known.close(version, now_us if was_open else known.at_us)

    def tidy(self) -> None:
        """Let go of the incidents that ended, unless a page of ours may still have to be told of in their logs."""
        if any(channel.covers is not None and channel.covers.unsaid() for channel in self.channels):
            return
        for concern in self.concerns.values():
            if not concern.is_open:
                concern.let_go()

    def covered(self, channel: Channel, intent: Intent) -> Iterator[Concern]:
        """The incidents that an intent is about, open or not, as far as they are not let go."""
        pairs = set(intent.pairs)
        person = self.person
        rules = ways(person, channel) if person is not None else ()
        for concern in self.concerns.values():
            if concern.packed and concern.urgency == channel.urgency:
                for rule, _ in rules:
                    concern.pair(rule)
                if concern.names is not None and not pairs.isdisjoint(concern.names.values()):
                    yield concern

    @property
    def has_past(self) -> bool:
        """Whether something of them is to be forgotten in time."""
        return bool(self.channels) or any(not concern.is_open for concern in self.concerns.values())

    def forget(self, before_us: int) -> None:
        """Let go of what ended before then: incidents, and intents that no open incident needs."""
        for name in [n for n, concern in self.concerns.items() if not concern.is_open and concern.at_us < before_us]:
            del self.concerns[name]
        ended = [name for name, concern in self.concerns.items() if not concern.is_open]
        for name in ended if not self.has_room(0) else ():
            del self.concerns[name]
        person = self.person
        needed = {
            concern.pair(rule.id)
            for concern in self.concerns.values()
            if concern.is_open and person is not None
            for rule, _ in person.reached_by(concern.urgency)
        }
        for channel in self.channels:
            if channel.covers is not None:
                channel.covers.forget(before_us, needed)
        self.channels = [one for one in self.channels if one.slot != NOWHERE or (one.covers and one.covers.flights)]


def ways(person: Person, channel: Channel) -> Ways:
    """The rules of a person that lead to a channel, with their delays in microseconds."""
    return tuple(
        (rule.id, delay_us(rule.delay_s))
        for rule, method in person.reached_by(channel.urgency)
        if method.id == channel.method
    )


def delay_us(delay_s: float) -> int:
    """A rule's delay. What is no time at all counts as none: a page too early is better than none."""
    return us(min(delay_s, DELAY_S_MAX)) if delay_s > 0 else 0

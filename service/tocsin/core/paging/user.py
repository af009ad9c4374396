"""A user: what is theirs to be told, by which channels. Each is an island; none knows of another.

The person stands here packed and is unpacked when rules are looked at: a million people as objects would be most of
what the notifier holds. Rules and methods above the bounds are left out before, so that no user costs more than they.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from tocsin.core.paging.assignments import Assignment
from tocsin.core.paging.channel import Channel, Ways
from tocsin.core.paging.concern import Concern, concern_name
from tocsin.core.paging.feedback import Intent
from tocsin.core.paging.limits import us
from tocsin.core.paging.people import DELAY_S_MAX, METHODS_MAX, RULES_MAX, Method, Person, Rule, Urgency
from tocsin.core.paging.wheel import NOWHERE

CHANNELS_MAX: Final = 200
"""Channels of one user that intents of other regions may name; what is above is made up."""
CONCERNS_MAX: Final = 50_000
"""Incidents of one user, ended ones included; when there are more, those that ended are forgotten."""
FEW: Final = 16
"""So many incidents are looked through one by one; with one of them, a dict would be a quarter of what a user costs."""

_ENCODER: Final = msgspec.msgpack.Encoder()
_URGENCIES: Final[dict[str, str]] = {urgency.value: urgency.value for urgency in Urgency}


class User(msgspec.Struct, eq=False, gc=False):
    """One user of the partition. `packed`: the person, empty when the directory has none."""

    id: str
    packed: bytes = b""
    concerns: list[Concern] = msgspec.field(default_factory=list)
    channels: tuple[Channel, ...] = ()
    slot: int = NOWHERE
    by_name: dict[bytes, Concern] | None = None

    @property
    def person(self) -> Person | None:
        """The person, as the directory has it; None when it has none."""
        return _unpacked(self.id, self.packed) if self.packed else None

    def become(self, person: Person | None) -> bool:
        """The directory has them so now; False: as before."""
        before = self.packed
        self.packed = b"" if person is None else _packed(person)
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
        self.channels = (*self.channels, channel)
        return channel

    # Incidents ---------------------------------------------------------------------------------------------------

    def add(self, concern: Concern) -> None:
        """An incident that was not known, by its name."""
        if self.concerns:
            self.concerns.append(concern)
        else:
            self.concerns = [concern]  # without the spare room of a list that has grown
        if self.by_name is not None:
            self.by_name[concern.name] = concern
        elif len(self.concerns) > FEW:
            self.by_name = {one.name: one for one in self.concerns}

    def find(self, name: bytes) -> Concern | None:
        """The incident of a name."""
        if self.by_name is not None:
            return self.by_name.get(name)
        return next((concern for concern in self.concerns if concern.name == name), None)

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
        concern = self.find(name)
        if concern is None:
            if not self.has_room(0):
                return None
            concern = Concern(name)
            self.add(concern)
        elif concern.version >= assignment.version:
            return None
        elif concern.is_open:
            from_us = concern.from_us
        concern.open(assignment, self.urgency(assignment.urgency), from_us)
        return concern

    def _close(self, name: bytes, version: int, now_us: int) -> None:
        known = self.find(name)
        if known is None:
            self.add(Concern(name, version, now_us))
        elif known.version < version:
            known.close(version, now_us if known.is_open else known.at_us)

    def covered(self, channel: Channel, intent: Intent) -> Iterator[Concern]:
        """The incidents that an intent is about, open or not, as far as they are not let go."""
        pairs = set(intent.pairs)
        person = self.person
        rules = ways(person, channel) if person is not None else ()
        for concern in self.concerns:
            if concern.packed and concern.urgency == channel.urgency:
                for rule, _ in rules:
                    concern.pair(rule)
                if concern.names is not None and not pairs.isdisjoint(concern.names.values()):
                    yield concern

    # Forgetting --------------------------------------------------------------------------------------------------

    def tidy(self) -> None:
        """Let go of the incidents that ended, unless a page of ours may still have to be told of in their logs."""
        if any(channel.covers is not None and channel.covers.unsaid() for channel in self.channels):
            return
        for concern in self.concerns:
            if not concern.is_open:
                concern.let_go()

    @property
    def has_past(self) -> bool:
        """Whether something of them is to be forgotten in time."""
        return any(channel.covers is not None for channel in self.channels) or not all(
            concern.is_open for concern in self.concerns
        )

    def forget(self, before_us: int, more: int = 0) -> None:
        """Let go of what ended before then: incidents, and intents that no open incident needs. When there is no room
        for so many more incidents, of all that ended.
        """
        full = not self.has_room(more)
        self.concerns = [one for one in self.concerns if one.is_open or (one.at_us >= before_us and not full)]
        self.by_name = {one.name: one for one in self.concerns} if len(self.concerns) > FEW else None
        person = self.person
        needed = {
            concern.pair(rule.id)
            for concern in self.concerns
            if concern.is_open and person is not None
            for rule, _ in person.reached_by(concern.urgency)
        }
        for channel in self.channels:
            if channel.covers is not None:
                channel.covers.forget(before_us, needed)
                if not channel.covers.flights:
                    channel.covers = None
        if not any(concern.is_open for concern in self.concerns):
            self.channels = tuple(one for one in self.channels if one.covers is not None)


def _packed(person: Person) -> bytes:
    """A person within the bounds, without the names of the fields."""
    astuple = msgspec.structs.astuple
    methods = [astuple(method) for method in person.methods[:METHODS_MAX]]
    rules = [astuple(rule) for rule in person.rules[:RULES_MAX]]
    return _ENCODER.encode((person.name, person.email, methods, rules))


_PACKED: Final = msgspec.msgpack.Decoder(
    tuple[str, str, list[tuple[str, str, str, bool, bool]], list[tuple[str, str, float, str]]]
)


def _unpacked(id: str, packed: bytes) -> Person:
    name, email, methods, rules = _PACKED.decode(packed)
    return Person(id, name, email, tuple(Method(*method) for method in methods), tuple(Rule(*rule) for rule in rules))


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

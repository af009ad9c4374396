"""Who owns what in a log, as one partition of that log says: a state that every process derives from the same words.

Theory
------
A partition of a log puts what everybody appends into one order, which all read. So it can be the arbiter: each process
is a *member* that appends *words* of what it holds, what it takes and what it wants, and every reader applies the same
words in the same order to the same state (a replicated state machine). Of two members that take a partition number at
once the one whose word stands first has it, and both see so.

- A word is the whole account of its member, so it needs no history: what it does not list, its member has given up.
  A member appends its next word when it has read its last one.
- What is free at the place of a word that takes it, is its member's from there on, under the next epoch. Each word says
  the highest epoch that its member knows, so that no epoch comes twice although old words are removed; a leaving word
  too, which may be all that compaction leaves once everyone has left.
- Nobody can see a death. A member that was silent for a session is *buried*: somebody else appends its leaving word,
  with the number that the member's own next word would have. Whichever of the two stands first counts. A member that
  reads its burial knows that it has lost all, and goes on as a new one.

A reader that begins in the midst of the log, or in what compaction left of it, lacks what was said before. It has the
state of all others once each member has spoken twice and the dead are buried: a listed holding is taken over from the
word, of two members that list one place the higher epoch is right, and who speaks under a number above its burial's
had spoken before that.
"""

import collections
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

GONE_MAX: Final = 1000
"""So many of those that left are remembered, for words of theirs that come late."""


class Place(NamedTuple):
    """A partition number in a group."""

    group: str
    partition: int


class Word(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a member says; `number` rises with each of its words. A new version may add fields, which others skip."""

    member: str
    number: int
    name: str = ""
    """How to find it: process and host."""
    top: int = 0
    """The highest epoch that it knows, or who buries it."""
    holds: tuple[tuple[Place, int], ...] = ()
    """All that it owns, with the epochs."""
    takes: tuple[Place, ...] = ()
    """What it will own if that is free here."""
    wants: tuple[Place, ...] = ()
    """What it owns or would own: shares are made of this."""
    leaves: bool = False

    def encode(self) -> bytes:
        """The word as JSON, which people can read in the topic."""
        return msgspec.json.encode(self)


def decode_word(raw: bytes) -> Word:
    """The word in a record's value; raises `msgspec.DecodeError` when it is none."""
    try:
        return msgspec.json.decode(raw, type=Word)
    except RecursionError as error:
        raise msgspec.DecodeError(str(error)) from error


class Member(NamedTuple):
    """What is known of a member by its last word."""

    number: int
    name: str
    wants: frozenset[Place]


class Holder(NamedTuple):
    """Who has a place, and under which epoch."""

    member: str
    epoch: int


class Roster:
    """The state after some words."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.holders: dict[Place, Holder] = {}
        self.top = 0
        """The highest epoch that was ever given, in any group."""
        self._gone: dict[str, int] = {}
        """The numbers of their leaving words."""
        self._shares: dict[str, dict[int, str]] = {}

    def apply(self, word: Word) -> None:
        """Takes the next word in; one that comes late or twice changes nothing."""
        known = self.members.get(word.member)
        if word.number <= (known.number if known else self._gone.get(word.member, 0)):
            return
        self._shares.clear()
        if word.leaves:
            self.top = max(self.top, word.top)
            self._leave(word)
            return
        self._gone.pop(word.member, None)
        self.members[word.member] = Member(word.number, word.name, frozenset(word.wants))
        listed = dict(word.holds)
        self._hold(word.member, listed)
        self.top = max(self.top, word.top, *listed.values())
        for place in word.takes:
            if place not in self.holders:
                self.top += 1
                self.holders[place] = Holder(word.member, self.top)

    def _leave(self, word: Word) -> None:
        self._hold(word.member, {})
        self.members.pop(word.member, None)
        self._gone[word.member] = word.number
        if len(self._gone) > GONE_MAX:
            del self._gone[next(iter(self._gone))]

    def _hold(self, member: str, listed: Mapping[Place, int]) -> None:
        """Makes the holdings of a member those that it lists."""
        for place in [place for place, holder in self.holders.items() if holder.member == member]:
            if place not in listed:
                del self.holders[place]
        for place, epoch in listed.items():
            there = self.holders.get(place)
            if there is None or there.member == member or there.epoch < epoch:
                self.holders[place] = Holder(member, epoch)

    def is_gone(self, member: str) -> bool:
        """Whether a member left or was buried."""
        return member in self._gone

    def held_by(self, member: str) -> dict[Place, int]:
        """What a member holds, with the epochs."""
        return {place: holder.epoch for place, holder in self.holders.items() if holder.member == member}

    def name_of(self, member: str) -> str:
        """How people find a member."""
        known = self.members.get(member)
        return known.name if known else f"member {member}"

    def shares(self, group: str) -> Mapping[int, str]:
        """Partition number to the member that should have it: everyone as many as the others, with few moves.

        What is free goes to the member with the fewest, among those that want it. While one has two more than another
        that wants one of them, that one moves. All members find the same, and a state in which each holds its share
        is its own result.
        """
        if group not in self._shares:
            self._shares[group] = self._share(group)
        return self._shares[group]

    def _share(self, group: str) -> dict[int, str]:
        shares = {place.partition: holder.member for place, holder in self.holders.items() if place.group == group}
        wanted = {
            member: {place.partition for place in known.wants if place.group == group}
            for member, known in self.members.items()
        }
        counts = collections.Counter(shares.values())

        def poorest(members: Iterable[str]) -> str:
            return min(members, key=lambda member: (counts[member], member))

        for number in sorted(set().union(*wanted.values()) - set(shares)):
            shares[number] = poorest(member for member, numbers in wanted.items() if number in numbers)
            counts[shares[number]] += 1
        while move := _next_move(shares, wanted, counts):
            number, poor = move
            counts[shares[number]] -= 1
            counts[poor] += 1
            shares[number] = poor
        return shares


def _next_move(
    shares: Mapping[int, str], wanted: Mapping[str, set[int]], counts: Mapping[str, int]
) -> tuple[int, str] | None:
    """(a partition number, who should have it instead), None when no move makes the shares more equal."""
    for poor in sorted(wanted, key=lambda member: (counts[member], member)):
        rich = [number for number in wanted[poor] if counts[shares[number]] - counts[poor] > 1]
        if rich:
            return max(rich, key=lambda number: (counts[shares[number]], shares[number], number)), poor
    return None


class _Heard(NamedTuple):
    number: int
    at_s: float
    spoke: bool


class Vigil:
    """Who is silent: by the watcher's own clock, and only while the watcher hears.

    A time in which the watcher itself read nothing (the log was away, the process stopped) says nothing of anyone:
    after it every member has a whole session again.
    """

    def __init__(self, session_s: float) -> None:
        self._session_s = session_s
        self._heard: dict[str, _Heard] = {}
        self._looked_s = float("-inf")

    def look(self, members: Mapping[str, Member], now_s: float) -> None:
        """To be called each time the words were read to their end, at least three times a session."""
        if now_s - self._looked_s > self._session_s / 2:
            self._heard = {member: _Heard(known.number, now_s, spoke=False) for member, known in members.items()}
        self._looked_s = now_s
        heard = {}
        for member, known in members.items():
            before = self._heard.get(member)
            if before is not None and before.number == known.number:
                heard[member] = before
            else:
                heard[member] = _Heard(known.number, now_s, spoke=True)
        self._heard = heard

    def silent(self) -> list[str]:
        """Those of whom nothing was read for a session, at the last look."""
        return [member for member, heard in self._heard.items() if self._looked_s - heard.at_s > self._session_s]

    def lives(self, member: str) -> bool:
        """Whether something of this member was read since we began to listen, and it is not silent."""
        heard = self._heard.get(member)
        return heard is not None and heard.spoke and self._looked_s - heard.at_s <= self._session_s

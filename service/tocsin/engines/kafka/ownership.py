"""Claims on a log without locks: every process that claims is a member of one roster, which the log itself keeps.

    claim, release --> what we want, hold, take --> next word --> topic `owners` --> roster --> holds, asked_back

Two tasks run once something was claimed. One reads the topic and applies each word (`roster.py` has the theory); the
other says our words: at once when there is news, else three times a session. A word that was read back proves that we
were a member when it was said, so our *lease* runs for most of a session from there. Others bury us when they have read
nothing of us for a whole one, which is later. So a process that was stopped, or cut off, knows by its own clock and
without asking that its claims are no longer in force, before anyone else may have them. It goes on as a new member.

The fence is the epoch, as on every log: what a former owner still has in flight does no harm.
"""

import asyncio
import contextlib
import itertools
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from tocsin.core.requests import Record
from tocsin.engines.errors import EngineError, OutOfRange, Owned, Unavailable
from tocsin.engines.kafka.roster import Place, Roster, Vigil, Word, decode_word
from tocsin.engines.log import Claim, Fetched, Topic

OWNERS: Final = "owners"
SESSION_S: Final = 10.0
"""Who is silent for so long has lost its claims. An event loop that is blocked for half of it does no harm."""
LEASE: Final = 0.9
"""The part of a session for which a word is good by our own clock: so much may the clocks of two machines differ."""
WANT_S: Final = 5.0
"""Who would own a partition number asks for it at least this often (creators do once a second)."""
WORDS_MAX: Final = 10_000
"""How far back a new reader begins: many times what all members say in a session."""
READ_BYTES: Final = 1024 * 1024
PAUSE_S: Final = 0.2
"""Between tries while the log is away."""
LEAVE_S_MAX: Final = 2.0
_log = logging.getLogger(__name__)


class WordLog(Protocol):
    """What is needed of the log; see `tocsin.engines.log.Log`."""

    # ruff: noqa: D102 - what each call means, the port says

    async def ensure_topic(
        self, name: str, partitions: int, *, compacted: bool = False, retention_s: float | None = None
    ) -> Topic: ...

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> int: ...

    async def fetch(
        self, topic: str, partition: int, offset: int, *, records_max: int, bytes_max: int, wait_s: float
    ) -> Fetched: ...

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]: ...


class _Self:
    """Us as a member: from the first word to the loss of all claims."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex[:12]
        self.numbers = itertools.count(1)
        self.claims: dict[Place, Claim] = {}
        self.wants: frozenset[Place] = frozenset()
        """What our last word said that we want."""
        self.lease_end_s = float("inf")
        """By the monotonic clock; without end before the first word, when there is nothing to lose."""


class Ownership:
    """The claims of one instance of a log."""

    def __init__(
        self, log: WordLog, *, session_s: float = SESSION_S, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._session_s = session_s
        self._now_s = monotonic
        self._name = f"process {os.getpid()} on {socket.gethostname()}"
        self._me = _Self()
        self._former: list[str] = []
        self._asked_s: dict[Place, float] = {}
        self._taking: set[Place] = set()
        self._roster = Roster()
        self._vigil = Vigil(session_s)
        self._read_to = 0
        self._known_s = float("-inf")
        """All that the log had at this time was read."""
        self._reading_on = asyncio.Lock()
        self._has_read = asyncio.Condition()
        self._caught_up = asyncio.Event()
        self._news = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._beginning = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    # The port ----------------------------------------------------------------------------------------------------

    async def claim(self, group: str, partition: int) -> Claim:
        """Makes this process the owner of a partition number; raises `Owned`, naming the owner, while another is.

        Of an owner that was not heard of yet it waits for a word, one session at most: it may be dead.
        """
        place = Place(group, partition)
        self._check_lease()
        if place in self._me.claims or place in self._taking:
            raise Owned(f"{_named(place)} is owned by {self._name}, which is this one")
        self._asked_s[place] = self._now_s()
        try:
            async with asyncio.timeout(2 * self._session_s):
                await self._begin()
                if place not in self._me.wants:
                    await self._speak()
                await self._read_on()
                await self._until_holder_is_heard(place)
                self._refuse_others(place)
                return await self._take(place)
        except TimeoutError as error:
            message = f"{_named(place)} cannot be claimed: words in topic {OWNERS} do not come through"
            raise Unavailable(message) from error

    def holds(self, claim: Claim) -> bool:
        """Whether a claim of ours is in force; see `Log.holds`."""
        me = self._me
        return me.claims.get(Place(claim.group, claim.partition)) == claim and self._now_s() <= me.lease_end_s

    def asked_back(self, claim: Claim) -> bool:
        """Whether another live process should have this claim, so that all have as many as the others."""
        share = self._roster.shares(claim.group).get(claim.partition, self._me.id)
        return self.holds(claim) and share != self._me.id

    async def release(self, claim: Claim) -> None:
        """Ends an ownership; once this returns, others may have it. One that has ended is no error."""
        place = Place(claim.group, claim.partition)
        if self._me.claims.get(place) != claim:
            return
        del self._me.claims[place]
        self._asked_s.pop(place, None)
        try:
            async with asyncio.timeout(self._session_s):
                await self._speak()
        except TimeoutError as error:
            raise Unavailable(f"{_named(place)} was not released: topic {OWNERS} takes no word in time") from error

    async def close(self) -> None:
        """Ends all claims at once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._me.claims.clear()  # before others can read that we leave
        if self._tasks and self._me.id in self._roster.members:
            leaving = Word(self._me.id, next(self._me.numbers), top=self._roster.top, leaves=True)
            with contextlib.suppress(EngineError, TimeoutError):  # then it is the silence that tells
                async with asyncio.timeout(LEAVE_S_MAX):
                    await self._append([leaving])
        self._tasks.clear()

    # Claiming ----------------------------------------------------------------------------------------------------

    async def _read_on(self) -> None:
        """Returns when all that the log had at the call was read; who asks at the same time shares the question."""
        asked_s = self._now_s()
        async with self._reading_on:
            if self._known_s < asked_s:
                looked_s = self._now_s()
                _, end = await self._log.bounds(OWNERS, 0)
                async with self._has_read:
                    await self._has_read.wait_for(lambda: self._read_to >= end)
                self._known_s = looked_s

    async def _until_holder_is_heard(self, place: Place) -> None:
        def is_known() -> bool:
            holder = self._roster.holders.get(place)
            return holder is None or holder.member == self._me.id or self._vigil.lives(holder.member)

        async with self._has_read:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._session_s / 10):  # who lives answers our first word at once
                    await self._has_read.wait_for(is_known)
            if not is_known():
                name = self._roster.name_of(self._roster.holders[place].member)
                text = "%s was owned by %s, of which nothing is heard: waiting for a word, %.0f s at most"
                _log.info(text, _named(place), name, self._session_s, extra={"action": "owner_silent"})
            await self._has_read.wait_for(is_known)

    def _refuse_others(self, place: Place) -> None:
        holder = self._roster.holders.get(place)
        if holder is not None and holder.member != self._me.id:
            raise Owned(
                f"{_named(place)} is owned by {self._roster.name_of(holder.member)}: it is free when that process "
                f"releases it or is silent for {self._session_s:g} s"
            )
        share = self._roster.shares(place.group).get(place.partition, self._me.id)
        if share != self._me.id:
            raise Owned(
                f"{_named(place)} is free, and left to {self._roster.name_of(share)}, which has fewer than this process"
            )

    async def _take(self, place: Place) -> Claim:
        self._taking.add(place)
        try:
            await self._speak()
        finally:
            self._taking.discard(place)
        holder = self._roster.holders.get(place)
        if holder is None or holder.member != self._me.id:
            raise Owned(f"{_named(place)} was just claimed by another process")
        claim = self._me.claims[place] = Claim(*place, holder.epoch)
        return claim

    async def _begin(self) -> None:
        """Makes the topic and starts reading and speaking, once."""
        async with self._beginning:
            if not self._tasks:
                await self._log.ensure_topic(OWNERS, 1, compacted=True)
                start, end = await self._log.bounds(OWNERS, 0)
                self._read_to = max(start, end - WORDS_MAX)
                self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._say())]
            for task in self._tasks:
                if task.done():
                    task.result()  # a fault of our own: raised to who would build on it

    async def _speak(self) -> None:
        """Returns when a word that is made after this call was read back; raises `EngineError` when none comes."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._news.set()
        await done

    # Saying ------------------------------------------------------------------------------------------------------

    async def _say(self) -> None:
        """Says our words, for ever."""
        await self._caught_up.wait()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._session_s / 3):
                    await self._news.wait()
            self._news.clear()
            waiting, self._waiting = self._waiting, []
            try:
                async with asyncio.timeout(self._session_s):
                    await self._say_next()
            except (EngineError, TimeoutError) as error:
                _log.warning("our claims cannot be renewed: %s", error, extra={"action": "claims_not_renewed"})
                self._answer(waiting, Unavailable(f"topic {OWNERS} takes no word: {error}"))
                await asyncio.sleep(min(PAUSE_S, self._session_s / 10))
                self._news.set()
            else:
                self._answer(waiting, None)

    @staticmethod
    def _answer(waiting: Sequence[asyncio.Future[None]], error: EngineError | None) -> None:
        for done in waiting:
            if not done.done():
                done.set_exception(error) if error else done.set_result(None)

    async def _say_next(self) -> None:
        """Says one word, with the burials that are due before it, and reads it back."""
        self._check_lease()
        me, said_s = self._me, self._now_s()
        word = self._next_word(me, said_s)
        words = [*self._burials(), word]
        offset = await self._append(words) + len(words) - 1
        async with self._has_read:
            await self._has_read.wait_for(lambda: self._read_to > offset)
        if self._me is me:
            self._check_lease()
        if self._me is me:
            me.lease_end_s = said_s + LEASE * self._session_s
            me.wants = frozenset(word.wants)

    def _next_word(self, me: _Self, now_s: float) -> Word:
        ours = {*me.claims, *self._taking}
        held = {place: epoch for place, epoch in self._roster.held_by(me.id).items() if place in ours}
        self._asked_s = {place: at_s for place, at_s in self._asked_s.items() if now_s - at_s <= WANT_S}
        return Word(
            member=me.id,
            number=next(me.numbers),
            name=self._name,
            top=self._roster.top,
            holds=tuple(sorted(held.items())),
            takes=tuple(sorted(self._taking - held.keys())),
            wants=tuple(sorted({*ours, *self._asked_s})),
        )

    def _burials(self) -> list[Word]:
        """The leaving words of those that are silent, and of who we were."""
        members, top = self._roster.members, self._roster.top
        dead = {*self._vigil.silent(), *self._former} - {self._me.id}
        self._former = [member for member in self._former if member in members]
        buried = sorted(dead & members.keys())
        return [Word(member, members[member].number + 1, top=top, leaves=True) for member in buried]

    async def _append(self, words: Sequence[Word]) -> int:
        return await self._log.append(OWNERS, 0, [Record(word.member.encode(), word.encode()) for word in words])

    # Reading -----------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Applies the words, for ever."""
        failing = False
        while True:
            wait_s = self._session_s / 10 if self._caught_up.is_set() else 0.0
            try:
                fetched = await self._log.fetch(
                    OWNERS, 0, self._read_to, records_max=1000, bytes_max=READ_BYTES, wait_s=wait_s
                )
            except OutOfRange:
                _log.error("topic %s was made anew: all claims end", OWNERS, extra={"action": "owners_made_anew"})
                self._roster, self._read_to = Roster(), 0
                self._begin_anew()
                continue
            except EngineError as error:
                if not failing:
                    _log.warning("topic %s cannot be read: %s", OWNERS, error, extra={"action": "owners_unread"})
                failing = True
                await asyncio.sleep(min(PAUSE_S, self._session_s / 10))
                continue
            failing = False
            for delivered in fetched.records:
                self._apply(delivered.record.value)
            self._read_to = fetched.next_offset
            if self._read_to >= fetched.log_end:
                self._caught_up.set()
                self._vigil.look(self._roster.members, self._now_s())
                if self._vigil.silent():
                    self._news.set()
            self._settle()
            async with self._has_read:
                self._has_read.notify_all()

    def _apply(self, raw: bytes) -> None:
        try:
            word = decode_word(raw)
        except msgspec.DecodeError as error:
            _log.warning("a record of topic %s is no word: %s", OWNERS, error, extra={"action": "word_unreadable"})
            return
        self._roster.apply(word)
        if self._caught_up.is_set() and word.number == 1 and word.member != self._me.id:
            self._news.set()  # a new member waits to hear who lives

    def _settle(self) -> None:
        """Ends claims that are no longer ours by the roster."""
        if self._roster.is_gone(self._me.id):
            self._begin_anew()
        for place, claim in list(self._me.claims.items()):
            holder = self._roster.holders.get(place)
            if holder is None or holder.member != self._me.id or holder.epoch != claim.epoch:
                del self._me.claims[place]

    def _check_lease(self) -> None:
        """A lease that has ended is over also where a word comes through now: someone was told that it is."""
        if self._now_s() > self._me.lease_end_s:
            self._begin_anew()

    def _begin_anew(self) -> None:
        """All claims end; we go on as another member."""
        if self._me.claims:
            text = "nothing of us was heard for %.0f s: claims that end: %s"
            named = ", ".join(map(_named, sorted(self._me.claims)))
            _log.warning(text, self._session_s, named, extra={"action": "session_lost"})
        self._former.append(self._me.id)
        self._me = _Self()
        self._news.set()


def _named(place: Place) -> str:
    return f"partition {place.partition} of group {place.group}"

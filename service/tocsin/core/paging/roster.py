"""The roster: the users of one partition, as assignments, the directory and kept rows tell of them.

It takes in what is read and has the channels woken when a first rule is due. Of what repeats nothing changes, so
topics may be read from earlier than needed.
"""

from collections.abc import Iterable, Iterator, Sequence

from tocsin.core.paging.agenda import Agenda
from tocsin.core.paging.assignments import Assignment
from tocsin.core.paging.channel import Channel
from tocsin.core.paging.concern import Concern
from tocsin.core.paging.effects import Alarm, UserRow
from tocsin.core.paging.feedback import ChannelKey
from tocsin.core.paging.keeping import Keeping
from tocsin.core.paging.limits import PagingLimits, us
from tocsin.core.paging.people import Person
from tocsin.core.paging.state import decode_user
from tocsin.core.paging.user import User, delay_us
from tocsin.core.paging.wheel import NOWHERE, Wheel


class Roster:
    """The users of a partition, and when each is to be tidied of what ended long ago."""

    __slots__ = ("_agenda", "_held_up_us", "_keeping", "_limits", "_sweeps", "users")

    def __init__(self, agenda: Agenda, keeping: Keeping, limits: PagingLimits, *, alone: bool) -> None:
        """Without users. `alone`: there is no other region whose intents could be on their way."""
        self._agenda = agenda
        self._keeping = keeping
        self._limits = limits
        self._sweeps: Wheel[User] = Wheel()
        self._held_up_us = 0 if alone else us(limits.silence_s)
        self.users: dict[str, User] = {}

    def __getitem__(self, id: str) -> User:
        """The user, who is new if need be, to be changed."""
        user = self.users.get(id)
        if user is None:
            user = self.users[id] = User(id)
        self._keeping.changed(id)
        return user

    def channel(self, key: ChannelKey) -> Channel | None:
        """The channel of an intent that is held."""
        user = self.users.get(key.user)
        return user.channel(key.method, key.urgency) if user is not None else None

    def restore(self, row: UserRow, now_us: int) -> User | None:
        """Take a kept user in; None: the row is damaged, the user starts from nothing."""
        user = decode_user(row)
        if user is not None:
            self.users[row.user] = user
            self._arm(user, user.concerns, now_us)
            if user.has_past:
                self.plan_sweep(user, now_us)
        return user

    def assigned(self, assignments: Sequence[Assignment], now_us: int) -> Iterator[Alarm]:
        """Assignments were read."""
        by_user: dict[str, list[Assignment]] = {}
        for assignment in assignments:
            by_user.setdefault(assignment.user, []).append(assignment)
        for id, theirs in by_user.items():
            user = self[id]
            if not user.has_room(len(theirs)):
                user.forget(now_us - us(self._limits.remember_s), len(theirs))
            opened = []
            for assignment in theirs:
                concern = user.assign(assignment, self._from_us(assignment, now_us), now_us)
                if concern is not None:
                    opened.append(concern)
            self._arm(user, opened, now_us)
            if len(opened) < len(theirs):
                user.tidy()
                self.plan_sweep(user, now_us)
            if not user.has_room(0):
                yield _full(user)

    def _from_us(self, assignment: Assignment, now_us: int) -> int:
        """Before this an incident is not paged for. One that comes late was held up, and so may be the other region's
        intent for it: that has the silence limit to be read.
        """
        is_late = now_us - assignment.since_us > us(self._limits.backstop_s)
        return now_us + self._held_up_us if is_late and self._held_up_us else 0

    def person_is(self, id: str, person: Person | None, now_us: int) -> None:
        """The directory has the user so now."""
        user = self.users.get(id)
        if user is None and person is None:
            return
        user = user or self[id]
        if not user.become(person):
            return
        self._keeping.changed(id)
        self._arm(user, user.concerns, now_us)
        for channel in user.channels:
            self._agenda.look_at(channel)

    def _arm(self, user: User, concerns: Iterable[Concern], now_us: int) -> None:
        """Have the channels of these incidents woken when the first rule is due."""
        person = user.person
        if person is None:
            return
        for concern in concerns:
            if not concern.is_open:
                continue
            for rule, method in person.reached_by(concern.urgency):
                channel = user.channel(method.id, concern.urgency)
                if channel is not None:
                    self._agenda.by(channel, concern.due_us(delay_us(rule.delay_s)), now_us)

    def plan_sweep(self, user: User, now_us: int) -> None:
        """Have the user tidied when what ends now is to be forgotten."""
        if user.slot == NOWHERE:
            self._sweeps.put(user, now_us + us(self._limits.remember_s), now_us)

    def sweep(self, now_us: int) -> None:
        """Forget what ended long ago, and users of whom nothing is left."""
        for user in self._sweeps.expire(now_us):
            user.forget(now_us - us(self._limits.remember_s))
            self._keeping.changed(user.id)
            if user.has_past:
                self.plan_sweep(user, now_us)
            elif not (user.packed or user.concerns):
                del self.users[user.id]


def _full(user: User) -> Alarm:
    return Alarm(
        "user_full",
        user.id,
        f"{user.id} has {len(user.concerns)} incidents: further ones page them no more, until some end. Look at what "
        "opens them, and at the services that name this user as responder.",
    )

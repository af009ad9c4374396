"""The users of a partition: who wakes when, what is kept, who is full, and who is forgotten."""

import pytest

from tests.unit.core.paging.words import assigned, person, us
from tocsin.core.paging.agenda import Agenda
from tocsin.core.paging.channel import Channel
from tocsin.core.paging.covers import Flight
from tocsin.core.paging.effects import Alarm, UserRow
from tocsin.core.paging.feedback import ChannelKey, Intent, IntentId
from tocsin.core.paging.keeping import IDLE_KEEPS, Keeping
from tocsin.core.paging.limits import PagingLimits
from tocsin.core.paging.roster import Roster
from tocsin.core.paging.state import encode_user
from tocsin.core.paging.user import User

LIMITS = PagingLimits(remember_s=1_000, backstop_s=10, silence_s=5, keep_every_s=2, keep_users_max=2)
ANN = person("ann", ("phone", 0), ("mail", 15), methods=("phone", "mail"))


class Home:
    """A roster, and what it tells."""

    def __init__(self, *, alone: bool = False) -> None:
        self.agenda = Agenda()
        self.keeping = Keeping(LIMITS)
        self.roster = Roster(self.agenda, self.keeping, LIMITS, alone=alone)

    def assign(
        self, n: int, since_s: float, at_s: float, *, version: int = 1, status: str = "triggered"
    ) -> list[Alarm]:
        return list(self.roster.assigned([assigned(n, since_s, version=version, status=status)], us(at_s)))

    def woken(self, at_s: float) -> list[str]:
        return [channel.method for channel in self.agenda.take(us(at_s), 99)]

    def sweep(self, at_s: float) -> None:
        """What is far off wakes early, and waits anew."""
        self.roster.sweep(us(at_s))

    def changed(self) -> list[str]:
        """Who is to be kept."""
        keep = self.keeping.keep(0.0, self.roster.users, at_once=True)
        if keep is None:
            return []
        self.keeping.kept(keep.number, 0.0, ok=True)
        return [row.user for row in keep.rows]


@pytest.fixture
def home() -> Home:
    made = Home()
    made.roster.person_is("ann", ANN, us(0))
    made.woken(0)
    made.changed()
    return made


# When a channel is woken --------------------------------------------------------------------------------------------


def test_each_channel_is_woken_when_its_first_rule_is_due(home: Home) -> None:
    home.assign(1, 0, 0)
    assert (home.woken(0), home.woken(14.9), home.woken(15)) == (["phone"], [], ["mail"])


def test_what_ended_or_repeats_wakes_nobody(home: Home) -> None:
    home.assign(1, 0, 0, status="resolved")
    home.assign(2, 0, 0)
    home.woken(100)
    home.assign(2, 0, 100)
    home.roster.person_is("ann", ANN, us(100))
    assert (home.woken(1_000), home.agenda.timers) == ([], 0)


def test_a_person_who_changes_has_the_incidents_that_are_open_looked_at_by_all_their_channels(home: Home) -> None:
    home.assign(1, 0, 0)
    home.assign(2, 0, 0, status="resolved")
    home.woken(100)
    home.roster.person_is("ann", person("ann", ("pager", 150), methods=("pager",)), us(100))
    assert sorted(home.woken(100)) == ["mail", "pager", "phone"]
    home.agenda.at(next(one for one in home.roster.users["ann"].channels if one.method == "mail"), None, us(100))
    assert home.changed() == ["ann"]


def test_nobody_becomes_a_user_by_being_deleted_and_a_known_one_stays_while_there_is_something_open(home: Home) -> None:
    home.roster.person_is("nobody", None, us(0))
    assert (list(home.roster.users), home.changed()) == (["ann"], [])
    home.assign(1, 0, 0)
    home.roster.person_is("ann", None, us(0))
    assert (home.roster.users["ann"].person, home.changed()) == (None, ["ann"])


def test_an_incident_of_somebody_unknown_waits_until_they_are_known() -> None:
    home = Home()
    home.assign(1, 0, 0)
    assert (home.woken(0), home.changed()) == ([], ["ann"])
    home.roster.person_is("ann", person("ann", ("phone", 0)), us(1))
    assert home.woken(1) == ["phone"]


@pytest.mark.parametrize(
    ("alone", "at_s", "from_s"), [(False, 10, None), (False, 10.000001, 15.000001), (True, 20, None)]
)
def test_what_comes_late_is_held_up_so_that_what_the_other_region_said_of_it_can_be_read(
    *, alone: bool, at_s: float, from_s: float | None
) -> None:
    home = Home(alone=alone)
    home.assign(1, 0, at_s)
    [concern] = home.roster.users["ann"].concerns
    assert concern.from_us == (0 if from_s is None else us(from_s))


def test_several_assignments_at_once_go_to_their_users_in_order() -> None:
    home = Home()
    home.roster.person_is("ann", ANN, us(0))
    both = [assigned(1, 0), assigned(1, 0, user="bob"), assigned(1, 0, version=2, status="resolved"), assigned(2, 30)]
    assert list(home.roster.assigned(both, us(0))) == []
    assert [(id, [one.is_open for one in user.concerns]) for id, user in home.roster.users.items()] == [
        ("ann", [False, True]),
        ("bob", [True]),
    ]
    assert not home.roster.users["ann"].concerns[0].packed  # what ended is let go


# Restoring ----------------------------------------------------------------------------------------------------------


def test_a_kept_user_is_woken_and_swept_as_if_they_had_stayed(home: Home) -> None:
    home.assign(1, 5, 0)
    home.assign(2, 0, 0, status="resolved")
    row = UserRow("ann", encode_user(home.roster.users["ann"]))
    again = Home()
    user = again.roster.restore(row, us(2))
    assert user is again.roster.users["ann"]
    assert (again.woken(4), again.woken(5), again.changed()) == ([], ["phone"], [])
    again.sweep(1_010)
    assert [one.is_open for one in user.concerns] == [True]
    assert again.changed() == ["ann"]


def test_a_damaged_row_is_nobody() -> None:
    home = Home()
    assert home.roster.restore(UserRow("ann", b"damaged"), us(0)) is None
    assert home.roster.users == {}


def test_a_user_is_made_when_they_are_to_be_changed_and_a_channel_when_it_is_known(home: Home) -> None:
    assert home.roster.channel(ChannelKey("bob", "phone", "high")) is None
    channel = home.roster.channel(ChannelKey("ann", "phone", "high"))
    assert isinstance(channel, Channel)
    assert home.roster.channel(ChannelKey("ann", "phone", "high")) is channel
    bob = home.roster["bob"]
    assert (home.roster["bob"] is bob, bob.id, home.changed()) == (True, "bob", ["bob"])


# Too many -----------------------------------------------------------------------------------------------------------


def test_a_user_who_is_full_is_told_of_in_words_to_act_on(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin.core.paging.user.CONCERNS_MAX", 3)
    assert home.assign(1, 0, 0, status="resolved") == home.assign(2, 0, 0) == []
    assert home.assign(3, 0, 0) == []  # what ended made room
    [alarm] = home.assign(4, 0, 0)
    assert alarm == Alarm(
        "user_full",
        "ann",
        "ann has 3 incidents: further ones page them no more, until some end. Look at what opens them, and at the "
        "services that name this user as responder.",
    )


# Forgetting ---------------------------------------------------------------------------------------------------------


def test_what_ended_is_forgotten_in_time_and_then_who_is_left_with_nothing(home: Home) -> None:
    home.assign(1, 0, 0)
    home.assign(1, 0, 500, version=2, status="resolved")
    home.changed()
    home.sweep(1_499)
    assert len(home.roster.users["ann"].concerns) == 1
    home.sweep(1_501)
    home.sweep(3_000)
    assert home.roster.users["ann"].concerns == []
    assert "ann" in home.changed()
    home.roster.person_is("ann", None, us(3_000))
    home.assign(2, 3_000, 3_000, status="resolved")
    for at_s in (3_990, 4_001, 5_100):
        home.sweep(at_s)
    assert home.roster.users == {}


def test_a_user_with_an_open_incident_stays_though_the_directory_forgot_them() -> None:
    home = Home()
    home.assign(1, 0, 0)
    home.assign(2, 0, 0, status="resolved")
    for at_s in (990, 1_010, 2_100):
        home.sweep(at_s)
    assert [one.is_open for one in home.roster.users["ann"].concerns] == [True]


def test_a_sweep_is_planned_once_and_again_while_there_is_a_past(home: Home) -> None:
    ann = home.roster.users["ann"]
    home.assign(1, 0, 0, status="resolved")
    planned = ann.slot
    home.assign(2, 0, 400, status="resolved")
    assert ann.slot == planned
    home.sweep(1_000.5)
    assert [one.at_us for one in ann.concerns] == [us(400)]
    assert ann.slot > planned


# Keeping ------------------------------------------------------------------------------------------------------------


class Shelf:
    """What is kept, step by step."""

    def __init__(self) -> None:
        self.keeping = Keeping(LIMITS)
        self.users = {name: User(name, packed=b"known") for name in ("ann", "bob", "cleo")}

    def kept(self, at_s: float, *, at_once: bool = False, ok: bool = True) -> tuple[list[str], bool] | None:
        keep = self.keeping.keep(at_s, self.users, at_once=at_once)
        if keep is None:
            return None
        self.keeping.kept(keep.number, at_s, ok=ok)
        return [row.user for row in keep.rows], keep.more


def test_positions_alone_are_kept_at_first_and_then_now_and_then() -> None:
    shelf = Shelf()
    idle_s = LIMITS.keep_every_s * IDLE_KEEPS
    assert [shelf.kept(at_s) for at_s in (0, idle_s - 0.1, idle_s, 2 * idle_s - 0.1)] == [
        ([], False),
        None,
        ([], False),
        None,
    ]


def test_who_changed_is_kept_after_the_interval_or_at_once_when_it_is_asked_for() -> None:
    shelf = Shelf()
    shelf.kept(0)
    shelf.keeping.changed("ann")
    assert len(shelf.keeping) == 1
    assert [shelf.kept(1.9), shelf.kept(2)] == [None, (["ann"], False)]
    shelf.keeping.changed("bob")
    shelf.keeping.changed("bob")
    assert shelf.kept(2.1, at_once=True) == (["bob"], False)
    assert len(shelf.keeping) == 0


def test_what_is_above_the_bound_follows_at_once_and_who_is_no_more_is_kept_as_nothing() -> None:
    shelf = Shelf()
    for name in ("ann", "bob", "gone"):
        shelf.keeping.changed(name)
    assert shelf.kept(0) == (["ann", "bob"], True)
    keep = shelf.keeping.keep(0, shelf.users, at_once=False)
    assert keep is not None
    assert (keep.number, keep.rows, keep.more) == (2, [UserRow("gone", b"")], False)
    shelf.keeping.changed("ann")
    assert len(shelf.keeping) == 2
    assert shelf.keeping.keep(99, shelf.users, at_once=True) is None  # one is under way


def test_what_could_not_be_kept_is_kept_again_with_what_changed_since_but_not_at_once() -> None:
    shelf = Shelf()
    shelf.keeping.changed("bob")
    keep = shelf.keeping.keep(0, shelf.users, at_once=False)
    assert keep is not None
    shelf.keeping.changed("ann")
    shelf.keeping.kept(keep.number + 1, 1, ok=True)  # of no keep of ours
    shelf.keeping.kept(keep.number, 1, ok=False)
    shelf.keeping.kept(keep.number, 9, ok=True)  # it ended already
    assert len(shelf.keeping) == 2
    assert [shelf.kept(2.9, at_once=True), shelf.kept(3)] == [None, (["bob", "ann"], False)]
    shelf.keeping.changed("cleo")
    assert shelf.kept(3.1, at_once=True) == (["cleo"], False)


def test_a_user_with_an_intent_has_a_past_that_is_swept(home: Home) -> None:
    home.assign(1, 0, 0)
    ann = home.roster.users["ann"]
    intent = Intent(IntentId("a", 1, 1), ChannelKey("ann", "phone", "high"), b"12345678", us(0), us(0), 0, "due")
    channel = ann.channel("phone", "high")
    assert channel is not None
    channel.covering().add(Flight(intent, us(120), own=True))
    again = Home()
    assert again.roster.restore(UserRow("ann", encode_user(ann)), us(0)) is not None
    for at_s in (990, 1_010, 2_100):
        again.sweep(at_s)
    assert all(one.covers is None for one in again.roster.users["ann"].channels)

"""A user and their incidents: what is held of each, found again, let go of and forgotten; and the kept row of it."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.paging.words import assigned, key, person, us
from tocsin.core.paging import state
from tocsin.core.paging.assignments import Assignment, pair_of
from tocsin.core.paging.channel import Channel
from tocsin.core.paging.concern import Concern, concern_name
from tocsin.core.paging.covers import Flight
from tocsin.core.paging.effects import UserRow
from tocsin.core.paging.feedback import ChannelKey, End, Intent, IntentId, Outcome
from tocsin.core.paging.people import METHODS_MAX, RULES_MAX, Method, Person, Rule
from tocsin.core.paging.state import decode_user, encode_user
from tocsin.core.paging.user import CHANNELS_MAX, CONCERNS_MAX, FEW, User, delay_us, ways

NOW_US = us(100)


def take(user: User, *assignments: Assignment, from_us: int = 0) -> list[Concern | None]:
    return [user.assign(one, from_us, NOW_US) for one in assignments]


def found(user: User, n: int, parent: str = "") -> Concern:
    incident = key(n, parent)
    concern = user.find(concern_name(incident.parent, incident.id))
    assert concern is not None
    return concern


def channel_of(user: User, method: str = "phone", urgency: str = "high") -> Channel:
    channel = user.channel(method, urgency)
    assert channel is not None
    return channel


def told(user: User, *pairs: bytes, at_s: float = 0.0, own: bool = True) -> Flight:
    """An intent of ours, under way."""
    intent = Intent(IntentId("a", 1, 1), ChannelKey("ann", "phone", "high"), b"".join(pairs), us(0), us(at_s), 0, "due")
    flight = Flight(intent, us(at_s + 120), own=own)
    channel_of(user).covering().add(flight)
    return flight


# An incident --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trace", [msgspec.UNSET, "00-trace-span-01"], ids=["followed by none", "followed by a trace"])
@pytest.mark.parametrize("service", ["web", "another"])
def test_an_open_incident_is_unpacked_as_it_was_assigned(service: str, trace: str | msgspec.UnsetType) -> None:
    user = User("ann")
    assignment = msgspec.structs.replace(assigned(7, 5, version=3), service=service, trace=trace)
    [concern] = take(user, assignment, from_us=us(9))
    assert concern is not None
    assert concern.assignment("ann") == assignment
    assert (concern.at_us, concern.urgency, concern.is_open, concern.version) == (us(5), "high", True, 3)
    assert (concern.due_us(3_000_000), concern.due_us(5_000_000)) == (us(9), us(10))
    assert concern.pair("r") == pair_of(assignment.incident, "r")
    assert concern.pair("r") is concern.pair("r")  # worked out once


def test_only_a_higher_version_changes_an_incident_and_says_what_there_is_to_arm() -> None:
    user = User("ann")
    opened, again, older, later = take(
        user, assigned(1, 5, version=2), assigned(1, 6, version=2), assigned(1, 6, version=1), assigned(1, 7, version=3)
    )
    assert opened is later is found(user, 1)
    assert (again, older, found(user, 1).at_us) == (None, None, us(7))
    assert take(user, assigned(1, 0, status="resolved", version=3)) == [None]
    assert found(user, 1).is_open
    assert take(user, assigned(1, 0, status="acknowledged", version=4)) == [None]
    assert (found(user, 1).is_open, found(user, 1).version, found(user, 1).at_us) == (False, 4, NOW_US)
    found(user, 1).at_us = us(50)
    take(user, assigned(1, 0, status="resolved", version=5))
    assert (found(user, 1).version, found(user, 1).at_us) == (5, us(50))  # it ended then, whatever was said since


def test_what_is_held_up_stays_so_while_it_is_open_and_what_opens_again_is_held_up_anew() -> None:
    user = User("ann")
    take(user, assigned(1, 0, version=1), from_us=us(20))
    take(user, assigned(1, 0, version=2), from_us=us(30))
    assert found(user, 1).from_us == us(20)
    take(user, assigned(1, 0, version=3, status="resolved"))
    take(user, assigned(1, 0, version=4), from_us=us(40))
    assert found(user, 1).from_us == us(40)


def test_an_incident_that_is_an_alias_now_ends_and_is_not_opened_by_an_older_word() -> None:
    user = User("ann")
    take(user, assigned(5, 0, parent="p"), assigned(6, 0, parent="p", version=2, aliases=(5, 4)))
    take(user, assigned(4, 0, parent="p", version=1))
    assert [found(user, n, "p").is_open for n in (4, 5, 6)] == [False, False, True]
    assert [(found(user, n, "p").version, found(user, n, "p").at_us) for n in (4, 5)] == [(2, NOW_US), (2, NOW_US)]


@pytest.mark.parametrize("count", [1, FEW, FEW + 1, 2 * FEW])
def test_incidents_are_found_by_name_whether_few_or_many(count: int) -> None:
    user = User("ann")
    take(user, *(assigned(n, 0) for n in range(count)))
    assert [found(user, n).assignment("ann").title for n in range(count)] == [f"#{n}" for n in range(count)]
    assert (user.by_name is None) is (count <= FEW)
    assert user.find(b"nobody's") is None
    user.forget(0)
    assert (user.by_name is None) is (count <= FEW)
    assert found(user, count - 1) is user.concerns[-1]


def test_at_the_bound_ended_incidents_make_room_and_open_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin.core.paging.user.CONCERNS_MAX", 4)
    user = User("ann")
    take(user, assigned(1, 0), assigned(2, 0), assigned(3, 0, status="resolved"))
    assert [user.has_room(more) for more in (0, 1)] == [True, False]
    user.forget(0)
    assert len(user.concerns) == 3  # there is room: what ended lately stays
    user.forget(0, 1)
    assert [one.is_open for one in user.concerns] == [True, True]
    assert take(user, *(assigned(n, 0) for n in (3, 4, 5)))[2] is None
    assert (len(user.concerns), CONCERNS_MAX) == (4, 50_000)


# Channels -----------------------------------------------------------------------------------------------------------


def test_a_channel_is_one_object_for_each_method_and_urgency_up_to_the_bound() -> None:
    user = User("ann")
    made = channel_of(user)
    assert (made.user, made.method, made.urgency) == ("ann", "phone", "high")
    assert channel_of(user) is made
    assert len({id(channel_of(user, method, urgency)) for method in "ab" for urgency in ("high", "low")}) == 4
    channels = [user.channel(f"made up {n}", "high") for n in range(CHANNELS_MAX)]
    assert len(user.channels) == CHANNELS_MAX
    assert channels.count(None) == 5
    assert channel_of(user) is made


def test_an_urgency_is_one_string_for_all_and_a_word_of_a_later_version_stays_what_it_is() -> None:
    assert User.urgency(b"high".decode()) is User.urgency("high")
    assert (User.urgency("low"), User.urgency("middling")) == ("low", "middling")


def test_rules_and_methods_above_the_bounds_are_left_out_and_the_rest_comes_back() -> None:
    methods = tuple(Method(f"m{n}", "email", f"{n}@example.org", n != 1, n == 2) for n in range(METHODS_MAX + 1))
    rules = tuple(Rule(f"r{n}", "m0", float(n), "low") for n in range(RULES_MAX + 1))
    ann = Person("ann", "Ann", "ann@example.org", methods, rules)
    user = User("ann")
    assert [user.become(ann), user.become(ann)] == [True, False]
    assert [user.person] == [Person("ann", "Ann", "ann@example.org", methods[:METHODS_MAX], rules[:RULES_MAX])]
    assert [user.become(None), user.become(None), user.person] == [True, False, None]


def test_the_ways_to_a_channel_are_the_rules_of_its_method_and_urgency() -> None:
    ann = person("ann", ("phone", 0), ("mail", 5), ("phone", 1.5), methods=("phone", "mail"))
    user = User("ann")
    assert ways(ann, channel_of(user)) == (("rule 0", 0), ("rule 2", 1_500_000))
    assert ways(ann, channel_of(user, "mail")) == (("rule 1", 5_000_000),)
    assert ways(ann, channel_of(user, "phone", "low")) == (("default", 0),)


@pytest.mark.parametrize(
    ("delay_s", "us_"),
    [
        (0.0, 0),
        (1e-6, 1),
        (-1.0, 0),
        (float("nan"), 0),
        (1.0, 1_000_000),
        (86_400.0, 86_400_000_000),
        (1e9, 86_400_000_000),
    ],
)
def test_a_delay_is_between_none_and_a_day(delay_s: float, us_: int) -> None:
    assert delay_us(delay_s) == us_


# What a page was about ----------------------------------------------------------------------------------------------


def test_a_page_is_about_the_incidents_of_its_pairs_open_or_not_until_they_are_let_go() -> None:
    user = User("ann")
    user.become(person("ann", ("phone", 0)))
    take(user, *(assigned(n, 0) for n in (1, 2, 3)), assigned(4, 0, urgency="low"))
    incidents = [key(n) for n in (1, 2, 4)]
    flight = told(user, *(pair_of(one, "rule 0") for one in incidents))
    take(user, assigned(2, 0, version=2, status="resolved"))
    covered = list(user.covered(channel_of(user), flight.intent))
    assert covered == [found(user, 1), found(user, 2)]
    user.tidy()
    assert found(user, 2).packed  # its log is to be told how the page ended
    flight.said = True
    user.tidy()
    assert (found(user, 2).packed, found(user, 2).names) == (b"", None)
    assert found(user, 1).packed
    assert list(user.covered(channel_of(user), flight.intent)) == [found(user, 1)]


def test_a_page_by_a_rule_that_is_no_more_is_still_about_what_it_was_about() -> None:
    user = User("ann")
    user.become(person("ann", ("phone", 0)))
    take(user, assigned(1, 0), assigned(2, 0))
    flight = told(user, found(user, 1).pair("rule 0"))
    user.become(None)
    assert list(user.covered(channel_of(user), flight.intent)) == [found(user, 1)]


# Forgetting ---------------------------------------------------------------------------------------------------------


def test_what_ended_before_then_is_forgotten_and_what_is_open_never() -> None:
    user = User("ann")
    take(user, *(assigned(n, 0) for n in (1, 2, 3)))
    past = [user.has_past]
    for n, at_s in ((1, 49.999999), (2, 50)):
        found(user, n).close(2, us(at_s))
    past.append(user.has_past)
    assert past == [False, True]
    user.forget(us(50))
    assert [one.assignment("ann").title for one in user.concerns] == ["#2", "#3"]


def test_an_intent_is_forgotten_with_the_last_incident_that_needs_it_and_then_the_channel() -> None:
    user = User("ann")
    user.become(person("ann", ("phone", 0)))
    take(user, assigned(1, 0))
    told(user, found(user, 1).pair("rule 0"))
    channel_of(user, "mail")
    user.forget(NOW_US)
    assert (len(user.channels), user.has_past) == (2, True)
    take(user, assigned(1, 0, version=2, status="resolved"))
    user.forget(0)
    assert [one.method for one in user.channels] == ["phone"]
    user.forget(NOW_US + 1)
    assert (user.channels, user.concerns, user.has_past) == ((), [], False)


def test_a_channel_whose_intents_are_forgotten_has_none_while_an_incident_is_open() -> None:
    user = User("ann")
    user.become(person("ann", ("phone", 0)))
    take(user, assigned(1, 0))
    told(user, b"another'")
    user.forget(NOW_US)
    assert channel_of(user).covers is None
    assert not user.has_past


# The kept row -------------------------------------------------------------------------------------------------------

TIMES = st.integers(0, 2**62)
CONCERNS = st.builds(
    Concern, st.binary(min_size=8, max_size=8), st.integers(0, 2**40), TIMES, st.sampled_from(["high", "low"]),
    st.booleans(), st.binary(max_size=9), TIMES,
)  # fmt: skip
ENDS = st.none() | st.sampled_from(Outcome)
FLIGHTS = st.tuples(st.integers(0, 9), st.sampled_from(["phone", "mail"]), TIMES, ENDS, TIMES, st.booleans())


def held(user: User) -> list[Any]:
    """All that is to come back of a user."""
    concerns = [
        (one.name, one.version, one.at_us, one.urgency, one.is_open, one.packed, one.from_us) for one in user.concerns
    ]
    flights = [
        (flight.intent, flight.deadline_us, flight.end, flight.lapsed_us, flight.said)
        for channel in user.channels
        if channel.covers is not None
        for flight in channel.covers.flights.values()
    ]
    return [user.id, user.packed, concerns, flights]


@given(st.lists(CONCERNS, max_size=3), st.lists(FLIGHTS, max_size=4), st.sampled_from([None, person("ann")]))
def test_all_that_is_kept_of_a_user_comes_back(
    concerns: list[Concern],
    flights: Iterable[tuple[int, str, int, Outcome | None, int, bool]],
    known: Person | None,
) -> None:
    user = User("ann")
    user.become(known)
    for concern in concerns:
        user.add(concern)
    for n, method, deadline_us, outcome, lapsed_us, said in flights:
        at = ChannelKey("ann", method, "high")
        flight = Flight(Intent(IntentId("a", 1, n), at, b"12345678", 1, 2, 0, "due"), deadline_us, own=True)
        flight.end = End(IntentId("a", 1, n), at, outcome, 5) if outcome else None
        flight.lapsed_us, flight.said = lapsed_us, said
        channel = channel_of(user, method)
        if channel.covers is None or IntentId("a", 1, n) not in channel.covers.flights:
            channel.covering().add(flight)
    row = encode_user(user)
    back = decode_user(UserRow("ann", row)) if row else User("ann")
    assert back is not None
    assert held(back) == held(user)
    assert all(flight.own is False for one in back.channels if one.covers for flight in one.covers.flights.values())


def test_a_row_of_another_user_or_a_later_version_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    user = User("ann")
    user.become(person("ann", ("phone", 0)))
    row = encode_user(user)
    assert decode_user(UserRow("bob", row)) is None
    monkeypatch.setattr(state, "VERSION", state.VERSION + 1)
    assert decode_user(UserRow("ann", row)) is None
    later = encode_user(user)
    monkeypatch.undo()
    assert decode_user(UserRow("ann", later)) is None
    assert decode_user(UserRow("ann", row)) is not None


def test_a_row_is_the_same_bytes_in_every_release() -> None:
    user = User("ann")
    user.become(Person("ann", "Ann", "a@b", (Method("m", "email", "x"),), (Rule("r", "m"),)))
    take(user, assigned(1, 0))
    assert decode_user(UserRow("ann", encode_user(user))) is not None
    assert encode_user(user).hex() == (
        "f67cf39e513b81ca9501a3616e6ec42b94a3416e6ea36140629195a16da5656d61696ca178c3c29194a172a16dcb00000000"
        "00000000a4686967689197c40806c8e1c5904f051a01cf00065bfeda25e000a468696768c3c43b949392a3776562a7616c65"
        "7274203101c4200000000000000000000000000000000000000000000000000000000000000001a22331a4686f7374a00090"
    )
    assert encode_user(User("ann")) == b""

"""What is kept of users, and when; and that whatever bytes are read raise nothing but their own error."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.paging.regions import Regions
from tests.unit.core.paging.words import assigned, now, person
from tocsin.core.paging.assignments import Assignment, InvalidAssignment, decode_assignment, encode_assignment
from tocsin.core.paging.effects import Alarm, Assigned, CaughtUp, Keep, Kept, PersonIs, SayIntents, Stop, Tick, UserRow
from tocsin.core.paging.feedback import decode_feedback, encode_feedback
from tocsin.core.paging.limits import PagingLimits
from tocsin.core.paging.pager import Pager
from tocsin.core.paging.state import decode_user, encode_user

LIMITS = PagingLimits(keep_users_max=2)


def pager(*rows: UserRow, limits: PagingLimits = LIMITS) -> Pager:
    return Pager("a", 0, 1, ("a",), limits, rows, now(0))


def keeps(machine: Pager, at_s: float) -> list[Keep]:
    return [effect for effect in machine.step(Tick(fit=True), now(at_s)) if isinstance(effect, Keep)]


@given(st.binary(max_size=200))
def test_any_bytes_are_an_assignment_or_its_own_error(value: bytes) -> None:
    with suppress(InvalidAssignment):
        assert isinstance(decode_assignment(value), Assignment)


@given(st.binary(max_size=200))
def test_any_bytes_are_feedback_or_nothing(value: bytes) -> None:
    decode_feedback(value)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_user_or_nothing(value: bytes) -> None:
    assert decode_user(UserRow("ann", value)) is None


def told_rows() -> tuple[bytes, bytes, bytes]:
    """An assignment, an intent and a row as they are."""
    regions = Regions(["a"])
    regions.person(person("ann", ("phone", 0)))
    regions.assign(assigned(1, 0))
    regions.run(3)
    intent = regions.told_all[0].bundle.intent
    return encode_assignment(assigned(1, 0))[1], encode_feedback(intent)[1], regions["a"].kept["ann"]


ASSIGNMENT, INTENT, ROW = told_rows()


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_damage_at_any_place_is_found_or_is_harmless(at: int, flip: int) -> None:
    def damaged(value: bytes) -> bytes:
        place = at % len(value)
        return value[:place] + bytes([value[place] ^ flip]) + value[place + 1 :]

    assert decode_user(UserRow("ann", damaged(ROW))) is None
    decode_feedback(damaged(INTENT))
    machine = pager()
    with suppress(InvalidAssignment):
        machine.step(Assigned([decode_assignment(damaged(ASSIGNMENT))]), now(0))
    machine.step(CaughtUp(), now(1))


def test_a_row_is_read_as_it_was_written() -> None:
    user = decode_user(UserRow("ann", ROW))
    assert user is not None
    assert encode_user(user) == ROW
    assert decode_user(UserRow("bob", ROW)) is None  # another's


def test_a_damaged_row_is_told_and_the_user_starts_from_nothing() -> None:
    machine = pager(UserRow("ann", ROW[:-1]), UserRow("bob", b""))
    alarms = [effect for effect in machine.step(CaughtUp(), now(0)) if isinstance(effect, Alarm)]
    assert [(alarm.action, alarm.subject) for alarm in alarms] == [
        ("user_row_damaged", "ann"),
        ("user_row_damaged", "bob"),
    ]
    assert machine.damaged == ["ann", "bob"]
    machine.step(PersonIs("ann", person("ann", ("phone", 0))), now(0))
    effects = machine.step(Assigned([assigned(1, 0)]), now(0))
    assert any(isinstance(effect, SayIntents) for effect in effects)


def test_an_id_that_no_incident_can_have_is_no_assignment() -> None:
    with pytest.raises(ValueError, match="64 bits"):
        assigned(1, 0, aliases=(2**64,))


def test_positions_wait_until_all_that_changed_is_out() -> None:
    machine = pager()
    machine.step(CaughtUp(), now(0))
    machine.step(Assigned([assigned(1, 0, user=user) for user in ("ann", "bob", "cleo", "dan", "eve")]), now(0))
    seen = []
    [keep] = keeps(machine, 1)
    while True:
        seen.append((len(keep.rows), keep.more))
        found = [one for one in machine.step(Kept(keep.number, ok=True), now(1)) if isinstance(one, Keep)]
        if not found:
            break
        [keep] = found
    assert seen == [(2, True), (2, True), (1, False)]


def test_one_keep_is_under_way_at_a_time_and_one_that_failed_is_repeated() -> None:
    machine = pager()
    machine.step(CaughtUp(), now(0))
    machine.step(Assigned([assigned(1, 0)]), now(0))
    [keep] = keeps(machine, 1)
    assert keeps(machine, 2) == []
    machine.step(Kept(keep.number, ok=False), now(2.5))
    assert keeps(machine, 3) == []  # an interval after the failure
    [again] = keeps(machine, 3.6)
    assert (again.rows, again.number) == (keep.rows, keep.number + 1)
    machine.step(Kept(again.number, ok=True), now(4))
    assert keeps(machine, 5) == []
    [idle] = keeps(machine, 40)  # pulses moved the positions
    assert (idle.rows, idle.more) == ([], False)


def test_what_repeats_changes_nobody() -> None:
    machine = pager()
    machine.step(CaughtUp(), now(0))
    machine.step(PersonIs("ann", person("ann", ("phone", 0))), now(0))
    [keep] = keeps(machine, 1)
    machine.step(Kept(keep.number, ok=True), now(1))
    machine.step(PersonIs("ann", person("ann", ("phone", 0))), now(1))
    machine.step(PersonIs("nobody", None), now(1))
    assert machine.readings().unkept == 0


def test_a_stop_keeps_what_changed_at_once_and_begins_nothing() -> None:
    machine = pager()
    machine.step(CaughtUp(), now(0))
    machine.step(PersonIs("ann", person("ann", ("phone", 0))), now(0))
    [first] = keeps(machine, 0)
    machine.step(Kept(first.number, ok=True), now(0))
    machine.step(Stop(), now(0.1))
    [keep] = machine.step(Assigned([assigned(1, 0)]), now(0.1))
    assert isinstance(keep, Keep)
    assert [row.user for row in keep.rows] == ["ann"]
    assert machine.wakes_us() is None


def test_what_ended_long_ago_is_forgotten_and_with_it_who_left() -> None:
    regions = Regions(["a"], limits=PagingLimits(remember_s=600))
    regions.person(person("ann", ("phone", 0)))
    regions.assign(assigned(1, 0))
    regions.run(2)
    full = len(regions["a"].kept["ann"])
    regions.assign(assigned(1, 0, status="resolved", version=2))
    regions.run(1300, step_s=1.0)
    assert len(regions["a"].kept["ann"]) < full - 50
    regions["a"].people.append(PersonIs("ann", None))
    regions.assign(assigned(2, 1302, status="resolved"))
    regions.run(1300, step_s=1.0)
    assert regions["a"].kept == {}
    machine = regions["a"].pager
    assert machine is not None
    assert machine.readings().users == 0


def test_an_incident_that_stays_open_is_not_told_again_when_the_rest_is_forgotten() -> None:
    regions = Regions(["a"], limits=PagingLimits(remember_s=600))
    regions.person(person("ann", ("phone", 0)))
    regions.assign(assigned(1, 0))
    regions.run(4000, step_s=1.0)
    assert len(regions.told_all) == 1

"""Ten thousand incidents at once, people who were set up badly, and partitions that are full."""

from itertools import pairwise

import pytest

from tests.unit.core.paging.regions import Regions
from tests.unit.core.paging.words import assigned, now, person, us
from tocsin.core.paging import pager as pagers
from tocsin.core.paging import user as users
from tocsin.core.paging.effects import Alarm, Assigned, CaughtUp, PersonIs, SayIntents, Tick
from tocsin.core.paging.feedback import COVERS_MAX
from tocsin.core.paging.limits import PagingLimits
from tocsin.core.paging.pager import Pager
from tocsin.core.paging.people import Method, Person, Rule

STORM = 10_000


def test_of_a_storm_the_first_page_goes_at_once_and_the_rest_once_a_pace_each_incident_once() -> None:
    regions = Regions(["a"])
    regions.person(person("ann", ("phone", 0)))
    regions.run(1)
    for batch in range(20):  # as the topic brings them: within five seconds
        regions.assign(*(assigned(n, 1) for n in range(batch * 500 + 1, batch * 500 + 501)))
        regions.run(0.25)
    regions.run(300, step_s=1.0)
    at_s = [told.at_s for told in regions.told_all]
    assert at_s[0] == 1
    assert all(after - before >= PagingLimits().pace_s for before, after in pairwise(at_s))
    named = [item.assignment.title for told in regions.told_all for item in told.bundle.items if item.is_new]
    assert len(named) == len(set(named)) == STORM
    assert len(regions.told_all) == 2
    for told in regions.told_all:
        assert len(told.bundle.items) <= STORM


def test_after_a_stall_of_half_an_hour_there_is_one_bundle_a_channel_with_what_is_open() -> None:
    regions = Regions(["a"])
    regions.person(person("ann", ("phone", 0), ("mail", 0), methods=("phone", "mail")))
    regions.run(1)
    regions["a"].stalled = True
    for n in range(1, STORM + 1, 500):
        regions.assign(*(assigned(one, 1 + one / 10) for one in range(n, n + 500)))
    still_open = range(1, STORM + 1, 1000)
    regions.assign(*(assigned(n, 0, status="resolved", version=2) for n in range(1, STORM + 1) if n not in still_open))
    regions.run(1800, step_s=30.0)
    regions["a"].stalled = False
    regions.run(30)
    assert sorted(told.bundle.method.id for told in regions.told_all) == ["mail", "phone"]
    for told in regions.told_all:
        assert [item.assignment.title for item in told.bundle.items] == [f"#{n}" for n in still_open]


def test_while_a_region_lags_it_reads_and_does_not_send_but_not_for_ever() -> None:
    limits = PagingLimits()
    machine = Pager("a", 0, 1, ("a",), limits, [], now(0))
    machine.step(CaughtUp(), now(0))
    machine.step(PersonIs("ann", person("ann", ("phone", 0))), now(0))
    machine.step(Tick(fit=True, lag_s=60), now(0.5))
    decided = []
    for step in range(80):
        at_s = 1 + step * 0.5
        effects = machine.step(Assigned([assigned(1, 1)]), now(at_s)) if not step else []
        effects += machine.step(Tick(fit=True, lag_s=60), now(at_s))
        decided += [at_s for effect in effects if isinstance(effect, SayIntents)]
    assert decided == [0.5 + limits.catch_up_s]


def test_after_a_sleep_nothing_is_sent_before_it_is_known_how_far_behind_we_are() -> None:
    machine = Pager("a", 0, 1, ("a",), PagingLimits(), [], now(0))
    machine.step(CaughtUp(), now(0))
    machine.step(PersonIs("ann", person("ann", ("phone", 0))), now(0))
    assert machine.step(Assigned([assigned(1, 0)]), now(600)) == []
    machine.step(Assigned([assigned(1, 0, status="resolved", version=2)]), now(600))
    assert not any(isinstance(effect, SayIntents) for effect in machine.step(Tick(fit=True), now(600)))


def test_more_pairs_than_an_intent_covers_go_into_the_next_bundle() -> None:
    regions = Regions(["a"])
    rules = tuple(("phone", 0.0) for _ in range(3))
    regions.person(person("ann", *rules))
    regions.run(1)
    regions.assign(*(assigned(n, 1) for n in range(1, 5001)))  # 15,000 pairs
    regions.run(62, step_s=1.0)
    assert [len(told.bundle.intent.pairs) for told in regions.told_all] == [COVERS_MAX, 5000]


def test_a_rule_for_a_deleted_method_does_not_keep_the_page_from_going_out() -> None:
    regions = Regions(["a"])
    regions.person(Person("ann", methods=(Method("mail", "email", "x"),), rules=(Rule("r", "gone"),)))
    regions.assign(assigned(1, 0))
    regions.run(1)
    assert [told.bundle.method.id for told in regions.told_all] == ["mail"]


def test_a_method_that_is_deleted_while_its_page_is_due_hands_over_to_the_one_that_is_left() -> None:
    regions = Regions(["a"])
    regions.say_s = 1.0
    regions.person(person("ann", ("phone", 0), methods=("phone", "mail")))
    regions.assign(assigned(1, 0))
    regions.run(0.5)
    regions.person(person("ann", ("phone", 0), methods=("mail",)))
    regions.run(5)
    assert [told.bundle.method.id for told in regions.told_all] == ["mail"]


def test_a_user_with_ten_thousand_rules_costs_no_more_than_the_bound() -> None:
    regions = Regions(["a"])
    regions.person(person("ann", *(("phone", float(n)) for n in range(STORM))))
    regions.assign(assigned(1, 0))
    regions.run(400, step_s=1.0)
    assert sum(len(told.bundle.intent.pairs) for told in regions.told_all) == 100


@pytest.mark.parametrize("delay_s", [float("nan"), float("-inf"), -5.0, float("inf"), 1e300], ids=str)
def test_a_delay_that_is_none_is_none_and_one_without_end_is_a_day(delay_s: float) -> None:
    regions = Regions(["a"])
    regions.person(person("ann", ("phone", delay_s)))
    regions.assign(assigned(1, 0))
    regions.run(3)
    if delay_s > 0:
        assert regions.told_all == []
        regions.run(24 * 3600, step_s=900.0)
        regions.run(2)
    assert len(regions.told_all) == 1


def test_a_person_who_is_deleted_is_paged_no_more_and_one_who_comes_late_is_paged_then() -> None:
    regions = Regions(["a"])
    regions.assign(assigned(1, 0))
    regions.run(5)
    assert regions.told_all == []
    regions.person(person("ann", ("phone", 0), ("phone", 60)))
    regions.run(5)
    assert len(regions.told_all) == 1
    for region in regions.regions.values():
        region.people.append(PersonIs("ann", None))
    regions.run(200, step_s=1.0)
    assert len(regions.told_all) == 1


def test_a_user_who_has_too_many_incidents_is_told_of_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "CONCERNS_MAX", 50)
    machine = Pager("a", 0, 1, ("a",), PagingLimits(), [], now(0))
    ended = [assigned(n, 0, status="resolved") for n in range(100, 140)]
    effects = machine.step(Assigned(ended), now(0))
    effects += machine.step(Assigned([assigned(n, 0) for n in range(1, 31)]), now(0))
    assert effects == []  # what ended made room
    effects = machine.step(Assigned([assigned(n, 0) for n in range(31, 61)]), now(0))
    assert [effect.action for effect in effects if isinstance(effect, Alarm)] == ["user_full"]
    user = machine.user("ann")
    assert user is not None
    assert len(user.concerns) == 50


def test_one_step_looks_at_so_many_channels_and_the_urgent_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pagers, "LOOKS_A_STEP_MAX", 10)
    machine = Pager("a", 0, 1, ("a",), PagingLimits(), [], now(0))
    names = [f"user {n}" for n in range(15)]
    for name in names:
        machine.step(PersonIs(name, person(name, ("phone", 0))), now(0))
    machine.step(Assigned([assigned(n, 0, user=name, urgency="low") for n, name in enumerate(names)]), now(0))
    machine.step(Assigned([assigned(99, 0, user=names[14])]), now(0))
    decided = []
    effects = machine.step(CaughtUp(), now(0))
    while effects:
        decided.append([one.channel for effect in effects if isinstance(effect, SayIntents) for one in effect.intents])
        woken = machine.wakes_us()
        effects = machine.step(Tick(fit=True), now(0.1)) if woken == 0 else []
    assert [len(channels) for channels in decided] == [10, 6]
    assert decided[0][0] == (names[14], "phone", "high")
    assert machine.wakes_us() != us(0)


def test_a_user_who_is_tidied_while_a_page_is_due_is_paged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Pager("a", 0, 1, ("a",), PagingLimits(remember_s=10), [], now(0))
    machine.step(CaughtUp(), now(0))
    machine.step(PersonIs("ann", person("ann", ("phone", 0))), now(0))
    machine.step(Assigned([assigned(1, 0, status="resolved")]), now(0))
    for at_s in range(1, 10):
        machine.step(Tick(fit=True), now(at_s))
    with monkeypatch.context() as patch:
        patch.setattr(pagers, "LOOKS_A_STEP_MAX", 0)  # the step is full
        machine.step(Assigned([assigned(2, 9)]), now(9))
        machine.step(Tick(fit=True), now(11))  # what ended is forgotten
    effects = machine.step(Assigned([assigned(3, 11)]), now(11))
    effects += [one for at_s in range(12, 60) for one in machine.step(Tick(fit=True), now(at_s))]
    assert [len(intent.pairs) for one in effects if isinstance(one, SayIntents) for intent in one.intents] == [2]

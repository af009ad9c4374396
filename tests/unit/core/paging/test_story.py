"""The seed's story: two incidents, two rules, five minutes; minute by minute, for a method of every kind."""

import pytest

from tests.unit.core.paging.regions import Regions
from tests.unit.core.paging.words import assigned, person
from tocsin.core.paging.people import MethodKind

FIVE_MINUTES = 300.0


@pytest.fixture(params=list(MethodKind))
def regions(request: pytest.FixtureRequest) -> Regions:
    """Ann is to be told at once, and again after five minutes; incident 1 now, incident 2 seven seconds later."""
    regions = Regions(["a"])
    regions.person(person("ann", ("phone", 0), ("phone", FIVE_MINUTES), kind=request.param))
    regions.run(1)
    regions.assign(assigned(1, 1))
    regions.run(7)
    regions.assign(assigned(2, 8))
    return regions


def test_two_incidents_two_rules_and_five_minutes(regions: Regions) -> None:
    assert regions.told() == [(1, "a", ["#1"])]  # at once
    regions.run(52)
    assert len(regions.told()) == 1  # paced: she was only just called
    regions.run(2)
    assert regions.told()[1:] == [(61, "a", ["#2", "(#1)"])]  # the second, and that she still has the first
    regions.run(230)
    assert len(regions.told()) == 2
    regions.run(2000)
    assert regions.told()[2:] == [(301, "a", ["#1", "#2"])]  # the second rule for both, the later one pulled forward


def test_what_was_acknowledged_is_not_told_again(regions: Regions) -> None:
    regions.run(60)
    regions.assign(assigned(1, 1, status="acknowledged", version=2))
    regions.run(400)
    assert regions.told()[2:] == [(308, "a", ["#2"])]


def test_nothing_is_told_when_all_ended_within_the_pace(regions: Regions) -> None:
    regions.assign(assigned(2, 8, status="resolved", version=2), assigned(1, 1, status="acknowledged", version=2))
    regions.run(1000)
    assert regions.told() == [(1, "a", ["#1"])]


def test_methods_and_urgencies_do_not_wait_for_each_other() -> None:
    regions = Regions(["a"])
    regions.person(person("ann", ("phone", 0), ("mail", 0), methods=("phone", "mail")))
    regions.assign(assigned(1, 0), assigned(2, 0, urgency="low"))
    regions.run(1)
    assert sorted(told.bundle.intent.channel[1:] for told in regions.told_all) == [
        ("mail", "high"),
        ("phone", "high"),
        ("phone", "low"),  # no rule for low urgency: by the first method that can be used
    ]


def test_a_page_in_progress_holds_the_channel_until_its_end() -> None:
    regions = Regions(["a"])
    regions.call_s = 100
    regions.person(person("ann", ("phone", 0)))
    regions.assign(assigned(1, 0))
    regions.run(5)
    regions.assign(assigned(2, 5))
    regions.run(94)
    assert len(regions.told()) == 1
    regions.run(5)
    assert regions.told()[1:] == [(100, "a", ["#2", "(#1)"])]

"""Which region pages, and what becomes of a page when regions, mirrors, logs and providers fail."""

from collections import Counter
from itertools import pairwise

import pytest

from tests.unit.core.paging.regions import Regions, Told
from tests.unit.core.paging.words import assigned, person
from tocsin.core.paging.feedback import Outcome
from tocsin.core.paging.limits import PagingLimits

AT_ONCE = ("phone", 0.0)
BOTH_WAYS = (("a", "b"), ("b", "a"))


def two(partition: int = 0) -> Regions:
    """Two regions that have heard each other; a is first in partition 0."""
    regions = Regions(["a", "b"], partition=partition)
    regions.person(person("ann", AT_ONCE))
    regions.run(3)
    return regions


@pytest.mark.parametrize(("partition", "first"), [(0, "a"), (1, "b"), (2, "a")])
def test_the_region_at_place_0_pages_and_no_other(partition: int, first: str) -> None:
    regions = two(partition)
    regions.assign(assigned(1, 3))
    regions.run(400)
    assert regions.told() == [(3, first, ["#1"])]
    assert regions.told_all[0].bundle.intent.place == 0


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "c"]], ids=len)
def test_regions_page_for_equal_shares_of_the_partitions(names: list[str]) -> None:
    by_region: Counter[str] = Counter()
    for partition in range(12):
        regions = Regions(names, partition=partition)
        regions.person(person("ann", AT_ONCE))
        regions.run(2)
        regions.assign(assigned(1, 2))
        regions.run(60)
        by_region.update(told.region for told in regions.told_all)
    assert by_region == dict.fromkeys(names, 12 // len(names))


def test_three_regions_stand_behind_each_other() -> None:
    regions = Regions(["a", "b", "c"], partition=1)
    regions.person(person("ann", AT_ONCE))
    regions.run(3)
    regions["b"].refuses = True
    regions.assign(assigned(1, 3))
    regions.run(12)
    assert regions.told() == [(13, "c", ["#1"])]  # b is first but its log refuses; c has place 1
    assert [(told.bundle.intent.place, told.bundle.intent.why) for told in regions.told_all] == [(1, "backstop")]


def test_when_two_of_three_cannot_write_the_third_pages() -> None:
    regions = Regions(["a", "b", "c"])
    regions.person(person("ann", AT_ONCE))
    regions.run(3)
    regions["a"].refuses = regions["b"].refuses = True
    regions.assign(assigned(1, 3))
    regions.run(400)
    assert regions.told() == [(23, "c", ["#1"])]


def test_a_dead_region_is_left_out_after_the_silence_limit() -> None:
    regions = two()
    regions.kill("a")
    regions.run(10)
    regions.assign(assigned(1, 13))
    regions.run(1)
    assert regions.told() == [(13, "b", ["#1"])]


def test_a_region_that_dies_with_a_page_due_is_replaced_when_its_silence_is_noticed() -> None:
    regions = two()
    regions.kill("a")
    regions.assign(assigned(1, 3))
    regions.run(8)
    [(at_s, region, _)] = regions.told()
    assert region == "b"
    assert at_s - 3 < 7  # silence, not the backstop


def test_a_page_in_hand_of_a_region_that_dies_is_made_once_more_by_the_other() -> None:
    regions = two()
    regions.call_s = 60
    regions.assign(assigned(1, 3))
    regions.run(2)
    regions.kill("a")
    regions.run(10)
    assert [region for _, region, _ in regions.told()] == ["a", "b"]
    regions.run(400)
    assert len(regions.told()) == 2


def test_a_process_killed_between_intent_and_call_loses_no_page() -> None:
    regions = two()
    regions.say_s = 1.0
    regions.assign(assigned(1, 3))
    regions.run(0.5)
    regions.kill("a")  # the intent is on the log, nobody was called
    regions.start("a")
    regions.run(20)
    assert [region for _, region, _ in regions.told()] == ["b"]  # a tried in vain, so it goes last
    assert regions["a"].ends[0].end.outcome is Outcome.UNKNOWN


def test_alone_a_process_killed_between_intent_and_call_pages_when_it_is_back() -> None:
    regions = Regions(["a"])
    regions.person(person("ann", AT_ONCE))
    regions.say_s = 1.0
    regions.assign(assigned(1, 0))
    regions.run(0.5)
    regions.kill("a")
    regions.start("a")
    regions.run(3)
    assert len(regions.told()) == 1


def test_an_unfit_region_steps_back_and_does_not_race() -> None:
    regions = two()
    regions["a"].fit = False
    regions.run(2)
    regions.assign(assigned(1, 5))
    regions.run(60)
    assert regions.told() == [(5, "b", ["#1"])]


def test_when_all_are_unfit_the_first_of_them_pages() -> None:
    regions = two()
    regions["a"].fit = regions["b"].fit = False
    regions.run(2)
    regions.assign(assigned(1, 5))
    regions.run(60)
    assert regions.told() == [(5, "a", ["#1"])]


def test_a_cut_costs_one_page_a_side_and_none_after_it_heals() -> None:
    regions = two()
    regions.sever(*BOTH_WAYS)
    regions.run(10)
    regions.assign(assigned(1, 13))
    regions.run(60)
    assert sorted(region for _, region, _ in regions.told()) == ["a", "b"]
    regions.heal()
    regions.run(400)
    assert len(regions.told()) == 2


def test_a_mirror_cut_one_way_costs_no_more_than_one_page_a_side() -> None:
    regions = two()
    regions.sever(("a", "b"))
    regions.run(10)
    regions.assign(assigned(1, 13))
    regions.run(100)
    regions.heal()
    regions.run(400)
    assert sorted(region for _, region, _ in regions.told()) == ["a", "b"]


def test_what_one_side_learns_after_a_cut_of_what_the_other_paged_costs_no_second_page() -> None:
    regions = two(partition=1)
    regions.sever(*BOTH_WAYS)
    regions.run(10)
    regions.assign(assigned(1, 13), to="a")
    regions.run(60)
    assert regions.told() == [(13, "a", ["#1"])]
    regions.assign(assigned(1, 13), to="b")  # the mirror of the requests is quicker than that of feedback
    regions.run(2)
    regions.heal()
    regions.run(400)
    assert len(regions.told()) == 1


def test_a_mirror_that_brings_all_twice_costs_no_page() -> None:
    regions = two()
    regions.twice = True
    regions.assign(assigned(1, 3))
    regions.run(400)
    assert len(regions.told()) == 1


def test_a_failed_page_is_tried_by_the_other_region_at_once() -> None:
    regions = two()
    regions.answer = lambda told: Outcome.FAILED if told.region == "a" else Outcome.DELIVERED
    regions.assign(assigned(1, 3))
    regions.run(5)
    assert [region for _, region, _ in regions.told()] == ["a", "b"]
    assert regions.told_all[1].bundle.intent.why == "again"
    regions.run(400)
    assert len(regions.told()) == 2


def test_a_page_that_nobody_takes_is_tried_so_often_and_then_told_to_people_who_look() -> None:
    regions = two()
    regions.answer = lambda _: Outcome.FAILED
    regions.assign(assigned(1, 3))
    regions.run(3600)
    assert len(regions.told()) == PagingLimits().tries_max
    assert {alarm.action for name in "ab" for alarm in regions[name].alarms} == {"page_given_up"}
    pauses = [after.at_s - before.at_s for before, after in pairwise(regions.told_all)]
    assert pauses[0] < 3
    assert all(pause > PagingLimits().pace_s for pause in pauses[1:])


def test_a_provider_that_never_answers_lapses_and_is_held_to_be_unknown() -> None:
    regions = two()
    regions.call_s = 10_000
    regions.assign(assigned(1, 3))
    regions.run(125)
    assert [region for _, region, _ in regions.told()] == ["a", "b"]
    assert [one.end.outcome for one in regions["a"].ends] == [Outcome.UNKNOWN]


def test_an_end_that_comes_after_the_lapse_still_counts() -> None:
    regions = Regions(["a"])
    regions.person(person("ann", AT_ONCE))
    regions.call_s = 121
    regions.assign(assigned(1, 0))
    regions.run(2000)
    assert len(regions.told()) == 2  # one more when no end came; then the first one's end did


def test_a_log_that_refuses_for_long_uses_up_no_tries() -> None:
    regions = Regions(["a"])
    regions.person(person("ann", AT_ONCE))
    regions["a"].refuses = True
    regions.assign(assigned(1, 0))
    regions.run(600)
    regions["a"].refuses = False
    regions.run(3)
    assert len(regions.told()) == 1


def test_what_is_closed_while_the_intent_is_on_its_way_to_the_log_is_not_handed_over() -> None:
    regions = two()
    regions.say_s = 1.0
    regions.assign(assigned(1, 3))
    regions.run(0.5)
    regions.assign(assigned(1, 3, status="resolved", version=2))
    regions.run(100)
    assert regions.told() == []
    assert [one.end.outcome for one in regions["a"].ends] == [Outcome.FAILED]


def test_what_one_region_alone_knows_is_told_though_the_other_pages_the_channel_again_and_again() -> None:
    regions = two(partition=1)
    regions.sever(("a", "b"))  # b hears nothing of a, and is first; a hears all that b decides
    regions.assign(assigned(1, 3), to="a")
    for n in range(2, 8):
        regions.assign(assigned(n, regions.at_s))
        regions.run(61)
    by_a = [told for told in regions.told_all if told.region == "a"]
    assert [told.at_s for told in by_a] == [3 + PagingLimits().pace_s + PagingLimits().backstop_s]
    assert [item.assignment.title for item in by_a[0].bundle.items if item.is_new] == ["#1"]
    named = [item.assignment.title for told in regions.told_all for item in told.bundle.items if item.is_new]
    assert sorted(named) == [f"#{n}" for n in range(1, 8)]  # and nothing was told twice


def test_a_page_is_unwanted_once_all_of_it_is_closed() -> None:
    regions = two()
    regions.call_s = 60
    regions.assign(assigned(1, 3), assigned(2, 3))
    regions.run(1)
    pager, id = regions["a"].pager, regions.told_all[0].bundle.intent.id
    assert pager is not None
    regions.assign(assigned(1, 3, status="acknowledged", version=2))
    regions.run(1)
    assert pager.wanted(id)
    regions.assign(assigned(2, 3, status="resolved", version=2))
    regions.run(1)
    assert not pager.wanted(id)
    assert not pager.wanted(id._replace(sequence=99))


def test_a_region_that_stalls_pages_once_with_what_is_open_when_it_is_back() -> None:
    regions = two()
    regions["a"].stalled = regions["b"].stalled = True
    opened = [assigned(n, 10) for n in range(1, 101)]
    regions.assign(*opened)
    regions.assign(*(assigned(n, 10, status="resolved", version=2) for n in range(1, 99)))
    regions.run(1800)
    regions.heal()
    regions.run(30)
    assert [titles for _, _, titles in regions.told()] == [["#99", "#100"]]


def test_a_restart_at_any_moment_of_the_story_changes_no_page() -> None:
    def pages(restart_at: int) -> list[tuple[str, list[str]]]:
        regions = Regions(["a"])
        regions.person(person("ann", AT_ONCE, ("phone", 300)))
        regions.call_s = 0
        for step in range(1400):
            if step == 4:
                regions.assign(assigned(1, 1))
            if step == 30:
                regions.assign(assigned(2, 7.5))
            if step == restart_at:
                regions.run(1)  # what it had in hand ends
                regions.kill("a")
                regions.start("a")
            regions.step()
        return [(region, titles) for _, region, titles in regions.told()]

    undisturbed = pages(-1)
    assert len(undisturbed) == 3
    for restart_at in (2, 4, 5, 29, 30, 100, 243, 244, 1000, 1203, 1204, 1300):
        assert pages(restart_at) == undisturbed


def test_each_page_ends_with_an_entry_for_every_incident_that_it_was_about() -> None:
    regions = two()
    regions.assign(assigned(1, 3), assigned(2, 3))
    regions.run(0.5)
    regions.assign(assigned(1, 3, status="resolved", version=2))  # it was in the page all the same
    regions.run(10)
    [end] = regions["a"].ends
    assert sorted(item.assignment.title for item in end.items) == ["#1", "#2"]


def test_a_told_page_names_all_that_it_needs_to_be_explained() -> None:
    regions = two()
    regions.assign(assigned(1, 3))
    regions.run(1)
    told: Told = regions.told_all[0]
    assert (told.bundle.method.id, told.bundle.fallbacks, told.bundle.intent.why) == ("phone", (), "due")

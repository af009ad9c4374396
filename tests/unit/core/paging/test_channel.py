"""When a channel wants to page and about what: worked out from what is open, the rules and the intents."""

import pytest

from tests.unit.core.paging.words import assigned, us
from tocsin.core.paging import channel as channels
from tocsin.core.paging.channel import Channel, Moment, bundle, ends_us, moment, pending, told_before
from tocsin.core.paging.concern import Concern, concern_name
from tocsin.core.paging.covers import Flight
from tocsin.core.paging.feedback import ChannelKey, End, Intent, IntentId, Outcome
from tocsin.core.paging.limits import PagingLimits

LIMITS = PagingLimits(pace_s=60, look_ahead_s=30)
AT_ONCE = (("now", 0),)
TWO_RULES = (("now", 0), ("later", 300_000_000))
NOW_S = 100.0


def concern(n: int, since_s: float, *, urgency: str = "high", is_open: bool = True, from_us: int = 0) -> Concern:
    assignment = assigned(n, since_s)
    made = Concern(concern_name(assignment.incident.parent, n))
    made.open(assignment, urgency, from_us)
    made.is_open = is_open
    return made


def told(
    channel: Channel,
    n: int,
    *concerns: Concern,
    at_s: float,
    outcome: Outcome | None = None,
    region: str = "a",
    rule: str = "now",
) -> None:
    """An intent of a region; it ended after a second, or is under way."""
    id, key = IntentId(region, 1, n), ChannelKey("ann", "phone", "high")
    covers = b"".join(one.pair(rule) for one in concerns)
    flight = Flight(Intent(id, key, covers, us(at_s), us(at_s), 0, "due"), us(at_s + 120), own=True)
    if outcome is not None:
        flight.finish(End(id, key, outcome, us(at_s + 1)), us(at_s + 1))
    channel.covering().add(flight)


@pytest.fixture
def channel() -> Channel:
    return Channel("ann", "phone", "high")


def when(channel: Channel, *concerns: Concern) -> tuple[int, int, str] | None:
    found = moment(channel, concerns, AT_ONCE, LIMITS, us(NOW_S))
    return (found.at_us, found.due_us, found.last) if found is not None else None


# What is pending ----------------------------------------------------------------------------------------------------


def test_pending_is_each_open_incident_of_the_urgency_times_each_rule(channel: Channel) -> None:
    one, two = concern(1, 10), concern(2, 20, from_us=us(25))
    others = [concern(3, 0, urgency="low"), concern(4, 0, is_open=False)]
    found = list(pending(channel, [others[0], one, others[1], two], TWO_RULES, LIMITS))
    assert found == [
        (us(10), one, "now", ""),
        (us(310), one, "later", ""),
        (us(25), two, "now", ""),
        (us(320), two, "later", ""),
    ]
    assert [one.pair for one in found] == [one.concern.pair(one.rule) for one in found]
    assert list(pending(channel, [one], (), LIMITS)) == []


def test_what_is_covered_is_not_pending_and_what_was_tried_in_vain_is_again(channel: Channel) -> None:
    under_way, delivered, failed, untold = (concern(n, 0) for n in range(4))
    told(channel, 1, under_way, at_s=50)
    told(channel, 2, delivered, at_s=50, outcome=Outcome.DELIVERED)
    told(channel, 3, failed, at_s=50, outcome=Outcome.FAILED, region="b")
    found = pending(channel, [under_way, delivered, failed, untold], AT_ONCE, LIMITS)
    assert list(found) == [(us(51), failed, "now", "b"), (us(0), untold, "now", "")]


def test_a_pair_that_lapsed_is_due_no_earlier_than_its_rule_and_names_who_tried_last(channel: Channel) -> None:
    early, late = concern(1, 0), concern(2, 80)
    for n, (region, at_s) in enumerate([("c", 40), ("b", 41), ("a", 41)]):
        told(channel, n, late, at_s=at_s, outcome=Outcome.UNKNOWN, region=region)
    told(channel, 9, early, at_s=60, outcome=Outcome.UNKNOWN, region="c")
    found = list(pending(channel, [early, late], AT_ONCE, LIMITS))
    assert found == [(us(61), early, "now", "c"), (us(42 + 2 * 60), late, "now", "b")]
    told(channel, 10, late, at_s=0, outcome=Outcome.UNKNOWN)  # whoever is read last did not try last
    assert [one.last for one in pending(channel, [late], AT_ONCE, LIMITS)] == ["b"]


# When ---------------------------------------------------------------------------------------------------------------


def test_the_moment_is_the_earliest_due_of_what_is_pending(channel: Channel) -> None:
    assert when(channel) is None
    assert when(channel, concern(1, 30), concern(2, 20), concern(3, 40)) == (us(20), us(20), "")
    of_1970 = concern(1, 0)
    of_1970.at_us = 0
    assert when(channel, of_1970) == (0, 0, "")


def test_the_moment_waits_for_the_page_in_progress_and_a_pace_after_the_last(channel: Channel) -> None:
    told(channel, 1, concern(1, 0), at_s=50, outcome=Outcome.DELIVERED)
    assert when(channel, concern(2, 60)) == (us(110), us(60), "")
    assert when(channel, concern(2, 115)) == (us(115), us(115), "")
    told(channel, 2, concern(3, 0), at_s=90)
    assert when(channel, concern(2, 60)) == (us(210), us(60), "")


def test_pages_that_pass_a_pair_over_put_its_place_off_no_more_than_one_that_was_decided_in_time(
    channel: Channel,
) -> None:
    told(channel, 1, concern(1, 0), at_s=50, outcome=Outcome.DELIVERED)
    late_s = 60 + LIMITS.backstop_s
    told(channel, 2, concern(3, 0), at_s=late_s, outcome=Outcome.DELIVERED)
    told(channel, 3, concern(4, 0), at_s=late_s + 5, outcome=Outcome.DELIVERED)
    found = moment(channel, [concern(2, 60)], AT_ONCE, LIMITS, us(NOW_S))
    assert found is not None
    assert (found.at_us, found.start_us) == (us(late_s + 5 + LIMITS.pace_s), us(late_s + LIMITS.pace_s))
    for place, after_s in ((0, 5), (1, LIMITS.backstop_s), (2, 2 * LIMITS.backstop_s)):
        assert found.page_us(place, LIMITS) == us(late_s + LIMITS.pace_s + after_s)


def test_a_pair_that_was_passed_over_waits_for_the_end_of_the_page_in_progress(channel: Channel) -> None:
    told(channel, 1, concern(3, 0), at_s=61 + LIMITS.backstop_s)
    found = moment(channel, [concern(2, 60)], AT_ONCE, LIMITS, us(NOW_S))
    assert found is not None
    assert found.start_us == us(60)
    assert found.page_us(1, LIMITS) == found.busy_us == us(61 + LIMITS.backstop_s + LIMITS.end_s_max)


def test_of_what_was_passed_over_alone_the_page_leaves_the_rest_to_who_pages_meanwhile(channel: Channel) -> None:
    told(channel, 1, concern(3, 0), at_s=80, outcome=Outcome.DELIVERED)
    concerns = [concern(2, 60), concern(4, 79)]
    now_us = us(60 + LIMITS.backstop_s)
    assert [one.due_us for one in bundle(channel, concerns, AT_ONCE, LIMITS, now_us)] == [us(60), us(79)]
    assert [one.due_us for one in bundle(channel, concerns, AT_ONCE, LIMITS, now_us, passed_over=1)] == [us(60)]


def test_who_goes_last_is_told_by_what_was_due_again_first_and_only_by_what_is_due(channel: Channel) -> None:
    of_b, of_a, later = concern(1, 0), concern(2, 0), concern(3, 200)
    told(channel, 1, of_b, at_s=50, outcome=Outcome.FAILED, region="b")
    told(channel, 2, of_a, at_s=52, outcome=Outcome.FAILED, region="a")
    told(channel, 3, later, at_s=10, outcome=Outcome.FAILED, region="c")
    assert when(channel, of_a, of_b) == (us(51), us(51), "b")
    assert when(channel, of_b, of_a, later) == (us(51), us(51), "b")
    assert when(channel, of_a, concern(4, 20)) == (us(20), us(20), "a")
    assert when(channel, later) == (us(200), us(200), "")
    assert when(channel, concern(4, 20), later) == (us(20), us(20), "")


def test_of_those_due_again_at_one_time_the_first_region_goes_last_wherever_it_is_read(channel: Channel) -> None:
    of_b, of_a = concern(1, 0), concern(2, 0)
    told(channel, 1, of_b, at_s=NOW_S - 1, outcome=Outcome.FAILED, region="b")
    told(channel, 2, of_a, at_s=NOW_S - 1, outcome=Outcome.FAILED, region="a")
    assert when(channel, of_a, of_b) == when(channel, of_b, of_a) == (us(NOW_S), us(NOW_S), "a")


@pytest.mark.parametrize(
    ("made", "place", "why"),
    [
        (Moment(5, 5, "", 5, 0), 0, "due"),
        (Moment(6, 5, "", 5, 0), 0, "paced"),
        (Moment(6, 5, "b", 5, 0), 0, "again"),
        (Moment(6, 5, "b", 5, 0), 1, "backstop"),
    ],
)
def test_what_made_the_moment_is_told_in_a_word(made: Moment, place: int, why: str) -> None:
    assert made.why(place) == why


# About what ---------------------------------------------------------------------------------------------------------


def test_a_bundle_takes_what_is_due_within_the_look_ahead_in_that_order(channel: Channel) -> None:
    on_edge, behind, first, due = concern(1, NOW_S + 30), concern(2, NOW_S + 30.000001), concern(3, 0), concern(4, 50)
    found = bundle(channel, [on_edge, behind, due, first], TWO_RULES, LIMITS, us(NOW_S))
    assert [(one.concern, one.rule) for one in found] == [(first, "now"), (due, "now"), (on_edge, "now")]


def test_of_more_pairs_than_an_intent_covers_the_most_urgent_go_first(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "COVERS_MAX", 3)
    concerns = [concern(n, 0) for n in range(5)] + [concern(9, -1)]
    found = bundle(channel, concerns, AT_ONCE, LIMITS, us(NOW_S))
    assert [one.pair for one in found] == [
        concerns[5].pair("now"),
        *sorted(one.pair("now") for one in concerns[:5])[:2],
    ]


def test_what_was_told_before_and_is_still_open_is_named(channel: Channel) -> None:
    open_, closed, other, untold = (concern(n, 0) for n in range(4))
    by_old_rule = concern(5, 0)
    assert list(told_before(channel, [open_], AT_ONCE)) == []
    told(channel, 1, open_, closed, other, at_s=5, outcome=Outcome.FAILED)
    told(channel, 2, by_old_rule, at_s=5, rule="a rule that is no more")
    closed.is_open, other.urgency = False, "low"
    assert list(told_before(channel, [closed, other, untold, by_old_rule, open_], TWO_RULES)) == [open_]


def test_it_is_looked_at_when_the_first_page_in_progress_is_overdue(channel: Channel) -> None:
    assert ends_us(channel) is None
    told(channel, 1, concern(1, 0), at_s=5, outcome=Outcome.UNKNOWN)
    assert ends_us(channel) is None
    told(channel, 2, concern(2, 0), at_s=50)
    told(channel, 3, concern(3, 0), at_s=40)
    assert ends_us(channel) == us(40 + 120)

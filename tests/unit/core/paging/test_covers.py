"""What covers a pair, how long, and what is told of it: from intents and ends alone, in whatever order they came."""

from itertools import permutations

import pytest

from tests.unit.core.paging.words import us
from tocsin.core.paging.covers import Covers, Flight, again_us, is_better
from tocsin.core.paging.feedback import ChannelKey, End, Intent, IntentId, Outcome
from tocsin.core.paging.limits import PagingLimits

LIMITS = PagingLimits(pace_s=60, tries_max=3)
DEADLINE_S = 120.0
PHONE = ChannelKey("ann", "phone", "high")
ONE, TWO, THREE = b"pair   1", b"pair   2", b"pair   3"


def flight(n: int = 1, *pairs: bytes, at_s: float = 0.0, own: bool = False) -> Flight:
    intent = Intent(IntentId("a", 1, n), PHONE, b"".join(pairs or (ONE,)), us(at_s), us(at_s), 0, "due")
    return Flight(intent, us(at_s + DEADLINE_S), own=own)


def end(outcome: Outcome, at_s: float, n: int = 1) -> End:
    return End(IntentId("a", 1, n), PHONE, outcome, us(at_s))


def ended(outcome: Outcome, n: int = 1, at_s: float = 0.0, after_s: float = 1.0) -> Flight:
    """One that ended so long after it was decided."""
    made = flight(n, at_s=at_s)
    made.finish(end(outcome, at_s + after_s, n), us(at_s + after_s))
    return made


# One intent ----------------------------------------------------------------------------------------------------------


def test_an_intent_covers_until_its_end_or_its_lapse() -> None:
    made = flight()
    assert (made.in_progress, made.is_delivered) == (True, False)
    assert (ended(Outcome.DELIVERED).in_progress, ended(Outcome.DELIVERED).is_delivered) == (False, True)
    assert (ended(Outcome.FAILED).in_progress, ended(Outcome.FAILED).is_delivered) == (False, False)
    made.lapse(us(5))
    assert (made.in_progress, made.is_delivered) == (False, False)


def test_what_delivered_does_not_lapse_and_what_did_not_lapses_at_its_end_or_when_that_is_read() -> None:
    assert ended(Outcome.DELIVERED).lapsed_us == 0
    assert ended(Outcome.UNKNOWN).lapsed_us == us(1)
    of_the_future = flight()
    of_the_future.finish(end(Outcome.FAILED, 1_000), us(3))
    assert of_the_future.lapsed_us == us(3)


def test_of_two_lapses_the_earlier_counts_and_a_lapse_is_never_at_no_time() -> None:
    for first, second in permutations((5, 9)):
        made = flight()
        made.lapse(us(first))
        made.lapse(us(second))
        assert made.lapsed_us == us(5)
    forged = flight()
    forged.lapse(-7)
    assert (forged.lapsed_us, forged.in_progress) == (1, False)


@pytest.mark.parametrize("order", list(permutations(Outcome)), ids=" ".join)
def test_of_several_ends_the_best_known_counts_and_only_a_better_one_is_news(order: tuple[Outcome, ...]) -> None:
    made, best = flight(), None
    for said in order:
        is_news = made.finish(end(said, 1), us(2))
        assert is_news is (best is None or is_better(end(said, 1), best))
        assert not made.finish(end(said, 1), us(2))  # a repeat never is
        best = made.end
    assert made.end == end(Outcome.DELIVERED, 1)


def test_delivered_is_better_than_failed_and_that_than_unknown() -> None:
    ranked = [end(outcome, 0) for outcome in (Outcome.UNKNOWN, Outcome.FAILED, Outcome.DELIVERED)]
    for n, one in enumerate(ranked):
        assert [is_better(one, other) for other in ranked] == [n > m for m in range(3)]


# When a pair is due again --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flights", "again_s"),
    [
        ([flight()], None),
        ([ended(Outcome.DELIVERED)], None),
        ([ended(Outcome.FAILED)], 1),  # the first time at once
        ([ended(Outcome.FAILED), ended(Outcome.UNKNOWN, 2, at_s=10)], 11 + 60),  # then a pace after the latest lapse
        ([ended(Outcome.UNKNOWN, 2, at_s=10), ended(Outcome.FAILED)], 11 + 60),
        ([ended(Outcome.FAILED), flight(2, at_s=10)], None),
        ([ended(Outcome.FAILED), ended(Outcome.DELIVERED, 2, at_s=10)], None),
        ([ended(Outcome.FAILED, n) for n in range(3)], None),  # tried often enough
    ],
)
def test_a_pair_is_due_again_once_all_that_named_it_lapsed(flights: list[Flight], again_s: float | None) -> None:
    assert again_us(tuple(flights), LIMITS) == (None if again_s is None else us(again_s))


# The intents of a channel --------------------------------------------------------------------------------------------


def covers(*flights: Flight) -> Covers:
    made = Covers()
    for one in flights:
        made.add(one)
    return made


def test_a_pair_knows_each_intent_that_named_it_once_until_that_is_forgotten() -> None:
    first, second = flight(1, ONE, TWO, ONE), flight(2, TWO, THREE)
    both = covers(first, second)
    assert [both.of(pair) for pair in (ONE, TWO, THREE, b"pair   4")] == [(first,), (first, second), (second,), ()]
    both.remove(first.intent.id)
    assert [both.of(pair) for pair in (ONE, TWO, THREE)] == [(), (second,), (second,)]
    assert list(both.flights) == [second.intent.id]


@pytest.mark.parametrize(
    ("flights", "until_s"),
    [
        ([], None),
        ([flight(at_s=7)], 7 + DEADLINE_S),
        ([ended(Outcome.DELIVERED, at_s=7)], 7 + 60),
        ([ended(Outcome.DELIVERED, at_s=7, after_s=90)], 7 + 90),  # a long call
        ([ended(Outcome.FAILED, at_s=7)], None),  # bothered nobody
        ([ended(Outcome.DELIVERED, 1, at_s=9), ended(Outcome.DELIVERED, 2, at_s=7)], 9 + 60),
        ([flight(1, at_s=9), ended(Outcome.DELIVERED, 2, at_s=7)], 9 + DEADLINE_S),
        ([flight(1, at_s=9), flight(2, at_s=7)], 9 + DEADLINE_S),
    ],
)
def test_a_channel_is_silent_while_a_page_is_in_progress_and_for_a_pace_after_one(
    flights: list[Flight], until_s: float | None
) -> None:
    assert covers(*flights).held_until_us(LIMITS) == (0 if until_s is None else us(until_s))


def test_only_intents_in_progress_may_still_end() -> None:
    under_way = flight(3)
    assert list(covers(ended(Outcome.FAILED), ended(Outcome.DELIVERED, 2), under_way).in_progress()) == [under_way]


@pytest.mark.parametrize(("own", "said"), [(True, True), (True, False), (False, True), (False, False)])
def test_the_log_misses_the_ends_of_our_own_that_were_not_read(*, own: bool, said: bool) -> None:
    made = flight(own=own)
    made.said = said
    assert covers(made).unsaid() is (own and not said)
    assert not covers().unsaid()


def test_old_intents_are_forgotten_but_for_those_of_which_a_pair_is_needed() -> None:
    old, needed, young = flight(1, ONE), flight(2, TWO, THREE, at_s=1), flight(3, ONE, at_s=5)
    known = covers(old, needed, young)
    known.forget(us(5), {THREE})
    assert list(known.flights.values()) == [needed, young]
    assert known.of(ONE) == (young,)
    known.forget(us(5), set())
    assert list(known.flights.values()) == [young]

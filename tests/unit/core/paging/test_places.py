"""The order of the regions: who lives and is fit, by name and turn; and when one says so and when it acts on it."""

import pytest

from tocsin.core.paging.feedback import Pulse
from tocsin.core.paging.limits import PagingLimits
from tocsin.core.paging.places import Places

LIMITS = PagingLimits()


def places(region: str = "b", partition: int = 0) -> Places:
    """A region that has long been known to the others."""
    made = Places(region, partition, ("a", "b", "c"), LIMITS)
    made.start()
    listen(made, -3, 3, heard="abc")
    return made


def listen(places: Places, since_s: int, until_s: int, *, heard: str = "", fit: bool = True, lag_s: float = 0) -> None:
    for at_s in range(since_s, until_s):
        for name in heard:
            places.hear(Pulse(name, 1, at_s, 0, fit=True))
        places.listen(float(at_s), fit=fit, lag_s=lag_s)


@pytest.mark.parametrize(("partition", "order"), [(0, "abc"), (1, "bca"), (2, "cab"), (3, "abc")])
def test_the_order_turns_with_the_partition(partition: int, order: str) -> None:
    assert "".join(places(partition=partition).order) == order


def test_a_region_that_is_not_heard_is_left_out_until_it_is() -> None:
    known = places()
    listen(known, 3, 9, heard="c")
    assert "".join(known.order) == "bc"
    assert known.silent("a")
    known.hear(Pulse("a", 1, 99, 0, fit=True))
    known.listen(9, fit=True, lag_s=0)
    assert "".join(known.order) == "abc"


def test_a_repeated_pulse_keeps_no_dead_region_alive() -> None:
    known = places()
    for at_s in range(3, 9):
        known.hear(Pulse("a", 1, 2, 0, fit=True))
        known.listen(at_s, fit=True, lag_s=0)
    assert known.silent("a")


def test_the_unfit_stand_behind_the_fit() -> None:
    known = places()
    known.hear(Pulse("a", 1, 50, 0, fit=False))
    assert known.listen(3, fit=True, lag_s=0)
    assert known.order == ("b", "c", "a")


def test_a_lag_of_the_backstop_is_unfit() -> None:
    known = places()
    listen(known, 3, 4, heard="ac", lag_s=LIMITS.backstop_s)
    assert (known.order, known.is_fit) == (("a", "c", "b"), False)


def test_who_becomes_fit_says_so_at_once_and_acts_on_it_later() -> None:
    known = places("a")
    listen(known, 3, 4, heard="bc", fit=False)
    listen(known, 4, 5, heard="bc")
    assert (known.is_fit, known.place()) == (True, 2)
    listen(known, 5, 8, heard="bc")
    assert known.place() == 0


def test_who_starts_counts_the_others_as_fit_and_itself_last_for_a_while() -> None:
    known = Places("a", 0, ("a", "b"), LIMITS)
    known.start()
    known.listen(0, fit=True, lag_s=0)
    assert known.place() == 1


def test_who_is_alone_is_first_however_unfit() -> None:
    known = Places("a", 5, ("a",), LIMITS)
    known.start()
    known.listen(0, fit=False, lag_s=100)
    assert (known.place(), known.place("a")) == (0, 0)


def test_who_slept_or_lags_has_not_heard_and_holds_nobody_for_silent() -> None:
    asleep = places()
    asleep.listen(1000, fit=True, lag_s=0)
    assert not asleep.silent("a")
    behind = places()
    listen(behind, 3, 60, lag_s=LIMITS.silence_s)
    assert not behind.silent("a")


def test_the_region_that_tried_in_vain_goes_last() -> None:
    assert places("a").place("a") == 2
    assert places("b").place("a") == 0
    assert places("b").place("of no order") == 1


def test_a_region_that_is_none_of_ours_is_silent_and_oneself_never() -> None:
    known = places()
    known.hear(Pulse("x", 1, 1, 0, fit=True))
    assert (known.silent("x"), known.silent("b")) == (True, False)


def heard_nothing() -> Places:
    """A region that has just begun to read, and listens for so many seconds as `listen` tells it."""
    return Places("b", 0, ("a", "b"), LIMITS)


def test_who_has_only_begun_to_read_holds_all_for_fit_and_none_for_silent() -> None:
    known = heard_nothing()
    assert (known.order, known.place(), known.is_fit, known.silent("a")) == (("a", "b"), 1, True, False)
    assert known.listen(0, fit=True, lag_s=0) is False
    assert known.order == ("a", "b")


def test_silence_is_longer_than_its_limit_and_counts_from_the_first_time_we_listened() -> None:
    known = heard_nothing()
    changed = [known.listen(100 + at_s, fit=True, lag_s=0) for at_s in range(7)]
    assert changed == [False] * 6 + [True]
    known = heard_nothing()
    known.hear(Pulse("a", 0, 0, 0, fit=True))
    listen(known, 0, 6)
    assert not known.silent("a")


def test_the_listening_clock_goes_as_time_does_and_never_faster_or_back() -> None:
    known = heard_nothing()
    for half in range(11):
        known.listen(half / 2, fit=True, lag_s=0)
    assert not known.silent("a")
    for at_s in (5, 4, 3):
        known.listen(at_s, fit=True, lag_s=0)
    assert not known.silent("a")
    known.listen(3.25, fit=True, lag_s=0)
    assert known.silent("a")


def test_a_pulse_counts_from_when_it_is_read() -> None:
    known = heard_nothing()
    listen(known, 0, 3)
    known.hear(Pulse("a", 0, 0, 0, fit=True))
    listen(known, 3, 8)
    assert not known.silent("a")
    listen(known, 8, 9)
    assert known.silent("a")


def test_a_later_owner_s_pulses_count_and_an_earlier_one_s_no_more() -> None:
    known = heard_nothing()
    known.hear(Pulse("a", 2, 0, 0, fit=False))
    known.hear(Pulse("a", 1, 99, 0, fit=True))
    known.listen(0, fit=True, lag_s=0)
    assert known.order == ("b", "a")


def test_who_was_refused_stands_behind_the_fit_until_it_has_listened_for_a_while() -> None:
    known = places("a")
    known.step_back()
    assert known.place() == 2
    listen(known, 3, 5, heard="bc")
    assert known.place() == 2
    known.listen(4.5, fit=True, lag_s=0)
    assert known.place() == 0

"""How fast records come and are done, and when a backlog will be gone."""

import math

import pytest

from tocsin.roles.pace import STRETCH_S_MIN, WINDOW_S, Pace


def looked(pace: Pace, from_s: float, to_s: float, *, arrives: float, done: float, behind: int, lag_s: float) -> None:
    """A look each half second while so many a second come and are done."""
    at_s = from_s
    while at_s <= to_s:
        pace.look(at_s, end=round(arrives * at_s), done=round(done * at_s), behind=behind, lag_s=lag_s)
        at_s += 0.5


def test_nothing_is_told_before_there_was_time_to_see_it() -> None:
    pace = Pace()
    looked(pace, 0.0, STRETCH_S_MIN - 0.5, arrives=100, done=50, behind=1000, lag_s=5.0)

    assert (pace.arrival_per_s, pace.capacity_per_s, pace.recover_s) == (None, None, None)


def test_without_a_backlog_the_arrival_is_known_and_the_capacity_is_not() -> None:
    pace = Pace()
    looked(pace, 0.0, 10.0, arrives=100, done=100, behind=3, lag_s=0.1)

    assert pace.arrival_per_s == pytest.approx(100)
    assert (pace.capacity_per_s, pace.recover_s) == (None, 0.0)


def test_with_a_backlog_what_is_done_is_the_capacity_and_the_rest_follows() -> None:
    pace = Pace()
    looked(pace, 0.0, 10.0, arrives=100, done=300, behind=1000, lag_s=20.0)

    assert pace.capacity_per_s == pytest.approx(300)
    assert pace.recover_s == pytest.approx(1000 / 200)


def test_a_backlog_that_grows_is_never_gone() -> None:
    pace = Pace()
    looked(pace, 0.0, 10.0, arrives=100, done=90, behind=1000, lag_s=20.0)

    assert pace.recover_s == math.inf


def test_the_capacity_stays_known_after_the_backlog_is_gone() -> None:
    pace = Pace()
    looked(pace, 0.0, 10.0, arrives=100, done=300, behind=1000, lag_s=20.0)
    looked(pace, 10.5, 60.0, arrives=100, done=100, behind=0, lag_s=0.0)

    assert pace.capacity_per_s == pytest.approx(300)
    assert pace.recover_s == 0.0


def test_a_halt_is_no_measure_of_what_comes_after_it() -> None:
    pace = Pace()
    looked(pace, 0.0, 10.0, arrives=100, done=0, behind=1000, lag_s=20.0)
    assert (pace.capacity_per_s, pace.recover_s) == (0.0, math.inf)

    looked(pace, 10.5, 20.0, arrives=100, done=100, behind=0, lag_s=0.0)
    assert pace.capacity_per_s is None


def test_rates_are_of_the_last_window() -> None:
    pace = Pace()
    looked(pace, 0.0, 10.0, arrives=0, done=0, behind=0, lag_s=0.0)
    looked(pace, 10.5, 10.5 + 2 * WINDOW_S, arrives=50, done=50, behind=0, lag_s=0.0)

    assert pace.arrival_per_s == pytest.approx(50, rel=0.05)

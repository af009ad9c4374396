"""What keeps a provider from being called in vain, or too often."""

import pytest

from tocsin.roles.delivery.breaker import FAILURES_MAX, PAUSE_FIRST_S, PAUSE_S_MAX, Breaker, Rate


def failing(now_s: float = 0.0) -> Breaker:
    """One that has just opened."""
    breaker = Breaker()
    for _ in range(FAILURES_MAX):
        breaker.begin()
        breaker.fail(now_s)
    return breaker


def test_it_opens_after_so_many_failures_in_a_row_and_not_before() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_MAX - 1):
        breaker.fail(0.0)
    assert breaker.opens_in_s(0.0) == 0.0
    breaker.succeed()
    breaker.fail(0.0)
    assert not breaker.is_open
    assert failing().opens_in_s(0.0) == PAUSE_FIRST_S


def test_an_open_one_lets_one_probe_through_and_closes_when_that_succeeds() -> None:
    breaker = failing()
    assert breaker.opens_in_s(PAUSE_FIRST_S) == 0.0
    breaker.begin()
    assert breaker.opens_in_s(PAUSE_FIRST_S) > 0.0
    breaker.succeed()
    assert breaker.opens_in_s(PAUSE_FIRST_S) == 0.0
    assert not breaker.is_open


def test_each_probe_that_fails_doubles_the_pause_up_to_a_limit() -> None:
    breaker, now_s, pauses = failing(), 0.0, []
    for _ in range(6):
        pauses.append(breaker.opens_in_s(now_s))
        now_s += pauses[-1]
        breaker.begin()
        breaker.fail(now_s)
    assert pauses == [2.0, 4.0, 8.0, 16.0, PAUSE_S_MAX, PAUSE_S_MAX]


def test_calls_that_were_under_way_when_it_opened_do_not_lengthen_the_pause() -> None:
    breaker = failing()
    for _ in range(10):
        breaker.fail(0.0)
    assert breaker.opens_in_s(0.0) == PAUSE_FIRST_S


@pytest.mark.parametrize(("per_s", "at_once"), [(10.0, 10), (1.0, 1), (0.1, 1)])
def test_a_rate_lets_so_many_through_at_once_and_then_one_each_time(per_s: float, at_once: int) -> None:
    rate = Rate(per_s, 0.0)
    assert [rate.wait_s(0.0) for _ in range(at_once)] == [0.0] * at_once
    pause_s = rate.wait_s(0.0)
    assert pause_s == pytest.approx(1 / per_s)
    assert rate.wait_s(pause_s + 1e-6) == 0.0
    assert rate.wait_s(pause_s + 1e-6) > 0.0

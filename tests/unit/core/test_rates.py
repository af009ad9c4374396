"""Rates: never above the limit in any minute, never refused below it, and each service by itself."""

from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.rates import WINDOW_S, Rates

STEPS = st.lists(st.tuples(st.floats(0, 40), st.sampled_from("ab")), max_size=80)


def test_up_to_the_limit_all_are_taken_at_once_and_the_next_is_told_how_long_to_wait() -> None:
    rates = Rates()

    assert [rates.take("a", 3, 100.5) for _ in range(4)] == [0, 0, 0, WINDOW_S + 1]
    assert rates.take("a", 3, 130.0) == 31
    assert rates.take("a", 3, 161.0) == 0


def test_a_service_takes_nothing_of_anothers() -> None:
    rates = Rates()
    for _ in range(50):
        rates.take("noisy", 10, 1.0)

    assert [rates.take("quiet", 10, 1.0) for _ in range(10)] == [0] * 10


def test_who_waits_as_told_is_taken() -> None:
    rates = Rates()
    for second in range(5):
        rates.take("a", 5, float(second))
    wait_s = rates.take("a", 5, 5.0)

    assert wait_s == 56
    assert rates.take("a", 5, 5.0 + wait_s - 1) > 0
    assert rates.take("a", 5, 5.0 + wait_s) == 0


def test_a_limit_that_is_lowered_holds_at_once_and_says_when_enough_is_over() -> None:
    rates = Rates()
    for second in (0, 10, 20):
        rates.take("a", 3, float(second))

    assert rates.take("a", 2, 20.0) == 51  # two of the three must be over: the second one is at 71
    assert rates.take("a", 2, 71.0) == 0


def test_services_that_are_silent_are_forgotten() -> None:
    rates = Rates()
    for n in range(1_000):
        rates.take(n, 10, 1.0)
    assert len(rates) == 1_000

    rates.take("a", 10, 2.0 * WINDOW_S + 3)
    assert len(rates) == 1


@given(STEPS, st.integers(1, 6))
def test_in_no_minute_more_is_taken_than_the_limit_and_nothing_is_refused_that_fits(
    steps: list[tuple[float, str]], limit: int
) -> None:
    rates = Rates()
    taken: dict[str, list[float]] = {"a": [], "b": []}
    now_s = 1_000.0
    for step_s, service in steps:
        now_s += step_s
        wait_s = rates.take(service, limit, now_s)
        recent = [at for at in taken[service] if at > now_s - WINDOW_S - 2]
        assert wait_s == 0 or len(recent) >= limit
        assert 0 <= wait_s <= WINDOW_S + 1
        if wait_s == 0:
            taken[service].append(now_s)
        for at in taken[service]:
            assert sum(1 for other in taken[service] if at <= other < at + WINDOW_S) <= limit


def test_what_is_left_of_a_limit_and_when_all_of_it_is_free_again_is_known() -> None:
    rates = Rates()
    assert rates.left("a", 5, 100.5) == (5, 0)

    for _ in range(3):
        rates.take("a", 5, 100.5)
    rates.take("a", 5, 110.0)

    assert rates.left("a", 5, 110.0) == (1, 61)
    assert rates.left("a", 2, 110.0) == (0, 61)
    assert rates.left("a", 5, 170.0) == (4, 1)
    assert rates.left("a", 5, 171.0) == (5, 0)
    assert rates.left("b", 5, 110.0) == (5, 0)


def test_a_limit_of_none_at_all_is_told_to_wait_a_whole_window() -> None:
    assert Rates().take("a", 0, 5.0) == WINDOW_S + 1


def test_events_of_one_second_are_one_count_however_late_in_it_they_come() -> None:
    rates = Rates()
    for at_s in (100.0, 100.9, 101.1):
        rates.take("a", 3, at_s)
    assert len(rates._windows["a"]._counts) == 2
    assert rates.left("a", 3, 101.9) == (0, WINDOW_S + 1)
    assert rates.take("a", 3, 101.9) == WINDOW_S
    assert rates.left("a", 3, 161.5) == (2, 1)
    assert rates.left("b", 3, 0.0) == (3, 0)


def test_silent_services_are_looked_for_once_a_window() -> None:
    rates = Rates()
    rates.take("old", 10, 1.0)
    rates.take("a", 10, 61.0)
    assert len(rates) == 2
    rates.take("a", 10, 62.0)
    assert len(rates) == 2  # 61 seconds after it, its second is only half over
    rates.take("a", 10, 121.9)
    assert len(rates) == 2
    rates.take("a", 10, 122.0)
    assert len(rates) == 1

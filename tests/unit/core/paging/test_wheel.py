"""The timer: nothing near wakes early, nothing wakes more than a tick late, and what was moved wakes once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.paging.wheel import COARSE_TICKS, FAR_TICKS, NOWHERE, TICK_US, Wheel

NEAR_US = FAR_TICKS * TICK_US
MOMENTS = st.integers(0, 3 * NEAR_US)


class Item:
    def __init__(self) -> None:
        self.slot = NOWHERE


def wakes(wheel: Wheel[Item], item: Item, at_us: int, step_us: int) -> int:
    """When it is awake at last: what wakes early looks again and waits anew."""
    now_us = 0
    wheel.put(item, at_us, now_us)
    while True:
        if item in wheel.expire(now_us):
            if now_us >= at_us:
                return now_us
            wheel.put(item, at_us, now_us)
        now_us += step_us


@given(MOMENTS)
def test_it_wakes_within_a_tick_of_its_moment(at_us: int) -> None:
    assert at_us <= wakes(Wheel(), Item(), at_us, TICK_US) < at_us + 2 * TICK_US


@given(st.integers(0, NEAR_US - COARSE_TICKS * TICK_US))
def test_what_is_near_never_wakes_early(at_us: int) -> None:
    wheel: Wheel[Item] = Wheel()
    wheel.put(Item(), at_us, 0)
    assert wheel.expire(at_us - 1) == []
    assert len(wheel.expire(at_us + TICK_US)) == 1


@given(st.lists(st.tuples(st.sampled_from(["put", "hasten", "remove"]), MOMENTS), max_size=20))
def test_it_wakes_once_however_often_it_is_moved(moves: list[tuple[str, int]]) -> None:
    wheel: Wheel[Item] = Wheel()
    item = Item()
    for move, at_us in moves:
        if move == "remove":
            wheel.remove(item)
        elif move == "put":
            wheel.put(item, at_us, 0)
        else:
            wheel.hasten(item, at_us, 0)
    waits = item.slot != NOWHERE
    assert len(wheel) == waits
    assert wheel.expire(4 * NEAR_US) == [item] * waits
    assert (len(wheel), wheel.wakes_us()) == (0, None)


def test_hastening_never_delays() -> None:
    wheel: Wheel[Item] = Wheel()
    item = Item()
    wheel.put(item, 10 * TICK_US, 0)
    wheel.hasten(item, 20 * TICK_US, 0)
    assert wheel.wakes_us() == 10 * TICK_US
    wheel.hasten(item, 5 * TICK_US, 0)
    assert wheel.expire(5 * TICK_US) == [item]


def test_a_million_moments_of_a_day_are_few_buckets() -> None:
    wheel: Wheel[Item] = Wheel()
    for n in range(10_000):
        wheel.put(Item(), NEAR_US * 2 + n * 100, 0)
    assert len(wheel._buckets) <= 2


@pytest.mark.parametrize(("at_us", "tick"), [(-5 * TICK_US, 0), (0, 0), (1, 1), (TICK_US, 1), (TICK_US + 1, 2)])
def test_moments_of_one_tick_wake_together_at_its_end_and_none_before_the_first(at_us: int, tick: int) -> None:
    wheel: Wheel[Item] = Wheel()
    wheel.put(Item(), at_us, 0)
    assert wheel.wakes_us() == tick * TICK_US


@pytest.mark.parametrize(("ticks", "tick"), [(FAR_TICKS, FAR_TICKS + 1), (FAR_TICKS + 1, FAR_TICKS)])
def test_what_is_farther_off_than_the_limit_wakes_early_and_nothing_else_does(ticks: int, tick: int) -> None:
    wheel: Wheel[Item] = Wheel()
    wheel.put(Item(), (1 + ticks) * TICK_US, TICK_US)
    assert wheel.wakes_us() == tick * TICK_US

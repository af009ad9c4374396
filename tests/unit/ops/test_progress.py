"""How fast a source goes, from two looks at it."""

import pytest

from tocsin.ops.progress import Pace, SourceState, pace


def state(done: int, end: int, *, lag_s: float = 60.0) -> SourceState:
    return SourceState("a", low=done, done=done, log_start=0, log_end=end, lag_records=end - done, lag_s=lag_s)


def test_a_backlog_that_shrinks_tells_spare_capacity_and_time_to_recover() -> None:
    assert pace(state(0, 1_000), state(300, 1_100), 2.0) == Pace(50.0, 150.0, 100.0, 8.0)


def test_a_backlog_that_grows_is_never_worked_off() -> None:
    assert pace(state(0, 1_000), state(100, 1_200), 1.0) == Pace(200.0, 100.0, -100.0, None)


@pytest.mark.parametrize(("before", "after"), [((10, 10), (30, 30)), ((0, 10), (30, 30)), ((10, 10), (20, 30))])
def test_without_a_backlog_all_the_time_spare_capacity_does_not_show(
    before: tuple[int, int], after: tuple[int, int]
) -> None:
    found = pace(state(*before), state(*after), 1.0)
    assert found is not None
    assert (found.arrival_per_s, found.spare_per_s, found.recover_s) == (20.0, None, None)


def test_what_lacks_its_log_or_its_account_has_no_pace() -> None:
    assert pace(SourceState("a", low=3), state(3, 4), 1.0) is None
    assert pace(state(3, 4), SourceState("a", log_end=4), 1.0) is None


def test_what_waits_for_less_than_the_time_between_the_looks_is_no_backlog() -> None:
    found = pace(state(9, 10), state(10, 11, lag_s=0.2), 1.0)
    assert found is not None
    assert found.spare_per_s is None

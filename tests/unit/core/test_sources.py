"""What is done, in hand and to be fetched of one partition number's sources."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.harness_parts import request
from tocsin.core.limits import Limits
from tocsin.core.progress import Anchor, Coordinates, Runs, SourceProgress
from tocsin.core.sources import WAITING_MAX, Fetch, Hand, Sources

LIMITS = Limits(set_records_max=10, reach_records=100, flush_every_s=0.5)


def sources(
    low: int = 0, *, reach: int = 0, runs: list[tuple[int, int]] | None = None, unclean: bool = False
) -> Sources:
    progress = SourceProgress(Coordinates("c", "requests", "1", 0), Runs(low, runs or []), reach=reach)
    return Sources({"requests": progress}, LIMITS, unclean=unclean)


def save(of: Sources, now_s: float = 0.0, *, ok: bool = True) -> None:
    of.row(0, 1, now_s, clean=False)
    of.saved(ok=ok)


def test_nothing_is_fetched_before_the_reach_is_saved() -> None:
    mine = sources(low=5)
    assert mine.fetches() == []
    assert mine.save_due(0.0)
    row = mine.row(0, 1, 0.0, clean=False)
    assert mine.fetches() == [], "asked for is not saved"
    mine.saved(ok=True)
    assert mine.fetches() == [Fetch("requests", 5, 10)]
    assert row.sources["requests"].reach == 105


def test_a_save_that_failed_widens_nothing_and_is_due_again() -> None:
    mine = sources()
    save(mine, ok=False)
    assert mine.fetches() == []
    assert not mine.save_due(0.4)
    assert mine.save_due(0.5)


def test_no_fetch_goes_beyond_the_saved_reach() -> None:
    mine = sources()
    save(mine)
    mine.passed("requests", 95, None)
    assert mine.fetches() == [Fetch("requests", 95, 5)]
    mine.passed("requests", 100, None)
    assert mine.fetches() == []
    assert mine.save_due(1.0), "the reach must be moved on, though nothing is done"


def test_one_save_at_a_time_on_change_and_once_an_interval() -> None:
    mine = sources()
    save(mine)
    assert not mine.save_due(9.0), "nothing has changed"
    mine.done("requests", 0, 1)
    assert not mine.save_due(0.4)
    assert mine.save_due(0.5)
    mine.row(0, 1, 0.5, clean=False)
    mine.done("requests", 1, 2)
    assert not mine.save_due(9.0), "one is under way"
    mine.saved(ok=True)
    assert mine.save_due(9.0)


def test_a_row_is_a_copy() -> None:
    mine = sources()
    row = mine.row(0, 1, 0.0, clean=False)
    mine.done("requests", 0, 9)
    assert row.sources["requests"].runs == Runs(0)


def test_after_an_unclean_stop_what_is_below_the_reach_is_suspect_and_nothing_else() -> None:
    mine = sources(reach=50, unclean=True)
    assert mine.is_suspect("requests", 49)
    assert not mine.is_suspect("requests", 50)
    assert not sources(reach=50).is_suspect("requests", 0)


def test_a_fetch_goes_on_above_what_is_done() -> None:
    mine = sources(runs=[(3, 40)])
    save(mine)
    mine.passed("requests", 3, None)
    assert mine.fetches() == [Fetch("requests", 40, 10)]


@given(
    st.integers(0, 30),
    st.integers(0, 30),
    st.sets(st.integers(0, 60)),
)
def test_a_hand_is_done_but_for_its_holes(start: int, length: int, anywhere: set[int]) -> None:
    end = start + length
    holes = {hole for hole in anywhere if start <= hole < end}
    mine = sources()
    mine.finish(Hand("requests", [], [], span=(start, end), holes=holes))
    done = {offset for offset in range(70) if offset in mine.runs("requests")}
    assert done == set(range(start, end)) - holes


def test_a_hand_without_a_span_is_done_at_its_own_offsets_alone() -> None:
    mine = sources()
    mine.finish(Hand("requests", [1, 4, 6], [request(1)] * 3, holes={4}))
    assert list(mine.runs("requests")) == [(1, 2), (6, 7)]


def test_a_tick_counts_once_all_below_it_is_done() -> None:
    mine = sources()
    mine.tick("requests", 2, 1_000)
    mine.tick("requests", 5, 2_000)
    mine.done("requests", 1, 4)
    mine.settle()
    assert mine.row(0, 1, 0.0, clean=False).sources["requests"].tick_us == 0
    mine.done("requests", 0, 1)
    assert mine.row(0, 1, 0.0, clean=False).sources["requests"].tick_us == 1_000
    mine.done("requests", 4, 6)
    assert mine.row(0, 1, 0.0, clean=False).sources["requests"].tick_us == 2_000


def test_the_anchor_is_the_last_record_below_the_watermark() -> None:
    mine = sources()
    mine.passed("requests", 5, Anchor(4, b"4"))
    mine.passed("requests", 9, Anchor(8, b"8"))
    mine.done("requests", 0, 7)
    assert mine.row(0, 1, 0.0, clean=False).sources["requests"].anchor == Anchor(4, b"4")
    mine.done("requests", 7, 9)
    assert mine.row(0, 1, 0.0, clean=False).sources["requests"].anchor == Anchor(8, b"8")


def test_ticks_and_anchors_above_a_held_request_are_bounded_and_the_newest_stays() -> None:
    mine = sources()
    count = 3 * WAITING_MAX
    for n in range(1, count + 1):
        mine.tick("requests", n, n)
        mine.passed("requests", n + 1, Anchor(n, b"%d" % n))
    assert len(mine._ticks["requests"]) <= WAITING_MAX
    assert len(mine._anchors["requests"]) <= WAITING_MAX
    mine.done("requests", 0, count + 1)
    row = mine.row(0, 1, 0.0, clean=False).sources["requests"]
    assert count - row.tick_us <= 8
    assert row.anchor is not None
    assert count - row.anchor.offset <= 8


def test_a_tick_or_anchor_at_the_watermark_waits_until_it_is_below() -> None:
    mine = sources()
    mine.tick("requests", 3, 77)
    mine.passed("requests", 4, Anchor(3, b"three"))
    mine.done("requests", 0, 3)
    row = mine.row(0, 1, 0.0, clean=False).sources["requests"]
    assert (row.tick_us, row.anchor) == (0, None)
    mine.done("requests", 3, 4)
    row = mine.row(0, 1, 0.0, clean=False).sources["requests"]
    assert (row.tick_us, row.anchor) == (77, Anchor(3, b"three"))


def test_the_last_record_below_the_saved_reach_is_fetched() -> None:
    mine = sources()
    save(mine)
    mine.passed("requests", 99, None)
    assert mine.fetches() == [Fetch("requests", 99, 1)]


@pytest.mark.parametrize(("position", "due"), [(50, False), (51, False), (52, True)])
def test_a_save_is_due_when_less_than_half_the_reach_is_left_though_nothing_was_done(position: int, due: bool) -> None:  # noqa: FBT001
    progress = SourceProgress(Coordinates("c", "requests", "1", 0), Runs())
    mine = Sources({"requests": progress}, Limits(reach_records=101), unclean=False)
    save(mine)
    mine.passed("requests", position, None)
    assert mine.save_due(9.0) is due


def test_what_a_failed_save_held_is_saved_by_the_next() -> None:
    mine = sources()
    save(mine)
    mine.done("requests", 0, 1)
    save(mine, 1.0, ok=False)
    assert mine.save_due(2.0)
    save(mine, 2.0)
    assert not mine.save_due(3.0)


@pytest.mark.parametrize(("waiting", "applied"), [(WAITING_MAX, 3), (WAITING_MAX + 1, 2)])
def test_of_more_ticks_than_may_wait_every_second_one_is_forgotten(waiting: int, applied: int) -> None:
    mine = sources()
    for n in range(waiting):
        mine.tick("requests", n, n)
    mine.done("requests", 0, 4)
    assert mine.row(0, 1, 0.0, clean=False).sources["requests"].tick_us == applied


@pytest.mark.parametrize(
    ("position", "runs", "log_start", "lost"),
    [
        (0, [], 0, []),
        (0, [], 5, [(0, 5)]),
        (3, [], 5, [(3, 5)]),
        (7, [], 5, []),
        (0, [(2, 4)], 5, [(0, 2), (4, 5)]),
        (0, [(2, 9)], 5, [(0, 2)]),
        (3, [(2, 9)], 5, []),
        (0, [(7, 9)], 5, [(0, 5)]),
    ],
)
def test_what_retention_took_unread_is_named_exactly(
    position: int, runs: list[tuple[int, int]], log_start: int, lost: list[tuple[int, int]]
) -> None:
    mine = sources(runs=runs)
    mine.passed("requests", position, None)
    assert mine.lose("requests", log_start) == lost
    mine.passed("requests", max(position, log_start), None)
    assert mine.lose("requests", log_start) == [], "it is lost once"
    for start, end in lost:
        assert not any(offset in mine.runs("requests") for offset in range(start, end)), "done when it is recorded"

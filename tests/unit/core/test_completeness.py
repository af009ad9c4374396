"""Complete-until: the lowest tick of all that vouch, less what minting, appending and clocks may take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.completeness import complete_until, covers
from tocsin.core.progress import Coordinates, ProgressRow, Runs, SourceProgress

S = 1_000_000
REGIONS = ("a", "b")


def row(partition: int, epoch: int = 1, **ticks_s: int) -> ProgressRow:
    """An owner's account with the newest tick of each region, in seconds."""
    return ProgressRow(
        partition,
        epoch,
        clean=True,
        sources={
            region: SourceProgress(Coordinates("c", region, "1", partition), Runs(), tick_us=tick_s * S)
            for region, tick_s in ticks_s.items()
        },
    )


def test_it_is_the_lowest_tick_less_seven_seconds() -> None:
    assert complete_until([row(0, a=100, b=90), row(1, a=110, b=120)], 2, REGIONS, ()) == 83 * S


def test_the_newest_account_of_a_partition_counts() -> None:
    rows = [row(0, epoch=1, a=50, b=100), row(0, epoch=2, a=100), row(0, epoch=3, a=60, b=70)]

    assert complete_until(rows, 1, REGIONS, ()) == 93 * S


def test_a_drained_region_does_not_hold_it_back() -> None:
    rows = [row(0, a=100, b=10)]

    assert complete_until(rows, 1, REGIONS, ["b"]) == 93 * S
    assert complete_until(rows, 1, REGIONS, ["a"]) == 3 * S


@pytest.mark.parametrize(
    ("rows", "partitions", "drained"),
    [
        ([], 1, ()),
        ([row(0, a=100)], 1, ()),
        ([row(0, a=100, b=0)], 1, ()),
        ([row(0, a=100, b=100)], 2, ()),
        ([row(0, a=100, b=100)], 1, ("a", "b")),
    ],
)
def test_nothing_is_sure_while_a_source_has_no_tick_or_nobody_vouches(
    rows: list[ProgressRow], partitions: int, drained: tuple[str, ...]
) -> None:
    assert complete_until(rows, partitions, REGIONS, drained) is None


@given(st.integers(0, 2**32 - 1), st.integers(0, 999_999))
def test_an_id_is_covered_only_when_its_whole_second_is_over(second: int, within_us: int) -> None:
    temporal_id = second << 32 | 7

    assert covers((second + 1) * S, temporal_id)
    assert not covers(second * S + within_us, temporal_id)
    assert not covers(None, temporal_id)

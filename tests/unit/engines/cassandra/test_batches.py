"""Batches: of one partition, within limits, in order, with nothing left out."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.engines.cassandra.batches import BATCH_BYTES_MAX, STATEMENT_BYTES, Unit, batches_of, grouped

LIMIT = 10
UNITS = st.lists(
    st.builds(
        lambda partition, count, size: Unit(partition, [("CQL", (n,)) for n in range(count)], size),
        st.integers(0, 3),
        st.integers(1, 2 * LIMIT),
        st.integers(0, 2 * BATCH_BYTES_MAX),
    ),
    max_size=30,
)


def size_of(units: Sequence[Unit]) -> int:
    return sum(unit.bytes + len(unit.statements) * STATEMENT_BYTES for unit in units)


@given(UNITS)
def test_every_unit_is_in_one_group_of_its_partition_and_in_order(units: list[Unit]) -> None:
    groups = grouped(units, statements_max=LIMIT)

    assert sorted(index for group in groups for index in group) == list(range(len(units)))
    assert all(group == sorted(group) for group in groups)
    assert all(len({units[index].partition for index in group}) == 1 for group in groups)


@given(UNITS)
def test_a_group_of_several_is_within_the_limits(units: list[Unit]) -> None:
    for group in grouped(units, statements_max=LIMIT):
        some = [units[index] for index in group]
        assert len(some) == 1 or sum(len(unit.statements) for unit in some) <= LIMIT
        assert len(some) == 1 or size_of(some) <= BATCH_BYTES_MAX


@given(UNITS)
def test_neighbours_that_fit_together_are_together(units: list[Unit]) -> None:
    groups = grouped(units, statements_max=LIMIT)

    for partition in {unit.partition for unit in units}:
        own = [group for group in groups if units[group[0]].partition == partition]
        for group, following in pairwise(own):
            some = [units[index] for index in (*group, following[0])]
            assert sum(len(unit.statements) for unit in some) > LIMIT or size_of(some) > BATCH_BYTES_MAX


@pytest.mark.parametrize(("count", "size"), [(1, 10 * BATCH_BYTES_MAX), (LIMIT, 1), (LIMIT + 1, 1), (50, 200_000)])
def test_a_unit_that_is_too_large_for_one_batch_is_as_many_as_it_takes(count: int, size: int) -> None:
    unit = Unit("p", [("CQL", (n,)) for n in range(count)], size)

    batches = batches_of([unit], LIMIT)

    assert [statement for batch in batches for statement in batch] == unit.statements
    assert all(len(batch) <= LIMIT for batch in batches)
    assert all(len(batch) == 1 or len(batch) * size / count <= BATCH_BYTES_MAX for batch in batches)

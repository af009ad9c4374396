"""The cell of an entry: that Cassandra's own order of times and bytes finds the entry among several records."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.store_rows import entry, key
from tocsin.core.entries import Entry
from tocsin.engines.cassandra.entry_cell import UNENCODABLE, decode, encode, write_time

REGIONS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ENTRIES = st.builds(
    lambda received_us, region, action, body: entry(received_us=received_us, region=region, action=action, body=body),
    st.integers(-(2**40), 2**62 - 1),
    REGIONS,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.binary(max_size=40),
)


def settled(entries: list[Entry]) -> Entry:
    """What Cassandra keeps of the writes of one cell: the highest write time, and of two alike the highest bytes."""
    return max(entries, key=lambda one: (write_time(one.received_us), encode(one)))


@given(ENTRIES)
def test_an_entry_survives_its_cell(written: Entry) -> None:
    assert decode(written.key, encode(written)) == written


@given(st.lists(ENTRIES, min_size=1, max_size=5, unique_by=lambda one: (one.received_us, one.region)))
def test_of_several_records_the_one_stays_that_precedes_all_others(records: list[Entry]) -> None:
    assert all(settled(records).precedes(other) for other in records if other is not settled(records))


@pytest.mark.parametrize("regions", list(permutations(["a", "aa", "a\0", "a\0\0", "b", "é"], 2)))
def test_of_two_records_of_one_microsecond_the_lower_region_stays(regions: tuple[str, str]) -> None:
    records = [entry(region=region) for region in regions]
    assert settled(records).region == min(regions)


@given(st.integers(-(2**40), 2**62 - 1))
def test_a_write_time_is_one_that_cassandra_takes(received_us: int) -> None:
    assert 0 < write_time(received_us) < 2**63 - 1


@pytest.mark.parametrize(
    "written",
    [
        entry(region="\ud800"),
        entry(action="\ud800"),
        entry(received_us=2**63),
        entry()._replace(schema=2**63),
        entry(action="x" * 65_536),
    ],
    ids=["region", "action", "received", "schema", "long action"],
)
def test_what_no_cell_can_hold_is_refused(written: Entry) -> None:
    with pytest.raises(UNENCODABLE):
        encode(written)


@pytest.mark.parametrize("cell", [b"", b"\xff\xff", encode(entry())[:8]])
def test_a_damaged_cell_is_told(cell: bytes) -> None:
    with pytest.raises(ValueError, match=r"damaged|not found"):
        decode(key(), cell)

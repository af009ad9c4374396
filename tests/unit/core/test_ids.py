"""Ids, parents, digests and partitions: what names a request, in every region and for ever."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.strategies import IDS, PARENTS
from tocsin.core.ids import (
    DIGEST_BYTES,
    PARENT_BYTES_MAX,
    SECONDS_MAX,
    SECONDS_REMEMBERED,
    Minter,
    Parent,
    RequestKey,
    collision_odds,
    digest,
    format_id,
    id_seconds,
    parse_id,
    parse_printed,
    partition_of,
)


@pytest.mark.parametrize(
    ("service", "dedup_key", "of_4", "of_64", "of_997"),
    [
        ("demo", "disk/web-01", 0, 56, 132),
        ("PSERVICE1", "0b4d1f3c9a7e4f54a1c7d6c2f0a1b2c3", 0, 16, 70),
        ("payments", "", 2, 2, 647),
        ("zahlungen", "größe-überschritten", 0, 40, 945),
        ("svc", "\U0001f525", 0, 28, 524),
    ],
)
def test_the_partition_of_a_parent_never_changes(
    service: str, dedup_key: str, of_4: int, of_64: int, of_997: int
) -> None:
    # A one-way door: other numbers here mean that running regions and their logs disagree about every parent.
    parent = Parent(service, dedup_key)

    assert (partition_of(parent, 4), partition_of(parent, 64), partition_of(parent, 997)) == (of_4, of_64, of_997)


@given(PARENTS, st.integers(1, 10_000))
def test_every_parent_has_a_partition(parent: Parent, partitions: int) -> None:
    assert 0 <= partition_of(parent, partitions) < partitions


def test_parents_spread_over_all_partitions() -> None:
    counts = [0] * 16
    for n in range(16_000):
        counts[partition_of(Parent("demo", f"alert-{n}"), 16)] += 1

    assert min(counts) > 850
    assert max(counts) < 1150


def test_a_digest_never_changes() -> None:
    assert digest(b"service\0key", b"{}").hex() == "bef1a205ec1701ca8d13ed6e2d672793"


@given(st.lists(st.binary(), max_size=4), st.lists(st.binary(), max_size=4))
def test_a_digest_tells_where_its_parts_end(one: list[bytes], other: list[bytes]) -> None:
    assert (digest(*one) == digest(*other)) == (one == other)
    assert len(digest(*one)) == DIGEST_BYTES


@given(PARENTS)
def test_a_parent_survives_the_way_through_a_record(parent: Parent) -> None:
    assert Parent.decode(parent.encode()) == parent


@given(PARENTS, st.sampled_from([1, 2, 16, 64, 256]))
def test_the_shards_of_one_partition_are_no_other_partitions(parent: Parent, partitions: int) -> None:
    assert parent.place[0] % partitions == partition_of(parent, partitions)
    assert parent.place[1:] == parent.encode()


@given(st.binary())
def test_bytes_that_are_no_parent_raise_value_error_only(raw: bytes) -> None:
    try:
        parent = Parent.decode(raw)
    except ValueError:
        return
    assert parent.encode() == raw


@pytest.mark.parametrize(
    "raw", [b"", b"service", b"\0key", b"a\0b\0c", b"\xff\0key", b"a\0" + b"x" * PARENT_BYTES_MAX], ids=len
)
def test_a_malformed_parent_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a parent|utf-8"):
        Parent.decode(raw)


@given(IDS)
def test_an_id_survives_being_printed(temporal_id: int) -> None:
    assert parse_id(format_id(temporal_id)) == temporal_id


@pytest.mark.parametrize(
    "text",
    ["", "5d684054fc3540a0", "0x5d684054fc3540a", "0x5d684054fc3540a00", "0X5d684054fc3540a0", "0x5D684054FC3540A0",
     "0x5d684054fc3540a0\n", " 0x5d684054fc3540a0", "0x5d684054fc3540g0", "0x\u0665d684054fc3540a0"],
)  # fmt: skip
def test_only_the_printed_form_is_an_id(text: str) -> None:
    with pytest.raises(ValueError, match="not a temporal id"):
        parse_id(text)


@given(IDS, st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES))
def test_a_printed_key_names_the_id_and_the_digests_first_six_bytes(temporal_id: int, full: bytes) -> None:
    key = RequestKey(Parent("s", "k"), temporal_id, full)

    assert parse_printed(str(key)) == (temporal_id, full[:6])


@pytest.mark.parametrize("text", ["0x5d684054fc3540a0", "0x5d684054fc3540a0.", "0x5d684054fc3540a0.0123456789abcdef"])
def test_only_the_printed_form_is_a_request_key(text: str) -> None:
    with pytest.raises(ValueError, match="not a request key"):
        parse_printed(text)


@given(st.integers(0, SECONDS_MAX), st.lists(st.integers(0, 2**32 - 1).map(lambda n: n % 5 or n), max_size=60))
def test_ids_of_one_second_are_all_different_and_carry_it(second: int, draws: list[int]) -> None:
    minter = Minter()

    ids = [minter.mint(second, drawn) for drawn in draws]

    assert len(set(ids)) == len(ids)
    assert all(id_seconds(minted) == second for minted in ids)


def test_the_search_for_a_free_value_wraps_around() -> None:
    minter = Minter()

    ids = [minter.mint(7, 0xFFFF_FFFF) for _ in range(3)]

    assert ids == [7 << 32 | 0xFFFF_FFFF, 7 << 32, 7 << 32 | 1]


def test_a_drawn_value_may_be_used_again_in_the_next_second() -> None:
    minter = Minter()

    assert minter.mint(1, 5) == 1 << 32 | 5
    assert minter.mint(2, 5) == 2 << 32 | 5


def test_a_clock_that_steps_back_repeats_no_id() -> None:
    minter = Minter()

    ids = [minter.mint(second, 5) for second in (100, 99, 100, 98, 97, 99, 100)]

    assert len(set(ids)) == len(ids)


def test_a_minter_remembers_a_bounded_number_of_seconds() -> None:
    minter = Minter()
    for second in range(100):
        minter.mint(second, 5)

    assert len(minter._used) == SECONDS_REMEMBERED


@pytest.mark.parametrize("second", [-1, SECONDS_MAX + 1])
def test_a_second_that_does_not_fit_is_refused(second: int) -> None:
    with pytest.raises(ValueError, match="does not fit in 32 bits"):
        Minter().mint(second, 0)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 100, 1_000, 5_000])
def test_the_odds_are_those_of_the_birthday_problem(n: int) -> None:
    all_different = math.prod(1 - i / 2**32 for i in range(n))

    assert collision_odds(n) == pytest.approx(1 - all_different, rel=2e-3, abs=1e-15)


def test_a_thousand_a_second_under_one_parent_collide_ten_times_a_day() -> None:
    assert collision_odds(1_000) * 86_400 == pytest.approx(10, rel=0.01)


def test_a_parent_of_the_largest_size_is_one() -> None:
    largest = Parent("a", "x" * (PARENT_BYTES_MAX - 2))
    assert Parent.decode(largest.encode()) == largest

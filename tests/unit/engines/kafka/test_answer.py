"""What a broker sends of a partition: sets are taken from it, gaps are passed, and no odd record stops it."""

from collections.abc import Sequence
from gzip import compress
from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.requests import Record
from tocsin.engines.errors import Unavailable
from tocsin.engines.kafka.answer import Answer
from tocsin.engines.log import Delivered

ATTRIBUTES = 21  # where a checksum begins
CHECKSUM = slice(17, 21)
CONTROL = 0x20
BIG = 10**6


def batch(
    base: int, deltas: Sequence[int], *, length: int | None = None, attributes: int = 0, gzip: bool = False, **of: Any
) -> bytes:
    """A batch that had `length` records from `base` on, of which those at `deltas` are left."""
    builder = DefaultRecordBatchBuilder(
        2,
        compression_type=int(gzip),
        is_transactional=0,
        producer_id=1,
        producer_epoch=0,
        base_sequence=0,
        batch_size=BIG,
    )
    for delta in deltas:
        given = {"key": b"%d" % (base + delta), "value": b"v", "headers": [("h", b"x")]} | of
        builder.append(delta, 1_000 + delta, given["key"], given["value"], given["headers"])
    last = (max(deltas, default=-1) if length is None else length - 1).to_bytes(4, "big")
    return sealed(builder.build(), base, attributes, last)


def sealed(raw: bytearray, base: int, attributes: int = 0, last: bytes | None = None) -> bytes:
    """A batch at its place, with a checksum that fits."""
    raw[:8] = base.to_bytes(8, "big")
    raw[22] |= attributes
    if last is not None:
        raw[23:27] = last
    raw[CHECKSUM] = calc_crc32c(bytes(raw[ATTRIBUTES:])).to_bytes(4, "big")
    return bytes(raw)


def offsets(answer: Answer, records_max: int = 1000, bytes_max: int = BIG) -> list[int]:
    return [each.offset for each in answer.take(records_max, bytes_max).records]


def test_sets_are_taken_one_after_the_other_across_batches() -> None:
    answer = Answer(batch(0, range(3)) + batch(3, range(3)), 1, 0, 6)
    sets = []
    while not answer.ended:
        fetched = answer.take(2, BIG)
        sets.append([each.offset for each in fetched.records])
        assert fetched.next_offset == answer.position == sets[-1][-1] + 1
        assert (fetched.log_start, fetched.log_end) == (0, 6)
    assert sets == [[1, 2], [3, 4], [5]]


def test_a_set_ends_before_the_record_that_is_too_much_and_the_next_begins_with_it() -> None:
    answer = Answer(batch(0, range(4), value=b"x" * 100), 0, 0, 4)
    assert [offsets(answer, bytes_max=220) for _ in range(2)] == [[0, 1], [2, 3]]
    assert Answer(batch(0, range(2), value=b"x" * 100), 0, 0, 2).take(9, 1).next_offset == 1


def test_what_compaction_took_at_the_end_of_a_batch_is_passed() -> None:
    answer = Answer(batch(10, [1, 4], length=20), 10, 0, 99)
    fetched = answer.take(1000, BIG)
    assert [each.offset for each in fetched.records] == [11, 14]
    assert fetched.next_offset == 30
    assert answer.ended


def test_a_batch_of_which_nothing_is_left_is_passed() -> None:
    fetched = Answer(batch(10, [0], length=5), 12, 0, 99).take(1000, BIG)
    assert (fetched.records, fetched.next_offset) == ((), 15)


def test_the_end_of_a_transaction_is_passed_and_no_record() -> None:
    marker = batch(1, [0], attributes=CONTROL, key=b"\0\0\0\1", value=b"\0" * 6)
    fetched = Answer(batch(0, [0]) + marker + batch(2, [0]), 0, 0, 3).take(1000, BIG)
    assert [each.offset for each in fetched.records] == [0, 2]
    assert Answer(marker, 1, 0, 2).take(1000, BIG).next_offset == 2


def test_a_batch_that_is_cut_short_is_left_to_the_next_fetch() -> None:
    answer = Answer(batch(0, range(2)) + batch(2, range(2))[:-1], 0, 0, 4)
    assert answer.take(1000, BIG).next_offset == 2
    assert answer.ended
    assert Answer(b"", 7, 0, 7).take(1000, BIG).next_offset == 7


@pytest.mark.parametrize("gzip", [False, True])
def test_a_header_whose_name_is_no_text_stops_nobody(*, gzip: bool) -> None:
    good = batch(0, range(2))
    headers = [("name!", b"\xff"), ("", None), ("\N{SNOWMAN}", b"")]
    odd = batch(2, range(3), gzip=False, headers=headers, value=None).replace(b"name!", b"na\xffe!")
    if gzip:
        odd = odd[:61] + compress(odd[61:])
        odd = odd[:8] + (len(odd) - 12).to_bytes(4, "big") + odd[12:]
    answer = Answer(good + sealed(bytearray(odd), 2, int(gzip)) + batch(5, [0]), 1, 0, 6)
    fetched = answer.take(3, BIG)
    assert [each.offset for each in fetched.records] == [1, 2, 3]
    read = (("na\N{REPLACEMENT CHARACTER}e!", b"\xff"), ("", b""), ("\N{SNOWMAN}", b""))
    assert fetched.records[2] == Delivered(3, Record(b"3", b"", read, 1_001))
    assert offsets(answer) == [4, 5]


def test_a_damaged_batch_is_said_once_all_before_it_was_taken() -> None:
    damaged = bytearray(batch(2, range(2)))
    damaged[-1] ^= 1
    answer = Answer(batch(0, range(2)) + bytes(damaged), 0, 0, 4)
    assert offsets(answer) == [0, 1]
    assert answer.ended  # the next fetch begins with it
    with pytest.raises(Unavailable, match="batch at offset 2 is damaged"):
        Answer(bytes(damaged), 2, 0, 4).take(1000, BIG)


@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    left=st.sets(st.integers(0, 30)),
    start=st.integers(0, 30),
    records_max=st.integers(1, 4),
)
def test_each_record_that_is_left_is_taken_once_and_the_end_is_reached(
    lengths: list[int], left: set[int], start: int, records_max: int
) -> None:
    raw, base = b"", 0
    for length in lengths:
        kept = [delta for delta in range(length) if base + delta in left]
        raw += batch(base, kept, length=length) if kept else b""  # what is empty goes with its segment, as a rule
        base += length
    answer = Answer(raw, start, 0, base)
    taken = []
    while not answer.ended:
        at = answer.position
        fetched = answer.take(records_max, BIG)
        assert at <= fetched.next_offset
        taken += [each.offset for each in fetched.records]
    assert taken == sorted(offset for offset in left if start <= offset < base)

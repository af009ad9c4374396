"""The codec of requests and ticks, and what becomes of records that strangers wrote."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.strategies import PARENTS, REGIONS, REQUESTS, TIMES
from tocsin.core.ids import NOBODY, Parent, RequestKey, digest
from tocsin.core.requests import (
    H_DIGEST,
    H_ID,
    H_RECEIVED,
    H_REGION,
    H_SCHEMA,
    H_TICK,
    H_TRACE,
    REGION_LENGTH_MAX,
    SCHEMA,
    TIME_US_MAX,
    TRACE_LENGTH_MAX,
    Record,
    Request,
    Tick,
    Unreadable,
    bytes_digest,
    decode_record,
    decode_records,
    encode_request,
    encode_tick,
    trace_of,
)

HEADER_NAMES = st.sampled_from([H_ID, H_DIGEST, H_SCHEMA, H_RECEIVED, H_REGION, H_TICK]) | st.text()
RECORDS = st.builds(
    Record,
    st.none() | st.binary() | PARENTS.map(lambda parent: parent.encode()),
    st.binary(),
    st.lists(
        st.tuples(HEADER_NAMES, st.binary() | st.integers().map(lambda n: b"%d" % n) | st.just(b"0x5d684054fc3540a0"))
    ).map(tuple),
    st.integers(0, 2**63 - 1),
)

REQUEST = Request(
    RequestKey(Parent("demo", "k"), 0x5D684054FC3540A0, b"d" * 16),
    1_700_000_000_123_456,
    "a",
    SCHEMA,
    b"{}",
)


def with_header(name: str, value: bytes | None) -> Record:
    """REQUEST's record with one header replaced, or left out."""
    record = encode_request(REQUEST)
    headers = [(n, v) for n, v in record.headers if n != name]
    return record._replace(headers=tuple(headers if value is None else [*headers, (name, value)]))


@given(REQUESTS)
def test_a_request_survives_the_way_through_the_log(request_: Request) -> None:
    record = encode_request(request_)

    assert decode_record(record) == request_
    assert record.timestamp_ms == request_.received_us // 1000


@given(TIMES, REGIONS)
def test_a_tick_survives_the_way_through_the_log(tick_us: int, region: str) -> None:
    assert decode_record(encode_tick(Tick(tick_us, region))) == Tick(tick_us, region)


@given(RECORDS)
def test_a_record_survives_being_kept_as_bytes(record: Record) -> None:
    assert Record.decode(record.encode()) == record


@given(st.binary())
def test_bytes_that_are_no_record_raise_value_error_only(raw: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert Record.decode(raw).headers is not None


@given(RECORDS)
def test_any_record_decodes_to_something_that_can_be_said(record: Record) -> None:
    content = decode_record(record)

    match content:
        case Request():
            assert decode_record(encode_request(content)) == content
        case Tick():
            assert decode_record(encode_tick(content)) == content
        case Unreadable():
            assert content.reason
            assert content.too_new or content.key == RequestKey(NOBODY, 0, bytes_digest(record))


@given(st.binary(), st.binary(), st.integers(0, 2**40), st.lists(st.tuples(st.text(), st.binary())))
def test_an_undecodable_record_has_one_name_in_every_region(
    key: bytes, value: bytes, timestamp_ms: int, headers: list[tuple[str, bytes]]
) -> None:
    # A mirror keeps key and value; the name must not hang on what a broker may add or change.
    here = decode_record(Record(key, value))
    there = decode_record(Record(key, value, tuple(headers), timestamp_ms))

    assert isinstance(here, Unreadable)
    assert isinstance(there, Unreadable)
    assert here.key == there.key == RequestKey(NOBODY, 0, digest(key, value))


@pytest.mark.parametrize("name", [H_ID, H_DIGEST, H_SCHEMA, H_RECEIVED, H_REGION])
def test_a_missing_header_is_named(name: str) -> None:
    content = decode_record(with_header(name, None))

    assert isinstance(content, Unreadable)
    assert not content.too_new
    assert name in content.reason


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (H_ID, b"5d684054fc3540a0"),
        (H_ID, b"\xff"),
        (H_DIGEST, b"short"),
        (H_SCHEMA, b"0"),
        (H_SCHEMA, b"-1"),
        (H_SCHEMA, b"one"),
        (H_SCHEMA, b"%d" % 2**31),
        (H_RECEIVED, b"-1"),
        (H_RECEIVED, b"1_000"),
        (H_RECEIVED, b" 1"),
        (H_RECEIVED, b""),
        (H_RECEIVED, b"%d" % TIME_US_MAX),
        (H_RECEIVED, b"9" * 100_000),
        (H_REGION, b""),
        (H_REGION, b"\xff"),
        (H_REGION, b"a\0b"),
        (H_REGION, b"a" * (REGION_LENGTH_MAX + 1)),
    ],
)
def test_a_header_that_cannot_be_read_is_shown_in_short(name: str, value: bytes) -> None:
    content = decode_record(with_header(name, value))

    assert isinstance(content, Unreadable)
    assert not content.too_new
    assert content.key.parent == NOBODY
    assert len(content.reason) < 250


@pytest.mark.parametrize(("tick", "region"), [(b"-1", b"a"), (b"9" * 30, b"a"), (b"1", b"")])
def test_a_tick_out_of_range_moves_nothing(tick: bytes, region: bytes) -> None:
    assert isinstance(decode_record(Record(None, b"", ((H_TICK, tick), (H_REGION, region)))), Unreadable)


def test_a_record_with_neither_key_nor_tick_is_undecodable() -> None:
    content = decode_record(Record(None, b"{}"))

    assert isinstance(content, Unreadable)
    assert "no key" in content.reason


def test_of_a_newer_schema_key_and_arrival_are_still_known() -> None:
    content = decode_record(with_header(H_SCHEMA, b"%d" % (SCHEMA + 1)))

    assert isinstance(content, Unreadable)
    assert content.too_new
    assert content.key == REQUEST.key
    assert content.arrival == REQUEST.arrival


def test_a_set_is_decoded_in_order() -> None:
    records = [encode_request(REQUEST), encode_tick(Tick(5, "a")), Record(None, b"")]

    assert decode_records(records) == [decode_record(record) for record in records]


def test_a_ticks_record_says_nothing_but_its_time_and_region() -> None:
    record = encode_tick(Tick(1_700_000_000_123_456, "a"))
    headers = ((H_TICK, b"1700000000123456"), (H_REGION, b"a"))
    assert record == Record(None, b"", headers, 1_700_000_000_123)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Record(None, b"{}"), "undecodable: the record has no key, so no parent"),
        (with_header(H_DIGEST, None), "undecodable: header tocsin-digest is missing"),
        (with_header(H_DIGEST, b"short"), "undecodable: header tocsin-digest holds 5 bytes, not 16"),
        (with_header(H_SCHEMA, b"0"), "undecodable: header tocsin-schema is 0; schema versions start at 1"),
        (
            with_header(H_RECEIVED, b"soon"),
            f"undecodable: header tocsin-received-us is not a number from 0 to {TIME_US_MAX - 1}: b'soon'",
        ),
        (with_header(H_REGION, b""), "undecodable: header tocsin-region is not the name of a region: ''"),
    ],
)
def test_what_is_wrong_with_a_record_is_told_in_words_to_act_on(record: Record, reason: str) -> None:
    content = decode_record(record)

    assert isinstance(content, Unreadable)
    assert content.reason == reason


def test_the_longest_name_of_a_region_is_one() -> None:
    content = decode_record(with_header(H_REGION, b"a" * REGION_LENGTH_MAX))

    assert isinstance(content, Request)
    assert content.region == "a" * REGION_LENGTH_MAX


def test_a_trace_that_follows_a_request_goes_along_and_is_no_part_of_it() -> None:
    followed = encode_request(REQUEST, "00-trace-span-01")

    assert followed == with_header(H_TRACE, b"00-trace-span-01")
    assert decode_record(followed) == REQUEST
    assert (trace_of(followed), trace_of(encode_request(REQUEST))) == ("00-trace-span-01", "")


@pytest.mark.parametrize(
    ("value", "trace"),
    [(b"t" * TRACE_LENGTH_MAX, "t" * TRACE_LENGTH_MAX), (b"t" * (TRACE_LENGTH_MAX + 1), ""), (b"\xc3\xa9", "")],
)
def test_a_trace_that_is_too_long_or_no_ascii_is_none(value: bytes, trace: str) -> None:
    assert trace_of(with_header(H_TRACE, value)) == trace


def test_of_two_traces_the_last_counts_as_of_all_headers() -> None:
    assert trace_of(Record(b"k", b"", ((H_TRACE, b"one"), (H_TRACE, b"two"), (H_TICK, b"1")))) == "two"

"""The log port: what is appended comes back, in order, whole, or is refused whole."""

import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.conftest import Named
from tests.contract.log_adapters import LogAdapter
from tocsin.core.requests import Record
from tocsin.engines.errors import Misconfigured, Refused
from tocsin.engines.log import Delivered, Fetched, Log

MEBIBYTE = 1024 * 1024
ALL_BYTES = bytes(range(256))
NEWEST_MS = 2**40  # in 2004: a log may refuse what lies in the future

records = st.builds(
    Record,
    st.none() | st.binary(max_size=40),
    st.binary(max_size=300),
    st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=10), st.binary(max_size=20))).map(
        tuple
    ),
    st.integers(1, NEWEST_MS),
)


async def fetch_all(log: Log, topic: str, partition: int, offset: int = 0) -> Fetched:
    """All from an offset to the end, as one set: a log may give it in several."""
    records: list[Delivered] = []
    while True:
        fetched = await log.fetch(topic, partition, offset, records_max=10_000, bytes_max=64 * MEBIBYTE, wait_s=0)
        records += fetched.records
        offset = fetched.next_offset
        if offset >= fetched.log_end:
            return fetched._replace(records=tuple(records))


# Each example appends at the end of the same topic: that the log is not fresh is part of what is shown.
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(records, min_size=1, max_size=8))
async def test_records_come_back_whole_and_in_order(log: Log, topic: str, batch: list[Record]) -> None:
    first = await log.append(topic, 1, batch)
    fetched = await fetch_all(log, topic, 1, first)
    assert [delivered.record for delivered in fetched.records] == batch
    offsets = [delivered.offset for delivered in fetched.records]
    assert offsets == sorted(set(offsets))
    assert (offsets[0], offsets[-1] + 1) == (first, fetched.log_end)


async def test_every_byte_and_every_emptiness_survives(log: Log, topic: str, open_log: Callable[[], Log]) -> None:
    batch = [
        Record(ALL_BYTES, ALL_BYTES, (("all", ALL_BYTES), ("all", b"again"), ("", b"")), 1),
        Record(None, b"", (), NEWEST_MS),
        Record(b"", b"\x00", (("\N{SNOWMAN}", b"\xff"),), 7),
    ]
    await log.append(topic, 0, batch)
    for reader in (log, open_log()):
        assert [delivered.record for delivered in (await fetch_all(reader, topic, 0)).records] == batch


async def test_a_record_without_a_time_gets_the_logs_own(log: Log, topic: str) -> None:
    before_ms = int(time.time() * 1000)
    await log.append(topic, 0, [Record(None, b"tick")])
    stamped = (await fetch_all(log, topic, 0)).records[0].record.timestamp_ms
    assert before_ms <= stamped <= time.time() * 1000


async def test_partitions_keep_their_own_order_and_offsets(log: Log, topic: str) -> None:
    for number in range(6):
        await log.append(topic, number % 2, [Record(None, b"%d" % number)])
    for partition, expected in ((0, [b"0", b"2", b"4"]), (1, [b"1", b"3", b"5"])):
        fetched = await fetch_all(log, topic, partition)
        assert [delivered.record.value for delivered in fetched.records] == expected
        assert await log.bounds(topic, partition) == (fetched.records[0].offset, fetched.records[-1].offset + 1)


async def test_append_returns_the_first_records_offset(log: Log, topic: str) -> None:
    first = await log.append(topic, 0, [Record(None, b"a"), Record(None, b"b")])
    second = await log.append(topic, 0, [Record(None, b"c")])
    assert second > first
    delivered = (await fetch_all(log, topic, 0)).records
    assert [delivered[0].offset, delivered[2].offset] == [first, second]
    assert [each.record.value for each in delivered] == [b"a", b"b", b"c"]


async def test_the_largest_record_is_taken_and_a_larger_refused_with_its_neighbours_untouched(
    log: Log, topic: str, log_adapter: LogAdapter
) -> None:
    room = log_adapter.record_bytes_max - 1024  # for what an adapter adds in headers and framing
    await log.append(topic, 0, [Record(b"key", b"x" * room, (), 1)])
    too_large = Record(b"key", b"x" * (log_adapter.record_bytes_max + 1), (), 1)
    with pytest.raises(Refused, match=rf"{topic}.*bytes"):
        await log.append(topic, 0, [too_large])
    await log.append(topic, 0, [Record(b"key", b"after", (), 1)])
    fetched = await fetch_all(log, topic, 0)
    assert [len(delivered.record.value) for delivered in fetched.records] == [room, 5]


@pytest.mark.parametrize(
    "record", [Record(None, b"", (("\ud800", b""),), 1), Record(None, b"", (), -1), Record(None, b"", (), 2**63)]
)
async def test_what_no_log_can_hold_is_refused(log: Log, topic: str, record: Record) -> None:
    with pytest.raises(Refused, match=topic):
        await log.append(topic, 0, [record])
    assert await log.bounds(topic, 0) == (0, 0)


async def test_an_unknown_topic_or_partition_is_named_with_what_to_do(log: Log, topic: str) -> None:
    one = [Record(None, b"")]
    with pytest.raises(Misconfigured, match=r"no topic elsewhere.*ensure_topic"):
        await log.append("elsewhere", 0, one)
    with pytest.raises(Misconfigured, match=rf"{topic} has no partition 2.*0 to 1"):
        await log.append(topic, 2, one)
    with pytest.raises(Misconfigured, match="no topic elsewhere"):
        await log.fetch("elsewhere", 0, 0, records_max=1, bytes_max=1, wait_s=5)
    with pytest.raises(Misconfigured, match="no topic elsewhere"):
        await log.bounds("elsewhere", 0)
    with pytest.raises(Misconfigured, match="no topic elsewhere"):
        await log.offset_at("elsewhere", 0, 1)


async def test_retention_takes_from_the_start_and_fetch_says_where_the_log_starts(
    log: Log, log_adapter: LogAdapter, named: Named
) -> None:
    short, now_s = named("short"), time.time()
    await log.ensure_topic(short, 1, retention_s=60.0)
    offsets = [await log.append(short, 0, [aged(now_s, age_s)]) for age_s in (200.0, 100.0, 20.0, 19.0)]
    await log_adapter.tidy(now_s)
    assert await log.bounds(short, 0) == (offsets[2], offsets[3] + 1)
    fetched = await fetch_all(log, short, 0, offsets[0])
    assert fetched.log_start == offsets[2]
    assert [delivered.offset for delivered in fetched.records] == offsets[2:]


async def test_a_fetch_below_an_emptied_log_returns_at_once_and_goes_on_at_its_end(
    log: Log, log_adapter: LogAdapter, named: Named
) -> None:
    short, now_s = named("short"), time.time()
    await log.ensure_topic(short, 1, retention_s=60.0)
    last = await log.append(short, 0, [aged(now_s, 500.0)])
    await log_adapter.tidy(now_s)
    fetched = await log.fetch(short, 0, 0, records_max=1, bytes_max=1, wait_s=30)
    assert fetched == Fetched((), last + 1, last + 1, last + 1)


async def test_no_offset_is_used_twice_when_retention_took_the_newest(
    log: Log, log_adapter: LogAdapter, named: Named
) -> None:
    short, now_s = named("short"), time.time()
    await log.ensure_topic(short, 1, retention_s=60.0)
    last = await log.append(short, 0, [aged(now_s, 500.0)])
    await log_adapter.tidy(now_s)
    newest = aged(now_s, 0.0)
    again = await log.append(short, 0, [newest])
    assert again > last
    assert (await fetch_all(log, short, 0, last + 1)).records == (Delivered(again, newest),)


async def test_compaction_keeps_the_latest_of_each_key_in_place_and_never_moves_the_start(
    log: Log, log_adapter: LogAdapter, named: Named
) -> None:
    words = named("words")
    await log.ensure_topic(words, 1, compacted=True)
    batch = [Record(key, b"%d" % number, (), 1_000) for number, key in enumerate([b"a", b"b", b"a", b"c", b"b"])]
    first = await log.append(words, 0, batch)
    await log_adapter.tidy(time.time())
    fetched = await fetch_all(log, words, 0, first)
    kept = {delivered.offset - first: delivered.record for delivered in fetched.records}
    assert {number: kept[number] for number in (2, 3, 4)} == {2: batch[2], 3: batch[3], 4: batch[4]}
    assert not {0, 1} & kept.keys()
    assert fetched.log_start == first
    assert fetched.next_offset == fetched.log_end >= first + len(batch)


def aged(now_s: float, age_s: float) -> Record:
    return Record(None, b"", (), int((now_s - age_s) * 1000))

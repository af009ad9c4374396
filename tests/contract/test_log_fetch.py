"""The log port: limits of a fetch, waiting, positions and reading by time."""

import asyncio
from collections.abc import Callable

import pytest

from tests.contract.conftest import Named, StartChild
from tests.contract.log_adapters import LogAdapter
from tocsin.core.requests import Record
from tocsin.engines.errors import Misconfigured, OutOfRange
from tocsin.engines.log import Fetched, Log

LONG_S = 20.0  # a wait that a test ends long before


def numbered(count: int, size: int = 100) -> list[Record]:
    return [Record(b"%d" % number, b"x" * size, (), 1_000 + number) for number in range(count)]


async def test_records_max_ends_a_message_set_and_the_next_goes_on_there(log: Log, topic: str) -> None:
    await log.append(topic, 0, numbered(7))
    at, sizes, keys = 0, [], []
    while at < 7:
        fetched = await log.fetch(topic, 0, at, records_max=3, bytes_max=10**6, wait_s=0)
        sizes.append(len(fetched.records))
        keys += [delivered.record.key for delivered in fetched.records]
        assert fetched.next_offset == fetched.records[-1].offset + 1
        at = fetched.next_offset
    assert (sizes, keys) == ([3, 3, 1], [b"%d" % number for number in range(7)])


async def test_bytes_max_ends_a_message_set(log: Log, topic: str) -> None:
    await log.append(topic, 0, numbered(10, size=1000))
    fetched = await log.fetch(topic, 0, 0, records_max=100, bytes_max=4_500, wait_s=0)
    assert len(fetched.records) == 4
    assert fetched.next_offset == fetched.records[-1].offset + 1


async def test_one_record_comes_whatever_its_size(log: Log, topic: str) -> None:
    await log.append(topic, 0, numbered(2, size=5000))
    fetched = await log.fetch(topic, 0, 0, records_max=100, bytes_max=1, wait_s=0)
    assert [delivered.offset for delivered in fetched.records] == [0]


async def test_a_fetch_at_the_end_returns_empty_after_its_wait(log: Log, topic: str) -> None:
    end = await log.append(topic, 0, numbered(3)) + 3
    began = asyncio.get_running_loop().time()
    fetched = await log.fetch(topic, 0, end, records_max=10, bytes_max=1000, wait_s=0.15)
    assert fetched == Fetched((), end, 0, end)
    assert 0.1 < asyncio.get_running_loop().time() - began < 5


async def test_a_fetch_with_records_does_not_wait(log: Log, topic: str) -> None:
    await log.append(topic, 0, numbered(1))
    async with asyncio.timeout(LONG_S / 2):
        assert (await log.fetch(topic, 0, 0, records_max=10, bytes_max=1000, wait_s=LONG_S)).records


@pytest.mark.parametrize("by", ["the same instance", "another instance"])
async def test_a_waiting_fetch_wakes_when_a_record_is_appended_by(
    log: Log, topic: str, open_log: Callable[[], Log], by: str
) -> None:
    writer = log if by == "the same instance" else open_log()
    waiting = [
        asyncio.create_task(log.fetch(topic, partition, 0, records_max=10, bytes_max=1000, wait_s=LONG_S))
        for partition in (0, 0, 1)
    ]
    await asyncio.sleep(0.1)
    assert not any(task.done() for task in waiting)
    await writer.append(topic, 0, numbered(1))
    async with asyncio.timeout(LONG_S / 2):
        first, second = await asyncio.gather(*waiting[:2])
    assert first.records == second.records != ()
    assert not waiting[2].done()  # nothing happened in its partition
    await writer.append(topic, 1, numbered(1))
    async with asyncio.timeout(LONG_S / 2):
        assert (await waiting[2]).records


async def test_a_waiting_fetch_wakes_when_another_process_appends(
    log: Log, topic: str, start_child: StartChild
) -> None:
    waiting = asyncio.create_task(log.fetch(topic, 1, 0, records_max=10, bytes_max=1000, wait_s=LONG_S))
    await start_child("append", topic, 1, "child", 1)
    async with asyncio.timeout(LONG_S / 2):
        assert [delivered.record.key for delivered in (await waiting).records] == [b"child"]


async def test_a_cancelled_fetch_leaves_the_others_waiting(log: Log, topic: str) -> None:
    leaving, staying = (
        asyncio.create_task(log.fetch(topic, 0, 0, records_max=1, bytes_max=1, wait_s=LONG_S)) for _ in range(2)
    )
    await asyncio.sleep(0.05)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await log.append(topic, 0, numbered(1))
    async with asyncio.timeout(LONG_S / 2):
        assert (await staying).records


async def test_a_waiting_fetch_ends_when_its_topic_is_deleted(log: Log, topic: str, log_adapter: LogAdapter) -> None:
    waiting = asyncio.create_task(log.fetch(topic, 0, 0, records_max=1, bytes_max=1, wait_s=LONG_S))
    await asyncio.sleep(0.05)
    await log_adapter.delete_topic(topic)
    async with asyncio.timeout(LONG_S / 2):
        with pytest.raises(Misconfigured, match=topic):
            await waiting


async def test_an_offset_above_the_end_is_out_of_range_at_once(log: Log, topic: str) -> None:
    end = await log.append(topic, 0, numbered(3)) + 3
    async with asyncio.timeout(LONG_S / 2):
        with pytest.raises(OutOfRange, match=rf"{end + 1} of {topic}/0 is above the log's end, {end}"):
            await log.fetch(topic, 0, end + 1, records_max=1, bytes_max=1, wait_s=LONG_S)


async def test_bounds_of_an_empty_partition_are_equal(log: Log, topic: str) -> None:
    start, end = await log.bounds(topic, 0)
    assert start == end
    first = await log.append(topic, 0, numbered(4))
    assert await log.bounds(topic, 0) == (start, first + 4)


@pytest.mark.parametrize(("timestamp_ms", "index"), [(0, 0), (10, 0), (11, 1), (20, 1), (25, 3), (30, 3), (31, 4)])
async def test_offset_at_finds_the_first_record_of_this_time_or_later(
    log: Log, topic: str, timestamp_ms: int, index: int
) -> None:
    first = await log.append(topic, 0, [Record(None, b"", (), ms) for ms in (10, 20, 15, 30)])
    assert await log.offset_at(topic, 0, timestamp_ms) == first + index


async def test_commits_are_kept_by_group_topic_and_partition(
    log: Log, topic: str, open_log: Callable[[], Log], named: Named
) -> None:
    blue, green = named("blue"), named("green")
    await log.append(topic, 0, numbered(9))
    assert await log.committed(blue, topic, 0) is None
    await log.commit(blue, topic, 0, 5)
    await log.commit(blue, topic, 0, 7)
    await log.commit(green, topic, 0, 2)
    assert await open_log().committed(blue, topic, 0) == 7
    assert await log.committed(green, topic, 0) == 2
    assert await log.committed(blue, topic, 1) is None
    with pytest.raises(Misconfigured, match="no topic elsewhere"):
        await log.commit(blue, "elsewhere", 0, 1)

"""A feed: everything that is there is taken once it can be, and what cannot be is said."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from tocsin.core.documents import Position
from tocsin.core.requests import Record
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.faults import CHECK_EVERY_S, Fault, FaultSwitch, Rule
from tocsin.engines.faulty import FaultyLog
from tocsin.roles.feed import Feed

TOPIC = "feedback"
OLD_MS = 1_000


@pytest_asyncio.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    opened = EmbeddedLog(tmp_path / "log.db")
    await opened.ensure_topic(TOPIC, 1, retention_s=60)
    yield opened
    await opened.close()


class Reader:
    """Takes what a feed reads."""

    def __init__(self, log: EmbeddedLog | FaultyLog, known: Position | None = None) -> None:
        self.taken: list[bytes] = []
        self.feed = Feed(log, TOPIC, 0, known, self._take)
        self._task = asyncio.create_task(self.feed.run())

    async def _take(self, records: Sequence[Record]) -> None:
        self.taken += [record.value for record in records]

    async def has(self, *values: bytes) -> None:
        async with asyncio.timeout(10):
            while self.taken != list(values):  # noqa: ASYNC110 - the feed sets no event for one of many
                await asyncio.sleep(0.01)

    async def stop(self) -> Position | None:
        """Where it left off."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        return self.feed.position


async def append(log: EmbeddedLog, *values: bytes, timestamp_ms: int = 0) -> None:
    await log.append(TOPIC, 0, [Record(b"k", value, (), timestamp_ms) for value in values])


async def test_a_reader_goes_on_where_the_one_before_left_off(log: EmbeddedLog) -> None:
    await append(log, b"1", b"2")
    first = Reader(log)
    await first.has(b"1", b"2")
    await first.feed.at_end.wait()
    second = Reader(log, await first.stop())
    await append(log, b"3")
    await second.has(b"3")
    await second.stop()


async def test_what_retention_removed_unread_is_said_and_the_rest_is_read(
    log: EmbeddedLog, caplog: pytest.LogCaptureFixture
) -> None:
    first = Reader(log)
    await first.feed.at_end.wait()
    known = await first.stop()
    await append(log, b"1", b"2", timestamp_ms=OLD_MS)
    await append(log, b"3")
    await log.housekeep(61 + OLD_MS / 1_000)
    second = Reader(log, known)
    await second.has(b"3")
    await second.stop()
    [said] = [one for one in caplog.records if getattr(one, "action", "") == "lost_to_retention"]
    assert "offsets 0 to 1" in said.getMessage()


async def test_a_topic_that_was_made_anew_is_read_from_its_start_and_said(
    log: EmbeddedLog, caplog: pytest.LogCaptureFixture
) -> None:
    await append(log, b"1", b"2")
    first = Reader(log)
    await first.has(b"1", b"2")
    known = await first.stop()
    await log.delete_topic(TOPIC)
    await log.ensure_topic(TOPIC, 1)
    await append(log, b"new")
    second = Reader(log, known)
    await second.has(b"new")
    await second.stop()
    assert "log_changed" in [getattr(one, "action", "") for one in caplog.records]


async def test_an_offset_that_the_log_does_not_have_is_no_end(
    log: EmbeddedLog, caplog: pytest.LogCaptureFixture
) -> None:
    await append(log, b"1")
    topic = await log.topic(TOPIC)
    assert topic is not None
    reader = Reader(log, Position(await log.cluster(), topic.incarnation, 9))
    await reader.has(b"1")
    await reader.stop()
    assert "log_changed" in [getattr(one, "action", "") for one in caplog.records]


async def test_a_log_that_is_away_makes_the_feed_lag_and_is_read_on_afterwards(
    log: EmbeddedLog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    switch = FaultSwitch(tmp_path / "faults.json")
    reader = Reader(FaultyLog(log, switch, "a"))
    await reader.feed.at_end.wait()
    switch.set_rule(Rule(id="away", region="a", port="log", kind=Fault.UNAVAILABLE))
    await asyncio.sleep(2 * CHECK_EVERY_S)
    await append(log, b"1")
    async with asyncio.timeout(10):
        while not reader.feed.lag_s(0.0, asyncio.get_running_loop().time()):  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(0.05)
    switch.clear_all()
    await reader.has(b"1")
    await reader.stop()

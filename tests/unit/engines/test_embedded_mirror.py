"""The mirror between two embedded logs, with real files, real waits, and a real kill."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tocsin.core.requests import Record
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.mirror import Mirror
from tocsin.engines.errors import Owned, Unavailable
from tocsin.engines.log import Fetched

WAIT_S = 15.0  # the longest wait for something that a test ends long before
BATCH = 500

MIRROR_PROCESS = """
import asyncio, sys
from pathlib import Path
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.mirror import Mirror
source, target = (EmbeddedLog(Path(sys.argv[1], name)) for name in ("a.log", "b.log"))
asyncio.run(Mirror(source, target, ["requests"], "a.", 2).run())
"""


class Cut(EmbeddedLog):
    """A log that can be out of reach."""

    away = False

    async def fetch(
        self, topic: str, partition: int, offset: int, *, records_max: int, bytes_max: int, wait_s: float
    ) -> Fetched:
        if self.away:
            raise Unavailable("the line is cut")
        return await super().fetch(
            topic, partition, offset, records_max=records_max, bytes_max=bytes_max, wait_s=wait_s
        )


@pytest_asyncio.fixture
async def source(tmp_path: Path) -> AsyncIterator[Cut]:
    log = Cut(tmp_path / "a.log")
    await log.ensure_topic("requests", 2)
    yield log
    await log.close()


@pytest_asyncio.fixture
async def target(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(tmp_path / "b.log")
    yield log
    await log.close()


@pytest.fixture
def mirror(source: Cut, target: EmbeddedLog) -> Mirror:
    return Mirror(source, target, ["requests"], "a.", 2)


@contextlib.asynccontextmanager
async def running(mirror: Mirror) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(mirror.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def numbered(start: int, end: int) -> list[Record]:
    return [
        Record(b"%d" % (number % 7), b"%d" % number, (("n", b"%d" % number),), 1 + number)
        for number in range(start, end)
    ]


async def read(log: EmbeddedLog, topic: str, partition: int) -> list[Record]:
    found: list[Record] = []
    at, end = await log.bounds(topic, partition)
    while at < end:
        fetched = await log.fetch(topic, partition, at, records_max=BATCH, bytes_max=10**7, wait_s=0)
        found += [delivered.record for delivered in fetched.records]
        at = fetched.next_offset
    return found


async def reaches(log: EmbeddedLog, topic: str, partition: int, last: Record) -> None:
    """Returns when the partition ends with this record."""
    async with asyncio.timeout(WAIT_S):
        while True:
            if await log.topic(topic) and (await read(log, topic, partition))[-1:] == [last]:
                return
            await asyncio.sleep(0.02)


def actions(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.action for record in caplog.records if hasattr(record, "action")]


async def test_a_step_copies_a_batch_of_each_partition_whole_and_in_order(
    source: Cut, target: EmbeddedLog, mirror: Mirror
) -> None:
    await target.ensure_topic("a.requests", 2)
    await target.append("a.requests", 1, [Record(None, b"offsets differ from now on")])
    await source.append("requests", 0, numbered(0, BATCH + 10))
    await source.append("requests", 1, [Record(None, b"", (), 5)])
    assert await mirror.step()
    assert await read(target, "a.requests", 0) == numbered(0, BATCH)
    assert (await read(target, "a.requests", 1))[1:] == [Record(None, b"", (), 5)]
    assert await mirror.step()
    assert not await mirror.step()
    assert await read(target, "a.requests", 0) == numbered(0, BATCH + 10)


async def test_a_copy_is_compacted_and_kept_as_its_source_is(source: Cut, target: EmbeddedLog) -> None:
    made = await source.ensure_topic("ledger", 1, compacted=True, retention_s=60.0)
    await source.append("ledger", 0, numbered(0, 20))
    await source.housekeep(now=50.0)
    left = await read(source, "ledger", 0)
    assert len(left) == 7
    assert await Mirror(source, target, ["ledger"], "a.", 1).step()
    copy = await target.topic("a.ledger")
    assert copy == made._replace(name="a.ledger", incarnation=copy.incarnation if copy else "")
    assert await read(target, "a.ledger", 0) == left


async def test_a_mirror_goes_on_where_the_one_before_it_ended(source: Cut, target: EmbeddedLog, tmp_path: Path) -> None:
    await source.append("requests", 0, numbered(0, 5))
    target_of_first = EmbeddedLog(tmp_path / "b.log")
    assert await Mirror(source, target_of_first, ["requests"], "a.", 2).step()
    await target_of_first.close()
    await source.append("requests", 0, numbered(5, 8))
    assert await Mirror(source, target, ["requests"], "a.", 2).step()
    assert await read(target, "a.requests", 0) == numbered(0, 8)


async def test_one_mirror_a_prefix_is_alive_at_a_time(
    source: Cut, target: EmbeddedLog, mirror: Mirror, caplog: pytest.LogCaptureFixture
) -> None:
    await source.append("requests", 0, numbered(0, 3))
    async with running(mirror):
        await reaches(target, "a.requests", 0, numbered(2, 3)[0])
        second = Mirror(source, target, ["requests"], "a.", 2)
        with pytest.raises(Owned, match=str(os.getpid())):
            await second.step()
        async with running(second):
            await asyncio.sleep(0.2)
            assert actions(caplog).count("mirror_waits") == 1
    async with running(second):
        await source.append("requests", 0, numbered(3, 4))
        await reaches(target, "a.requests", 0, numbered(3, 4)[0])
    assert await read(target, "a.requests", 0) == numbered(0, 4)


async def test_a_missing_source_topic_is_waited_for_and_said_once_a_partition(
    source: Cut, target: EmbeddedLog, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Mirror(source, target, ["ledger"], "a.", 2)):
        await asyncio.sleep(0.5)
        assert actions(caplog) == ["mirror_stuck"] * 2
        assert "no topic ledger" in caplog.text
        await source.ensure_topic("ledger", 2)
        await source.append("ledger", 0, numbered(0, 2))
        await reaches(target, "a.ledger", 0, numbered(1, 2)[0])
    assert "mirror_recovers" in actions(caplog)


async def test_a_source_with_another_partition_count_is_not_copied_and_both_counts_are_said(
    source: Cut, target: EmbeddedLog, caplog: pytest.LogCaptureFixture
) -> None:
    await source.append("requests", 0, numbered(0, 2))
    assert not await Mirror(source, target, ["requests"], "a.", 4).step()
    assert "has 2 partitions in the source and 4 in this" in caplog.text
    assert await target.topic("a.requests") is None


async def test_a_cut_is_waited_out_and_nothing_is_lost(
    source: Cut, target: EmbeddedLog, mirror: Mirror, caplog: pytest.LogCaptureFixture
) -> None:
    await source.append("requests", 0, numbered(0, 3))
    async with running(mirror) as task:
        await reaches(target, "a.requests", 0, numbered(2, 3)[0])
        source.away = True
        await source.append("requests", 0, numbered(3, 6))  # may still reach the fetch that waits
        await asyncio.sleep(0.5)
        await source.append("requests", 0, numbered(6, 9))
        await asyncio.sleep(0.2)
        assert numbered(8, 9)[0] not in await read(target, "a.requests", 0)
        source.away = False
        await reaches(target, "a.requests", 0, numbered(8, 9)[0])
        assert not task.done()
        async with asyncio.timeout(10):  # each flow ends its own pause; the next trouble starts with a short one
            while {flow.failures for flow in mirror._flows} != {0}:  # noqa: ASYNC110 - flows tell nobody
                await asyncio.sleep(0.05)
    assert await read(target, "a.requests", 0) == numbered(0, 9)
    assert {"mirror_stuck", "mirror_recovers"} <= set(actions(caplog))


async def test_a_target_out_of_reach_is_waited_for(source: Cut, tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("in the way")
    target = EmbeddedLog(tmp_path / "folder" / "b.log")
    await source.append("requests", 0, numbered(0, 3))
    async with running(Mirror(source, target, ["requests"], "a.", 2)) as task:
        await asyncio.sleep(0.3)
        assert not task.done()
        (tmp_path / "folder").unlink()
        await reaches(target, "a.requests", 0, numbered(2, 3)[0])
    await target.close()


async def test_a_source_topic_made_anew_is_copied_from_its_start(
    source: Cut, target: EmbeddedLog, mirror: Mirror
) -> None:
    await source.append("requests", 0, numbered(0, 3))
    assert await mirror.step()
    await source.delete_topic("requests")
    await source.ensure_topic("requests", 2)
    await source.append("requests", 0, numbered(100, 110))  # its end is above the old position
    assert await mirror.step()
    assert await read(target, "a.requests", 0) == numbered(0, 3) + numbered(100, 110)


async def test_a_target_topic_made_anew_gets_everything_again(source: Cut, target: EmbeddedLog, mirror: Mirror) -> None:
    await source.append("requests", 0, numbered(0, 3))
    assert await mirror.step()
    await target.delete_topic("a.requests")
    assert await mirror.step()
    assert await read(target, "a.requests", 0) == numbered(0, 3)
    await target.delete_topic("a.requests")
    await target.ensure_topic("a.requests", 2)  # by somebody else, before the mirror looked
    assert await mirror.step()
    assert await read(target, "a.requests", 0) == numbered(0, 3)


async def test_what_retention_took_before_it_was_mirrored_is_named(
    source: Cut, target: EmbeddedLog, caplog: pytest.LogCaptureFixture
) -> None:
    await source.ensure_topic("short", 1, retention_s=10.0)
    await source.append("short", 0, [Record(None, b"seen", (), 1_000)])
    mirror = Mirror(source, target, ["short"], "a.", 1)
    assert await mirror.step()
    await source.append("short", 0, [Record(None, b"gone", (), 2_000), Record(None, b"kept", (), 90_000)])
    await source.housekeep(now=95.0)
    assert await mirror.step()
    assert [record.value for record in await read(target, "a.short", 0)] == [b"seen", b"kept"]
    assert "took offsets 1 to 1 before they were mirrored" in caplog.text


async def test_a_source_that_was_set_back_is_copied_again_from_its_start(
    source: Cut, target: EmbeddedLog, mirror: Mirror, caplog: pytest.LogCaptureFixture
) -> None:
    await source.append("requests", 0, numbered(0, 3))
    assert await mirror.step()
    topic = await source.topic("requests")
    assert topic is not None
    await target.commit(f"mirror.{topic.incarnation}", "a.requests", 0, 50)
    again = Mirror(source, target, ["requests"], "a.", 2)
    again._claim = mirror._claim
    assert await again.step()
    assert await read(target, "a.requests", 0) == numbered(0, 3) * 2
    assert "mirror_restarts" in actions(caplog)
    assert not await again.step()


async def test_a_mirror_killed_at_work_loses_nothing_and_repeats_one_batch_at_most(
    source: Cut, target: EmbeddedLog, tmp_path: Path
) -> None:
    everything = numbered(0, 40 * BATCH)
    for at in range(0, len(everything), BATCH):
        await source.append("requests", 0, everything[at : at + BATCH])
    kills = 3
    for _ in range(kills):
        await _mirror_and_kill(target, tmp_path, len(everything))
    async with running(Mirror(source, target, ["requests"], "a.", 2)):
        await reaches(target, "a.requests", 0, everything[-1])
    copied = await read(target, "a.requests", 0)
    assert list(dict.fromkeys(copied)) == everything  # in order of their first copies
    assert len(copied) <= len(everything) + kills * BATCH


async def _mirror_and_kill(target: EmbeddedLog, where: Path, everything: int) -> None:
    """Runs a mirror in a process of its own until it has copied something more, or all, and kills it."""
    before = await _copied(target)
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", MIRROR_PROCESS, str(where))
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                if await _copied(target) >= min(before + 1, everything):
                    break
                await asyncio.sleep(0.001)
    finally:
        child.kill()
        assert await child.wait() == -signal.SIGKILL


async def _copied(target: EmbeddedLog) -> int:
    return (await target.bounds("a.requests", 0))[1] if await target.topic("a.requests") else 0

"""What the embedded log promises beyond its port: locks of the machine, an idle watch, what housekeeping removes."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tocsin.core.requests import Record
from tocsin.engines.embedded.database import Database
from tocsin.engines.embedded.log import LOG_FORMAT, EmbeddedLog
from tocsin.engines.errors import Misconfigured, Owned, Refused, Unavailable
from tocsin.engines.log import Claim

OWNER = """
import asyncio, sys
from pathlib import Path
from tocsin.engines.embedded.log import EmbeddedLog
log = EmbeddedLog(Path(sys.argv[1]))
print(asyncio.run(log.claim("creators", 0)).epoch, flush=True)
sys.stdin.read()
"""


@pytest_asyncio.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    opened = EmbeddedLog(tmp_path / "a.log", clock=lambda: 5_000.0, record_bytes_max=1_000, compaction_lag_s=10.0)
    yield opened
    await opened.close()


def at(seconds: float, key: bytes | None = None) -> Record:
    return Record(key, b"", (), int(seconds * 1000))


async def offsets(log: EmbeddedLog, topic: str) -> list[int]:
    fetched = await log.fetch(topic, 0, 0, records_max=100_000, bytes_max=10**9, wait_s=0)
    return [delivered.offset for delivered in fetched.records]


async def test_an_owner_that_is_stopped_keeps_its_claim_until_it_dies(log: EmbeddedLog, tmp_path: Path) -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(tmp_path / "a.log"),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert owner.stdout is not None
        epoch = int(await owner.stdout.readline())
        owner.send_signal(signal.SIGSTOP)
        with pytest.raises(Owned, match=f"owned by process {owner.pid}"):
            await log.claim("creators", 0)
    finally:
        owner.kill()
        await owner.communicate()
    assert await log.claim("creators", 0) == Claim("creators", 0, epoch + 1)


async def test_a_claim_whose_epoch_cannot_be_written_is_not_held(log: EmbeddedLog, tmp_path: Path) -> None:
    (tmp_path / "a.log").mkdir()
    with pytest.raises(Unavailable):
        await log.claim("creators", 0)
    (tmp_path / "a.log").rmdir()
    assert (await log.claim("creators", 0)).epoch == 1


async def test_the_name_of_a_group_is_never_a_path(log: EmbeddedLog, tmp_path: Path) -> None:
    await log.claim("../creators", 0)
    assert [path.name for path in (tmp_path / "a.log.claims").iterdir()] == ["..%2Fcreators-0"]


async def test_a_claim_that_cannot_be_locked_is_unavailable(log: EmbeddedLog, tmp_path: Path) -> None:
    (tmp_path / "a.log.claims").write_text("in the way")
    with pytest.raises(Unavailable, match=r"a\.log\.claims"):
        await log.claim("creators", 0)


async def test_a_log_file_of_a_newer_format_is_refused(log: EmbeddedLog, tmp_path: Path) -> None:
    newer = Database(tmp_path / "a.log", LOG_FORMAT._replace(version=LOG_FORMAT.version + 1))
    await newer.read(lambda connection: None)
    await newer.close()
    with pytest.raises(Misconfigured, match=r"a log of Tocsin of format 2, .* up to 1"):
        await log.cluster()


async def test_the_size_limit_counts_key_value_and_headers(log: EmbeddedLog) -> None:
    await log.ensure_topic("requests", 1)
    await log.append("requests", 0, [Record(b"k" * 400, b"v" * 599)])  # and one byte that says: no headers
    with pytest.raises(Refused, match=r"has 1001 bytes, and the log takes 1000"):
        await log.append("requests", 0, [at(1), Record(b"k" * 400, b"v" * 600)])
    with pytest.raises(Refused, match="bytes"):
        await log.append("requests", 0, [Record(None, b"", (("h", b"x" * 1_000),))])
    assert await offsets(log, "requests") == [0]


async def test_a_record_without_a_time_is_stamped_by_the_clock_of_the_log(log: EmbeddedLog) -> None:
    await log.ensure_topic("requests", 1)
    await log.append("requests", 0, [Record(None, b"")])
    fetched = await log.fetch("requests", 0, 0, records_max=1, bytes_max=1, wait_s=0)
    assert fetched.records[0].record.timestamp_ms == 5_000_000


async def test_waiting_fetches_cost_next_to_nothing_and_leave_nothing_behind(log: EmbeddedLog) -> None:
    await log.ensure_topic("requests", 4)
    before_s = time.process_time()
    await asyncio.gather(
        *(log.fetch("requests", number % 4, 0, records_max=1, bytes_max=1, wait_s=1.0) for number in range(16))
    )
    assert time.process_time() - before_s < 0.1  # a tenth of a core; 1 % is usual
    assert log._database._watch is None


async def test_a_fetch_that_is_cancelled_before_it_was_looked_at_is_not_waited_for(log: EmbeddedLog) -> None:
    await log.ensure_topic("requests", 1)
    for pauses in range(3):
        fetch = asyncio.ensure_future(log.fetch("requests", 0, 0, records_max=1, bytes_max=1, wait_s=30))
        for _ in range(pauses):
            await asyncio.sleep(0)
        fetch.cancel()
    await log.bounds("requests", 0)  # the worker has come to all of them
    assert not log._waiters._waiting
    assert log._database._watch is None


async def test_compaction_leaves_the_young_and_those_without_a_key(log: EmbeddedLog) -> None:
    await log.ensure_topic("words", 1, compacted=True)
    batch = [at(10, b"a"), at(20, b"b"), at(30), at(31), at(95, b"a"), at(96, b"b"), at(97, b"a")]
    await log.append("words", 0, batch)
    assert await log.housekeep(now=100.0) == 2
    assert await offsets(log, "words") == [2, 3, 4, 5, 6]
    assert await log.housekeep(now=200.0) == 1
    assert await offsets(log, "words") == [2, 3, 5, 6]
    assert await log.bounds("words", 0) == (0, 7)
    assert await log.housekeep(now=200.0) == 0


async def test_a_compacted_topic_with_retention_loses_what_is_old_too(log: EmbeddedLog) -> None:
    await log.ensure_topic("words", 1, compacted=True, retention_s=50.0)
    await log.append("words", 0, [at(10, b"a"), at(20), at(60, b"b"), at(70, b"b")])
    assert await log.housekeep(now=100.0) == 3
    assert await log.bounds("words", 0) == (2, 4)
    assert await offsets(log, "words") == [3]


async def test_retention_stops_at_the_first_record_that_is_young_enough(log: EmbeddedLog) -> None:
    await log.ensure_topic("requests", 1, retention_s=50.0)
    await log.append("requests", 0, [at(10), at(60), at(20), at(70)])
    assert await log.housekeep(now=100.0) == 1
    assert await offsets(log, "requests") == [1, 2, 3]


async def test_what_an_interrupted_housekeeping_left_below_the_start_is_not_read_and_goes_next_time(
    log: EmbeddedLog,
) -> None:
    await log.ensure_topic("requests", 1, retention_s=50.0)
    await log.append("requests", 0, [at(10), at(20), at(70)])
    await log._database.write(lambda connection: connection.execute("UPDATE partitions SET log_start = 2").rowcount)
    assert await offsets(log, "requests") == [2]
    assert await log.offset_at("requests", 0, 0) == 2
    assert await log.housekeep(now=100.0) == 2


async def test_topics_without_retention_or_compaction_keep_everything(log: EmbeddedLog) -> None:
    await log.ensure_topic("requests", 1)
    await log.append("requests", 0, [at(1, b"a"), at(2, b"a")])
    assert await log.housekeep(now=10**9) == 0
    assert await offsets(log, "requests") == [0, 1]


async def test_housekeeping_removes_more_than_a_chunk_while_others_append(log: EmbeddedLog, tmp_path: Path) -> None:
    await log.ensure_topic("requests", 1, retention_s=50.0)
    await log.append("requests", 0, [at(1)] * 1_700)
    other = EmbeddedLog(tmp_path / "a.log")
    removed, first = await asyncio.gather(log.housekeep(now=100.0), other.append("requests", 0, [at(99)]))
    assert (removed, first) == (1_700, 1_700)
    assert await offsets(other, "requests") == [1_700]
    await other.close()


async def test_records_below_an_offset_are_deleted_however_young_and_no_offset_comes_twice(log: EmbeddedLog) -> None:
    await log.ensure_topic("requests", 1, retention_s=50.0)
    await log.append("requests", 0, [at(1), at(2), at(3)])
    await log.delete_records("requests", 0, 2)
    assert await offsets(log, "requests") == [2]
    await log.delete_records("requests", 0, 1)
    assert await log.bounds("requests", 0) == (2, 3)
    await log.delete_records("requests", 0, 99)
    assert await log.bounds("requests", 0) == (3, 3)
    assert await log.append("requests", 0, [at(4)]) == 3
    with pytest.raises(Misconfigured):
        await log.delete_records("requests", 1, 0)


async def test_a_topic_deleted_twice_or_never_made_is_no_error(log: EmbeddedLog) -> None:
    await log.delete_topic("requests")
    await log.ensure_topic("requests", 1)
    await log.delete_topic("requests")
    await log.delete_topic("requests")
    assert await log.topic("requests") is None


async def test_a_deleted_topic_leaves_no_records_and_those_of_others_alone(log: EmbeddedLog) -> None:
    for topic in ("requests", "ledger"):
        await log.ensure_topic(topic, 1)
        await log.append(topic, 0, [at(1), at(2)])
    await log.delete_topic("requests")
    rows = await log._database.read(lambda connection: connection.execute("SELECT count(*) FROM records").fetchone())
    assert rows == (2,)
    assert await offsets(log, "ledger") == [0, 1]


async def test_a_log_that_was_closed_says_so_and_frees_its_claims(log: EmbeddedLog, tmp_path: Path) -> None:
    claim = await log.claim("creators", 0)
    await log.close()
    with pytest.raises(Unavailable, match=r"a\.log was closed by this process"):
        await log.cluster()
    other = EmbeddedLog(tmp_path / "a.log")
    assert (await other.claim("creators", 0)).epoch == claim.epoch + 1
    await other.close()
    assert [path.name for path in (tmp_path / "a.log.claims").iterdir()] == ["creators-0"]

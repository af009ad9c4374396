"""The directory of a region: its file, overlaid by what was applied in any region."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tocsin.core.directory import (
    DirectoryRecord,
    Kind,
    Name,
    RoutingKey,
    Service,
    decode_directory,
    encode_directory,
    hash_key,
    name_of,
)
from tocsin.core.paging.assignments import user_partition
from tocsin.core.paging.effects import PersonIs
from tocsin.core.paging.people import Method, Person, Rule
from tocsin.core.requests import Record
from tocsin.engines.directory import FileDirectory
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.errors import Misconfigured, Refused, Unavailable
from tocsin.engines.faults import CHECK_EVERY_S, Fault, FaultSwitch
from tocsin.engines.faults import Rule as FaultRule
from tocsin.engines.faulty import FaultyLog
from tocsin.engines.log_directory import DirectoryTail, LogDirectory
from tocsin.engines.topics import make_topics
from tocsin.topology import DIRECTORY, load_topology

REGION = load_topology(Path(__file__).parents[3] / "regions" / "local").region("a")
KEY, NEW_KEY = "0" * 32, "1" * 32
NOW_US = 1_800_000_000_000_000
FILE = f"""
services:
  - {{id: demo, name: Demo, routing_keys: ["{KEY}"]}}
users:
  - {{id: ann, name: Ann, email: ann@example.org}}
"""
PAYMENTS = Service("payments", "Payments", (RoutingKey(hash_key(NEW_KEY)),), responders=("ann",))
ANN = Person("ann", "Ann B", "ann@example.org", (Method("mail", "email", "ann@example.org"),), (Rule("r", "mail"),))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "directory.yaml"
    path.write_text(FILE, encoding="utf-8")
    return path


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    made = EmbeddedLog(tmp_path / "log.sqlite")
    await make_topics(made, REGION)
    yield made
    await made.close()


@pytest.fixture
def directory(log: EmbeddedLog, file: Path) -> LogDirectory:
    return LogDirectory(log, REGION, file, clock_us=lambda: NOW_US)


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


async def say(log: EmbeddedLog, topic: str, *records: DirectoryRecord) -> None:
    for record in records:
        partition = user_partition(record.name.id, REGION.partitions)
        await log.append(topic, partition, [Record(*encode_directory(record))])


@contextlib.asynccontextmanager
async def running(directory: LogDirectory) -> AsyncIterator[None]:
    task = asyncio.create_task(directory.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_the_file_says_counts_before_anything_was_read_and_that_is_said(directory: LogDirectory) -> None:
    assert directory.service_of(KEY) == directory.service("demo")
    assert directory.unready == ["the directory topic was not read to its end yet"]

    await directory.look()

    assert directory.service_of(KEY) == directory.service("demo")
    assert directory.unready == directory.problems == []


async def test_what_was_applied_is_read_back_and_counts_over_the_file(directory: LogDirectory) -> None:
    records = directory.changes([PAYMENTS, ANN])
    await directory.append(records)
    assert not directory.has(records)
    await directory.look()

    assert directory.has(records)
    assert directory.service_of(NEW_KEY) == PAYMENTS
    assert directory.user("ann") == directory.user_of("ANN@example.org") == ANN
    assert [service.id for service in directory.services()] == ["demo", "payments"]
    assert directory.users() == [ANN]


async def test_what_was_deleted_stays_so_though_the_file_has_it(directory: LogDirectory) -> None:
    await directory.append(directory.changes([], [Name(Kind.SERVICE, "demo"), Name(Kind.USER, "ann")]))
    await directory.look()

    assert directory.service_of(KEY) is None
    assert (directory.services(), directory.users()) == ([], [])
    assert directory.user_of("ann@example.org") is None


async def test_the_latest_change_counts_whichever_region_it_was_made_in(
    log: EmbeddedLog, directory: LogDirectory
) -> None:
    name = name_of(ANN)
    later = DirectoryRecord(name, 9, "a", Person("ann", "later", "ann@example.org"))
    await say(log, "b." + DIRECTORY, DirectoryRecord(name, 8, "b", ANN))
    await say(log, DIRECTORY, later, DirectoryRecord(name, 7, "a", None))
    await directory.look()

    assert directory.users() == [later.body]


async def test_a_change_counts_over_what_was_seen_even_of_a_clock_that_is_ahead(
    log: EmbeddedLog, directory: LogDirectory
) -> None:
    await say(log, "b." + DIRECTORY, DirectoryRecord(name_of(ANN), NOW_US + 500, "b", None))
    await directory.look()
    (change,) = directory.changes([ANN])

    assert change.updated_us == NOW_US + 501


async def test_what_counts_is_said_again_when_our_topic_ends_with_what_does_not(
    log: EmbeddedLog, file: Path, directory: LogDirectory
) -> None:
    name, other = name_of(ANN), Name(Kind.USER, "bob")
    ahead, behind = DirectoryRecord(name, 9, "a", ANN), DirectoryRecord(name, 8, "a", None)
    await say(log, DIRECTORY, ahead, behind, DirectoryRecord(other, 3, "a", None), DirectoryRecord(other, 4, "a", None))
    partition = user_partition(name.id, REGION.partitions)
    async with running(directory), asyncio.timeout(10):
        while await last_of(log, partition, name) != ahead:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    again = LogDirectory(log, REGION, file)
    ends = await log.bounds(DIRECTORY, partition)
    async with running(again):
        await asyncio.sleep(0.2)

    assert again.user("ann") == ANN
    assert await log.bounds(DIRECTORY, partition) == ends  # once is enough


async def last_of(log: EmbeddedLog, partition: int, name: Name) -> DirectoryRecord | None:
    """What compaction would leave of a name."""
    fetched = await log.fetch(DIRECTORY, partition, 0, records_max=1_000, bytes_max=1 << 20, wait_s=0)
    found = [decode_directory(record.key, record.value) for _, record in fetched.records]
    return next((one for one in reversed(found) if one.name == name), None)


async def test_of_two_services_with_one_key_the_one_changed_last_gets_the_events(
    log: EmbeddedLog, directory: LogDirectory
) -> None:
    thief = Service("thief", "Thief", PAYMENTS.keys)
    await say(log, DIRECTORY, DirectoryRecord(name_of(thief), 9, "a", thief))
    await say(log, "b." + DIRECTORY, DirectoryRecord(name_of(PAYMENTS), 10, "b", PAYMENTS))
    await directory.look()

    assert directory.service_of(NEW_KEY) == PAYMENTS


async def test_a_record_that_cannot_be_read_is_said_and_hinders_nobody(
    log: EmbeddedLog, directory: LogDirectory
) -> None:
    partition = user_partition("ann", REGION.partitions)
    await log.append(DIRECTORY, partition, [Record(b"user/ann", b"\xff"), Record(None, b"x")])
    await say(log, "b." + DIRECTORY, DirectoryRecord(name_of(ANN), 8, "b", ANN))
    await directory.look()

    assert directory.users() == [ANN]
    assert "cannot be read, and 1 more" in directory.problems[0]
    assert directory.unready == []  # else one bad record would take all regions' doors away

    await log.append(DIRECTORY, partition, [Record(*encode_directory(DirectoryRecord(name_of(ANN), 9, "a", ANN)))])
    await directory.look()
    assert "and 1 more" not in directory.problems[0]


async def test_events_of_known_services_are_taken_while_the_log_is_away(
    tmp_path: Path, log: EmbeddedLog, file: Path
) -> None:
    switch = FaultSwitch(tmp_path / "faults.json")
    directory = LogDirectory(FaultyLog(log, switch, "a"), REGION, file)
    await directory.append(directory.changes([PAYMENTS]))
    await directory.look()
    switch.set_rule(FaultRule(id="away", region="a", port="log", kind=Fault.CUT))
    await asyncio.sleep(2 * CHECK_EVERY_S)

    async with running(directory):
        async with asyncio.timeout(10):
            while not directory.problems:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert directory.service_of(NEW_KEY) == PAYMENTS
        assert directory.service_of(KEY) is not None
        assert "cannot be read on" in directory.problems[0]
        assert directory.unready == []
    with pytest.raises(Unavailable):
        await directory.look()


async def test_a_topic_that_is_missing_is_a_fault_until_it_is_there(tmp_path: Path, file: Path) -> None:
    log = EmbeddedLog(tmp_path / "new.sqlite")
    directory = LogDirectory(log, REGION, file)
    with pytest.raises(Misconfigured, match="no topic directory"):
        await directory.look()
    assert directory.unready

    await make_topics(log, REGION)
    await directory.look()
    assert directory.unready == []
    await log.close()


async def test_an_intake_holds_no_users(log: EmbeddedLog, file: Path) -> None:
    directory = LogDirectory(log, REGION, file, {Kind.SERVICE})
    await directory.append(directory.changes([PAYMENTS, ANN]))
    await directory.look()

    assert directory.users() == []
    assert directory.service("payments") == PAYMENTS


async def read_back(directory: LogDirectory, records: list[DirectoryRecord]) -> None:
    async with asyncio.timeout(10):
        while not directory.has(records):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_whoever_runs_it_reads_a_change_back_and_who_puts_it_has_it_at_once(
    log: EmbeddedLog, file: Path, directory: LogDirectory
) -> None:
    other = LogDirectory(log, REGION, file)
    async with running(directory):
        records = other.changes([PAYMENTS])
        await other.append(records)
        assert not other.has(records)
        await read_back(directory, records)
    await directory.put([ANN], [Name(Kind.SERVICE, "payments")])

    assert directory.users() == [ANN]
    assert directory.service("payments") is None


async def test_a_file_alone_cannot_be_changed_from_here(file: Path) -> None:
    with pytest.raises(Refused, match="change that"):
        await FileDirectory(file).put([ANN])


async def test_a_responder_whom_nothing_reaches_is_told_once(
    directory: LogDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(directory):
        records = directory.changes([PAYMENTS])
        await directory.append(records)
        await read_back(directory, records)
        async with asyncio.timeout(10):
            while not caplog.records:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        more = directory.changes([Service("other", "Other")])
        await directory.append(more)
        await read_back(directory, more)
        await asyncio.sleep(0.1)
    told = [record for record in caplog.records if getattr(record, "action", "") == "responder_unreachable"]
    assert [record.message for record in told] == ["responder ann of service payments has no contact method"]
    assert directory.unreachable == 1


# One partition's users -----------------------------------------------------------------------------------------------


async def test_a_tail_gives_all_users_of_its_partition_then_who_changed(log: EmbeddedLog, file: Path) -> None:
    mine = user_partition("ann", REGION.partitions)
    other = next(f"u{n}" for n in range(100) if user_partition(f"u{n}", REGION.partitions) != mine)
    gone = next(f"g{n}" for n in range(100) if user_partition(f"g{n}", REGION.partitions) == mine)
    await say(log, DIRECTORY, DirectoryRecord(Name(Kind.USER, other), 1, "a", Person(other)))
    await say(log, DIRECTORY, DirectoryRecord(Name(Kind.USER, gone), 1, "a", None))
    changes = DirectoryTail(log, REGION, mine, FileDirectory(file)).changes()

    first = {one.user: one.person for one in await anext(changes)}
    assert first.keys() == {"ann", gone}
    assert first[gone] is None
    assert first["ann"] is not None
    assert first["ann"].name == "Ann"

    await say(log, "b." + DIRECTORY, DirectoryRecord(name_of(ANN), 5, "b", ANN))
    assert await anext(changes) == [PersonIs("ann", ANN)]

    await say(log, DIRECTORY, DirectoryRecord(name_of(ANN), 6, "a", None))
    assert await anext(changes) == [PersonIs("ann", None)]
    await changes.aclose()


async def test_a_tail_sees_the_file_change(log: EmbeddedLog, file: Path) -> None:
    changes = DirectoryTail(log, REGION, user_partition("ann", REGION.partitions), FileDirectory(file)).changes()
    await anext(changes)
    write(file, FILE.replace("name: Ann", "name: Anna"))
    assert await anext(changes) == [PersonIs("ann", Person("ann", "Anna", "ann@example.org"))]

    write(file, FILE.partition("users:")[0])
    assert await anext(changes) == [PersonIs("ann", None)]
    await changes.aclose()


async def test_a_tail_does_not_wait_for_a_part_that_is_not_there(tmp_path: Path, file: Path) -> None:
    log = EmbeddedLog(tmp_path / "half.sqlite")
    await log.ensure_topic(DIRECTORY, REGION.partitions, compacted=True)  # and no mirrored copy
    tail = DirectoryTail(log, REGION, user_partition("ann", REGION.partitions), FileDirectory(file))
    changes = tail.changes()

    assert [one.user for one in await anext(changes)] == ["ann"]
    async with asyncio.timeout(10):
        while not tail.problems:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert "b.directory" in tail.problems[0]
    await changes.aclose()
    await log.close()

"""The assigner: who is told, of what, and that a request is not acknowledged before they are."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from tests.requests_made import request
from tests.two_regions import ROOT
from tocsin.core.events import entry_of
from tocsin.core.failures import Kind
from tocsin.core.ids import Parent
from tocsin.core.incidents import fold
from tocsin.core.notices import NOTIFY, SCHEMA, requests_of
from tocsin.core.paging.assignments import Assignment, decode_assignment, user_partition
from tocsin.core.paging.effects import Item
from tocsin.core.paging.feedback import ChannelKey, End, Intent, IntentId, Outcome
from tocsin.core.requests import Record, Request
from tocsin.engines.directory import FileDirectory
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.errors import EngineError, Refused, Unavailable
from tocsin.engines.log import Log
from tocsin.engines.topics import make_topics
from tocsin.engines.watched import CHECK_EVERY_S
from tocsin.roles.assigner import TEXT_MAX, DirectoryAssigner, Folded, assignments
from tocsin.roles.reassigning import LOOK_EVERY_S, Reassigning
from tocsin.roles.writer import Writer
from tocsin.settings import Settings
from tocsin.topology import ASSIGNMENTS, Region

DIRECTORY = """
services:
  - {id: checkout, name: Checkout, routing_keys: ["cccccccccccccccccccccccccccccccc"], responders: [ann, ben]}
  - {id: quiet, name: Quiet, routing_keys: ["qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq"]}
  - id: lowly
    name: Lowly
    routing_keys: ["llllllllllllllllllllllllllllllll"]
    responders: [ann]
    urgency: low
users:
  - {id: ann, name: Ann, email: ann@example.org}
  - {id: ben, name: Ben, email: ben@example.org}
"""


@pytest.fixture
def region(monkeypatch: pytest.MonkeyPatch) -> Region:
    monkeypatch.setenv("TOCSIN_REGIONS_DIR", str(ROOT / "regions" / "local"))
    return Settings.load().topology().region("a")


@pytest_asyncio.fixture
async def log(tmp_path: Path, region: Region) -> AsyncIterator[EmbeddedLog]:
    opened = EmbeddedLog(tmp_path / "log.db")
    await make_topics(opened, region)
    yield opened
    await opened.close()


class Failing:
    """A log whose appends fail while it is told to."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.error: EngineError | None = None

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        if self.error is not None:
            raise self.error
        return await self._log.append(topic, partition, records)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


class Desk:
    """A writer with an assigner, and what it said."""

    def __init__(self, log: EmbeddedLog, store: EmbeddedStore, region: Region, place: Path) -> None:
        self.path = place / "directory.yaml"
        self.path.write_text(DIRECTORY, encoding="utf-8")
        self.failing = Failing(log)
        self._log = log
        self._store = store
        self._region = region
        self.epoch = 0
        self.writer = self.next_owner()

    def next_owner(self) -> Writer:
        """A writer that has nothing in memory, as after a crash."""
        self.epoch += 1
        assigner = DirectoryAssigner(self.failing, self._region, FileDirectory(self.path))
        self.writer = Writer(self._store, self.epoch, assigner)
        return self.writer

    async def said(self) -> list[Assignment]:
        """All assignments, a user's in order."""
        found = []
        for partition in range(self._region.partitions):
            fetched = await self._log.fetch(ASSIGNMENTS, partition, 0, records_max=1_000, bytes_max=1 << 24, wait_s=0)
            for _, record in fetched.records:
                one = decode_assignment(record.value)
                assert user_partition(one.user, self._region.partitions) == partition
                found.append(one)
        return found

    async def latest(self, user: str) -> dict[tuple[Parent, int], str]:
        """Status by incident, of the highest version."""
        found: dict[tuple[Parent, int], Assignment] = {}
        for one in await self.said():
            key = one.incident.parent, one.incident.id
            if one.user == user and (key not in found or one.version > found[key].version):
                found[key] = one
        return {key: one.status for key, one in found.items()}


@pytest.fixture
def desk(log: EmbeddedLog, store: EmbeddedStore, region: Region, tmp_path: Path) -> Desk:
    return Desk(log, store, region, tmp_path)


async def test_each_responder_is_told_of_each_change(desk: Desk) -> None:
    opening = request()
    assert await desk.writer.write([opening]) == {}
    assert await desk.writer.write([request(action="acknowledge")]) == {}
    told = await desk.said()
    assert {(one.user, one.status) for one in told} == {
        (user, status) for user in ("ann", "ben") for status in ("triggered", "acknowledged")
    }
    assert {(one.incident, one.since_us, one.urgency) for one in told} == {(opening.key, opening.received_us, "high")}
    assert await desk.latest("ann") == {(opening.key.parent, opening.key.id): "acknowledged"}


async def test_nobody_is_told_of_a_service_without_responders(desk: Desk) -> None:
    assert await desk.writer.write([request(service="quiet"), request(service="unknown")]) == {}
    assert await desk.said() == []


@pytest.mark.parametrize("now", ["[ben]", "[]"])
async def test_who_was_responsible_learns_of_the_end_and_of_nothing_new(desk: Desk, now: str) -> None:
    opening = request()
    assert await desk.writer.write([opening]) == {}
    desk.path.write_text(DIRECTORY.replace("[ann, ben]", now), encoding="utf-8")
    later = request("another")
    await asyncio.sleep(2 * CHECK_EVERY_S)
    assert await desk.writer.write([request(action="resolve"), later]) == {}
    assert await desk.latest("ann") == {(opening.key.parent, opening.key.id): "resolved"}


async def test_the_urgency_is_the_service_s(desk: Desk) -> None:
    assert await desk.writer.write([request(service="lowly")]) == {}
    assert [one.urgency for one in await desk.said()] == ["low"]


@pytest.mark.parametrize("error", [Unavailable("away"), Refused("too large")])
async def test_a_request_is_unavailable_until_its_assignments_are_on_the_log(desk: Desk, error: EngineError) -> None:
    one, quiet = request(), request(service="quiet")
    desk.failing.error = error
    failures = await desk.writer.write([one, quiet])
    assert {index: failure.kind for index, failure in failures.items()} == {0: Kind.UNAVAILABLE}
    desk.failing.error = None
    assert await desk.writer.write([one]) == {}
    assert await desk.latest("ben") == {(one.key.parent, one.key.id): "triggered"}


@pytest.mark.parametrize("between", ["another owner", "a later entry folded it anew", "nothing"])
async def test_an_end_that_was_stored_and_not_told_is_told_when_it_comes_again(desk: Desk, between: str) -> None:
    opening, end = request(), request(action="resolve")
    assert await desk.writer.write([opening]) == {}
    desk.failing.error = Unavailable("away")
    assert await desk.writer.write([end])
    desk.failing.error = None
    if between == "another owner":
        desk.next_owner()
    elif between == "a later entry folded it anew":
        assert await desk.writer.write([request()]) == {}
    assert await desk.writer.write([end]) == {}
    assert (await desk.latest("ann"))[opening.key.parent, opening.key.id] == "resolved"


async def test_an_earlier_opening_that_arrives_late_takes_the_later_one_in_as_an_alias(desk: Desk) -> None:
    early, late = request(), request()
    assert await desk.writer.write([late]) == {}
    assert await desk.writer.write([early]) == {}
    last = max(await desk.said(), key=lambda one: one.version)
    assert (last.incident, last.aliases) == (early.key, (late.key.id,))


async def test_what_is_no_incident_any_more_because_its_opening_was_dropped_is_ended(
    desk: Desk, store: EmbeddedStore
) -> None:
    opening = request()
    assert await desk.writer.write([opening]) == {}
    await store.mark(opening.key, 1, dropped=True)
    desk.failing.error = Unavailable("away")
    with pytest.raises(Unavailable):
        await desk.writer.refold(opening.key.parent)
    desk.failing.error = None
    await desk.writer.refold(opening.key.parent)
    assert await desk.latest("ann") == {(opening.key.parent, opening.key.id): "resolved"}
    await store.mark(opening.key, 2, dropped=False)
    await desk.writer.refold(opening.key.parent)
    assert await desk.latest("ann") == {(opening.key.parent, opening.key.id): "triggered"}


def notice(of: Request, at_us: int) -> Request:
    """A request that tells of a page about an incident."""
    assignment = Assignment("ann", of.key, of.received_us, "triggered", "high", "disk full", "db-7", "checkout", 1)
    channel = ChannelKey("ann", "box", "high")
    intent = Intent(IntentId("a", 1, 0), channel, b"", at_us, at_us, 0, "due")
    end = End(intent.id, channel, Outcome.DELIVERED, at_us, "box")
    [made] = requests_of(intent, end, [Item(assignment, is_new=True)], at_us)
    return made


async def test_that_somebody_was_told_is_told_nobody_and_belongs_to_its_incident(
    desk: Desk, store: EmbeddedStore
) -> None:
    opening = request()
    assert await desk.writer.write([opening]) == {}
    before = await desk.said()
    told = notice(opening, opening.received_us + 1_000_000)
    assert (told.schema, told.body.count(NOTIFY.encode())) == (SCHEMA, 1)
    assert await desk.writer.write([told]) == {}
    assert await desk.next_owner().write([told]) == {}
    assert await desk.said() == before
    [incident] = await store.incidents_of(opening.key.parent)
    assert (incident.status, incident.triggers, incident.entries) == ("triggered", 1, 2)


async def test_a_notice_of_an_earlier_incident_that_has_ended_falls_on_no_later_one(
    desk: Desk, store: EmbeddedStore
) -> None:
    opening, end, later = request(), request(action="resolve"), request()
    assert await desk.writer.write([opening, end, later]) == {}
    assert await desk.writer.write([notice(opening, later.received_us + 1)]) == {}
    first, second = await store.incidents_of(opening.key.parent)
    assert (first.status, first.entries, second.status, second.entries) == ("resolved", 3, "triggered", 1)


def test_a_source_without_end_is_cut(desk: Desk) -> None:
    incident = replace(fold([entry_of(request())])[0], source="x" * 100_000)
    service = FileDirectory(desk.path).service("checkout")
    assert service is not None
    assert {len(one.source) for one in assignments(service, Folded([incident], 0, 1))} == {TEXT_MAX}


async def test_who_becomes_responsible_is_told_of_what_is_open_there_already(
    desk: Desk, store: EmbeddedStore, region: Region
) -> None:
    opening, ended = request(service="quiet"), request(service="quiet", dedup_key="ended")
    ends = request(service="quiet", dedup_key="ended", action="resolve")
    assert await desk.writer.write([opening, ended, ends]) == {}
    directory = FileDirectory(desk.path)
    owners = dict.fromkeys(range(region.partitions), desk.writer)
    watching = asyncio.create_task(Reassigning(directory, store, owners, region.partitions).run())
    await asyncio.sleep(2 * LOOK_EVERY_S)
    assert await desk.said() == []

    desk.path.write_text(DIRECTORY.replace("id: quiet", "id: quiet, responders: [ann]"), encoding="utf-8")
    async with asyncio.timeout(10):
        while not await desk.said():  # noqa: ASYNC110 - the log is looked at, and tells nobody
            await asyncio.sleep(0.05)
    watching.cancel()

    assert [(one.user, one.incident, one.status) for one in await desk.said()] == [("ann", opening.key, "triggered")]

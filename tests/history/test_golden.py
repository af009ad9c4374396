"""What earlier versions wrote, read by today's code: goldens are decoded, and replayed on fresh stores.

A replay is what a region does that has lost its databases and still has its logs: the recorded requests and ledgers are
put into the logs of two fresh regions, today's creators run, and must come to the recorded outcome. The stores refuse
what they refused then.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.history import goldens
from tests.history.goldens import Rows
from tests.two_regions import Site, TwoRegions, set_environment, two_regions
from tocsin.core.budget import Budget
from tocsin.core.documents import BUDGET, REGION_WORDS, SERVICES_SEEN, PartitionStatus, RegionWords, ServicesSeen
from tocsin.core.entries import Entry
from tocsin.core.events import client_digest, entry_of
from tocsin.core.failures import Kind
from tocsin.core.ids import NOBODY
from tocsin.core.incidents import fold
from tocsin.core.kept import Stage
from tocsin.core.progress import FORMAT, merge_rows
from tocsin.core.requests import SCHEMA, Record, Request, Tick, Unreadable, decode_record, encode_request, encode_tick
from tocsin.core.statements import (
    Opened,
    Payload,
    RegionOrder,
    RequestOrder,
    Said,
    Unknown,
    decode_statement,
    encode_statement,
)
from tocsin.engines.embedded.schema import STORE
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.faults import Fault, Rule
from tocsin.topology import LEDGER, REQUESTS

REGIONS = ("a", "b")
FOLDERS = goldens.folders()
EACH = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
WITH_FILES = pytest.mark.parametrize(
    "folder", [each for each in FOLDERS if (each / "a.store.sql").exists()], ids=lambda folder: folder.name
)
EACH_REGION = pytest.mark.parametrize("region", REGIONS)
LOOK_EVERY_S, LOOKS_MAX = 0.1, 1_000
LEFT_OUT = (Stage.QUARANTINED, Stage.DROPPED)


# The files -----------------------------------------------------------------------------------------------------------


def test_a_golden_is_never_changed() -> None:
    recorded = json.loads(goldens.DIGESTS.read_text())
    assert goldens.digests() == recorded, (
        "a golden is never edited: record another, python -m tests.history.record NUMBER"
    )


def test_the_newest_golden_has_todays_formats() -> None:
    about = json.loads((FOLDERS[-1] / "about.json").read_text())
    written = (about["request_schema"], about["progress_format"], about["store_format"])
    assert written == (SCHEMA, FORMAT, STORE.version), "record another golden"


# Bytes ---------------------------------------------------------------------------------------------------------------


@EACH
@EACH_REGION
def test_recorded_requests_are_read_and_written_alike(folder: Path, region: str) -> None:
    seen: set[Any] = set()
    for _, record in goldens.records(folder, region, REQUESTS):
        match decode_record(record):
            case Request() as request:
                seen.add(request.schema)
                assert client_digest(request.key.parent, request.body) == request.key.digest
                assert encode_request(request) == record
            case Tick() as tick:
                seen.add(Tick)
                assert encode_tick(tick) == record
            case Unreadable() as unreadable:
                seen.add(Unreadable)
                assert unreadable.key.parent == NOBODY
        assert Record.decode(record.encode()) == record
    assert seen == ({1, 2, Tick, Unreadable} if region == "a" else {1, Tick})


@EACH
@EACH_REGION
def test_recorded_statements_are_read_and_written_alike(folder: Path, region: str) -> None:
    seen = set()
    for _, record in goldens.records(folder, region, LEDGER):
        statement = decode_statement(record.key, record.value)
        assert not isinstance(statement, Unknown)
        ledger_key, value = encode_statement(statement)
        assert value == record.value
        # Golden 1 has a person's words under keys without number and word; a book reads both alike.
        assert ledger_key == record.key or (folder.name == "1" and isinstance(statement, RequestOrder))
        seen.add(type(statement))
        if isinstance(statement, Opened):
            assert statement.incarnation == (1 if region == "a" else 2)
        if isinstance(statement, Payload):
            assert Record.decode(statement.record).encode() == statement.record
    assert {Said, Payload, Opened} <= seen
    assert (RequestOrder in seen) == (region == "a")
    assert (RegionOrder in seen) == (region == "a" and folder.name != "1")


@EACH
@EACH_REGION
def test_recorded_rows_are_read_and_written_alike(folder: Path, region: str) -> None:
    rows = Rows(folder, region)
    assert [row.encode() for row in rows.progress_rows] == [raw for *_, raw in rows.progress]
    for document in rows.documents:
        kind: Any = {BUDGET: Budget, REGION_WORDS: RegionWords, SERVICES_SEEN: ServicesSeen}.get(
            document.name, PartitionStatus
        )
        assert kind.decode(document.value).encode() == document.value
    for kept in rows.kept:
        assert Record.decode(kept.record).encode() == kept.record
    assert {row.kind for row in rows.kept} >= {Kind.REJECTED, Kind.CRASHED}
    assert {row.stage for row in rows.kept} >= {Stage.QUARANTINED, Stage.DROPPED}


@EACH
@EACH_REGION
def test_recorded_incidents_are_todays_fold_of_the_recorded_entries(folder: Path, region: str) -> None:
    rows = Rows(folder, region)
    dropped = {key for key, _, is_dropped in rows.marks if is_dropped}
    parents: dict[Any, list[Entry]] = {}
    for entry in rows.entries:
        if entry.key not in dropped:
            parents.setdefault(entry.key.parent, []).append(entry)
    folded = [incident for entries in parents.values() for incident in fold(entries)]
    assert sorted(folded, key=lambda incident: incident.key) == rows.incidents
    assert {entry.schema for entry in rows.entries} == {1, 2}
    for _, record in goldens.records(folder, region, REQUESTS):
        content = decode_record(record)
        if isinstance(content, Request) and (stored := [row for row in rows.entries if row.key == content.key]):
            assert stored == [entry_of(content)]


@WITH_FILES
@EACH_REGION
async def test_a_recorded_file_of_a_store_is_opened_with_all_that_it_holds(
    folder: Path, region: str, tmp_path: Path
) -> None:
    goldens.make_store(folder, region, tmp_path / "store.sqlite")
    store = EmbeddedStore(tmp_path / "store.sqlite")
    assert await goldens.row_lines(store) == (folder / f"{region}.rows.jsonl").read_text().splitlines()
    await store.close()


# Replay --------------------------------------------------------------------------------------------------------------


async def replayed(place: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TwoRegions]:
    """Two fresh regions that have the recorded logs, after today's creators went through them."""
    about = json.loads((folder / "about.json").read_text())
    set_environment(monkeypatch, place)
    monkeypatch.setenv("TOCSIN_REGION__PARTITIONS", str(about["partitions"]))
    async with two_regions(place) as regions:
        for fault in (Fault.REFUSE, Fault.CRASH):
            for name in about["refused" if fault is Fault.REFUSE else "crashes"]:
                for region in REGIONS:
                    rule = Rule(
                        id=f"{name}-{region}", region=region, port="store", kind=fault, op="write", dedup_key=name
                    )
                    regions.switch.set_rule(rule)
        await regions.make_topics()
        for site in regions.both:
            for topic in (REQUESTS, LEDGER):
                for partition, record in goldens.records(folder, site.name, topic):
                    await site.log.append(topic, partition, [record])
        await regions.start()
        yield regions


@EACH
@pytest.mark.timeout(180)  # what kills its process is tried in a child, and a busy machine starts one slowly
async def test_todays_creators_come_to_the_recorded_outcome(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async for regions in replayed(tmp_path, folder, monkeypatch):
        for site in regions.both:
            await comes_to(site, Rows(folder, site.name))
        await regions.stop()
        for site in regions.both:
            then = Rows(folder, site.name)
            assert await goldens.incidents(site.store) == then.incidents
            assert sorted(await site.store.scan_marks()) == then.marks
            assert await site.store.kept_rows(stages=[Stage.HELD, Stage.ASIDE]) == []
            for row in await site.store.progress():
                for source, progress in merge_rows([row]).items():
                    topic = REQUESTS if source == site.name else f"{source}.{REQUESTS}"
                    _, end = await site.log.bounds(topic, row.partition)
                    assert (progress.runs.low, len(progress.runs)) == (end, 0)


async def comes_to(site: Site, then: Rows) -> None:
    """Returns once a region has the recorded entries, and left out what it left out then."""
    expected = [(row.key, row.stage, row.kind) for row in then.kept if row.stage in LEFT_OUT]
    for _ in range(LOOKS_MAX):
        if await goldens.entries(site.store) == then.entries and await left_out(site.store) == expected:
            return
        await asyncio.sleep(LOOK_EVERY_S)
    missing = set(then.entries) ^ set(await goldens.entries(site.store))
    pytest.fail(f"region {site.name}: entries that differ: {missing}; left out: {await left_out(site.store)}")


async def left_out(store: Any) -> list[tuple[Any, Stage, Kind]]:
    """What is quarantined or dropped, and as what kind of failure."""
    return [(row.key, row.stage, row.kind) for row in await goldens.kept_rows(store) if row.stage in LEFT_OUT]

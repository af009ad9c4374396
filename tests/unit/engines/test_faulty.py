"""The two ports behind the fault switch: hit are the calls that the rules name, as they say, and no others."""
# ruff: noqa: ASYNC221 - a test that blocks keeps nobody waiting

import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract.store_rows import PARENT, entry, incident, kept, key, progress
from tocsin.core.entries import Entry, EntryFilter
from tocsin.core.failures import Kind
from tocsin.core.ids import Parent
from tocsin.core.incidents import IncidentFilter
from tocsin.core.paging.effects import UserRow
from tocsin.core.requests import Record
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.errors import Refused, Unavailable
from tocsin.engines.faults import Fault, FaultSwitch, Rule
from tocsin.engines.faulty import FaultyLog, FaultyStore
from tocsin.engines.log import Claim, Log
from tocsin.engines.store import Document, Lost, Store

ROOT = Path(__file__).parents[3]
POISON = Parent("checkout", "poison-1")
NO_ANSWER = [Fault.TIMEOUT, Fault.UNAVAILABLE, Fault.CUT]
Call = Callable[[Store], Awaitable[object]]
PUTS: dict[str, Call] = {
    "mark": lambda store: store.mark(key(), 1, dropped=True),
    "put_incidents": lambda store: store.put_incidents(PARENT, [incident()], 1),
    "update_incidents": lambda store: store.update_incidents(PARENT, [incident()], 1),
    "put_kept": lambda store: store.put_kept(kept()),
    "save_progress": lambda store: store.save_progress(progress()),
    "forget_progress": lambda store: store.forget_progress(3, 1),
    "put_lost": lambda store: store.put_lost(Lost(3, "requests", 1, 2, 3)),
    "put_document": lambda store: store.put_document(Document("status", 1, b"{}")),
    "keep_users": lambda store: store.keep_users(3, [UserRow("ada", b"state")], 1),
}
READS: dict[str, Call] = {
    "identity": lambda store: store.identity(),
    "entry": lambda store: store.entry(key()),
    "entries_of": lambda store: store.entries_of([PARENT]),
    "find_entries": lambda store: store.find_entries(1),
    "marked": lambda store: store.marked(key()),
    "incidents_of": lambda store: store.incidents_of(PARENT),
    "find_incidents": lambda store: store.find_incidents(IncidentFilter()),
    "kept": lambda store: store.kept(key()),
    "kept_rows": lambda store: store.kept_rows(),
    "find_kept": lambda store: store.find_kept(1),
    "kept_of": lambda store: store.kept_of(PARENT),
    "progress": lambda store: store.progress(),
    "lost": lambda store: store.lost(),
    "document": lambda store: store.document("status"),
    "kept_users": lambda store: store.kept_users(3),
    "documents": lambda store: store.documents(""),
    "list_entries": lambda store: store.list_entries(EntryFilter()),
    "count_entries": lambda store: store.count_entries(EntryFilter()),
    "count_incidents": lambda store: store.count_incidents(IncidentFilter()),
    "scan_entries": lambda store: store.scan_entries(None, 1),
    "scan_incidents": lambda store: store.scan_incidents(None, 1),
    "scan_marks": lambda store: store.scan_marks(),
}


@pytest.fixture
def switch(tmp_path: Path) -> FaultSwitch:
    return FaultSwitch(tmp_path / "faults.json")


@pytest.fixture
async def store(switch: FaultSwitch, tmp_path: Path) -> AsyncIterator[Store]:
    store = FaultyStore(EmbeddedStore(tmp_path / "outcomes.db"), switch, "a")
    yield store
    await store.close()


@pytest.fixture
async def inner(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(tmp_path / "region.log")
    await log.ensure_topic("requests", 1)
    yield log
    await log.close()


def rule(kind: Fault, **more: Any) -> Rule:
    fields: dict[str, Any] = {"id": "broken", "region": "a", "port": "store", "kind": kind, "delay_s": 0.01}
    return Rule(**fields | more)


def poisoned() -> list[Entry]:
    return [entry(key(1)), entry(key(2, parent=POISON)), entry(key(3))]


# The store ----------------------------------------------------------------------------------------------------------


def test_the_calls_below_are_all_that_the_port_has() -> None:
    port = {name for name in vars(Store) if not name.startswith("_")}

    assert {*PUTS, *READS, "write", "ping", "close"} == port


async def test_a_refused_entry_is_rejected_alone_and_its_neighbours_are_stored(
    store: Store, switch: FaultSwitch
) -> None:
    switch.set_rule(rule(Fault.REFUSE, service="check", dedup_key="poison"))

    failures = await store.write(poisoned())

    assert {index: failure.kind for index, failure in failures.items()} == {1: Kind.REJECTED}
    assert failures[1].reason == "the store refuses this (fault switch, rule broken)"
    assert await store.scan_entries(None, 10) == [poisoned()[0], poisoned()[2]]
    await store.ping()


@pytest.mark.parametrize("kind", NO_ANSWER)
async def test_some_keys_may_get_no_answer_while_their_neighbours_are_stored(
    store: Store, switch: FaultSwitch, kind: Fault
) -> None:
    switch.set_rule(rule(kind, dedup_key="poison"))

    failures = await store.write(poisoned())

    assert {index: failure.kind for index, failure in failures.items()} == {1: Kind.UNAVAILABLE}
    assert await store.scan_entries(None, 10) == [poisoned()[0], poisoned()[2]]
    assert await store.entry(key(1)) == poisoned()[0]
    with pytest.raises(Unavailable, match="rule broken"):
        await store.entry(key(2, parent=POISON))
    for call in (*PUTS.values(), *READS.values()):
        await call(store)
    await store.ping()


@pytest.mark.parametrize("kind", NO_ANSWER)
async def test_a_store_that_is_away_answers_no_call(store: Store, switch: FaultSwitch, kind: Fault) -> None:
    switch.set_rule(rule(kind))

    assert {failure.kind for failure in (await store.write(poisoned())).values()} == {Kind.UNAVAILABLE}
    for call in (*PUTS.values(), *READS.values()):
        with pytest.raises(Unavailable):
            await call(store)
    with pytest.raises(Unavailable):
        await store.ping()

    switch.clear("broken")
    assert await store.scan_entries(None, 10) == []
    assert await store.write(poisoned()) == {}


async def test_a_store_that_cannot_be_written_is_still_read(store: Store, switch: FaultSwitch) -> None:
    switch.set_rule(rule(Fault.UNAVAILABLE, op="write"))

    for call in READS.values():
        await call(store)
    for call in PUTS.values():
        with pytest.raises(Unavailable):
            await call(store)
    with pytest.raises(Unavailable):
        await store.ping()


async def test_a_store_that_refuses_everything_still_answers(store: Store, switch: FaultSwitch) -> None:
    switch.set_rule(rule(Fault.REFUSE))

    assert {failure.kind for failure in (await store.write(poisoned())).values()} == {Kind.REJECTED}
    for call in PUTS.values():
        with pytest.raises(Refused):
            await call(store)
    for call in READS.values():
        await call(store)
    await store.ping()


async def test_a_delay_waits_and_then_goes_on(store: Store, switch: FaultSwitch) -> None:
    switch.set_rule(rule(Fault.DELAY, delay_s=0.1, dedup_key="poison"))
    before = time.monotonic()

    assert await store.write(poisoned()) == {}

    assert time.monotonic() - before >= 0.1
    assert len(await store.scan_entries(None, 10)) == 3


async def test_indices_of_the_failures_are_those_of_the_whole_batch(store: Store, switch: FaultSwitch) -> None:
    switch.set_rule(rule(Fault.REFUSE, dedup_key="poison"))
    too_large = entry(key(4), body=bytes(1 << 21))

    failures = await store.write([*poisoned(), too_large, *poisoned()])

    assert {index: failure.kind for index, failure in failures.items()} == dict.fromkeys((1, 3, 5), Kind.REJECTED)
    assert "rows over" in failures[3].reason


async def test_of_two_rules_the_first_decides_on_an_entry(store: Store, switch: FaultSwitch) -> None:
    switch.set_rule(rule(Fault.REFUSE, id="one", dedup_key="poison"))
    switch.set_rule(rule(Fault.UNAVAILABLE, id="two", service="checkout"))

    failures = await store.write(poisoned())

    assert [failures[index].kind for index in range(3)] == [Kind.UNAVAILABLE, Kind.REJECTED, Kind.UNAVAILABLE]


async def test_a_bounded_rule_ends_by_itself(store: Store, switch: FaultSwitch) -> None:
    switch.set_rule(rule(Fault.REFUSE, dedup_key="poison", times=1))

    assert set(await store.write(poisoned())) == {1}
    assert await store.write(poisoned()) == {}


async def test_another_regions_store_is_not_hit(switch: FaultSwitch, store: Store) -> None:
    switch.set_rule(rule(Fault.UNAVAILABLE, region="b"))

    assert await store.write(poisoned()) == {}


@pytest.mark.parametrize(("key_part", "status"), [("poison", -signal.SIGKILL), ("other", 0)])
async def test_a_crash_kills_the_process_just_before_it_writes_a_matching_entry(
    tmp_path: Path, switch: FaultSwitch, key_part: str, status: int
) -> None:
    switch.set_rule(rule(Fault.CRASH, dedup_key=key_part, times=1))
    program = """if True:
        import asyncio, sys
        from pathlib import Path
        from tests.unit.engines.test_faulty import EmbeddedStore, FaultSwitch, FaultyStore, entry, key, poisoned
        async def main():
            store = FaultyStore(EmbeddedStore(Path(sys.argv[1])), FaultSwitch(Path(sys.argv[2])), "a")
            await store.write([entry(key(9))])
            await store.write(poisoned())
            await store.close()
        asyncio.run(main())"""
    command = [sys.executable, "-c", program, str(tmp_path / "outcomes.db"), str(tmp_path / "faults.json")]

    first = subprocess.run(command, cwd=ROOT, check=False, timeout=30)

    store = EmbeddedStore(tmp_path / "outcomes.db")
    assert first.returncode == status
    assert len(await store.scan_entries(None, 10)) == (1 if status else 4)
    assert subprocess.run(command, cwd=ROOT, check=False, timeout=30).returncode == 0, "a bound outlives the process"
    assert len(await store.scan_entries(None, 10)) == 4
    await store.close()


# The log and the mirror ---------------------------------------------------------------------------------------------

RECORDS = [Record(PARENT.encode(), b"%d" % n, (), 1_700_000_000_000 + n) for n in range(5)]


async def offsets(log: Log, start: int, records_max: int) -> tuple[list[int], int]:
    """What one fetch delivers, and where the next goes on."""
    fetched = await log.fetch("requests", 0, start, records_max=records_max, bytes_max=1 << 20, wait_s=0)
    return [delivered.offset for delivered in fetched.records], fetched.next_offset


@pytest.mark.parametrize("kind", NO_ANSWER)
async def test_a_log_that_is_away_answers_no_call(inner: EmbeddedLog, switch: FaultSwitch, kind: Fault) -> None:
    log: Log = FaultyLog(inner, switch, "a")
    switch.set_rule(rule(kind, port="log"))

    for call in (
        log.cluster,
        lambda: log.topic("requests"),
        lambda: log.ensure_topic("requests", 1),
        lambda: log.append("requests", 0, RECORDS),
        lambda: log.fetch("requests", 0, 0, records_max=1, bytes_max=1, wait_s=0),
        lambda: log.bounds("requests", 0),
        lambda: log.offset_at("requests", 0, 0),
        lambda: log.claim("creator", 0),
        lambda: log.release(Claim("creator", 0, 1)),
        lambda: log.commit("creator", "requests", 0, 1),
        lambda: log.committed("creator", "requests", 0),
    ):
        with pytest.raises(Unavailable, match="fault switch, rule broken"):
            await call()

    assert await inner.bounds("requests", 0) == (0, 0)


async def test_one_matching_record_fails_its_append_as_a_whole(inner: EmbeddedLog, switch: FaultSwitch) -> None:
    log = FaultyLog(inner, switch, "a")
    switch.set_rule(rule(Fault.REFUSE, port="log", dedup_key="poison"))

    with pytest.raises(Refused):
        await log.append("requests", 0, [*RECORDS, Record(POISON.encode(), b"")])
    assert await log.append("requests", 0, [*RECORDS, Record(None, b"tick"), Record(b"\xff", b"junk")]) == 0

    assert await log.bounds("requests", 0) == (0, 7)


async def test_a_repeat_delivers_each_set_twice_and_goes_on(inner: EmbeddedLog, switch: FaultSwitch) -> None:
    await inner.append("requests", 0, RECORDS)
    log = FaultyLog(inner, switch, "a", port="mirror", peer="b")
    switch.set_rule(rule(Fault.REPEAT, port="mirror", peer="b"))

    at, sets = 0, []
    for _ in range(7):
        delivered, at = await offsets(log, at, 2)
        sets.append(delivered)

    assert sets == [[0, 1], [0, 1], [2, 3], [2, 3], [4], [4], []]
    assert at == 5
    assert await log.append("requests", 0, RECORDS) == 5, "what repeats fetches leaves appends alone"


async def test_a_repeated_set_holds_nothing_that_came_meanwhile(inner: EmbeddedLog, switch: FaultSwitch) -> None:
    await inner.append("requests", 0, RECORDS[:1])
    log = FaultyLog(inner, switch, "a")
    switch.set_rule(rule(Fault.REPEAT, port="log", times=1))
    assert await offsets(log, 0, 10) == ([0], 1)
    await inner.append("requests", 0, RECORDS[1:])

    assert await offsets(log, 1, 10) == ([0], 1)
    assert await offsets(log, 1, 10) == ([1, 2, 3, 4], 5)
    assert await offsets(log, 5, 10) == ([], 5)


async def test_a_mirror_is_cut_one_way(inner: EmbeddedLog, switch: FaultSwitch) -> None:
    from_b = FaultyLog(inner, switch, "a", port="mirror", peer="b")
    from_a = FaultyLog(inner, switch, "b", port="mirror", peer="a")
    own = FaultyLog(inner, switch, "a")
    switch.set_rule(rule(Fault.CUT, port="mirror", peer="b"))

    with pytest.raises(Unavailable, match="the mirror of region a is cut off"):
        await from_b.bounds("requests", 0)
    assert await from_a.bounds("requests", 0) == await own.bounds("requests", 0) == (0, 0)

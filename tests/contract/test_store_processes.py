"""A store outlives its processes, serves several at once, and keeps what it acknowledged when one is killed."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.store_adapters import StoreAdapter
from tests.contract.store_rows import PARENT, entry, incident, kept, key, progress
from tests.contract.store_writer import batch_of
from tocsin.engines.store import Document, Lost, Store

ROOT = Path(__file__).parents[2]


def start_writer(adapter: StoreAdapter, place: Path, region: str, batches: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.contract.store_writer", adapter.name, str(place), region, str(batches)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_a_ping_returns_while_the_store_works(store: Store) -> None:
    await store.ping()
    await store.ping()


async def test_the_identity_is_the_same_after_reopening_and_another_for_another_database(
    store_adapter: StoreAdapter, tmp_path: Path
) -> None:
    identities = []
    for name in ("one", "one", "two"):
        store = store_adapter.open(tmp_path / name)
        identities.append(await store.identity())
        await store.close()

    assert identities[0] == identities[1] != identities[2]
    assert all(identities)


async def test_everything_is_there_after_reopening(store_adapter: StoreAdapter, store_place: Path) -> None:
    before = store_adapter.open(store_place)
    await before.write([entry()])
    await before.mark(key(1), 1, dropped=True)
    await before.put_incidents(PARENT, [incident()], 1)
    await before.put_kept(kept())
    await before.save_progress(progress())
    await before.put_lost(Lost(3, "requests", 1, 2, 3))
    await before.put_document(Document("status", 1, b"{}"))
    await before.close()

    after = store_adapter.open(store_place)

    assert await after.entry(key()) == entry()
    assert await after.scan_marks() == [(key(1), 1, True)]
    assert await after.incidents_of(PARENT) == [incident()]
    assert await after.kept(key()) == kept()
    assert await after.progress() == [progress()]
    assert await after.lost() == [Lost(3, "requests", 1, 2, 3)]
    assert await after.document("status") == Document("status", 1, b"{}")
    await after.close()


async def test_closing_twice_does_no_harm(store_adapter: StoreAdapter, store_place: Path) -> None:
    store = store_adapter.open(store_place)
    await store.ping()

    await store.close()
    await store.close()


async def test_what_one_opening_writes_another_reads_at_once(
    store: Store, store_adapter: StoreAdapter, store_place: Path
) -> None:
    other = store_adapter.open(store_place)
    assert await other.entry(key()) is None

    await store.write([entry()])

    assert await other.entry(key()) == entry()
    await other.close()


async def test_two_processes_write_the_same_keys_at_once_and_the_lowest_rows_stay(
    store_adapter: StoreAdapter, store_place: Path
) -> None:
    writers = [start_writer(store_adapter, store_place, region, 30) for region in ("b", "a")]
    said = [writer.communicate(timeout=30)[0].split() for writer in writers]

    assert [writer.returncode for writer in writers] == [0, 0]
    assert said == [[str(n) for n in range(30)]] * 2
    store = store_adapter.open(store_place)
    assert await store.scan_entries(None, 10_000) == [one for n in range(30) for one in batch_of("a", n)]
    await store.close()


@pytest.mark.parametrize("acknowledged", [1, 40])
async def test_a_kill_during_writes_loses_nothing_that_was_acknowledged(
    store_adapter: StoreAdapter, store_place: Path, acknowledged: int
) -> None:
    writer = start_writer(store_adapter, store_place, "a", 1_000_000)
    assert writer.stdout is not None
    lines = [writer.stdout.readline() for _ in range(acknowledged)]

    writer.kill()

    lines += writer.communicate(timeout=30)[0].splitlines(keepends=True)
    told = [int(line) for line in lines if line.endswith("\n")]
    assert len(told) >= acknowledged
    store = store_adapter.open(store_place)
    there = {one.key: one for one in await store.scan_entries(None, 1_000_000)}
    assert [one for number in told for one in batch_of("a", number) if there.get(one.key) != one] == []
    assert await store.write(batch_of("a", told[-1] + 1)) == {}
    await store.close()

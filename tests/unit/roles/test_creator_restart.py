"""Promise 5: what is written again after a stop, counted by the store's own log of writes."""

import functools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from tests.requests_made import key_in, request
from tests.two_regions import Site, TwoRegions, set_environment, two_regions, until
from tocsin.core.ids import RequestKey
from tocsin.core.kept import Stage
from tocsin.core.requests import Request
from tocsin.engines.embedded.entry_table import JournalRow
from tocsin.engines.faults import Fault

BELOW, ABOVE = 1_500, 3_500


@pytest_asyncio.fixture
async def regions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TwoRegions]:
    # The grace is long, so that what is UNAVAILABLE while its neighbours are stored stays held.
    set_environment(monkeypatch, tmp_path, grace_s=60, reach_records=600)
    async with two_regions(tmp_path) as made:
        await made.make_topics()
        yield made


async def low(site: Site, partition: int) -> tuple[int, int, bool]:
    """Watermark, number of runs above it, and whether the stop was clean, as they were saved."""
    rows = await site.store.progress(partition)
    source = rows[-1].sources["a"]
    return source.runs.low, len(source.runs), all(row.clean for row in rows)


async def test_after_a_clean_stop_nothing_is_written_again_though_one_request_was_held_all_the_time(
    regions: TwoRegions,
) -> None:
    a = regions.a
    rule = await regions.breaks("a", Fault.UNAVAILABLE, held_key := key_in(0, "held"))
    below = [request(key_in(0, f"below-{n % 50}")) for n in range(BELOW)]
    held = request(held_key)
    above = [request(key_in(0, f"above-{n % 50}")) for n in range(ABOVE)]
    await a.send(*below, held, *above)
    a.start()
    await until(lambda: a.has([*below, *above]), "all but the held one")
    await until(lambda: a.is_kept(held.key, Stage.HELD), "the held one kept")
    await a.stop()
    assert await low(a, 0) == (BELOW, 1, True), "a hole, and one run above it"
    assert len(await a.journal()) == BELOW + ABOVE

    more = [request(key_in(0, "more")) for _ in range(2)]
    for count in (1, 2):
        a.start()
        await a.send(more[count - 1])
        await until(functools.partial(a.has, more[:count]), "a request after the restart")
        await a.stop()
    counts = written(await a.journal())
    assert len(counts) == sum(counts.values()) == BELOW + ABOVE + 2

    regions.switch.clear(rule)
    a.start()
    await until(lambda: a.has([held]), "the held one")
    await a.stop()
    counts = written(await a.journal())
    assert len(counts) == sum(counts.values()) == BELOW + ABOVE + 3
    assert await low(a, 0) == (BELOW + ABOVE + 3, 0, True)


def written(rows: Sequence[JournalRow]) -> Counter[RequestKey]:
    """How often each request was written."""
    return Counter(row.key for row in rows)


async def test_a_held_request_is_tried_on_after_a_restart_and_then_stored(regions: TwoRegions) -> None:
    a = regions.a
    rule = await regions.breaks("a", Fault.UNAVAILABLE, name := key_in(1, "held"))
    held, after = request(name), request(key_in(1, "after"))
    await a.send(held, after)
    for _ in range(2):
        a.start()
        await until(lambda: a.is_kept(held.key, Stage.HELD), "the held one kept")
        await until(lambda: a.has([after]), "the one after it")
        await a.stop()
    a.start()
    regions.switch.clear(rule)
    await until(lambda: a.has([held]), "the held one")
    await until(lambda: a.is_kept(held.key, Stage.DONE), "the row saying so")


async def test_after_a_creator_was_cut_off_what_is_written_again_changes_nothing(regions: TwoRegions) -> None:
    a = regions.a
    requests: list[Request] = [request(key_in(0, f"key-{n % 40}")) for n in range(2_000)]
    await a.send(*requests)
    running = a.start()

    async def some() -> bool:
        return len(await a.journal()) >= 500

    await until(some, "a quarter of them")
    await running.abort()
    a.running.clear()
    before = await a.journal()
    a.start()
    await until(lambda: a.has(requests), "all requests")
    await a.stop()
    again = (await a.journal())[len(before) :]
    known = {row.key for row in before}
    assert {row.effect for row in again if row.key in known} <= {"same"}
    assert sum(row.effect == "inserted" for row in await a.journal()) == len(requests)

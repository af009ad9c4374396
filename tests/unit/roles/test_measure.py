"""What creators show of themselves while two regions work, halt and fall silent."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from tests.requests_made import key_in, request
from tests.two_regions import Site, TwoRegions, set_environment, two_regions, until
from tocsin.core.kept import Stage
from tocsin.core.requests import SCHEMA, Record
from tocsin.engines.faults import Fault
from tocsin.engines.store import Lost
from tocsin.roles.clock import now
from tocsin.telemetry import Counter, Gauge, Histogram
from tocsin.telemetry.meters import Labels, Spread


@pytest_asyncio.fixture
async def regions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TwoRegions]:
    set_environment(monkeypatch, tmp_path)
    async with two_regions(tmp_path) as made:
        yield made


def shown(site: Site, metric: Counter | Gauge | Histogram) -> Mapping[Labels, float | Spread]:
    return dict(site.running[0].meters.collect()).get(metric, {})


def value(site: Site, metric: Counter | Gauge, **labels: str) -> float:
    found = shown(site, metric)[tuple(sorted(labels.items()))]
    assert not isinstance(found, Spread)
    return found


async def test_how_long_it_took_is_told_of_each_request_by_where_it_came_from(regions: TwoRegions) -> None:
    await regions.start()
    ours = [request(f"key-{number}", region="a") for number in range(30)]
    theirs = [request("key-1", region="b") for _ in range(7)]
    await asyncio.gather(regions.a.send(*ours), regions.b.send(*theirs))

    def told(site: Site) -> dict[str, int]:
        spreads = shown(site, Histogram.STORED_S)
        return {labels[0][1]: spread.total for labels, spread in spreads.items() if isinstance(spread, Spread)}

    async def all_is_told() -> bool:
        return (told(regions.a), told(regions.b)) == ({"own": 30, "peer": 7}, {"own": 7, "peer": 30})

    await until(all_is_told, "a time of each request in both")


async def test_a_halt_shows_in_its_partition_and_in_the_region(regions: TwoRegions) -> None:
    await regions.start()

    async def is_halted() -> bool:
        return value(regions.b, Gauge.REGION_STATE, state="halted") == 1

    async def serves() -> bool:
        return value(regions.b, Gauge.REGION_STATE, state="serving") == 1

    await until(serves, "that b serves")
    rule = await regions.breaks("b", Fault.REFUSE, "stuck")
    one = request(key_in(0, "stuck"))
    await regions.a.send(one)
    await until(is_halted, "the halt of b")

    assert [value(regions.b, Gauge.HALTED, partition=number) for number in ("0", "1")] == [1, 0]
    assert value(regions.b, Gauge.KEPT, partition="0", stage=Stage.HELD) == 1
    assert value(regions.b, Gauge.REGION_STATE, state="serving") == 0
    assert value(regions.a, Gauge.REGION_STATE, state="serving") == 1

    regions.switch.clear(rule)
    await regions.both_have(one)
    await until(serves, "that b serves again")
    assert value(regions.b, Gauge.HALTED, partition="0") == 0


async def test_what_cannot_be_read_counts_as_failed_though_nobody_tried_to_write_it(regions: TwoRegions) -> None:
    await regions.start()
    newer = request("key", region="a")._replace(schema=SCHEMA + 1)
    await regions.a.send(newer)
    await regions.a.log.append(regions.a.region.requests, 0, [Record(b"key", b"rubbish")])

    async def both_are_counted() -> bool:
        counts = [
            value(site, Counter.FAILED, kind=kind)
            for site in (regions.a, regions.b)
            for kind in ("too_new", "rejected")
        ]
        return all(count == 1 for count in counts)

    await until(both_are_counted, "one of each kind in both regions")


async def test_a_peer_that_falls_silent_is_heard_of_no_more(regions: TwoRegions) -> None:
    await regions.start()

    async def silent_s() -> float:
        return value(regions.a, Gauge.PEER_SILENCE_S, peer="b")

    async def is_heard() -> bool:
        return await silent_s() < 0.5

    await until(is_heard, "a heartbeat of b")
    await regions.b.stop()

    async def is_silent() -> bool:
        return await silent_s() > 1.5

    await until(is_silent, "the silence of b")


async def test_what_was_lost_before_the_start_is_shown_after_it(regions: TwoRegions) -> None:
    await regions.a.store.put_lost(Lost(1, "b", 5, 12, now().unix_us))
    await regions.a.store.put_lost(Lost(1, "b", 20, 23, now().unix_us))
    await regions.start()

    async def is_owned() -> bool:
        return len(shown(regions.a, Gauge.LOST)) == 4

    await until(is_owned, "that a owns both partitions")
    assert value(regions.a, Gauge.LOST, partition="1", source="b") == 10
    assert value(regions.a, Gauge.LOST, partition="0", source="b") == 0


async def test_what_waits_eats_up_the_headroom_of_retention(regions: TwoRegions) -> None:
    await regions.start()
    await regions.breaks("b", Fault.REFUSE, "stuck")
    await regions.a.send(request(key_in(0, "stuck"), received_us=now().unix_us - 3_600_000_000))
    retention_s = regions.b.region.log.retention_s

    async def is_measured() -> bool:
        headroom_s = shown(regions.b, Gauge.HEADROOM_S).get((("partition", "0"),))
        return isinstance(headroom_s, float) and headroom_s < retention_s - 3_600

    await until(is_measured, "a headroom less by an hour")
    assert value(regions.b, Gauge.HEADROOM_S, partition="1") > retention_s - 60

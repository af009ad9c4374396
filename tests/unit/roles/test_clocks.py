"""Clocks: a lead of a peer's ticks is seen, a lag is not mistaken for one, and nothing is said of what is not known."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.roles.conftest import NOW_S, Clock
from tocsin.core.ids import Parent
from tocsin.core.requests import Record, Tick, encode_tick
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.faults import Fault, FaultSwitch, Rule
from tocsin.engines.faulty import FaultyLog
from tocsin.roles import clocks
from tocsin.roles.clocks import PeerClocks, unsynchronised
from tocsin.telemetry import Gauge

TOPIC = "b.requests"


class Region:
    """Region a, to whose log the ticks of b and c are mirrored."""

    def __init__(self, place: Path, clock: Clock) -> None:
        self.clock = clock
        self.switch = FaultSwitch(place / "faults.json")
        self.mirror = EmbeddedLog(place / "a.log")
        self.log = FaultyLog(EmbeddedLog(place / "a.log"), self.switch, "a")
        self.clocks = PeerClocks(self.log, {"b": TOPIC, "c": "c.requests"}, clock.unix_us)

    async def tick(self, *aheads_s: float, region: str = "b") -> None:
        """Ticks that lie so far ahead of our clock; returns once they were read."""
        ticks = [Tick(self.clock.us + int(ahead_s * 1e6), region) for ahead_s in aheads_s]
        await self.mirror.append(f"{region}.requests", 0, [encode_tick(tick) for tick in ticks])
        async with asyncio.timeout(5):
            while self.clocks._tick_us.get(region) != max(tick.tick_us for tick in ticks):  # noqa: ASYNC110 (the log tells nobody)
                await asyncio.sleep(0.005)

    def shown(self, gauge: Gauge) -> list[tuple[float, dict[str, str]]]:
        """Value and labels of each series of a gauge."""
        found = (one for one in self.clocks.readings() if one.gauge is gauge)
        return sorted(((one.value, dict(one.labels)) for one in found), key=lambda one: sorted(one[1].items()))


@pytest.fixture
async def region(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Region]:
    monkeypatch.setattr(clocks, "RETRY_S", 0.01)
    region = Region(tmp_path, clock)
    for name in (TOPIC, "c.requests"):
        await region.mirror.ensure_topic(name, 1)
        await region.mirror.append(name, 0, [encode_tick(Tick((NOW_S + 3_600) * 1_000_000, name[0]))])
    running = asyncio.create_task(region.clocks.run())
    await asyncio.sleep(0.05)
    yield region
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await region.log.close()
    await region.mirror.close()


async def test_ticks_of_before_the_start_say_nothing_of_the_clock_as_it_is(region: Region) -> None:
    assert region.clocks.unready() == []


@pytest.mark.parametrize("ahead_s", [-3_600, -2.5, 0, 1.9, 2.0])
async def test_a_lag_and_a_lead_within_the_bound_are_nothing(region: Region, ahead_s: float) -> None:
    await region.tick(ahead_s)

    assert region.clocks.unready() == []


@pytest.mark.parametrize(("ahead_s", "shown_s"), [(-2.5, 0.0), (0.25, 0.25), (2.5, 2.5)])
async def test_a_lead_is_shown_as_it_was_when_it_was_read(region: Region, ahead_s: float, shown_s: float) -> None:
    assert region.shown(Gauge.CLOCK_OFFSET_S) == []
    await region.tick(ahead_s)
    region.clock.go(1)

    assert region.shown(Gauge.CLOCK_OFFSET_S) == [(shown_s, {"peer": "b"})]


async def test_a_mirror_is_as_far_behind_as_the_latest_tick_of_its_region_is_old(region: Region) -> None:
    region.clock.go(5)
    assert region.shown(Gauge.MIRROR_LAG_S) == [(5.0, {"source": "b"}), (5.0, {"source": "c"})], "none came since then"
    await region.tick(-0.5, 0.25)
    assert region.shown(Gauge.MIRROR_LAG_S)[0] == (0.0, {"source": "b"})
    region.clock.go(60)
    assert region.shown(Gauge.MIRROR_LAG_S) == [(59.75, {"source": "b"}), (65.0, {"source": "c"})]


async def test_a_lead_above_the_bound_is_said_until_the_ticks_are_right_again(region: Region) -> None:
    await region.tick(2.5)
    (reason,) = region.clocks.unready()
    assert "a tick of region b lies 2.5 s in its future" in reason

    region.clock.go(1)
    await region.tick(2.5)
    assert len(region.clocks.unready()) == 1

    region.clock.go(1)
    await region.tick(0.1)
    assert region.clocks.unready() == []


async def test_of_ticks_that_came_together_the_one_furthest_ahead_counts(region: Region) -> None:
    await region.tick(0, 30, 0)

    assert "30.0 s" in region.clocks.unready()[0]


async def test_a_region_that_a_person_drained_is_not_what_ours_is_measured_by(region: Region) -> None:
    await region.tick(60, region="b")
    await region.tick(60, region="c")

    assert len(region.clocks.unready()) == 2
    assert [reason.split()[8] for reason in region.clocks.unready(frozenset("b"))] == ["c"]


async def test_requests_among_the_ticks_are_passed_over(region: Region) -> None:
    await region.mirror.append(TOPIC, 0, [Record(Parent("demo", "k").encode(), b"{}"), Record(None, b"rubbish")])
    await region.tick(5)

    assert len(region.clocks.unready()) == 1


async def test_a_log_that_is_away_is_waited_for(region: Region) -> None:
    region.switch.set_rule(Rule(id="away", region="a", port="log", kind=Fault.UNAVAILABLE, op="read"))
    await region.mirror.append(TOPIC, 0, [encode_tick(Tick(1, "b"))])  # wakes the waiting fetch
    await asyncio.sleep(0.1)
    region.switch.clear_all()
    await asyncio.sleep(0.1)
    await region.tick(5)

    assert len(region.clocks.unready()) == 1


def test_a_host_says_that_it_is_not_synchronised_only_where_that_can_be_known(tmp_path: Path) -> None:
    assert unsynchronised(tmp_path / "none") == []
    assert "not synchronised" in unsynchronised(tmp_path)[0]
    (tmp_path / "synchronized").touch()
    assert unsynchronised(tmp_path) == []

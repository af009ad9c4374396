"""Claims that end by themselves or are asked back, as on a log with sessions: what a creator does then."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests import two_regions as two_regions_module
from tests.requests_made import key_in, request
from tests.two_regions import Running, Site, TwoRegions, set_environment, two_regions, until
from tocsin.engines.errors import Owned
from tocsin.engines.faults import Fault
from tocsin.engines.log import Claim, Log
from tocsin.engines.opening import open_log
from tocsin.roles.claiming import CLAIM_PACE_S, GIVE_BACK_PACE_S
from tocsin.settings import Settings
from tocsin.topology import Region


@pytest_asyncio.fixture
async def regions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TwoRegions]:
    set_environment(monkeypatch, tmp_path)
    async with two_regions(tmp_path) as made:
        await made.make_topics()
        yield made


@pytest.fixture
def a(regions: TwoRegions) -> Site:
    """Region a, with nothing of b at work: nothing here needs a peer."""
    return regions.a


async def store_some(site: Site, count: int) -> None:
    """Sends requests to both partitions, and returns once they are stored."""
    requests = [request(key_in(n % 2, f"key-{n}")) for n in range(count)]
    await site.send(*requests)
    await until(lambda: site.has(requests), "requests stored")


async def ready(running: Running) -> bool:
    return not running.creator.unready


async def waits_for(running: Running, what: str) -> bool:
    return [reason.startswith(what) for reason in running.creator.unready] == [True]


async def owns(running: Running, partitions: list[int]) -> bool:
    return running.owned == partitions


class LosingLog:
    """A log whose claims end on demand, as on one with sessions; everything else is the log's that it wraps."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lost: set[Claim] = set()
        self.asked: set[int] = set()
        """The partition numbers that another should have."""
        self.claims: dict[int, Claim] = {}
        self.claimable = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def claim(self, group: str, partition: int) -> Claim:
        if not self.claimable:
            raise Owned("somebody has it")
        self.claims[partition] = await self._log.claim(group, partition)
        return self.claims[partition]

    def holds(self, claim: Claim) -> bool:
        return claim not in self._lost and self._log.holds(claim)

    def asked_back(self, claim: Claim) -> bool:
        return claim.partition in self.asked

    async def release(self, claim: Claim) -> None:
        self.asked.discard(claim.partition)
        assert claim not in self._lost  # what is lost is another's to release
        await self._log.release(claim)

    async def lose(self, partition: int) -> None:
        """Ends a claim: another may have it."""
        self._lost.add(self.claims[partition])
        await self._log.release(self.claims[partition])


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> list[LosingLog]:
    """The logs of the creators that a test starts, in this order."""
    opened: list[LosingLog] = []

    def open_losing_log(region: Region, settings: Settings) -> LosingLog:
        opened.append(LosingLog(open_log(region, settings)))
        return opened[-1]

    monkeypatch.setattr(two_regions_module, "open_log", open_losing_log)
    return opened


async def test_a_creator_that_lost_a_claim_drops_its_work_and_stands_by(
    a: Site, logs: list[LosingLog], caplog: pytest.LogCaptureFixture
) -> None:
    first = a.start()
    await store_some(a, 4)
    second = a.start()
    await until(lambda: ready(second), "the second standing by")
    logs[0].claimable = False
    await logs[0].lose(0)
    await until(lambda: owns(second, [0]), "the second taking over")
    await store_some(a, 6)
    assert first.owned == [1]
    assert "claim_lost" in [getattr(record, "action", "") for record in caplog.records]
    await until(lambda: ready(first), "the first standing by")
    await until(lambda: saved_under(a, 2), "progress of the second")
    await store_some(a, 6)
    assert await saved_under(a, 2)  # nothing more was saved under the lost claim
    await second.stop()
    logs[0].claimable = True
    await until(lambda: owns(first, [0, 1]), "the first again")
    assert logs[0].claims[0].epoch == 3


async def saved_under(site: Site, epoch: int) -> bool:
    """Whether all progress of partition 0 is in the row of this epoch."""
    return [row.epoch for row in await site.store.progress(0)] == [epoch]


async def test_a_lost_claim_waits_for_nothing_that_is_in_flight(
    regions: TwoRegions, a: Site, logs: list[LosingLog]
) -> None:
    running = a.start()
    await store_some(a, 4)
    await regions.breaks("a", Fault.DELAY, "hangs", delay_s=60)
    hanging = request(key_in(0, "hangs"))
    await a.send(hanging)
    await asyncio.sleep(0.3)
    logs[0].claimable = False
    await logs[0].lose(0)
    await until(lambda: owns(running, [1]), "the end of the work on it")
    regions.switch.clear_all()
    logs[0].claimable = True
    await until(lambda: a.has([hanging]), "the request that hung")


async def test_a_claim_that_is_lost_before_it_was_taken_over_is_claimed_again(
    regions: TwoRegions, a: Site, logs: list[LosingLog]
) -> None:
    rule = await regions.breaks("a", Fault.UNAVAILABLE)
    running = a.start()
    await until(lambda: has_claimed(logs[0]), "both claims")
    await logs[0].lose(0)
    await logs[0].lose(1)
    regions.switch.clear(rule)
    await store_some(a, 4)
    await until(lambda: ready(running), "readiness")
    assert [logs[0].claims[n].epoch for n in (0, 1)] == [2, 2]


async def has_claimed(log: LosingLog) -> bool:
    return sorted(log.claims) == [0, 1]


async def test_what_another_should_have_is_given_back_in_good_order(a: Site, logs: list[LosingLog]) -> None:
    first = a.start()
    await store_some(a, 40)
    second = a.start()
    await until(lambda: ready(second), "the second standing by")
    logs[0].asked = {1}
    logs[0].claimable = False
    await until(lambda: owns(second, [1]), "the second taking over")
    assert first.owned == [0]
    await store_some(a, 40)
    assert len(await a.journal()) == 80  # nothing was written again: progress was saved before the release


async def test_a_creator_that_was_told_what_to_own_gives_nothing_back(a: Site, logs: list[LosingLog]) -> None:
    running = a.start([0, 1])
    logs[0].asked = {0, 1}
    await store_some(a, 4)
    await asyncio.sleep(3 * GIVE_BACK_PACE_S)
    assert running.owned == [0, 1]
    assert logs[0].asked == {0, 1}  # none was released


async def test_a_creator_that_lost_what_it_was_told_to_own_is_not_ready(a: Site, logs: list[LosingLog]) -> None:
    running = a.start([0])
    await until(lambda: ready(running), "readiness")
    logs[0].claimable = False
    await logs[0].lose(0)
    await until(lambda: waits_for(running, "it has not taken over yet"), "what it waits for")
    await asyncio.sleep(CLAIM_PACE_S)  # also once it was told that another owns it
    assert running.creator.unready
    logs[0].claimable = True
    await until(lambda: ready(running), "readiness again")

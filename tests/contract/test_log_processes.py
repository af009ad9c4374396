"""The log port between processes: claims, and what survives a kill."""

import asyncio
import os
from collections.abc import Callable

import pytest

from tests.contract.conftest import Child, StartChild
from tocsin.engines.errors import Owned
from tocsin.engines.log import Claim, Log


async def first_line(child: Child) -> int:
    assert child.stdout is not None
    async with asyncio.timeout(20):
        return int(await child.stdout.readline())


async def all_of(log: Log, topic: str, partition: int) -> list[tuple[bytes | None, int]]:
    found, at = [], 0
    while at < (await log.bounds(topic, partition))[1]:
        fetched = await log.fetch(topic, partition, at, records_max=500, bytes_max=10**6, wait_s=0)
        found += [(delivered.record.key, int(delivered.record.value)) for delivered in fetched.records]
        at = fetched.next_offset
    return found


async def claim_in_time(log: Log, group: str, partition: int) -> Claim:
    """A log that cannot see a death gives the claims of the dead to others after a while."""
    while True:
        try:
            return await log.claim(group, partition)
        except Owned:
            await asyncio.sleep(0.1)


async def test_a_claim_excludes_every_other_instance_of_the_process(
    log: Log, open_log: Callable[[], Log], group: str
) -> None:
    claim = await log.claim(group, 3)
    assert claim[:2] == (group, 3)
    assert log.holds(claim)
    assert not log.asked_back(claim)
    other = open_log()
    for one in (log, other):
        with pytest.raises(Owned, match=rf"partition 3 of group {group} .*{os.getpid()}"):
            await one.claim(group, 3)
    assert log.holds(claim)
    assert not other.holds(claim)


async def test_claims_of_other_groups_and_partitions_are_free(
    log: Log, open_log: Callable[[], Log], group: str
) -> None:
    await log.claim(group, 0)
    assert (await open_log().claim(group, 1)).partition == 1
    assert (await open_log().claim(f"../{group}", 0)).group == f"../{group}"


async def test_a_released_claim_is_free_and_its_epoch_never_comes_again(
    log: Log, open_log: Callable[[], Log], group: str
) -> None:
    first = await log.claim(group, 0)
    await log.release(first)
    assert not log.holds(first)
    other, other_instance = open_log(), open_log()
    second = await other.claim(group, 0)
    await log.release(first)  # again, and no longer ours: nothing
    with pytest.raises(Owned):
        await log.claim(group, 0)
    await other.close()
    assert not other.holds(second)
    third = await log.claim(group, 0)
    assert first.epoch < second.epoch < third.epoch
    assert [log.holds(claim) for claim in (first, second, third)] == [False, False, True]
    await log.release(first)  # an older one of our own: the claim of today stays
    with pytest.raises(Owned):
        await other_instance.claim(group, 0)
    await log.release(Claim(group, 9, 1))  # never claimed: nothing


async def test_a_claim_names_the_process_that_has_it_and_is_free_when_that_is_killed(
    log: Log, start_child: StartChild, group: str
) -> None:
    child = await start_child("claim", group, 0)
    epoch = await first_line(child)
    with pytest.raises(Owned, match=str(child.pid)):
        await log.claim(group, 0)
    child.kill()
    await child.wait()
    async with asyncio.timeout(20):
        assert (await claim_in_time(log, group, 0)).epoch > epoch


async def test_two_processes_that_append_at_once_lose_nothing(log: Log, topic: str, start_child: StartChild) -> None:
    children = [await start_child("append", topic, 0, label, 300) for label in ("one", "two")]
    async with asyncio.timeout(30):
        outputs = await asyncio.gather(*(child.communicate() for child in children))
    acknowledged = [[int(line) for line in output.split()] for output, _ in outputs]
    found = await all_of(log, topic, 0)
    for label, offsets in zip((b"one", b"two"), acknowledged, strict=True):
        assert len(offsets) == 300
        assert [number for key, number in found if key == label] == list(range(300))
        assert [found[offset] for offset in offsets] == [(label, number) for number in range(300)]


async def test_what_was_acknowledged_before_a_kill_is_there_after_it(
    log: Log, topic: str, start_child: StartChild, open_log: Callable[[], Log]
) -> None:
    child = await start_child("append", topic, 0, "child", 1_000_000)
    acknowledged = [await first_line(child)]
    async with asyncio.timeout(20):
        while len(acknowledged) < 200:
            acknowledged.append(await first_line(child))
        child.kill()
        assert child.stdout is not None
        acknowledged += [int(line) for line in (await child.stdout.read()).split(b"\n")[:-1]]
    assert await child.wait() == -9
    found = await all_of(open_log(), topic, 0)
    assert len(found) >= len(acknowledged)
    assert [found[offset] for offset in acknowledged] == [(b"child", number) for number in range(len(acknowledged))]
    assert [number for _, number in found] == list(range(len(found)))

"""Processes that share the partition numbers of one group on a real broker: deaths, stops, and who comes later."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from tests.contract.conftest import Child, StartChild
from tests.contract.log_adapters import SESSION_S, KafkaAdapter

COUNT = 4
LONG_S = 60.0


@pytest.fixture
def log_adapter(tmp_path: Path) -> KafkaAdapter:
    return KafkaAdapter(tmp_path)


class Sharer:
    """A process that claims what it can of `COUNT` partition numbers, and what it said so far."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.owned: dict[int, int] = {}
        """Partition number to epoch."""
        self.said: list[str] = []
        self._hearing = asyncio.create_task(self._hear())

    async def _hear(self) -> None:
        assert self.child.stdout is not None
        async for line in self.child.stdout:
            word, number, epoch = line.decode().split()
            self.said.append(f"{word} {number}")
            if word == "owns":
                self.owned[int(number)] = int(epoch)
            else:
                assert self.owned.pop(int(number)) == int(epoch)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.child.pid, number)

    async def end(self) -> None:
        if self.child.returncode is None:
            self.child.kill()
        await self._hearing


Start = Callable[[], Awaitable[Sharer]]


@pytest_asyncio.fixture
async def start(start_child: StartChild, group: str) -> AsyncIterator[Start]:
    started: list[Sharer] = []

    async def start_one() -> Sharer:
        started.append(Sharer(await start_child("share", group, COUNT)))
        return started[-1]

    yield start_one
    for sharer in started:
        await sharer.end()


async def shared(*sharers: Sharer) -> None:
    """Returns once these own everything, each as many as the others."""
    try:
        async with asyncio.timeout(LONG_S):
            while not _is_shared(sharers):  # noqa: ASYNC110 - what is waited for, processes say
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"not shared within {LONG_S:.0f} s; they said: {[one.said for one in sharers]}")


def _is_shared(sharers: Sequence[Sharer]) -> bool:
    counts = [len(one.owned) for one in sharers]
    owned = sorted(number for one in sharers for number in one.owned)
    return owned == [*range(COUNT)] and max(counts) - min(counts) <= 1


async def test_processes_share_and_the_living_own_what_a_killed_one_did(start: Start) -> None:
    first, second = [await start() for _ in range(2)]
    await shared(first, second)
    kept, lost = dict(first.owned), dict(second.owned)
    second.signal(signal.SIGKILL)
    await shared(first)
    assert {number: first.owned[number] for number in kept} == kept  # a claim lasts while others come and go
    assert all(first.owned[number] > epoch for number, epoch in lost.items())


async def test_a_process_that_was_stopped_learns_that_its_claims_ended(start: Start) -> None:
    first, second = [await start() for _ in range(2)]
    await shared(first, second)
    held, said = sorted(second.owned), len(second.said)
    second.signal(signal.SIGSTOP)
    await shared(first)
    await asyncio.sleep(SESSION_S)
    second.signal(signal.SIGCONT)
    await shared(first, second)
    assert sorted(second.said[said : said + len(held)]) == [f"lost {number}" for number in held]


async def test_who_comes_later_gets_a_share_and_nothing_moves_twice(start: Start) -> None:
    first, second = [await start() for _ in range(2)]
    await shared(first, second)
    before = first.owned | second.owned
    third = await start()
    await shared(first, second, third)
    after = first.owned | second.owned
    moved = {*third.owned}
    assert len(moved) == 1
    assert after == {number: epoch for number, epoch in before.items() if number not in moved}
    assert [word for word in first.said + second.said if word.startswith("gives")][-1:] == [
        f"gives {number}" for number in moved
    ]
    assert not any(word.startswith("lost") for one in (first, second, third) for word in one.said)

"""A process of its own that uses a log, for tests that kill it: `python -m tests.contract.log_child ADAPTER PLACE ...`.

`append TOPIC PARTITION LABEL COUNT` appends records one by one and prints each offset once it is acknowledged;
`claim GROUP PARTITION` prints the epoch and keeps the claim until its standard input ends, as it does with its parent.
`share GROUP COUNT` claims partition numbers as a creator does, until its standard input ends, and prints `owns N
EPOCH`, `lost N EPOCH` when a claim ended by itself, and `gives N EPOCH` before it releases what another should have.
"""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from tests.contract.log_adapters import ADAPTERS
from tocsin.core.requests import Record
from tocsin.engines.errors import Owned, Unavailable
from tocsin.engines.log import Log


async def _append(log: Log, topic: str, partition: str, label: str, count: str) -> None:
    for number in range(int(count)):
        record = Record(label.encode(), b"%d" % number, (), 1)
        print(await log.append(topic, int(partition), [record]), flush=True)  # noqa: T201


async def _claim(log: Log, group: str, partition: str) -> None:
    claim = await log.claim(group, int(partition))
    print(claim.epoch, flush=True)  # noqa: T201
    await asyncio.to_thread(sys.stdin.read)


async def _share(log: Log, group: str, count: str) -> None:
    ending = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    async with asyncio.TaskGroup() as tasks:
        owning = [tasks.create_task(_own(log, group, number)) for number in range(int(count))]
        await ending
        for task in owning:
            task.cancel()


async def _own(log: Log, group: str, number: int) -> None:
    while True:
        with contextlib.suppress(Owned, Unavailable):
            claim = await log.claim(group, number)
            print("owns", number, claim.epoch, flush=True)  # noqa: T201
            while log.holds(claim) and not log.asked_back(claim):  # noqa: ASYNC110 - as owners do, at each tick
                await asyncio.sleep(0.02)
            print("gives" if log.holds(claim) else "lost", number, claim.epoch, flush=True)  # noqa: T201
            await log.release(claim)
        await asyncio.sleep(0.1)


JOBS: Final[dict[str, Callable[..., Awaitable[None]]]] = {"append": _append, "claim": _claim, "share": _share}


async def _main(adapter: str, place: str, job: str, *arguments: str) -> None:
    log = ADAPTERS[adapter](Path(place)).open()
    await JOBS[job](log, *arguments)
    await log.close()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))

"""A real creator that works off a log, and how many requests a second it stores: for the benchmarks of both engines.

What is timed is from the first write that the creator asks its store for to the last fold that the store acknowledges.
Starting it, claiming partitions and ending it are not.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final, cast

from tocsin.core.entries import Entry
from tocsin.core.failures import Failure
from tocsin.core.ids import Parent
from tocsin.core.incidents import Incident
from tocsin.core.statements import Replica
from tocsin.engines.log import Log
from tocsin.engines.store import Store
from tocsin.roles.creator import Creator
from tocsin.roles.trial import Trials
from tocsin.telemetry import Identity, Meters
from tocsin.topology import Region, Topology

WAIT_S_MAX: Final = 300.0
LOOK_EVERY_S: Final = 0.1


class TimedStore:
    """A store, which knows when it was first asked to write, when it last acknowledged a fold, and what it stored."""

    def __init__(self, store: Store) -> None:
        self.began_s = 0.0
        self.ended_s = 0.0
        self.stored = 0
        self._store = store

    def __getattr__(self, name: str) -> Any:
        """All else of the port, as the store has it."""
        return getattr(self._store, name)

    async def write(self, entries: Sequence[Entry]) -> dict[int, Failure]:
        """See `Store.write`."""
        self.began_s = self.began_s or time.perf_counter()
        failures = await self._store.write(entries)
        self.stored += len(entries) - len(failures)
        return failures

    async def put_incidents(self, parent: Parent, incidents: Sequence[Incident], version: int) -> None:
        """See `Store.put_incidents`."""
        await self._store.put_incidents(parent, incidents, version)
        self.ended_s = time.perf_counter()

    async def update_incidents(self, parent: Parent, changed: Sequence[Incident], version: int) -> None:
        """See `Store.update_incidents`."""
        await self._store.update_incidents(parent, changed, version)
        self.ended_s = time.perf_counter()


async def through_creator(log: Log, store: Store, region: Region, requests: int) -> float:
    """Requests a second of a creator that is started on a log with so many requests and an empty store."""
    timed = TimedStore(store)
    [stack] = region.stacks
    trials = Trials(["/bin/false"])  # nothing here is suspect, so no child is ever started
    meters = Meters(Identity(region.name, stack, "creator"))
    creator = Creator(log, cast("Store", timed), Topology((region,)), Replica(region.name, stack), trials, meters)
    stopping = asyncio.Event()
    running = asyncio.create_task(creator.run(stopping))
    async with asyncio.timeout(WAIT_S_MAX):
        while await _done(store, region) < requests:
            await asyncio.wait((running,), timeout=LOOK_EVERY_S)
            assert not running.done(), "the creator ended before its time"
    stopping.set()
    await running
    assert timed.stored >= requests, f"all are stored: {timed.stored} of {requests}"  # more when a fold had to wait
    return requests / (timed.ended_s - timed.began_s)


async def _done(store: Store, region: Region) -> int:
    return sum(row.sources[region.name].runs.low for row in await store.progress())

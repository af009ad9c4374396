"""The role processes without clients: which engines each opens, what runs in it, and when it is ready.

A fault of the configuration or of a file (a newer format, other partition counts, a partition that is owned) ends a
process at its start with one message. An engine that merely does not answer is waited for: which process of a region
comes up first must not matter, nor that one comes up in the middle of an outage.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from tocsin.config import ConfigError, Problem
from tocsin.core.directory import Kind
from tocsin.core.statements import Replica
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.mirror import Mirror
from tocsin.engines.errors import EngineError, Unavailable
from tocsin.engines.log import Log
from tocsin.engines.log_directory import LogDirectory
from tocsin.engines.opening import open_log, open_mirrored_log, open_store
from tocsin.engines.topics import make_topics
from tocsin.roles.assigner import DirectoryAssigner
from tocsin.roles.creator import Creator
from tocsin.roles.followed import Followed
from tocsin.roles.process import Frame, Service, closing
from tocsin.roles.reassigning import Reassigning
from tocsin.roles.trial import Trials
from tocsin.telemetry import Gauge, Meters, Reading
from tocsin.topology import MIRRORED, Region
from tocsin.topology import EmbeddedLog as LogOfThisMachine

RETRY_S: Final = 0.5
HOUSEKEEPING_EVERY_S: Final = 5.0
MEASURE_EVERY_S: Final = 1.0
_log = logging.getLogger(__name__)


@asynccontextmanager
async def creator(
    frame: Frame, partitions: Sequence[int] | None, trial_command: Sequence[str]
) -> AsyncIterator[Service]:
    """Turns requests into entries. `partitions`: own exactly these, or fail; None: whatever is free."""
    region, settings = frame.region, frame.settings
    if unknown := [number for number in partitions or () if not 0 <= number < region.partitions]:
        what = f"region {region.name} has partitions 0 to {region.partitions - 1}, so not {unknown}"
        raise ConfigError([Problem("partitions", "", what)])
    log, store = open_log(region, settings), open_store(region, frame.stack, settings)
    async with closing(log, store):
        directory = LogDirectory(log, region, settings.path(region.directory), {Kind.SERVICE})
        await usable(store.identity())
        await usable(make_topics(log, region))
        replica, trials = Replica(region.name, frame.stack), Trials(trial_command)
        followed = Followed(frame.traces)
        assigner = DirectoryAssigner(log, region, directory, followed.trace)
        creator = Creator(
            log,
            store,
            frame.topology,
            replica,
            trials,
            frame.meters,
            partitions=partitions,
            assigner=assigner,
            followed=followed,
        )

        async def run(stopping: asyncio.Event) -> None:
            if await topics_made(log, region, stopping) and await looked(directory, stopping):
                reassigning = Reassigning(directory, store, creator.owners, region.partitions)
                async with asyncio.TaskGroup() as group:
                    watching = group.create_task(reassigning.run())
                    await beside(directory.run(), creator.run(stopping))
                    watching.cancel()

        async def unready() -> list[str]:
            return [*directory.unready, *creator.unready]

        yield Service(run, unready)


@asynccontextmanager
async def mirror(frame: Frame) -> AsyncIterator[Service]:
    """Mirrors each peer's topics into this region's log, and keeps house there. For the embedded engine alone: a real
    log has a mirror of its own, and removes by itself what retention and compaction allow.
    """
    region, settings = frame.region, frame.settings
    if not isinstance(region.log, LogOfThisMachine):
        what = f"log.engine is {region.log.engine}, which is mirrored by a process of its own: start no mirror role"
        raise ConfigError([Problem(f"region {region.name}", "", what)])
    log = open_log(region, settings)
    peers = {peer: open_mirrored_log(frame.topology.region(peer.name), settings, by=region) for peer in region.peers}
    file = EmbeddedLog(settings.path(region.log.path))
    async with closing(file, *peers.values(), log):
        await usable(make_topics(log, region))

        async def run(stopping: asyncio.Event) -> None:
            if await topics_made(log, region, stopping):
                mirrors = {
                    peer.name: Mirror(source, log, MIRRORED, peer.mirror_prefix, region.partitions)
                    for peer, source in peers.items()
                }
                lags = MirrorLags(mirrors, frame.meters)
                await run_until(stopping, *(one.run() for one in mirrors.values()), lags.run(), _keep_house(file))

        yield Service(run, lambda: log_unready(log, region))


class MirrorLags:
    """How far mirrors are behind: what could not be measured again stays as it was last."""

    def __init__(self, mirrors: Mapping[str, Mirror], meters: Meters) -> None:
        """`mirrors` by the region that they copy from."""
        self._mirrors = mirrors
        self._lags: dict[tuple[str, str, int], int] = {}
        meters.watch(self._readings)

    async def run(self) -> None:
        """Measures until it is cancelled."""
        while True:
            for region, mirror in self._mirrors.items():
                lags = await mirror.lags()
                self._lags |= {(region, *flow): records for flow, records in lags.items()}
            await asyncio.sleep(MEASURE_EVERY_S)

    def _readings(self) -> Iterator[Reading]:
        for (region, topic, partition), records in self._lags.items():
            labels = {"source": region, "topic": topic, "partition": str(partition)}
            yield Reading(Gauge.MIRROR_LAG, records, labels)


async def _keep_house(log: EmbeddedLog) -> None:
    while True:
        with contextlib.suppress(Unavailable):  # another round comes
            await log.housekeep(time.time())
        await asyncio.sleep(HOUSEKEEPING_EVERY_S)


async def log_unready(log: Log, region: Region) -> list[str]:
    """Why a role that needs nothing but the region's log is not ready; raises `EngineError`, which is a reason too."""
    await log.bounds(region.requests, 0)
    return []


async def usable(call: Awaitable[Any]) -> None:
    """Raises what is wrong with an engine for good; one that is away will be back."""
    with contextlib.suppress(Unavailable):
        await call


async def topics_made(log: Log, region: Region, stopping: asyncio.Event) -> bool:
    """Makes the region's topics where they are missing; False when the process stops before the log answers."""
    while not stopping.is_set():
        try:
            await make_topics(log, region)
        except Unavailable:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S):
                    await stopping.wait()
        else:
            return True
    return False


async def looked(directory: LogDirectory, stopping: asyncio.Event) -> bool:
    """Reads the directory to its end; False when the process stops before the log answers.

    Whoever is not known to be responsible would be told nothing. A part that is damaged for good is not waited for:
    it stands in the way of nobody else's.
    """
    while not stopping.is_set():
        try:
            await directory.look()
        except EngineError as error:
            _log.warning("%s", error, extra={"action": "directory_read_failed"})
            if not isinstance(error, Unavailable):
                return True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S):
                    await stopping.wait()
        else:
            return True
    return False


async def beside(other: Coroutine[Any, Any, None], work: Coroutine[Any, Any, None]) -> None:
    """Runs the work to its end, and the other as long; raises what ends either before."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(other)
        await work
        task.cancel()


async def run_until(stopping: asyncio.Event, *works: Coroutine[Any, Any, None]) -> None:
    """Runs the works until `stopping` is set; raises what ends one of them before."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        await stopping.wait()
        for task in tasks:
            task.cancel()

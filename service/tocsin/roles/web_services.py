"""The role processes that clients talk to, as `services.py` has those that none do.

Apart from those because the web framework takes longer to load than all else that a creator needs.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from tocsin.core.directory import Kind
from tocsin.engines.log import Log
from tocsin.engines.log_directory import LogDirectory
from tocsin.engines.opening import audit_trail, open_log, open_mirrored_log, open_store
from tocsin.engines.tokens import TokenFile
from tocsin.engines.topics import make_topics
from tocsin.roles.clocks import PeerClocks, unsynchronised
from tocsin.roles.intake import Intake, IntakeParts
from tocsin.roles.minting import Mint
from tocsin.roles.process import Frame, Service, closing
from tocsin.roles.querier import Querier, QuerierParts
from tocsin.roles.randomness import RandomBytes
from tocsin.roles.region_words import RegionWords
from tocsin.roles.services import log_unready, run_until, topics_made, usable
from tocsin.telemetry import Gauge, Reading
from tocsin.topology import is_loopback


@asynccontextmanager
async def intake(frame: Frame) -> AsyncIterator[Service]:
    """Takes events."""
    region, settings = frame.region, frame.settings
    log, peers = open_log(region, settings), _peer_logs(frame)
    async with closing(*peers.values(), log):
        directory = LogDirectory(log, region, settings.path(region.directory), {Kind.SERVICE})
        await usable(make_topics(log, region))
        words = RegionWords(log, region, frame.topology)
        clocks = PeerClocks(log, {peer.name: peer.requests for peer in region.peers}, _now_us)
        frame.meters.watch(clocks.readings)

        def readiness() -> list[str]:
            drained = [f"region {region.name} is drained"] if region.name in words.drained else []
            # Clients of a loopback address are on this machine, and so is all else: there is one clock.
            host = [] if is_loopback(frame.listening.host) else unsynchronised()
            return [*drained, *clocks.unready(words.drained), *host]

        parts = IntakeParts(
            region=region.name,
            topic=region.requests,
            partitions=region.partitions,
            log=log,
            directory=directory,
            meters=frame.meters,
            clock_us=_now_us,
            random_bytes=RandomBytes(),
            audit=audit_trail(settings, region.name),
            peers=peers,
            traces=frame.traces,
            retention_s=region.log.retention_s,
            readiness=readiness,
        )
        door = Intake(parts)

        async def run(stopping: asyncio.Event) -> None:
            if await topics_made(log, region, stopping):
                await run_until(stopping, door.ticker.run(stopping), words.run(), clocks.run(), directory.run())

        async def unready() -> list[str]:
            return [*await door.unready(), *await log_unready(log, region)]

        yield Service(run, unready, door.app())


@asynccontextmanager
async def querier(frame: Frame) -> AsyncIterator[Service]:
    """Answers reads, and takes what people do."""
    region, settings = frame.region, frame.settings
    store, log, peers = open_store(region, frame.stack, settings), open_log(region, settings), _peer_logs(frame)
    async with closing(*peers.values(), log, store):
        directory = LogDirectory(log, region, settings.path(region.directory))
        await usable(store.identity())
        parts = QuerierParts(
            regions=frame.topology.names,
            partitions=region.partitions,
            store=store,
            mint=Mint(region.name, region.requests, region.partitions, log, _now_us, RandomBytes(), peers),
            tokens=TokenFile(settings.path(settings.token_file)),
            directory=directory,
            audit=audit_trail(settings, region.name),
            meters=frame.meters,
            clock_us=_now_us,
        )
        reader = Querier(parts)
        frame.meters.watch(lambda: _unreachable(directory))

        async def run(stopping: asyncio.Event) -> None:
            if await topics_made(log, region, stopping):
                await run_until(stopping, directory.run())

        yield Service(run, reader.unready, reader.app())


def _unreachable(directory: LogDirectory) -> Iterator[Reading]:
    if directory.unreachable is not None:
        yield Reading(Gauge.UNREACHABLE, directory.unreachable, {})


def _peer_logs(frame: Frame) -> dict[str, Log]:
    return {
        peer.name: open_mirrored_log(frame.topology.region(peer.name), frame.settings, by=frame.region)
        for peer in frame.region.peers
    }


def _now_us() -> int:
    return time.time_ns() // 1000

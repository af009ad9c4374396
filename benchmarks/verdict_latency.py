"""How long does it take until two regions agree that no region can store a request?

Two regions in one process, each with its own files, creator and mirror, and no faults. A request whose body is no event
is appended in one region; every creator refuses it. Timed is from the append until the row that says QUARANTINED is
acknowledged by *both* stores. One at a time, so that each verdict is its own.

The limit is one round trip of the mirror in the same run, measured over a topic of its own: a record from the first
region to the second, and from there back, with nothing but the append and the fetch at each end. Each region must hear
the other's word, so no protocol that asks can be faster than that. The ratio is that of the medians.
"""
# ruff: noqa: D102 - what a method does in a measurement, its name says

import asyncio
import logging
import secrets
import time
from pathlib import Path
from typing import Final

from benchmarks.measure import Answer, Options, make_requests, publish, quantile, scratch
from tocsin.core.events import client_digest
from tocsin.core.ids import Parent, RequestKey, partition_of
from tocsin.core.kept import Kept, Stage
from tocsin.core.requests import SCHEMA, Record, Request, encode_request
from tocsin.core.statements import Replica
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.mirror import Mirror
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.topics import make_topics
from tocsin.roles.creator import Creator
from tocsin.roles.trial import Trials
from tocsin.telemetry import Identity, Meters
from tocsin.topology import LEDGER, REQUESTS, Peer, Region, SqliteStack, Topology
from tocsin.topology import EmbeddedLog as LogOfRegion

VERDICTS: Final = 50
PARTITIONS: Final = 2
ECHO: Final = "echo"
STEP_S_MAX: Final = 30.0
NAMES: Final = ("a", "b")


class WatchedStore(EmbeddedStore):
    """The store, which tells when a quarantine is acknowledged."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._waited: dict[RequestKey, asyncio.Future[float]] = {}

    def quarantine_of(self, key: RequestKey) -> asyncio.Future[float]:
        return self._waited.setdefault(key, asyncio.get_running_loop().create_future())

    async def put_kept(self, kept: Kept) -> None:
        await super().put_kept(kept)
        waited = self.quarantine_of(kept.key)
        if kept.stage is Stage.QUARANTINED and not waited.done():
            waited.set_result(time.perf_counter())


class Side:
    """One region: its log (opened once by each user of it, as processes would), store, creator and mirror."""

    def __init__(self, folder: Path, name: str, peer: str) -> None:
        self.region = Region(
            name=name,
            partitions=PARTITIONS,
            peers=(Peer(name=peer, mirror_prefix=f"{peer}."),),
            log=LogOfRegion(engine="embedded", path=Path(name), retention_s=604_800),
            stacks={"blue": SqliteStack(engine="sqlite", path=Path(name))},
            serving_stack="blue",
            directory=Path("directory.yaml"),
        )
        self._folder = folder / name
        self._peers_file = folder / peer / "log.sqlite"
        self._logs: list[EmbeddedLog] = []
        self.log = self._open(self._folder / "log.sqlite")
        self.store = WatchedStore(self._folder / "blue.sqlite")

    def _open(self, path: Path) -> EmbeddedLog:
        log = EmbeddedLog(path)
        self._logs.append(log)
        return log

    def creator(self, topology: Topology) -> Creator:
        log = self._open(self._folder / "log.sqlite")
        replica, meters = Replica(self.region.name, "blue"), Meters(Identity(self.region.name, "blue", "creator"))
        return Creator(log, self.store, topology, replica, Trials(["/bin/false"]), meters)

    def mirror(self) -> Mirror:
        [peer] = self.region.peers
        target = self._open(self._folder / "log.sqlite")
        source = self._open(self._peers_file)
        return Mirror(source, target, (REQUESTS, LEDGER, ECHO), peer.mirror_prefix, PARTITIONS)

    async def close(self) -> None:
        for log in self._logs:
            await log.close()
        await self.store.close()


class Echo:
    """Sends a record around: to the peer by its mirror, and back by ours."""

    def __init__(self, first: Side, second: Side) -> None:
        self._first, self._second = first, second
        self._offset = 0

    async def round_trip_s(self) -> float:
        began = time.perf_counter()
        await self._first.log.append(ECHO, 0, [Record(b"k", b"there")])
        await self._arrival(self._second, "a." + ECHO)
        await self._second.log.append(ECHO, 0, [Record(b"k", b"and back")])
        await self._arrival(self._first, "b." + ECHO)
        self._offset += 1
        return time.perf_counter() - began

    async def _arrival(self, side: Side, topic: str) -> None:
        async with asyncio.timeout(STEP_S_MAX):
            while True:
                fetched = await side.log.fetch(topic, 0, self._offset, records_max=1, bytes_max=1024, wait_s=1.0)
                if fetched.records:
                    return


def bad_request(service: str) -> Request:
    """A request that intake would not take; with other bytes each time, as from a foreign producer."""
    now_us = time.time_ns() // 1000
    parent = Parent(service, f"bad/{secrets.token_hex(4)}")
    body = b"no event " + secrets.token_bytes(4).hex().encode()
    temporal_id = now_us // 1_000_000 << 32 | secrets.randbits(32)
    return Request(RequestKey(parent, temporal_id, client_digest(parent, body)), now_us, "a", SCHEMA, body)


async def verdict_s(sides: tuple[Side, Side], request: Request) -> float:
    waited = [side.store.quarantine_of(request.key) for side in sides]
    began = time.perf_counter()
    await sides[0].log.append(REQUESTS, partition_of(request.key.parent, PARTITIONS), [encode_request(request)])
    async with asyncio.timeout(STEP_S_MAX):
        return max(await asyncio.gather(*waited)) - began


async def settle(sides: tuple[Side, Side], echo: Echo) -> None:
    """Good requests of other services, so that one bad service spends no budget; then one verdict that is not timed."""
    for request in make_requests(40, parents=40):
        await sides[0].log.append(REQUESTS, partition_of(request.key.parent, PARTITIONS), [encode_request(request)])
    async with asyncio.timeout(STEP_S_MAX):
        for side in sides:
            while sum([row.sources["a"].runs.low for row in await side.store.progress()]) < 40:  # noqa: ASYNC110 (what a store holds sets no event)
                await asyncio.sleep(0.05)
    await echo.round_trip_s()
    await verdict_s(sides, bad_request("foreign"))


async def measure(count: int) -> tuple[list[float], list[float]]:
    """(verdicts, round trips) in seconds, taken in turn."""
    with scratch() as folder:
        sides = Side(folder, "a", "b"), Side(folder, "b", "a")
        topology = Topology(tuple(side.region for side in sides))
        for side in sides:
            await make_topics(side.log, side.region)
            await side.log.ensure_topic(ECHO, PARTITIONS)
        stopping = asyncio.Event()
        creators = [asyncio.create_task(side.creator(topology).run(stopping)) for side in sides]
        mirrors = [asyncio.create_task(side.mirror().run()) for side in sides]
        echo = Echo(*sides)
        await settle(sides, echo)
        verdicts, round_trips = [], []
        for _ in range(count):
            round_trips.append(await echo.round_trip_s())
            verdicts.append(await verdict_s(sides, bad_request("foreign")))
        stopping.set()
        await asyncio.gather(*creators)
        for mirror in mirrors:
            mirror.cancel()
        await asyncio.gather(*mirrors, return_exceptions=True)
        for side in sides:
            await side.close()
    return verdicts, round_trips


def main() -> None:
    options = Options.read()
    quick = options.quick
    count = VERDICTS // 10 if quick else VERDICTS
    logging.disable(logging.WARNING)  # each quarantine is an alarm
    verdicts, round_trips = asyncio.run(measure(count))
    publish(
        "verdict_latency",
        Answer(
            question="How long does it take until two regions agree that no region can store a request?",
            ours=spread_ms(verdicts),
            peers={"one round trip of the mirror": spread_ms(round_trips)},
            ratio=quantile(verdicts, 0.5) / quantile(round_trips, 0.5),
            ratio_of="median verdict to the median round trip of the mirror",
            better="lower",
            floor=5.0,
            aim=2.0,
            sizes={"verdicts": count, "partitions": PARTITIONS},
            details={"note": "regions in one process: the mirror's time is that of polling a file, no distance in it"},
        ),
        options,
    )


def spread_ms(values_s: list[float]) -> dict[str, float]:
    return {"p50_ms": 1000 * quantile(values_s, 0.5), "p99_ms": 1000 * quantile(values_s, 0.99)}


if __name__ == "__main__":
    main()

"""The rig: real servers and all roles of two regions, kept up through many faults, and eyes that no fault blinds.

Roles reach their servers through network paths that can be cut. The rig itself goes straight to brokers and nodes, so
that what it says of a region it saw in that region's own log and store, also while the roles see nothing.

What "everything up to a time is applied" means is asked of ticks: intake puts one a second into each partition, so a
region that has applied all ticks of a time has applied all that was appended before, in every region.
"""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import yaml

from tocsin.config import load_yaml
from tocsin.core.completeness import CLOCK_BOUND_S, MINT_TO_APPEND_S, complete_until
from tocsin.core.ids import RequestKey
from tocsin.core.kept import Kept, Stage
from tocsin.core.progress import Runs, merge_rows
from tocsin.core.requests import Request, decode_record
from tocsin.core.statements import Standing, decode_statement
from tocsin.engines.errors import EngineError
from tocsin.engines.log import Log
from tocsin.engines.opening import open_log, open_store
from tocsin.engines.store import Store
from tocsin.ops.demo.ground import running_servers
from tocsin.ops.demo.show import OVERRIDES
from tocsin.ops.local.control import LocalControl
from tocsin.ops.local.folder import SetFolder
from tocsin.ops.supervisor import LocalSet
from tocsin.settings import Settings
from tocsin.topology import Region, Topology

REGIONS_DIR: Final = Path(__file__).parents[2] / "regions" / "local"
POLL_S: Final = 0.2
SIGN_S_MAX: Final = 60.0
"""A fault that has not shown so long after it was injected does not show."""
STALLED_S_MAX: Final = 90.0
"""Recovery during which no tick is applied for so long has stopped."""
RECOVER_S_MAX: Final = 300.0
SETTLE_S: Final = 0.5
"""So long after a creator was stopped the store has done what it had been sent."""
FETCH_RECORDS: Final = 5_000
FETCH_BYTES: Final = 4 * 1024 * 1024
MARGIN_US: Final = int((MINT_TO_APPEND_S + CLOCK_BOUND_S) * 1e6)
OPEN: Final = (Stage.HELD, Stage.ASIDE)


class Unseen(AssertionError):
    """What should have shown did not, in time."""


def now_us() -> int:
    return time.time_ns() // 1000


async def until(what: str, look: Callable[[], Awaitable[bool]], within_s: float = SIGN_S_MAX) -> None:
    """Looks until it is so; an engine that does not answer is looked at again. Raises `Unseen`."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with contextlib.suppress(EngineError):
            if await look():
                return
        await asyncio.sleep(POLL_S)
    raise Unseen(f"not within {within_s:.0f} s: {what}")


@dataclass(frozen=True)
class Rig:
    """Two regions at work. `stores` and `logs` are read straight, past all paths."""

    control: LocalControl
    local: LocalSet
    topology: Topology
    ca_file: Path | None
    stores: dict[str, Store]
    logs: dict[str, Log]
    data_dir: Path

    @property
    def partitions(self) -> int:
        return self.topology.regions[0].partitions

    def region(self, name: str) -> Region:
        return self.topology.region(name)

    # How far it is -----------------------------------------------------------------------------------------------

    async def ticks_applied_us(self, region: str) -> int:
        """Up to when a region has applied all ticks of all regions."""
        rows = await self.stores[region].progress()
        until_us = complete_until(rows, self.partitions, self.topology.names, ())
        return 0 if until_us is None else until_us + MARGIN_US

    async def applied(self, moment_us: int) -> None:
        """Waits until both regions have applied what was appended before; raises `Unseen` when that does not go on."""
        for region in self.topology.names:
            deadline, at_us, moved_s = time.monotonic() + RECOVER_S_MAX, 0, time.monotonic()
            while at_us < moment_us:
                if time.monotonic() > min(deadline, moved_s + STALLED_S_MAX):
                    raise Unseen(f"region {region} has applied ticks up to {at_us} us, not to {moment_us}")
                await asyncio.sleep(POLL_S)
                with contextlib.suppress(EngineError):  # it may have been broken itself
                    before_us, at_us = at_us, await self.ticks_applied_us(region)
                    moved_s = time.monotonic() if at_us > before_us else moved_s

    async def quiet(self, moment_us: int) -> None:
        """Waits until all that was accepted before is applied everywhere, and nothing is held or set aside."""
        await self.applied(moment_us + MARGIN_US)
        for region in self.topology.names:

            async def nothing_open(region: str = region) -> bool:
                return not await self.stores[region].kept_rows(stages=OPEN)

            await until(f"region {region} has decided on all that failed", nothing_open)

    # What shows of a fault ---------------------------------------------------------------------------------------

    async def readiness(self, region: str, role: str) -> bool | None:
        """What a role says of itself; None when it does not answer."""
        async with httpx2.AsyncClient(timeout=10.0) as client:
            try:
                answer = await client.get(f"{self.local.admin_url(region, role)}/health/ready")
            except (httpx2.TransportError, EngineError):
                return None
        return answer.status_code == httpx2.codes.OK

    async def shows(self, region: str, role: str, *, ready: bool) -> None:
        async def look() -> bool:
            return await self.readiness(region, role) is ready

        await until(f"{role} of region {region} is {'' if ready else 'not '}ready", look)

    async def says_ill(self, region: str, since_us: int) -> None:
        """Waits until a region tells its peers, in its ledger, that it is ill."""

        async def look() -> bool:
            return any(standing.ill for standing in await self.standings(region, since_us))

        await until(f"region {region} says that it is ill", look)

    async def standings(self, region: str, since_us: int) -> list[Standing]:
        """The heartbeats of a region since a time, in partition 0 of its own ledger."""
        log, topic = self.logs[region], self.region(region).ledger
        start = await log.offset_at(topic, 0, since_us // 1000)
        return [
            statement
            async for _, _, record in records(log, topic, 0, start)
            if isinstance(statement := decode_statement(record.key, record.value), Standing)
            and statement.replica.region == region
            and statement.at_us >= since_us
        ]

    async def kept_since(self, region: str, moment_us: int) -> list[Kept]:
        return [kept for kept in await self.stores[region].kept_rows() if kept.since_us >= moment_us]

    # What a mirror did -------------------------------------------------------------------------------------------

    async def ends(self, region: str) -> dict[str, list[int]]:
        """One above the last offset of each partition of each source of a region."""
        log = self.logs[region]
        return {
            source: [(await log.bounds(topic, number))[1] for number in range(self.partitions)]
            for source, topic in self.region(region).requests_topics.items()
        }

    async def requests(self, region: str, source: str, starts: list[int]) -> Counter[RequestKey]:
        """How often a region's log has each request of a source, from these offsets on."""
        log, topic = self.logs[region], self.region(region).requests_topics[source]
        found: Counter[RequestKey] = Counter()
        for number, start in enumerate(starts):
            async for _, _, record in records(log, topic, number, start):
                content = decode_record(record)
                if isinstance(content, Request):
                    found[content.key] += 1
        return found

    # Creators ----------------------------------------------------------------------------------------------------

    def signal_creator(self, region: str, number: signal.Signals) -> None:
        pid = self.local.processes[region, "creator"].pid
        assert pid is not None, f"no creator of region {region} runs"
        os.kill(pid, number)

    async def stored_not_saved(self, region: str) -> list[RequestKey]:
        """Requests that a region has stored, and that its saved progress does not know to be done: those that the next
        owner writes again.
        """
        store, log = self.stores[region], self.logs[region]
        rows = await store.progress()
        keys = []
        for number in range(self.partitions):
            sources = merge_rows(row for row in rows if row.partition == number)
            for name, topic in self.region(region).requests_topics.items():
                runs = sources[name].runs if name in sources else Runs()
                async for _, offset, record in records(log, topic, number, runs.low):
                    content = decode_record(record)
                    if offset not in runs and isinstance(content, Request):
                        keys.append(content.key)
        return [key for key in keys if await store.entry(key) is not None]

    # After a fault -----------------------------------------------------------------------------------------------

    async def mend(self) -> None:
        """Ends whatever a test left broken."""
        await self.control.heal()
        for server in (await self.control.status())["servers"]:
            if server["state"] == "paused":
                await self.control.resume(server["name"])
            elif server["state"] != "ready":
                await self.control.start(server["name"])
        for (region, role), child in self.local.processes.items():
            if role == "creator" and child.pid is not None:
                self.signal_creator(region, signal.SIGCONT)

    async def healed(self) -> None:
        """Waits until nothing is broken any more; raises `Unseen`."""
        status = await self.control.status()
        broken = {server["name"]: server["state"] for server in status["servers"] if server["state"] != "ready"}
        broken |= {path["name"]: path["faults"] for path in status["paths"] if path["faults"]}
        assert not broken, f"left broken: {broken}"

        async def all_ready() -> bool:
            return not await self.local.unready()

        await until("all roles are ready again", all_ready)


async def records(log: Log, topic: str, partition: int, start: int) -> AsyncIterator[tuple[int, int, Any]]:
    """(partition, offset, record) from an offset to the end as it is now."""
    first, end = await log.bounds(topic, partition)
    offset = max(start, first)
    while offset < end:
        fetched = await log.fetch(
            topic, partition, offset, records_max=FETCH_RECORDS, bytes_max=FETCH_BYTES, wait_s=1.0
        )
        for at, record in fetched.records:
            if at < end:
                yield partition, at, record
        offset = max(fetched.next_offset, fetched.log_start)


@asynccontextmanager
async def running_rig(place: Path, *, faults_file: Path | None = None) -> AsyncIterator[Rig]:
    """Everything, from start to end, in a folder of its own; the servers' data are removed at the end."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # a line a request hides all else in a failure's report
    folder = SetFolder(place / "servers" / "faults")
    limits = {name.lower(): value for name, value in OVERRIDES.items()}
    async with running_servers(folder, REGIONS_DIR, print) as control:
        settings = Settings(
            data_dir=place / "data",
            regions_dir=folder.regions,
            up_file=place / "up.json",
            faults_file=faults_file,
            overrides={"limits": limits},
        )
        local = LocalSet(settings, print)
        await local.start()
        try:
            topology = settings.topology()
            straight = settings.model_copy(update={"regions_dir": _straight(folder), "faults_file": None})
            regions = straight.topology().regions
            stores = {r.name: open_store(r, r.serving_stack, straight, read_only=True) for r in regions}
            logs = {r.name: open_log(r, straight) for r in regions}
            ca_file = settings.ca_file(topology.regions[0])
            try:
                yield Rig(control, local, topology, ca_file, stores, logs, settings.data_dir)
            finally:
                for region in regions:
                    await stores[region.name].close()
                    await logs[region.name].close()
        finally:
            await local.stop()
    folder.remove()


def _straight(folder: SetFolder) -> Path:
    """Region files that lead past the network paths."""
    published = folder.published()
    assert published is not None
    straight = folder.path / "straight"
    straight.mkdir()
    for region in published["regions"]:
        content = load_yaml(folder.regions / f"{region['name']}.yaml")
        content["log"]["bootstrap"] = [region["direct_bootstrap"]]
        for stack in content["stacks"].values():
            stack["contact_points"] = [region["direct_contact_point"]]
        (straight / f"{region['name']}.yaml").write_text(yaml.safe_dump(content))
    return straight

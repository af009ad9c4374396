"""Two regions of this machine as a target: every role a process of its own, on embedded engines or on real servers.

The runner owns all of it: processes and servers end with the process that runs the drill, whatever ends that. Stores
and logs are read past every fault, so that what a drill says of a region it saw in that region's own rows.
"""

import asyncio
import contextlib
import shlex
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2

from tocsin.core.ids import parse_printed, partition_of
from tocsin.core.kept import Kept, Stage
from tocsin.core.requests import Record, encode_request
from tocsin.engines.errors import EngineError, Unavailable
from tocsin.engines.faults import CHECK_EVERY_S, Fault, FaultSwitch, Rule
from tocsin.engines.log import Log
from tocsin.engines.store import Store
from tocsin.ops import documents
from tocsin.ops.demo.pages import Pages, in_flight, read_feedback
from tocsin.ops.demo.player import LANES
from tocsin.ops.demo.stage import BAD_SERVICE
from tocsin.ops.drills.target import Account, DrillError, Spoiling
from tocsin.ops.drills.targets import records
from tocsin.ops.drills.targets.scene import KEY_MARK, Scene
from tocsin.ops.drills.targets.servers import Servers
from tocsin.ops.history import Querier, get
from tocsin.ops.progress import look_at
from tocsin.ops.regions import Reached
from tocsin.ops.supervisor import ROLES, LocalSet, environment
from tocsin.ops.verify import Report, verify
from tocsin.settings import Settings

POLL_S: Final = 0.1
NOTICE_S: Final = 4 * CHECK_EVERY_S
CALM_S_MAX: Final = 60.0
"""Regions are calm within this, or something is wrong with them."""
CALM_PAGE_S: Final = 5.0
OPEN: Final = (Stage.HELD, Stage.ASIDE)
SETTLED: Final = (Stage.QUARANTINED, Stage.DROPPED)
SPOILING: Final[Mapping[Spoiling, tuple[Fault, str, str]]] = {
    "refuse": (Fault.REFUSE, BAD_SERVICE, ""),
    "refuse-all": (Fault.REFUSE, "", KEY_MARK),
    "crash": (Fault.CRASH, BAD_SERVICE, ""),
    "full": (Fault.UNAVAILABLE, "", ""),
}
"""The kind of fault, and the service and the part of an alert key that it is about; without either it hits all calls,
also those that keep progress and the region's own words: a store that is full takes none of them, a release that judges
entries wrongly is not asked about them.
"""
SKEW_EVERY_S: Final = 0.2


class Parts(NamedTuple):
    """What a local target is made of. Stores and logs are by region, and past the fault switch."""

    settings: Settings
    local: LocalSet
    servers: Servers
    switch: FaultSwitch
    client: httpx2.AsyncClient
    stores: Mapping[str, Store]
    logs: Mapping[str, Log]


class LocalTarget:
    """As `target.Target` says."""

    def __init__(self, name: str, parts: Parts, hired: Pages, out: Path) -> None:
        """`hired`: the people who are paged; `out`: where each drill's history goes, in a folder of its name."""
        self.name = name
        self.regions: Sequence[str] = hired.regions
        self._settings = parts.settings
        self._topology = parts.settings.topology()
        self._local = parts.local
        self._servers = parts.servers
        self._switch = parts.switch
        self._client = parts.client
        self._stores = parts.stores
        self._logs = parts.logs
        self._hired = hired
        self._out = out
        self._scene: Scene | None = None
        self._starts: dict[tuple[str, str], int] = {}
        self._refused: dict[str, int] = {}
        self._sent: dict[str, int] = {}
        self._cut: set[tuple[str, str]] = set()
        self._waiting: list[tuple[str, str]] = []
        self._newer: list[str] = []
        self._skewing: dict[str, asyncio.Task[None]] = {}

    @property
    def identity(self) -> Mapping[str, Any]:
        """As `Target` says."""
        regions = self._topology.regions
        return {
            "regions": list(self.regions),
            "log": regions[0].log.engine,
            "store": regions[0].stacks[regions[0].serving_stack].engine,
            "partitions": regions[0].partitions,
            "overrides": self._settings.overrides,
            "faults_by": self._servers.faults_by,
            "people": len(self._hired.people),
        }

    @property
    def scene(self) -> Scene:
        """The drill under way."""
        if self._scene is None:
            raise DrillError("no drill has begun on this target")
        return self._scene

    # A drill on it -----------------------------------------------------------------------------------------------

    async def begin(self, drill: str, events_per_s: float) -> None:
        """As `Target` says."""
        await self._begin(drill, self._out / drill / "history.jsonl", events_per_s)

    async def _begin(self, name: str, history: Path, events_per_s: float) -> None:
        hired = self._hired
        pages = Pages(hired.receiver, hired.routing_key, hired.people, hired.regions, hired.limits)
        unknown = in_flight(await read_feedback(self._logs, self._topology.regions))
        self._scene = Scene(name, history, self._local, self._client, pages, unknown)
        self._starts = {key: child.starts for key, child in self._local.processes.items()}
        self._refused = dict(hired.receiver.refused)
        self._sent = {region: self._pages_of(region) for region in self.regions}
        self._waiting = []
        self._scene.begin(events_per_s)

    async def settle(self) -> None:
        """As `Target` says."""
        if self._scene is None:
            return
        await self._scene.settle()
        requests = [accepted.request for accepted in self._scene.player.accepted]
        self._waiting = [(region, request) for region in self.regions for request in requests]

    async def unfinished(self) -> str:
        """As `Target` says."""
        while self._waiting:
            region, request = self._waiting[-1]
            if not await self._has(region, request):
                return f"region {region} has not stored {request}; {len(self._waiting)} are left to look at"
            self._waiting.pop()
        for region in self.regions:
            if number := await self.open_requests(region):
                return f"region {region} holds {number} requests, or has set them aside"
        missing = self.scene.pages.missing()
        if missing:
            return f"{len(missing)} pages have not come, the first to {missing[0].user} of {missing[0].incident}"
        report = await self._compared()  # what the regions write of themselves is on its way for a while yet
        return f"{report.differing} rows differ, the first: {report.differences[0]}" if report.differing else ""

    async def _compared(self) -> Report:
        return await verify(self._stores, partitions=self._topology.regions[0].partitions, everything=True)

    async def account(self, *, page_s: float) -> Account:
        """As `Target` says."""
        partitions = self._topology.regions[0].partitions
        report = await self._compared()
        feedback = await read_feedback(self._logs, self._topology.regions)
        return await self.scene.account(self._stores, partitions, feedback, report.differing, page_s)

    async def end(self) -> None:
        """The drill is over, whatever came of it."""
        if self._scene is not None:
            await self._scene.settle()
            await self._scene.end()
            self._scene = None

    async def _has(self, region: str, request: str) -> bool:
        temporal_id, digest = parse_printed(request)
        store = self._stores[region]
        if any(entry.key.digest.startswith(digest) for entry in await store.find_entries(temporal_id)):
            return True
        kept = await store.find_kept(temporal_id)
        return any(row.key.digest.startswith(digest) and row.stage in SETTLED for row in kept)

    # Breaking it -------------------------------------------------------------------------------------------------

    async def kill_role(self, region: str, role: str, *, hold: bool) -> None:
        """As `Target` says."""
        await self._local.kill(region, role, hold=hold)

    async def start_role(self, region: str, role: str) -> None:
        """As `Target` says."""
        child = self._local.processes[region, role]
        child.start()
        await child.listens()

    async def kill_region(self, region: str) -> None:
        """As `Target` says."""
        await self._local.kill_region(region)
        await self._servers.kill_region(region)

    async def start_region(self, region: str) -> None:
        """As `Target` says."""
        await self._servers.start_region(region)
        await self._local.start_region(region)

    async def stop_store(self, region: str) -> None:
        """As `Target` says."""
        await self._servers.stop_store(region)

    async def start_store(self, region: str) -> None:
        """As `Target` says."""
        await self._servers.start_store(region)

    async def cut_mirror(self, source: str, target: str) -> None:
        """As `Target` says."""
        self._deafened(source, target)
        await self._servers.mirrors.cut(source, target)

    async def slow_mirror(self, source: str, target: str, delay_s: float) -> None:
        """As `Target` says."""
        self._deafened(source, target)
        await self._servers.slow_mirror(source, target, delay_s)

    async def heal_mirror(self, source: str, target: str) -> None:
        """As `Target` says."""
        await self._servers.mirrors.heal(source, target)
        if (source, target) in self._cut:
            self._cut.discard((source, target))
            paging = self._hired.limits
            calm_s = 2 * (paging.silence_s + paging.step_in_s + paging.pulse_every_s)
            self.scene.excuse(time.monotonic() + calm_s if not self._cut else float("inf"))

    def _deafened(self, source: str, target: str) -> None:
        self._cut.add((source, target))
        self.scene.excuse(float("inf"))

    async def spoil(self, region: str, how: Spoiling) -> None:
        """As `Target` says."""
        kind, service, key = SPOILING[how]
        self._switch.set_rule(
            Rule(
                id=f"{how}-{region}",
                region=region,
                port="store",
                kind=kind,
                op="write",
                service=service,
                dedup_key=key,
            )
        )
        await asyncio.sleep(NOTICE_S)

    async def mend(self, region: str, how: Spoiling) -> None:
        """As `Target` says."""
        self._switch.clear(f"{how}-{region}")

    async def refuse_pages(self, region: str) -> None:
        """As `Target` says."""
        self._hired.receiver.refusing |= {region}

    async def take_pages(self, region: str) -> None:
        """As `Target` says."""
        self._hired.receiver.refusing -= {region}

    # Sending to it -----------------------------------------------------------------------------------------------

    async def send(self, region: str, *, spoilt: bool, count: int) -> None:
        """As `Target` says."""
        lanes = asyncio.Semaphore(LANES)

        async def one() -> None:
            async with lanes:
                await self.scene.player.send(self.scene.spoilt() if spoilt else self.scene.good(), region)

        await asyncio.gather(*(one() for _ in range(count)))

    async def append_rubbish(self, region: str) -> None:
        """As `Target` says."""
        await self._append(region, 0, records.rubbish())

    async def append_newer(self, region: str) -> None:
        """As `Target` says."""
        scene = self.scene
        request = records.newer_request(region, BAD_SERVICE, f"{scene.name}/{scene.began_us}/newer")
        partition = partition_of(request.key.parent, self._topology.region(region).partitions)
        await self._append(region, partition, encode_request(request))
        self._newer.append(request.key.printed)

    async def drop_newer(self) -> None:
        """As `Target` says."""
        while self._newer:
            await self.by_hand(f"quarantine drop {self._newer[-1]} --yes")
            self._newer.pop()

    async def skew_clock(self, region: str, ahead_s: float) -> None:
        """As `Target` says. By ticks beside those of the intake, whose process goes by this machine's clock."""
        self._skewing[region] = asyncio.create_task(self._skew(region, ahead_s), name=f"clock of {region}")

    async def set_clock(self, region: str) -> None:
        """As `Target` says."""
        skewing = self._skewing.pop(region, None)
        if skewing is not None:
            skewing.cancel()
            await asyncio.gather(skewing, return_exceptions=True)

    async def by_hand(self, command: str) -> None:
        """As `Target` says."""
        typing = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tocsin",
            *shlex.split(command),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env=environment(self._settings),
        )
        said, _ = await typing.communicate()
        if typing.returncode != 0:
            raise DrillError(f"tocsin {command} ended with status {typing.returncode}: {said.decode(errors='replace')}")

    async def _skew(self, region: str, ahead_s: float) -> None:
        """In one partition: what reads promise goes by the lowest tick of all, and must stay true."""
        while True:
            with contextlib.suppress(EngineError):
                await self._append(region, 0, records.future_tick(region, ahead_s))
            await asyncio.sleep(SKEW_EVERY_S)

    async def _append(self, region: str, partition: int, record: Record) -> None:
        await self._logs[region].append(self._topology.region(region).requests, partition, [record])

    # Looking at it -----------------------------------------------------------------------------------------------

    async def pause(self, seconds: float) -> None:
        """As `Target` says."""
        await asyncio.sleep(seconds)

    async def unready(self, region: str) -> Mapping[str, Sequence[str]]:
        """As `Target` says."""
        children = {role: self._local.processes[region, role] for role in ROLES}
        async with httpx2.AsyncClient(timeout=5.0) as client:
            whys = await asyncio.gather(*(child.unready(client) for child in children.values()))
        return {role: why for role, why in zip(children, whys, strict=True) if why}

    async def starts(self, region: str, role: str) -> int:
        """As `Target` says."""
        return self._local.processes[region, role].starts - self._starts[region, role]

    async def status_of_intake(self, region: str) -> int | None:
        """As `Target` says."""
        return (await self.scene.player.attempt(self.scene.good(), region)).status

    async def stored_after_s(self, at: str, read: str, within_s: float) -> float | None:
        """As `Target` says."""
        scene, began_s = self.scene, time.monotonic()
        attempt = await scene.player.attempt(scene.good(), at)
        if attempt.accepted is None:
            return None
        querier = Querier(read, self._local.query_url(read), self._local.token)
        while (waited_s := time.monotonic() - began_s) < within_s:
            if await get(scene.recorder, f"prober-{read}", self._client, querier, attempt.accepted.request):
                return round(waited_s, 2)
            await asyncio.sleep(POLL_S)
        return None

    async def paged_after_s(self, at: str, within_s: float) -> float | None:
        """As `Target` says."""
        scene, began_s = self.scene, time.monotonic()
        attempt = await scene.player.attempt(scene.alert(), at)
        if attempt.accepted is None:
            return None
        scene.expect(attempt.accepted)
        incident = attempt.accepted.request.partition(".")[0]
        while (waited_s := time.monotonic() - began_s) < within_s:
            if not any(pair.incident == incident for pair in scene.pages.missing()):
                return round(waited_s, 2)
            await asyncio.sleep(POLL_S)
        return None

    async def open_requests(self, region: str) -> int:
        """As `Target` says."""
        return len(await self._stores[region].kept_rows(stages=OPEN))

    async def kept(self, region: str, stage: str) -> int:
        """As `Target` says."""
        return sum(row.stage == stage for row in await self._failed(region))

    async def decided(self, region: str, verdict: str) -> int:
        """As `Target` says."""
        rows = await self._failed(region)
        return sum(any(decision.verdict == verdict for decision in row.decisions) for row in rows)

    async def _failed(self, region: str) -> list[Kept]:
        """What failed for the first time since the drill began."""
        return [row for row in await self._stores[region].kept_rows() if row.since_us >= self.scene.began_us]

    async def budget_spent(self, region: str) -> bool:
        """As `Target` says."""
        return (await documents.budget(self._stores[region])).spent

    async def records_behind(self, region: str) -> int:
        """As `Target` says."""
        reached = Reached(dict(self._logs), dict(self._stores), {})
        state = await look_at(self._topology.region(region), reached, self._topology, time.time_ns() // 1000)
        if state.away:
            raise Unavailable("; ".join(state.away))
        return sum(source.lag_records or 0 for partition in state.partitions for source in partition.sources)

    async def copied(self, source: str, target: str) -> int:
        """As `Target` says."""
        region = self._topology.region(target)
        topic, log = region.requests_topics[source], self._logs[target]
        return sum([(await log.bounds(topic, number))[1] for number in range(region.partitions)])

    async def pages_sent(self, region: str) -> int:
        """As `Target` says."""
        return self._pages_of(region) - self._sent[region]

    def _pages_of(self, region: str) -> int:
        return sum(bundle.region == region for bundle in self._hired.receiver.bundles)

    async def pages_refused(self, region: str) -> int:
        """As `Target` says."""
        return self._hired.receiver.refused[region] - self._refused.get(region, 0)

    async def pages_overdue(self, after_s: float) -> int:
        """As `Target` says."""
        return self.scene.overdue(after_s)

    async def calm(self) -> None:
        """Returns once an alert at each region pages everybody quickly: after a start a region stands back for a while,
        and after an outage of a provider its breaker probes for a while. Raises `Unavailable` when it stays otherwise.
        """
        await self._begin("calm", self._settings.path(Path("calm.jsonl")), 1.0)
        try:
            for region in self.regions:
                deadline_s = time.monotonic() + CALM_S_MAX
                while (waited_s := await self.paged_after_s(region, CALM_S_MAX)) is None or waited_s > CALM_PAGE_S:
                    if time.monotonic() > deadline_s:
                        raise Unavailable(
                            f"an alert at region {region} does not page everybody within {CALM_PAGE_S:.0f} s, "
                            f"{CALM_S_MAX:.0f} s after it was to be calm"
                        )
                    await asyncio.sleep(POLL_S)
        finally:
            await self.end()

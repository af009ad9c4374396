"""Two regions of this machine as a target: every role a process of its own, on embedded engines or on real servers.

The runner owns all of it: processes and servers end with the process that runs the drill, whatever ends that.
"""

import asyncio
import contextlib
import shlex
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tocsin.core.ids import parse_printed, partition_of
from tocsin.core.kept import Stage
from tocsin.core.requests import Record, encode_request
from tocsin.engines.errors import EngineError, Unavailable
from tocsin.engines.faults import CHECK_EVERY_S, Fault, Rule
from tocsin.ops.demo.pages import Pages, read_feedback, unended
from tocsin.ops.demo.player import LANES
from tocsin.ops.demo.stage import BAD_SERVICE
from tocsin.ops.drills.target import Account, DrillError, Spoiling
from tocsin.ops.drills.targets import records
from tocsin.ops.drills.targets.forgetting import Forgotten
from tocsin.ops.drills.targets.people import put_stranded
from tocsin.ops.drills.targets.scene import KEY_MARK, Scene
from tocsin.ops.drills.targets.sight import POLL_S, Parts, Sight
from tocsin.ops.supervisor import environment
from tocsin.ops.verify import Report, verify

NOTICE_S: Final = 4 * CHECK_EVERY_S
CALM_S_MAX: Final = 60.0
"""Regions are calm within this, or something is wrong with them."""
CALM_PAGE_S: Final = 5.0
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


class LocalTarget(Sight):
    """As `target.Target` says."""

    def __init__(self, name: str, parts: Parts, hired: Pages, out: Path) -> None:
        """`hired`: the people who are paged; `out`: where each drill's history goes, in a folder of its name."""
        super().__init__(parts, hired)
        self.name = name
        self._out = out
        self._cut: set[tuple[str, str]] = set()
        self._waiting: list[tuple[str, str]] = []
        self._newer: list[str] = []
        self._entries = -1
        """In all regions, at the last comparison."""
        self._forgotten = Forgotten()
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

    # A drill on it -----------------------------------------------------------------------------------------------

    async def begin(self, drill: str, events_per_s: float) -> None:
        """As `Target` says."""
        await self._begin(drill, self._out / drill / "history.jsonl", events_per_s)

    async def _begin(self, name: str, history: Path, events_per_s: float) -> None:
        hired = self._hired
        pages = Pages(hired.receiver, hired.routing_key, hired.people, hired.regions, hired.limits)
        unknown = unended(await read_feedback(self._logs, self._topology.regions))
        self._scene = Scene(name, history, self._local, self._client, pages, unknown)
        self._count_from_here()
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
        if report.differing:
            return f"{report.differing} rows differ, the first: {report.differences[0]}"
        before, self._entries = self._entries, sum(counts.entries for counts in report.regions.values())
        return "" if self._entries == before else "the regions write of the last pages yet"

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
        self.scene.excuse_last_words()
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

    async def forget_unread(self, region: str) -> None:
        """As `Target` says. It is counted while the region's creator is down, so that nothing is read meanwhile."""
        for each in self._topology.regions:
            since_ms = self.scene.began_us // 1000
            await self._forgotten.forget(each, self._logs[each.name], self._servers.delete_records, since_ms)
        self._taken[region] = await self.removed_unread(region)

    async def refill_log(self, region: str) -> None:
        """As `Target` says."""
        await self._forgotten.put_back(self._topology.region(region), self._logs[region])

    async def skew_clock(self, region: str, ahead_s: float) -> None:
        """As `Target` says. By ticks beside those of the intake, whose process goes by this machine's clock."""
        self._skewing[region] = asyncio.create_task(self._skew(region, ahead_s), name=f"clock of {region}")

    async def set_clock(self, region: str) -> None:
        """As `Target` says."""
        skewing = self._skewing.pop(region, None)
        if skewing is not None:
            skewing.cancel()
            await asyncio.gather(skewing, return_exceptions=True)

    async def put_responder(self, *, reachable: bool) -> None:
        """As `Target` says."""
        await put_stranded(self._settings, self._topology, self._hired.receiver.url, reachable=reachable)

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

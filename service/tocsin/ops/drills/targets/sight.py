"""A local target as it is looked at: health, metrics, rows, logs, and the server that pages come to.

Stores and logs are read past every fault, so that what a drill says of a region it saw in that region's own rows.
"""

import asyncio
import re
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import httpx2

from tocsin.core.kept import Kept, Stage
from tocsin.engines.errors import Unavailable
from tocsin.engines.faults import FaultSwitch
from tocsin.engines.log import Log
from tocsin.engines.store import Store
from tocsin.ops import documents
from tocsin.ops.alerts.catalogue import SCRAPED
from tocsin.ops.alerts.evaluation import Series, parsed
from tocsin.ops.demo.pages import Pages
from tocsin.ops.drills.target import DrillError
from tocsin.ops.drills.targets.scene import Scene
from tocsin.ops.drills.targets.servers import Servers
from tocsin.ops.history import Querier, get
from tocsin.ops.progress import SourceState, look_at
from tocsin.ops.regions import Reached
from tocsin.ops.supervisor import ROLES, LocalSet
from tocsin.settings import Settings

POLL_S: Final = 0.1
OPEN: Final = (Stage.HELD, Stage.ASIDE)


class Parts(NamedTuple):
    """What a local target is made of. Stores and logs are by region, and past the fault switch."""

    settings: Settings
    local: LocalSet
    servers: Servers
    switch: FaultSwitch
    client: httpx2.AsyncClient
    stores: Mapping[str, Store]
    logs: Mapping[str, Log]


class Sight:
    """What is seen of two regions, counted from the beginning of the drill under way."""

    def __init__(self, parts: Parts, hired: Pages) -> None:
        """`hired`: the people who are paged."""
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
        self._scene: Scene | None = None
        self._starts: dict[tuple[str, str], int] = {}
        self._refused: dict[str, int] = {}
        self._sent: dict[str, int] = {}
        self._taken: dict[str, int] = {}
        """By region, what retention took from it unread."""

    @property
    def scene(self) -> Scene:
        """The drill under way."""
        if self._scene is None:
            raise DrillError("no drill has begun on this target")
        return self._scene

    def _count_from_here(self) -> None:
        """What is counted is counted from now on."""
        self._starts = {key: child.starts for key, child in self._local.processes.items()}
        self._refused = dict(self._hired.receiver.refused)
        self._sent = {region: self._pages_of(region) for region in self.regions}
        self._taken = {}

    async def pause(self, seconds: float) -> None:
        """As `Target` says."""
        await asyncio.sleep(seconds)

    async def unready(self, region: str) -> Mapping[str, Sequence[str]]:
        """As `Target` says."""
        children = {role: self._local.processes[region, role] for role in ROLES}
        async with httpx2.AsyncClient(timeout=5.0) as client:
            whys = await asyncio.gather(*(child.unready(client) for child in children.values()))
        return {role: why for role, why in zip(children, whys, strict=True) if why}

    async def metric(self, region: str, role: str, name: str) -> float | None:
        """As `Target` says."""
        async with httpx2.AsyncClient(timeout=5.0) as client:
            shown = await client.get(f"{self._local.admin_url(region, role)}/metrics")
        series = re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)", shown.text, re.MULTILINE)
        return max(map(float, series), default=None)

    async def scrape(self, names: Collection[str]) -> Sequence[Series]:
        """As `Target` says."""
        async with httpx2.AsyncClient(timeout=5.0) as client:
            read = await asyncio.gather(*(self._scraped(client, *key, names) for key in self._local.processes))
        return [one for series in read for one in series]

    async def _scraped(
        self, client: httpx2.AsyncClient, region: str, role: str, names: Collection[str]
    ) -> Sequence[Series]:
        whose = {"region": region, "role": role, "job": "tocsin"}
        try:
            shown = await client.get(f"{self._local.admin_url(region, role)}/metrics")
            return [*parsed(shown.text, names), Series(SCRAPED, whose, 1.0)]
        except (httpx2.HTTPError, Unavailable, ValueError):
            return [Series(SCRAPED, whose, 0.0)]

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
        return sum(source.lag_records or 0 for source in await self._sources(region))

    async def removed_unread(self, region: str) -> int:
        """As `Target` says."""
        return sum(source.unread for source in await self._sources(region))

    async def lost_unnamed(self, region: str) -> int:
        """As `Target` says."""
        named = [lost for lost in await self._stores[region].lost() if lost.found_us >= self.scene.began_us]
        return self._taken.get(region, 0) - sum(lost.end - lost.start for lost in named)

    async def _sources(self, region: str) -> list[SourceState]:
        reached = Reached(dict(self._logs), dict(self._stores), {})
        state = await look_at(self._topology.region(region), reached, self._topology, time.time_ns() // 1000)
        if state.away:
            raise Unavailable("; ".join(state.away))
        return [source for partition in state.partitions for source in partition.sources]

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

"""Gathering: the facts of all regions, side by side and within a bounded time, whatever does not answer.

Theory
------
Whoever asks how things are does so while something is broken. So every store, log and role is asked at once, each has
so long to answer, and what does not is named beside the rest. Of a region whose store is out of reach the last that is
known is what it said in a ledger, its own or a peer's copy; that is told with its age.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import httpx2
from msgspec import structs

from tocsin.core.failures import Kind
from tocsin.core.kept import Kept as KeptRow
from tocsin.core.kept import Stage
from tocsin.engines.errors import EngineError
from tocsin.engines.store import Store
from tocsin.ops.progress import RegionState, look_at
from tocsin.ops.regions import Reached, reachable
from tocsin.ops.status import course
from tocsin.ops.status.backlog import Backlog, backlog
from tocsin.ops.status.facts import SILENT_S, Condition, Facts, Figure, Health, Kept, Peer, Region, Role, State
from tocsin.ops.status.ledgers import Heartbeats, state_of
from tocsin.settings import Settings
from tocsin.topology import Region as Place
from tocsin.topology import Topology

OPEN_S_MAX: Final = 4.0
"""How long a store or a log may take to answer at all."""
READ_S_MAX: Final = 6.0
"""How long all that is asked of one region's store, log or ledgers may take."""
ROLE_S_MAX: Final = 3.0
"""How long a role's admin port may take: a check of readiness takes two seconds at most."""
KEPT_MAX: Final = 10_000
"""Rows of one region that are looked through for what is kept of failures, the oldest first."""
T = TypeVar("T")
AdminUrls = Mapping[str, Mapping[str, str | None]]
"""Where each role's admin port is, by region and role; None where a role runs and nobody said."""


async def gather(
    settings: Settings,
    topology: Topology,
    admin_urls: AdminUrls,
    clock_us: Callable[[], int],
    *,
    only: str | None = None,
) -> Facts:
    """The facts as they are now; with `only`, as this region's store and log have them. Raises nothing for what does
    not answer.
    """
    facts = Facts(at_us=clock_us(), only=only or "")
    async with reachable(settings, topology, only=only, within_s=OPEN_S_MAX) as reached:
        asked = [place for place in topology.regions if only in {None, place.name}]
        roles = {name: urls for name, urls in admin_urls.items() if only in {None, name}}
        heartbeats, healths, looks = await asyncio.gather(
            Heartbeats.read(reached.logs, topology, READ_S_MAX),
            _healths(roles),
            asyncio.gather(*(_Look(place, reached, topology, clock_us()).region() for place in asked)),
        )
        now_us = clock_us()
        seen = {region.name: region for region in looks}
        for place in topology.regions:
            region = seen.get(place.name) or Region(name=place.name, read_us=now_us)
            _hear(region, place, heartbeats, now_us)
            region.roles = healths.get(place.name, [])
            facts.regions.append(region)
        best = max(reached.stores, key=lambda name: seen[name].complete_until_us or 0, default="")
        facts.paging, facts.entries, facts.changes = await asyncio.gather(
            course.paging(settings, topology, reached, best, now_us),
            course.entries(reached.stores, READ_S_MAX),
            course.changes(settings, [place.name for place in asked], heartbeats.orders, now_us),
        )
    facts.at_us = clock_us()
    return facts


def _hear(region: Region, place: Place, heartbeats: Heartbeats, now_us: int) -> None:
    """Fills in what only heartbeats tell: of the peers, and of the region itself where its store did not."""
    for peer in place.peers:
        heard_us = heartbeats.latest_us(place.name, peer.name)
        own_us = heartbeats.latest_us(peer.name, peer.name)
        behind_s = None if heard_us is None or own_us is None else max(0.0, (own_us - heard_us) / 1e6)
        region.peers.append(Peer(peer.name, heard_us, behind_s))
    said = heartbeats.condition(region.name, now_us)
    if said is None:
        return
    condition, standing = said
    if region.condition.state is State.UNKNOWN:
        region.condition = condition
    if condition.state is State.ILL:  # since then it has measured no lag either
        if region.lag_s is not None:
            since_us = region.lag_s.at_us - round(region.lag_s.value * 1e6)
            region.condition = structs.replace(region.condition, since_us=since_us)
    elif region.lag_s is None:
        region.lag_s = Figure(standing.lag_s, standing.at_us, condition.source)


# One region ----------------------------------------------------------------------------------------------------------


class _Look:
    """A look at one region's store and log."""

    def __init__(self, place: Place, reached: Reached, topology: Topology, now_us: int) -> None:
        self._place = place
        self._reached = reached
        self._topology = topology
        self._now_us = now_us
        self._region = Region(name=place.name, read_us=now_us, budget_max=place.limits.budget_services)

    async def region(self) -> Region:
        """What could be read of it."""
        name, region = self._place.name, self._region
        for kind in ("store", "log"):
            if why := self._reached.away.get(f"{kind} of {name}"):
                region.away[kind] = why
        store = self._reached.stores.get(name)
        log = self._reached.logs.get(name)
        if store is None:
            if log is not None:
                self._measured(await self._within("backlog", backlog(log, self._place, self._now_us)))
            return region
        progress, kept = await asyncio.gather(
            self._within("progress", look_at(self._place, self._reached, self._topology, self._now_us)),
            self._within("what is kept", _kept(store)),
        )
        if progress is not None:
            self._take(progress)
        region.kept = kept
        if kept is not None and region.condition.state is State.HALTED:
            region.condition = structs.replace(region.condition, since_us=kept.held_since_us)
        return region

    async def _within(self, what: str, answer: Awaitable[T]) -> T | None:
        try:
            async with asyncio.timeout(READ_S_MAX):
                return await answer
        except (EngineError, ValueError) as error:
            self._region.away[what] = str(error)
        except TimeoutError:
            self._region.away[what] = f"no answer within {READ_S_MAX:g} s"
        return None

    def _take(self, progress: RegionState) -> None:
        region, now_us = self._region, self._now_us
        for line in progress.away:
            what, _, why = line.partition(": ")
            region.away.setdefault(what.removesuffix(f" of {region.name}"), why)
        region.complete_until_us = progress.complete_until_us
        sources = [source for partition in progress.partitions for source in partition.sources]
        lags = [source.lag_records for source in sources if source.lag_records is not None]
        ages = [source.lag_s for source in sources if source.lag_s is not None]
        rooms = [source.headroom_s for source in sources if source.headroom_s is not None]
        region.lag_records = Figure(sum(lags), now_us) if lags else None
        region.lag_s = Figure(max(ages), now_us) if ages else None
        region.headroom_s = Figure(min(rooms), now_us) if rooms else None
        region.lost_us = tuple(sorted(lost["found_us"] for lost in progress.lost))
        if "store" not in region.away:  # it may have stopped answering since it was asked first
            region.budget_counted = tuple(progress.budget_counted)
            region.budget_spent = progress.budget_spent
            region.condition = self._condition(progress)

    def _measured(self, waiting: Backlog | None) -> None:
        if waiting is not None:
            self._region.lag_records = Figure(waiting.records, self._now_us)
            self._region.lag_s = Figure(waiting.age_s, self._now_us)

    def _condition(self, progress: RegionState) -> Condition:
        """How the region is by what the owners of its partition numbers wrote down."""
        written = [partition.written_s for partition in progress.partitions if partition.written_s is not None]
        drained = self._place.name in progress.drained
        if not written:
            return Condition(state=State.DRAINED if drained else State.NEVER_RAN, at_us=self._now_us)
        at_us = self._now_us - round(max(written) * 1e6)
        silent = [one.partition for one in progress.partitions if one.written_s is None or one.written_s > SILENT_S]
        if silent and not drained:
            numbers = ", ".join(map(str, silent))
            return Condition(state=State.SILENT, at_us=at_us, since_us=at_us, why=(f"partitions {numbers}",))
        why = tuple(dict.fromkeys(why for partition in progress.partitions for why in partition.halted))
        ill = any(partition.ill for partition in progress.partitions)
        return Condition(state=state_of(drained=drained, ill=ill, halted=bool(why)), at_us=at_us, why=why)


async def _kept(store: Store) -> Kept:
    """What a store keeps of requests that are not stored."""
    rows = await store.kept_rows(stages=[Stage.HELD, Stage.ASIDE, Stage.QUARANTINED], limit=KEPT_MAX)
    by_stage: dict[Stage, list[KeptRow]] = {stage: [row for row in rows if row.stage is stage] for stage in Stage}
    held, aside, gone = by_stage[Stage.HELD], by_stage[Stage.ASIDE], by_stage[Stage.QUARANTINED]
    return Kept(
        held=len(held),
        held_since_us=held[0].since_us if held else None,
        set_aside=len(aside),
        set_aside_since_us=aside[0].since_us if aside else None,
        quarantined=len(gone),
        quarantined_latest_us=max(map(_decided_us, gone), default=None),
        too_new=sum(row.kind is Kind.TOO_NEW for row in aside),
        crashed=sum(row.kind is Kind.CRASHED for row in (*held, *aside)),
        example=next((row.key.printed for row in (*held, *aside, *gone)), ""),
    )


def _decided_us(row: KeptRow) -> int:
    return row.decisions[-1].at_us if row.decisions else row.since_us


# Roles ---------------------------------------------------------------------------------------------------------------


async def _healths(admin_urls: AdminUrls) -> dict[str, list[Role]]:
    """How each role's process says it is, by region."""
    places = [(region, name, url) for region, urls in admin_urls.items() for name, url in urls.items()]
    async with httpx2.AsyncClient(timeout=ROLE_S_MAX, trust_env=False) as client:
        roles = await asyncio.gather(*(_health(client, name, url) for _, name, url in places))
    healths: dict[str, list[Role]] = {}
    for (region, _, _), role in zip(places, roles, strict=True):
        healths.setdefault(region, []).append(role)
    return healths


async def _health(client: httpx2.AsyncClient, name: str, url: str | None) -> Role:
    if url is None:
        return Role(name, Health.UNKNOWN)
    try:
        async with asyncio.timeout(ROLE_S_MAX):
            answer = await client.get(f"{url}/health/ready")
        body: Any = answer.json()
        reasons = tuple(str(reason) for reason in body["reasons"])
    except (httpx2.HTTPError, TimeoutError, ValueError, LookupError, TypeError):
        return Role(name, Health.NO_ANSWER, (f"{url} does not answer",))
    return Role(name, Health.NOT_READY if reasons else Health.READY, reasons)

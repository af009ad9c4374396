"""Rest: after faults have ended and a quiet time, do all regions hold the same, and nothing is lost or open?

Promises 1, 2 and 7, on the stores as they are then, and once more by `tocsin verify`'s own comparison.
"""

import asyncio
from collections.abc import Iterator
from typing import Final

from tests.simulation.releases import TAR
from tests.simulation.site import TRIAL_S_MAX, Site
from tests.simulation.store import SimStore
from tests.simulation.watch import Watch
from tests.simulation.world import World
from tocsin.core.ids import Parent, RequestKey, partition_of
from tocsin.core.kept import Stage
from tocsin.core.requests import Tick, decode_record
from tocsin.engines.errors import EngineError
from tocsin.ops.documents import budget, release_budget
from tocsin.ops.verify import verify

QUIET_S_MIN: Final = 6.0
QUIET_S_MAX: Final = 120.0
"""Longer than every limit and all retries, with budgets that people release one after the other; but for requests that
hang whoever tries them, which are tried one after the other for as long as a trial may last.
"""
TRIALS_EACH: Final = 3
"""So often such a request may be tried until every region has decided."""
LOOK_EVERY_S: Final = 1.0
RELEASE_EVERY_S: Final = 3.0
AT_REST: Final = ("stored", "quarantined", "dropped")


async def rest(world: World, watch: Watch) -> None:
    """Waits until all is quiet, and checks. What is not at rest in time breaks promise 2."""
    began_s = world.now_s
    released_s = began_s
    hanging = sum(TAR in key.parent.dedup_key for key in world.known)
    limit_s = QUIET_S_MAX + hanging * TRIALS_EACH * TRIAL_S_MAX
    while (waited_s := world.now_s - began_s) < limit_s:
        await asyncio.sleep(LOOK_EVERY_S)
        if world.now_s - released_s >= RELEASE_EVERY_S:
            released_s = world.now_s
            await _release_budgets(world)
        if waited_s >= QUIET_S_MIN and next(_unrest(world, watch), None) is None:
            break
    for what in _unrest(world, watch):
        world.breach("2, agreement", what)
    for what in _unnamed(world, watch):
        world.breach("1, nothing lost", what)
    if not world.breaches:
        await _verify(world, watch)


async def _release_budgets(world: World) -> None:
    """A person looks after spent budgets."""
    for site in world.sites.values():
        store = SimStore(site.database)
        try:
            if (await budget(store)).spent:
                world.tell(site.name, "a person releases the budget")
                await release_budget(store)
        except EngineError as error:
            world.tell(site.name, f"the budget is not released: {error}")


def _unrest(world: World, watch: Watch) -> Iterator[str]:
    """What is not at rest, in words."""
    for site in world.sites.values():
        yield from _unrest_of(site)
    for link in world.links.values():
        for (topic, partition), part in world.sites[link.source].records.parts.items():
            if "." not in topic and link.position(topic, partition) < part.end - 5:
                yield f"{link} {topic}/{partition} has copied {link.position(topic, partition)} of {part.end}"
    for key in world.known:
        outcomes = {
            name: site.rows.outcome(key)
            for name, site in world.sites.items()
            if not (site.rows.outcome(key) == "absent" and key in watch.truncated[name])
        }
        if len(set(outcomes.values())) > 1 or not set(outcomes.values()) <= {*AT_REST}:
            yield f"{key} ({key.parent}) is {outcomes}"


def _unrest_of(site: Site) -> Iterator[str]:
    owned: set[int] = set()
    for name, creator in site.creators.items():
        for partition, owner in creator._owners.items():
            machine = owner.machine
            owned.add(partition)
            yield from (f"{site.name}/{partition} is halted: {why}" for why in machine.halted)
            for key, case in machine.cases.open.items():
                if case.stage not in (Stage.QUARANTINED, Stage.DROPPED):
                    yield f"{site.name}/{partition}: {key} is {case.stage} by {case.row or 'no row'}, {case.kind}"
            for source in machine.sources.names:
                low, end = (
                    machine.sources.runs(source).low,
                    site.records.part(site.region.requests_topics[source], partition).end,
                )
                if low < end - 5:
                    yield f"{site.name}/{partition}: progress in {source} stands at {low} of {end}"
        yield from (f"{site.name}/{name}: {why}" for why in creator._claiming.refused.values())
    if unowned := set(range(site.region.partitions)) - owned:
        yield f"{site.name}: nobody owns {sorted(unowned)}"


def _unnamed(world: World, watch: Watch) -> Iterator[str]:
    """What retention took unread and no row names."""
    for site in world.sites.values():
        for key in sorted(watch.truncated[site.name]):
            if site.rows.outcome(key) == "absent" and not _is_named(world, site, key):
                yield f"{site.name}: retention took {key}, it is nowhere, and no lost range names it"


def _is_named(world: World, site: Site, key: RequestKey) -> bool:
    partition = partition_of(key.parent, world.shape.partitions)
    for source, topic in site.region.requests_topics.items():
        part = site.records.part(topic, partition)
        for offsets in site.rows.lost_offsets(partition, source):
            for offset in offsets:
                record = part.records[offset]
                content = decode_record(record) if record else None
                if content is not None and not isinstance(content, Tick) and content.key == key:
                    return True
    return False


async def _verify(world: World, watch: Watch) -> None:
    """The comparison that operators run must find nothing either, but for what retention took."""
    stores = {name: SimStore(site.database) for name, site in world.sites.items()}
    report = await verify(stores, partitions=world.shape.partitions, everything=True)
    lost = {key for keys in watch.truncated.values() for key in keys}
    parents = {key.parent for key in lost}
    for difference in report.differences:
        if not _is_of(world, difference.key, parents):
            world.breach("2, agreement", f"verify: {difference}")
    for region, why in report.unread.items():
        world.breach("2, agreement", f"verify could not read {region}: {why}")
    for one in report.not_agreed:
        world.breach("2, agreement", f"verify: not agreed: {one}")


def _is_of(world: World, printed: str, parents: set[Parent]) -> bool:
    """Whether a printed key is of a parent of which something was lost."""
    return any(key.printed == printed and key.parent in parents for key in world.known)

"""One run of the notifiers: a plan drawn from the seed, faults for a time, then heal, quiet, and the judgement."""

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from tests.simulation import loop as virtual
from tests.simulation.loop import VirtualLoop
from tests.simulation.paging.faults import ALONE, KINDS, Scene
from tests.simulation.paging.judge import Judge, Span
from tests.simulation.paging.site import NOTIFIERS
from tests.simulation.paging.watch import STATES, PagingWatch
from tests.simulation.paging.world import PagingWorld, Shape

FAULTS_S: Final = 100.0
CALM_S: Final = 8.0
"""So long nothing happens at first: regions find each other."""
QUIET_S: Final = 75.0
"""After the last fault: for what is under way to lapse, to be tried again, and to be said."""
ALERTS: Final = 45
FAULTS_MIN: Final = 3
KINDS_MIN: Final = 2
AWAITED_S_MAX: Final = 8.0
"""So long a fault waits for the state in which it is to begin."""
CELLS: Final = tuple((kind, state) for kind in KINDS for state in STATES)


@dataclass(frozen=True)
class Planned:
    """One fault of a plan. `awaits`: the state of the region's pages in which it begins, if that comes in time."""

    kind: str
    region: str
    at_s: float
    length_s: float
    awaits: str = ""


@dataclass
class Result:
    """What came of a seed."""

    seed: int
    breaches: list[str]
    story: list[str]
    cells: dict[tuple[str, str], int]
    pages: int
    """That arrived."""
    simulated_s: float
    digest: int
    steps: int
    faults: list[str]


def shape_of(seed: int) -> Shape:
    """How large the world of a seed is."""
    chance = random.Random(f"{seed}/shape")
    return Shape(
        regions=chance.choices(("ab", "abc"), (6, 1))[0],
        partitions=chance.choice((1, 2)),
        session_s=chance.choice((0.0, 3.0)),
        users=chance.randint(3, 6),
    )


def plan_of(seed: int, regions: str) -> list[Planned]:
    """The faults of a seed: three at least, of two kinds at least; one cell of the coverage table is this seed's."""
    chance = random.Random(f"{seed}/plan")
    kind, state = CELLS[seed % len(CELLS)]
    plan = [Planned(kind, chance.choice(regions), chance.uniform(CALM_S, 70.0), chance.uniform(5, 20), awaits=state)]
    most = chance.randint(FAULTS_MIN, 7)
    while len(plan) < most or len({one.kind for one in plan}) < KINDS_MIN:
        length_s = chance.uniform(2, 30)
        at_s = chance.uniform(CALM_S, FAULTS_S - AWAITED_S_MAX - 1 - length_s)
        one = Planned(
            chance.choice(tuple(KINDS)), chance.choice(regions), at_s, length_s, chance.choice(("", *STATES[:4]))
        )
        if not any(_undoes(other, one) for other in plan):
            plan.append(one)
    return sorted(plan, key=lambda one: one.at_s)


def _undoes(one: Planned, other: Planned) -> bool:
    if one.region != other.region or not {one.kind, other.kind} <= ALONE:
        return False
    ends_s = [planned.at_s + AWAITED_S_MAX + planned.length_s for planned in (one, other)]
    return one.at_s <= ends_s[1] and other.at_s <= ends_s[0]


def run_seed(seed: int) -> Result:
    """Runs one seed; the same seed gives the same result, to the last step."""
    runs: list[_Run] = []

    def main(loop: VirtualLoop) -> Coroutine[Any, Any, Result]:
        runs.append(_Run(loop, seed))
        return runs[0].main()

    try:
        return virtual.run(main, seed)
    except virtual.Stuck as error:
        runs[0].world.breach("livelock", str(error))
        return runs[0].result()


class _Run:
    """A run under way."""

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self.seed = seed
        self.loop = loop
        self.world = PagingWorld(loop, seed, shape_of(seed))
        self.watch = PagingWatch(self.world, self._seen)
        self.plan = plan_of(seed, self.world.shape.regions)
        self.cells: dict[tuple[str, str], int] = {}
        self.awaiting: dict[int, Planned] = {}
        self.active: list[Planned] = []
        self.spans: list[Span] = []

    async def main(self) -> Result:
        world = self.world
        world.tell("seed", f"{self.seed}: {world.shape}")
        with world.real_roles_in_it(), self.watch.over_machines():
            await self._all()
        for fault in self.loop.faults:
            world.breach("an error that nobody took", f"{fault['message']}: {fault.get('exception')!r}")
        return self.result()

    def result(self) -> Result:
        """What came of it so far."""
        world = self.world
        return Result(
            seed=self.seed,
            breaches=world.breaches,
            story=world.story,
            cells=self.cells,
            pages=len(world.outside.receipts),
            simulated_s=world.now_s,
            digest=world.around.trace.digest,
            steps=self.loop.steps,
            faults=[one.kind for one in self.plan],
        )

    async def _all(self) -> None:
        world = self.world
        await world.open()
        for number, one in enumerate(self.plan):
            world.around.later(one.at_s, self._await, number, one)
        chance = random.Random(f"{self.seed}/times")
        for _ in range(ALERTS):
            at_s = chance.uniform(1.0, FAULTS_S)
            world.around.later(at_s, world.open_alert, FAULTS_S + QUIET_S / 2)
        await asyncio.sleep(FAULTS_S)
        world.tell("all", "HEAL: no more faults; quiet from here on")
        for site in world.sites.values():
            for name in NOTIFIERS:
                site.start(name)
        world.heal_links()
        await asyncio.sleep(QUIET_S)
        Judge(world, self.spans, world.now_s).judge()

    # Faults -------------------------------------------------------------------------------------------------------

    def _await(self, number: int, one: Planned) -> None:
        """It is time for a fault, but perhaps not the moment."""
        self.awaiting[number] = one
        if not one.awaits or one.awaits in self.watch.present(one.region):
            self._begin(number)
        else:
            self.world.around.later(AWAITED_S_MAX, self._begin, number)

    def _begin(self, number: int) -> None:
        one = self.awaiting.pop(number, None)
        if one is None:
            return  # it has begun before
        site = self.world.sites[one.region]
        self.active.append(one)
        self._seen(one.region, self.watch.present(one.region))
        scene = Scene(self.world, site, one.length_s, random.Random(f"{self.seed}/fault/{number}"))
        text, end = KINDS[one.kind](scene)
        self.spans.append(Span(one.kind, one.region, self.world.now_s, self.world.now_s + one.length_s))
        self.world.tell(one.region, f"FAULT {one.kind}, for {one.length_s:.1f} s: {text}")
        self.world.around.later(one.length_s, self._end, one, end)

    def _end(self, one: Planned, end: Any) -> None:
        end()
        self.active.remove(one)
        self.world.tell(one.region, f"END of {one.kind}")

    def _seen(self, region: str, states: frozenset[str]) -> None:
        for number, awaiting in list(self.awaiting.items()):
            if awaiting.region == region and awaiting.awaits in states:
                self.world.around.later(0.0, self._begin, number)
        for one in self.active:
            if one.region == region:
                for state in states:
                    cell = one.kind, state
                    self.cells[cell] = self.cells.get(cell, 0) + 1

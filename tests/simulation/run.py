"""One run: a plan drawn from the seed, two minutes of it, then heal, quiet, and the last checks."""

import asyncio
import dataclasses
import random
from dataclasses import dataclass
from typing import Any, Final

from tests.simulation import loop as virtual
from tests.simulation.coverage import CELLS, MAKERS
from tests.simulation.faults import ALONE, ENDS_ALL, KINDS
from tests.simulation.load import Load
from tests.simulation.loop import VirtualLoop
from tests.simulation.rest import rest
from tests.simulation.scene import Scene
from tests.simulation.watch import Watch
from tests.simulation.world import LIMITS, Shape, World
from tocsin.core.statements import PersonWord
from tocsin.engines.errors import EngineError

FAULTS_S: Final = 120.0
CALM_S: Final = 6.0
"""So long nothing happens at first: regions find each other."""
REQUESTS: Final = 110
"""Sent by the load itself; bursts, pairs and foreign producers come on top."""
LOOK_EVERY_S: Final = 1.0
READ_EVERY_S: Final = 4
COMPACT_EVERY_S: Final = 11
"""Ledgers are compacted so often: whoever reads one from its start finds gaps."""
FAULTS_MIN: Final = 3
KINDS_MIN: Final = 2
AWAITED_S_MAX: Final = 20.0
"""So long a fault waits for the state that it is to meet."""


@dataclass(frozen=True)
class Planned:
    """One fault of a plan."""

    kind: str
    region: str
    at_s: float
    length_s: float
    awaits: str = ""
    """The state of a machine of the region in which it begins, if that comes about in time."""

    @property
    def ends_s(self) -> float:
        """When it has ended for certain."""
        return self.at_s + self.length_s + (AWAITED_S_MAX if self.awaits else 0.0)

    def overlaps(self, other: "Planned") -> bool:
        """Whether both can last at one time."""
        return self.at_s <= other.ends_s and other.at_s <= self.ends_s


@dataclass
class Result:
    """What came of a seed."""

    seed: int
    breaches: list[str]
    story: list[str]
    cells: dict[tuple[str, str], int]
    """(fault, state) to how often it was met."""
    requests: int
    simulated_s: float
    digest: int
    events: int
    steps: int
    faults: list[str]


def shape_of(seed: int) -> Shape:
    """How large the world of a seed is."""
    chance = random.Random(f"{seed}/shape")
    limits = dataclasses.replace(
        LIMITS,
        set_records_max=chance.choice((3, 20, 500)),
        reach_records=chance.choice((40, 5_000)),
        held_max=chance.choice((4, 16)),
        flush_every_s=chance.choice((0.2, 0.5)),
    )
    return Shape(
        regions=chance.choices(("ab", "abc"), (6, 1))[0],
        partitions=chance.choices((1, 2), (3, 2))[0],
        creators=chance.choices((1, 2), (3, 1))[0],
        session_s=chance.choice((0.0, 3.0)),
        limits=limits,
    )


def plan_of(seed: int, regions: str) -> list[Planned]:
    """The faults of a seed: three at least, of two kinds at least. They crowd, because what is alone is easy.

    One cell of the coverage table is this seed's: its fault lasts long, and what makes its state happens meanwhile. A
    fault in which little can begin comes after that instead, at the moment of the state.
    """
    chance = random.Random(f"{seed}/plan")
    wanted, state = CELLS[seed % len(CELLS)]
    region, length_s = chance.choice(regions), chance.uniform(25, 45)
    at_s = chance.uniform(CALM_S, FAULTS_S - 30 - length_s)
    plan = [Planned(wanted, region, at_s, length_s, awaits=state if wanted in ENDS_ALL else "")]
    for maker in MAKERS.get(state, ()):
        if wanted not in ENDS_ALL:
            after_s = chance.uniform(0, 12)
        elif maker == "kill":
            after_s = chance.uniform(-1, 3)  # a start is over in a moment: it is to come while the fault waits for it
        else:
            after_s = chance.uniform(-12, -3)
        _add(plan, Planned(maker, region, max(CALM_S, at_s + after_s), chance.uniform(10, 25)))
    most = len(plan) + chance.randint(1, 4)
    while len(plan) < max(most, FAULTS_MIN) or len({one.kind for one in plan}) < KINDS_MIN:
        length_s = chance.uniform(3, 40)
        at_s = chance.uniform(CALM_S, FAULTS_S - 2 - length_s)
        _add(plan, Planned(chance.choice(tuple(KINDS)), chance.choice(regions), at_s, length_s))
    return sorted(plan, key=lambda one: one.at_s)


def _add(plan: list[Planned], one: Planned) -> None:
    """Adds a fault, unless one that is there would undo it, or it that one."""
    releases = one.kind.startswith("release")
    for other in plan:
        same = other.kind == one.kind or (releases and other.kind.startswith("release"))
        if same and one.kind in ALONE and other.overlaps(one) and (releases or other.region == one.region):
            return
    plan.append(one)


def run_seed(seed: int) -> Result:
    """Runs one seed; the same seed gives the same result, to the last step."""
    return virtual.run(lambda loop: _Run(loop, seed).main(), seed)


class _Run:
    """A run under way."""

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self.seed = seed
        self.loop = loop
        self.shape = shape_of(seed)
        self.world = World(loop, seed, self.shape)
        self.watch = Watch(self.world, self._seen)
        self.load = Load(self.world, random.Random(f"{seed}/load"))
        self.plan = plan_of(seed, self.shape.regions)
        self.cells: dict[tuple[str, str], int] = {}
        self.active: list[Planned] = []
        self.awaiting: dict[int, Planned] = {}

    async def main(self) -> Result:
        world = self.world
        world.tell("seed", f"{self.seed}: {self.shape}")
        with world.real_roles_in_it(), self.watch.over_machines():
            try:
                await self._all()
            except virtual.Stuck as error:
                world.breach("livelock", str(error))
        for fault in self.loop.faults:
            world.breach("an error that nobody took", f"{fault['message']}: {fault.get('exception')!r}")
        return Result(
            seed=self.seed,
            breaches=world.breaches,
            story=world.story,
            cells=self.cells,
            requests=self.load.sent,
            simulated_s=world.now_s,
            digest=world.trace.digest,
            events=world.trace.events,
            steps=self.loop.steps,
            faults=[one.kind for one in self.plan],
        )

    async def _all(self) -> None:
        for site in self.world.sites.values():
            for name in ("creator-1", "creator-2")[: self.shape.creators]:
                site.start(name)
            site.start("intake")
            site.start("querier")
        watching = asyncio.ensure_future(self._look_around())
        for number, one in enumerate(self.plan):
            self.world.around.later(one.at_s, self._await, number, one)
        chance = random.Random(f"{self.seed}/times")
        for _ in range(REQUESTS):
            self.world.around.later(chance.uniform(0.5, FAULTS_S - 2), self.load.send)
        await asyncio.sleep(FAULTS_S)
        self._heal()
        await self.load.end()
        await rest(self.world, self.watch)
        watching.cancel()

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
        chance = random.Random(f"{self.seed}/fault/{number}")
        scene = Scene(self.world, self.watch, self.load, one.region, one.length_s, chance)
        self.active.append(one)
        self._seen(one.region, self.watch.present(one.region))
        text, end = KINDS[one.kind](scene)
        self.world.tell(one.region, f"FAULT {one.kind}, for {one.length_s:.1f} s: {text}")
        self.world.around.later(one.length_s, self._end, one, end)

    def _end(self, one: Planned, end: Any) -> None:
        end()
        self.active.remove(one)
        self.world.tell(one.region, f"END of {one.kind}")

    def _seen(self, region: str, states: frozenset[str]) -> None:
        for number, awaiting in self.awaiting.items():
            if awaiting.region == region and awaiting.awaits in states:
                self.world.around.later(0.0, self._begin, number)
        for one in self.active:
            if one.region == region:
                for state in states:
                    cell = one.kind, state
                    self.cells[cell] = self.cells.get(cell, 0) + 1

    def _heal(self) -> None:
        """All faults have ended; whatever a fault left behind is mended by people."""
        world = self.world
        world.tell("all", "HEAL: no more faults; quiet from here on")
        for site in world.sites.values():
            for name in ("creator-1", "creator-2")[: self.shape.creators]:
                site.start(name)
        for about in sorted(world.region_orders):
            world.order_region(min(world.sites), about, PersonWord.JOINED)
        for link in world.links.values():
            link.heal()

    async def _look_around(self) -> None:
        rounds = 0
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            rounds += 1
            self.watch.look_around()
            if rounds % COMPACT_EVERY_S == 0:
                for site in self.world.sites.values():
                    site.records.compact()
            if rounds % READ_EVERY_S == 0:
                for site in self.world.sites.values():
                    process = site.process("querier")
                    if process is not None:
                        self.loop.spawn(process, self._read(site))

    async def _read(self, site: Any) -> None:
        try:
            await self.watch.read(site)
        except EngineError:
            return  # no answer, no promise

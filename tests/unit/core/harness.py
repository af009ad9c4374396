"""A deterministic world in memory that drives real partition machines on a virtual clock.

Everything that crosses a machine's edge takes time and can fail: appends, mirrors, fetches, reads and writes of the
store. What a process had under way when it was killed may still be applied after its death. One seed gives one run.

    world = World(["a", "b"], seed=1)
    world.accept("a", request(1))
    world["b"].store.refuses.add(request(1).key)
    world.until(lambda: world["b"].is_halted)
    world.heal()
    world.settle()
    world.check_agreement()

At every step of every machine the world checks that progress does not run ahead of the data, and that nothing is
quarantined without evidence from everywhere.
"""

import heapq
import random
from collections.abc import Callable, Iterable

from tests.unit.core.harness_node import Node
from tests.unit.core.harness_parts import SECOND, Link, Topic, request
from tocsin.core.effects import (
    Now,
)
from tocsin.core.ids import RequestKey
from tocsin.core.limits import Limits
from tocsin.core.requests import Record, Request, encode_request
from tocsin.core.statements import (
    PersonWord,
    RegionOrder,
    Replica,
    RequestOrder,
    Statement,
    encode_statement,
)

__all__ = ["LIMITS", "Node", "World", "request", "settle", "started"]

LIMITS = Limits(
    grace_s=4.0,
    answer_deadline_s=6.0,
    ask_limit_s=4.0,
    standing_every_s=1.0,
    flush_every_s=0.5,
    retry_max_s=2.0,
    aside_retry_first_s=1.0,
    aside_retry_max_s=8.0,
)
SETTLE_S = 40.0
"""Longer than every limit above, with the retries of what was set aside."""


def started(regions: str = "ab", *, seed: int = 0) -> "World":
    """Regions that have heard each other."""
    world = World(regions, seed=seed)
    world.run(3.0)
    return world


def settle(world: "World", *, stores: bool = True) -> None:
    """Heals all faults (of the stores too, unless said otherwise), lets it be quiet, and checks for agreement."""
    world.heal(stores=stores)
    world.settle()
    world.check_agreement()


class World:
    """Regions, the mirrors between them, their machines, and the clock."""

    def __init__(
        self,
        regions: Iterable[str] = ("a", "b"),
        *,
        seed: int = 0,
        limits: Limits = LIMITS,
        latency_s: tuple[float, float] = (0.001, 0.03),
    ) -> None:
        self.names = tuple(regions)
        self.limits = limits
        self.rng = random.Random(seed)
        self.now_s = 0.0
        self.accepted: dict[RequestKey, None] = {}
        self.topics = {region: self._topics_of(region) for region in self.names}
        self.links = {(x, y): Link() for x in self.names for y in self.names if x != y}
        self.nodes: dict[Replica, Node] = {}
        self.restarting = True
        """Whether what was killed comes back by itself."""
        self.compacting: bool | None = None
        """Whether who reads a ledger from its start finds it compacted; None: by chance."""
        self._latency_s = latency_s
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._events = 0
        for region in self.names:
            self.add(Replica(region, "blue"))

    def _topics_of(self, region: str) -> dict[str, Topic]:
        mirrored = [f"{peer}.{topic}" for peer in self.names if peer != region for topic in ("requests", "ledger")]
        return {name: Topic() for name in ["requests", "ledger", *mirrored]}

    def add(self, replica: Replica) -> "Node":
        """Starts another replica."""
        node = self.nodes[replica] = Node(self, replica)
        node.start()
        return node

    def __getitem__(self, region: str) -> "Node":
        return self.nodes[Replica(region, "blue")]

    # Time -------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> Now:
        return Now(self.now_s, SECOND * 1_000_000 + int(self.now_s * 1e6))

    def latency_s(self) -> float:
        return self.rng.uniform(*self._latency_s)

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        self._events += 1
        heapq.heappush(self._agenda, (self.now_s + delay_s, self._events, act))

    def run(self, seconds: float) -> None:
        """Lets so much time pass."""
        end_s = self.now_s + seconds
        while self._agenda and self._agenda[0][0] <= end_s:
            self._next()
        self.now_s = end_s

    def until(self, holds: Callable[[], bool], *, limit_s: float = 60.0) -> None:
        """Runs until something holds; fails when it does not in this time."""
        end_s = self.now_s + limit_s
        while not holds():
            assert self._agenda[0][0] <= end_s, f"it did not come about in {limit_s} s\n{self.describe()}"
            self._next()

    def _next(self) -> None:
        self.now_s, _, act = heapq.heappop(self._agenda)
        act()

    # The outside ------------------------------------------------------------------------------------------------

    def accept(self, region: str, *requests: Request) -> None:
        """A region's intake takes these."""
        self.accepted.update(dict.fromkeys(one.key for one in requests))
        self.append(region, "requests", [encode_request(one) for one in requests])

    def order(self, key: RequestKey, number: int, word: PersonWord, *, region: str = "a") -> None:
        """A person says a word on a request, in one region."""
        self.say(region, RequestOrder(key, number, word, "eve", self.now.unix_us, "because"))

    def order_region(self, about: str, number: int, word: PersonWord, *, region: str = "a") -> None:
        """A person says a word on a region, in one region."""
        self.say(region, RegionOrder(about, number, word, "eve", self.now.unix_us, "because"))

    def say(self, region: str, *statements: Statement) -> None:
        """Appends statements to a region's ledger."""
        self.append(region, "ledger", [Record(*encode_statement(statement)) for statement in statements])

    def append(self, region: str, name: str, records: list[Record]) -> None:
        """Appends to a region's own topic, from where it is mirrored."""
        self.topics[region][name].append(records, self.now_s)
        self._arrived(region)
        for (source, _), link in self.links.items():
            if source == region:
                self.later(link.delay_s, self.pump)

    def pump(self) -> None:
        """Mirrors what is due on every link."""
        for (source, target), link in self.links.items():
            for name in ("requests", "ledger"):
                mirrored = self.topics[target][f"{source}.{name}"]
                if link.pump(f"{name}", self.topics[source][name], mirrored, self.now_s):
                    self._arrived(target)

    def _arrived(self, region: str) -> None:
        for node in self.nodes.values():
            if node.me.region == region:
                node.look_around()

    def cut(self, source: str, target: str) -> None:
        self.links[source, target].cut = True

    def heal(self, *, stores: bool = True) -> None:
        """Ends all faults: of the mirrors, the processes and (unless said otherwise) the stores."""
        self.restarting = True
        for link in self.links.values():
            link.cut, link.doubling, link.delay_s = False, False, 0.02
        self.pump()
        for node in self.nodes.values():
            if stores:
                node.store.heal()
            if node.machine is None:
                node.start()

    def settle(self, seconds: float = SETTLE_S) -> None:
        """A quiet time."""
        self.pump()
        self.run(seconds)

    # Checks -----------------------------------------------------------------------------------------------------

    def outcomes(self, key: RequestKey) -> dict[str, str]:
        """Where a request is, by region."""
        return {region: self[region].store.outcome(key) for region in self.names}

    def check_agreement(self, *, halted: tuple[str, ...] = ()) -> None:
        """At rest: each accepted request is stored, quarantined or dropped in all regions, equal in all; nobody halts;
        and progress has reached the end of all logs.
        """
        for key in self.accepted:
            outcomes = self.outcomes(key)
            assert len(set(outcomes.values())) == 1, f"{key}: {outcomes}\n{self.describe()}"
            assert set(outcomes.values()) <= {"stored", "quarantined", "dropped"}, f"{outcomes}\n{self.describe()}"
            entries = {self[region].store.entries.get(key) for region in self.names}
            assert len(entries - {None}) <= 1, f"{key} differs: {entries}"
        for region in self.names:
            machine = self[region].machine
            assert machine is not None
            assert bool(machine.halted) == (region in halted), f"{region}: {machine.halted}"
            for source in machine.sources.names:
                low, end = machine.sources.runs(source).low, len(self.topics[region][source].records)
                assert low == end, f"{region}/{source}: progress stands at {low} of {end}\n{self.describe()}"

    def describe(self) -> str:
        """Everything that somebody needs who looks into a failed test."""
        lines = [f"at {self.now_s:.3f} s"]
        for node in self.nodes.values():
            machine = node.machine
            if machine is None:
                lines.append(f"{node.me}: not running")
                continue
            lines.append(f"{node.me}: {machine.phase}, halted {machine.halted}")
            lines += [
                f"  {case.key}: {case.stage} by {case.row or 'no row'}, {case.kind}, next try {case.next_try_s:.3f}"
                for case in machine.cases.open.values()
            ]
            lines += [f"  decided {at:.3f} {text}" for at, text in node.story[-12:]]
        return "\n".join(lines)

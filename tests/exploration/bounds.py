"""What is searched: regions, requests, changes, and in which orders things may happen."""

from typing import NamedTuple

from tests.exploration.region import Nature
from tests.exploration.search import Search
from tests.exploration.world import World
from tocsin.core.failures import Kind


class Bound(NamedTuple):
    """One search. With more than `prompt_at` changes left everything happens in every order; from there on a region's
    own store and ledger answer at once, but for writes of requests. `split`: looks answer later than they look.
    `turns`: how often something else may happen than what comes first in one fixed order, None: always. `allowed`: how
    the only changes begin that may be; none: all.
    """

    regions: str
    natures: tuple[Nature, ...]
    changes: int
    faults: tuple[tuple[str, int, Kind], ...] = ()
    prompt_at: int = 0
    split: bool = False
    allowed: tuple[str, ...] = ()
    turns: int | None = None
    states_max: int = 75_000

    def __str__(self) -> str:
        orders = "every order" if self.prompt_at < 0 else "prompt answers"
        if 0 <= self.prompt_at < self.changes:
            orders = f"every order until {self.prompt_at} changes are left, then prompt answers"
        if self.turns is not None:
            orders = f"one fixed order, {self.turns} turns away from it, {orders}"
        faults = "".join(f", {kind} of r{request} at {region}" for region, request, kind in self.faults)
        natures = " and ".join(self.natures)
        kinds = f" of {' and '.join(self.allowed)} only" if self.allowed else ""
        return f"{len(self.regions)} regions, {natures}{faults}, {self.changes} changes{kinds}, {orders}"

    def search(self) -> Search:
        """The search, not begun."""
        world = World(self.regions, prompt_at=self.prompt_at, allowed=self.allowed)
        root = world.started(
            dict(enumerate(self.natures)), left=self.changes, faults=self.faults, split=self.split, turns=self.turns
        )
        return Search(world, [root], states_max=self.states_max)

    def deeper(self, depth: int) -> "Bound":
        """The same with so many more changes, and turns, and ten times the states for each."""
        turns = None if self.turns is None else self.turns + depth
        return self._replace(changes=self.changes + depth, turns=turns, states_max=self.states_max * 10**depth)


GOOD, BAD, POISON, GARBAGE = Nature
BOUNDS = (
    Bound("ab", (GOOD,), 1, prompt_at=-1),
    Bound("ab", (GOOD,), 1, faults=(("a", 0, Kind.REJECTED),), prompt_at=1),
    Bound("ab", (BAD,), 1, prompt_at=1),
    Bound("ab", (GARBAGE,), 1, prompt_at=1),
    Bound("ab", (POISON,), 1, prompt_at=1, turns=1),
    Bound("ab", (GOOD,), 2, prompt_at=2, turns=0, states_max=60_000),
    Bound("ab", (BAD,), 2, prompt_at=2, turns=0, states_max=60_000),
    Bound("ab", (GOOD,), 3, prompt_at=3, turns=0, states_max=30_000),
    Bound("ab", (BAD,), 3, prompt_at=3, turns=0, states_max=30_000),
    Bound("ab", (GOOD,), 3, prompt_at=3, turns=0, allowed=("fault", "lift", "set silent", "crash None")),
    Bound("ab", (GOOD,), 3, prompt_at=3, turns=0, allowed=("fault", "cut", "mend", "perish", "set dead", "overtake")),
    Bound("ab", (BAD,), 3, prompt_at=3, turns=0, allowed=("crash None", "drain", "join", "drop", "redrive", "restore")),
    Bound("ab", (GOOD, GOOD), 1, prompt_at=1, turns=1),
    Bound("ab", (GOOD, BAD), 1, prompt_at=1, turns=1),
    Bound("abc", (GOOD,), 1, prompt_at=1, turns=1),
    Bound("abc", (BAD,), 1, prompt_at=1, turns=0),
)
"""What `make explore` searches, beside the bounds of the variants."""

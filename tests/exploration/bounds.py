"""What is searched: regions, requests, changes, and in which orders things may happen."""

from typing import NamedTuple

from tests.exploration.region import Nature
from tests.exploration.search import Search
from tests.exploration.world import World
from tocsin.core.failures import Kind


class Bound(NamedTuple):
    """One search. With more than `prompt_at` changes left everything happens in every order; from there on a region's
    own store and ledger answer at once, but for writes of requests. `split`: looks answer later than they look.
    `allowed`: how the only changes begin that may be; none: all.
    """

    regions: str
    natures: tuple[Nature, ...]
    changes: int
    faults: tuple[tuple[str, int, Kind], ...] = ()
    prompt_at: int = 0
    split: bool = False
    allowed: tuple[str, ...] = ()
    states_max: int = 75_000

    def __str__(self) -> str:
        orders = "every order" if self.prompt_at < 0 else "prompt answers"
        if 0 <= self.prompt_at < self.changes:
            orders = f"every order until {self.prompt_at} changes are left, then prompt answers"
        faults = "".join(f", {kind} of r{request} at {region}" for region, request, kind in self.faults)
        natures = " and ".join(self.natures)
        kinds = f" of {' and '.join(self.allowed)} only" if self.allowed else ""
        return f"{len(self.regions)} regions, {natures}{faults}, {self.changes} changes{kinds}, {orders}"

    def search(self) -> Search:
        """The search, not begun."""
        world = World(self.regions, prompt_at=self.prompt_at, allowed=self.allowed)
        root = world.started(dict(enumerate(self.natures)), left=self.changes, faults=self.faults, split=self.split)
        return Search(world, [root], states_max=self.states_max)


GOOD, BAD, POISON, GARBAGE = Nature
BOUNDS = (
    Bound("ab", (GOOD,), 1, prompt_at=-1),
    Bound("ab", (GOOD,), 1, faults=(("a", 0, Kind.REJECTED),), prompt_at=1),
    Bound("ab", (BAD,), 1, prompt_at=1),
    Bound("ab", (POISON,), 1, prompt_at=1),
    Bound("ab", (GARBAGE,), 1, prompt_at=1),
    Bound("ab", (GOOD,), 3, prompt_at=3, states_max=50_000),
    Bound("ab", (BAD,), 3, prompt_at=3, states_max=50_000),
    Bound("ab", (GOOD, GOOD), 1, prompt_at=1, states_max=50_000),
    Bound("ab", (GOOD, BAD), 1, prompt_at=1, states_max=50_000),
    Bound("abc", (GOOD,), 1, prompt_at=1, states_max=50_000),
    Bound("abc", (BAD,), 1, prompt_at=1, states_max=50_000),
)
"""What `make explore` searches, beside the bounds of the variants."""

"""What is searched: regions, requests, changes, and in which orders things may happen."""

from typing import Final, NamedTuple

from tests.exploration.region import Nature
from tests.exploration.search import Search
from tests.exploration.world import World
from tocsin.core.failures import Kind

STATES_MAX: Final = 400_000
LONG_STATES_MAX: Final = 6_000_000
"""Some 8 GB."""


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
    states_max: int = STATES_MAX

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


GOOD, BAD, POISON, GARBAGE = Nature
BOUNDS = (
    Bound("ab", (GOOD,), 1, prompt_at=-1),
    Bound("ab", (GOOD,), 1, faults=(("a", 0, Kind.REJECTED),), prompt_at=1),
    Bound("ab", (BAD,), 1, prompt_at=1),
    Bound("ab", (GARBAGE,), 1, prompt_at=1),
    Bound("ab", (POISON,), 1, prompt_at=1, turns=1),
    *(Bound("ab", (nature,), 2, prompt_at=2, turns=0) for nature in Nature),
    Bound("ab", (GOOD,), 3, prompt_at=3, turns=0, allowed=("fault", "lift", "set silent", "crash None")),
    Bound("ab", (GOOD,), 3, prompt_at=3, turns=0, allowed=("fault", "cut", "mend", "perish", "set dead", "overtake")),
    Bound("ab", (BAD,), 3, prompt_at=3, turns=0, allowed=("crash None", "drop", "redrive")),
    Bound("ab", (BAD,), 3, prompt_at=3, turns=0, allowed=("restore", "drain", "join")),
    Bound("ab", (GOOD, GOOD), 1, prompt_at=1, turns=1),
    Bound("ab", (GOOD, BAD), 1, prompt_at=1, turns=1),
    Bound("abc", (GOOD,), 1, prompt_at=1, turns=1),
    Bound("abc", (BAD,), 1, prompt_at=1, turns=0),
)
"""What `make explore` searches, each to its end, beside the bounds of the variants."""


def long_bounds(changes: int) -> list[Bound]:
    """What `make explore DEPTH=` searches: one request and so many changes of every kind."""
    return [Bound("ab", (n,), changes, prompt_at=changes, turns=0, states_max=LONG_STATES_MAX) for n in (GOOD, BAD)]

"""A scene: where a fault happens, how long it lasts, and chance of its own.

So one fault more in a plan changes nothing in what the others draw.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.simulation.load import Load
from tests.simulation.site import Site
from tests.simulation.watch import Watch
from tests.simulation.world import World

End = Callable[[], None]
CREATORS: Final = ("creator-1", "creator-2")


@dataclass
class Scene:
    """Where a fault happens."""

    world: World
    watch: Watch
    load: Load
    region: str
    length_s: float
    chance: random.Random

    @property
    def site(self) -> Site:
        """The region that is hit."""
        return self.world.sites[self.region]

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Has something happen while the fault lasts."""
        self.world.around.later(delay_s, act)

    def some_times(self, most: int) -> list[float]:
        """Moments while the fault lasts, at least one."""
        return sorted(self.chance.uniform(0, self.length_s) for _ in range(self.chance.randint(1, most)))

    def trouble(self) -> End:
        """From now on until it ends, illness of the region is no surprise."""
        troubles = self.watch.trouble_until_s
        troubles[self.region] = float("inf")
        return lambda: troubles.update({self.region: self.world.now_s})


def ends_by_itself() -> None:
    """What ends a fault that nobody has to end."""

"""The second enumeration: every order of everything, naively, to count the states that the search should find.

Nothing is shared with the search but the shell around the machines (`step.py`) and the rules of what can happen: there
are no numbers that stand for regions, no transition is looked up, no machine that runs was ever normalised, its clock
runs on, and a state is reached again by copying real objects. Only to see whether a state is new is it written down, in
the normal form of a copy. So if the two counts agree, machines of one normal form did behave alike.
"""

from dataclasses import dataclass, field
from typing import Any

from tests.exploration.normal import freeze, shift_waiting
from tests.exploration.region import Batch, Region
from tests.exploration.step import Step
from tests.exploration.world import State, World
from tocsin.core.requests import Record
from tocsin.core.statements import Standing


@dataclass
class Naive:
    """A whole world in plain objects."""

    regions: list[Region]
    ledgers: dict[tuple[int, int], list[Batch]] = field(default_factory=dict)
    requests: dict[tuple[int, int], list[Record]] = field(default_factory=dict)

    def form(self) -> Any:
        """The normal form of a copy: this world goes on as it is."""
        clock = self.regions[0].clock
        copies = [region.copy() for region in self.regions]
        for one in copies:
            one.normalise()
        ledgers = {way: tuple(shift_waiting(batch, clock) for batch in said) for way, said in self.ledgers.items()}
        requests = {way: tuple(records) for way, records in self.requests.items()}
        return tuple(one.form() for one in copies), freeze(ledgers), freeze(requests)

    def after(self, index: int, action: tuple[Any, ...]) -> "Naive":
        """Another world, in which one region has taken an action."""
        step = Step(self.regions[index])
        step.act(action)
        twin = Naive(
            [step.region if n == index else region for n, region in enumerate(self.regions)],
            {way: list(said) for way, said in self.ledgers.items()},
            {way: list(records) for way, records in self.requests.items()},
        )
        for batch in step.sent:
            for way, said in twin.ledgers.items():
                if way[0] == index:
                    if isinstance(batch[0], Standing):
                        said[:] = [one for one in said if not isinstance(one[0], Standing)]
                    said.append(batch)
        return twin

    def successors(self) -> list["Naive"]:
        """What can be next."""
        found = [self.after(index, action) for index, region in enumerate(self.regions) for action in region.actions()]
        for way, said in self.ledgers.items():
            if said:
                twin = self.after(way[1], ("deliver", self.regions[way[0]].name, said[0]))
                del twin.ledgers[way][0]
                found.append(twin)
        for way, records in self.requests.items():
            if records:
                twin = self.after(way[1], ("mirror", self.regions[way[0]].name, records[0]))
                del twin.requests[way][0]
                found.append(twin)
        if not found:
            later = self
            for index in range(len(self.regions)):
                later = later.after(index, ("time",))
            found.append(later)
        return found


def count(world: World, first: State) -> int:
    """How many states can be reached from this one without a change of the environment."""
    links = {way: world.link(number) for way, number in zip(world.ways, first.links, strict=True)}
    root = Naive(
        [world.region(number).copy() for number in first.regions],
        {way: list(link.ledger) for way, link in links.items()},
        {way: list(link.requests) for way, link in links.items()},
    )
    seen = {root.form()}
    waiting = [root]
    while waiting:
        for successor in waiting.pop().successors():
            form = successor.form()
            if form not in seen:
                seen.add(form)
                waiting.append(successor)
    return len(seen)

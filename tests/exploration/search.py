"""The search: every state that can be reached, and from each the way back to rest.

From a state the search follows what can happen by itself, in every order, and, while changes are left, everything
that can change in the environment. Time passes when nothing else can happen, or as a change. A state that was seen
before is not searched again, so the search ends when there is nothing new. States are taken in order of distance; but
where no change is left, and one fixed order, the only way on is followed at once, so that little is held at a time.

From where nothing is under way, the environment is healed in two stages, and one fixed order of events is followed
until states repeat: first the network and the processes, then the stores, dead regions and drains. At the rest of each
stage the promises are checked that speak of rest. A round of repeating states in which some decision changes is a
livelock.
"""

from array import array
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from tests.exploration import checks
from tests.exploration.region import Region
from tests.exploration.world import Action, Move, State, World


class Breach(NamedTuple):
    """A broken promise: its checker, and what led there."""

    checker: str
    states: tuple[State, ...]
    """Before each step, and (but for what happens on the way to rest) the last."""
    trace: tuple[tuple[str, Action], ...]


class Search:
    """One search from some first states."""

    def __init__(self, world: World, roots: list[State], *, states_max: int, stop_at: int = 1) -> None:
        self.world = world
        self.moves = 0
        self.rests = 0
        self.breaches: list[Breach] = []
        self._waiting = deque[int]()
        self._states: list[State] = []
        self._seen: dict[State, int] = {}
        self._parents = array("q")
        self._settled: tuple[set[State], set[State]] = (set(), set())
        self._states_max = states_max
        self._stop_at = stop_at
        self._roots = roots

    @property
    def states(self) -> int:
        """How many states were found."""
        return len(self._states)

    @property
    def complete(self) -> bool:
        """Whether everything that can be reached was."""
        return not self._waiting

    @property
    def settled(self) -> int:
        """How many states of healed worlds were found on the ways to rest."""
        return sum(map(len, self._settled))

    def run(self, tell: Callable[["Search"], None] = lambda _: None) -> None:
        """Searches until nothing is new, a promise is broken, or there are too many states."""
        for root in self._roots:
            self._add(root, -1)
        expanded = 0
        while self._waiting and len(self.breaches) < self._stop_at:
            if len(self._states) >= self._states_max:
                return
            self._expand(self._waiting.popleft())
            expanded += 1
            if expanded % 500 == 0:
                tell(self)

    def _add(self, state: State, parent: int) -> None:
        if state not in self._seen:
            number = self._seen[state] = len(self._states)
            if state.turns == 0 and not state.left:  # only one thing can happen: followed at once, nothing waits
                self._waiting.appendleft(number)
            else:
                self._waiting.append(number)
            self._states.append(state)
            self._parents.append(parent)

    def _expand(self, at: int) -> None:
        world, state = self.world, self._states[at]
        moves = list(world.moves(state))
        quiet = not moves
        if quiet:
            for checker in world.quiet_breaches(state):
                self._report(checker, at)
            self._settle(at)
            moves = [world.pass_time(state)]
        if state.left:
            moves += world.changes(state, quiet=quiet)
        self.moves += len(moves)
        for move in moves:
            for checker in move.breaches:
                self._report(checker, at, move)
            self._add(move.state, at)

    # To rest ----------------------------------------------------------------------------------------------------

    def _settle(self, at: int) -> None:
        self.rests += 1
        calmed, breaches = self._follow(self.world.calmed(self._states[at]), 0, checks.of_standstill)
        if calmed is not None and not breaches:
            _, breaches = self._follow(self.world.healed(calmed), 1, checks.of_rest)
        for checker in breaches:
            self._report(checker, at)

    def _follow(
        self, state: State, stage: int, check: Callable[[list[Region]], list[str]]
    ) -> tuple[State | None, list[str]]:
        """Follows one order of events; where it comes to rest (None: where an earlier way has led), and what broke."""
        settled, path = self._settled[stage], dict[State, int]()
        found: list[str] = []
        while state not in settled:
            settled.add(state)
            path[state] = len(path)
            moves = list(self.world.moves(state))
            if not moves:
                found += self.world.quiet_breaches(state)
            move = moves[0] if moves else self.world.pass_time(state)
            found += move.breaches
            state = move.state
        if state not in path:
            return None, found
        circle = list(path)[path[state] :]
        quiet = [one for one in circle if next(self.world.moves(one), None) is None]
        for one in quiet:
            found += check([self.world.region(number) for number in one.regions])
        if len({self._decisions(one) for one in quiet}) > 1:
            found.append("livelock")
        return (quiet[0] if quiet else state), list(dict.fromkeys(found if quiet else [*found, "livelock"]))

    def _decisions(self, state: State) -> frozenset[object]:
        cases = []
        for number in state.regions:
            machine = self.world.region(number).machine
            if machine is not None:
                cases += [(number, case.key, case.stage) for case in machine.cases.open.values()]
        return frozenset((self.world.region(n).name, key, stage) for n, key, stage in cases)

    # Traces -----------------------------------------------------------------------------------------------------

    def _report(self, checker: str, at: int, move: Move | None = None) -> None:
        if any(breach.checker == checker for breach in self.breaches):
            return
        path = [at]
        while self._parents[path[-1]] >= 0:
            path.append(self._parents[path[-1]])
        states = [self._states[index] for index in reversed(path)]
        trace = [self._step_between(before, after) for before, after in pairwise(states)]
        if move is not None:
            trace.append((move.place, move.action))
            states.append(move.state)
        self.breaches.append(Breach(checker, tuple(states), tuple(trace)))

    def _step_between(self, before: State, after: State) -> tuple[str, Action]:
        moves = list(self.world.moves(before))
        quiet = not moves
        moves += [self.world.pass_time(before)] if quiet else []
        moves += self.world.changes(before, quiet=quiet) if before.left else []
        move = next(move for move in moves if move.state == after)
        return move.place, move.action

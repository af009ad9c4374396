"""The world of the exploration: regions, the mirrors between them, and what can happen next.

Theory
------
A state is a handful of small numbers: one for each region, one for each link, and the changes of the environment that
are left. A number stands for a whole region or link in its normal form ("collapse" of SPIN, Holzmann 1997). Since a
region's next state depends on itself and the action alone, each of its transitions runs the real core once and is
looked up ever after; a transition of the world costs a few look-ups.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from tests.exploration import changes, checks
from tests.exploration.normal import freeze, shift_statement, shift_waiting
from tests.exploration.region import OWN, Batch, Nature, Region
from tests.exploration.step import carry_out
from tocsin.core.failures import Kind
from tocsin.core.ids import Parent, RequestKey, digest
from tocsin.core.requests import Record, Request, decode_record, encode_request
from tocsin.core.statements import Standing

Action = tuple[Any, ...]
SECOND: Final = 1_699_999_000
REGIONS_HELD: Final = 50_000
"""Some 500 MB."""


class State(NamedTuple):
    """A state of the world: its regions and links by number, how many changes may still befall it, and how often
    something else may still happen than what comes first in one fixed order (`None`: as often as it likes).
    """

    regions: tuple[int, ...]
    links: tuple[int, ...]
    left: int
    turns: int | None = None


class Link(NamedTuple):
    """A mirror, one way: what waits to be brought across."""

    cut: bool = False
    ledger: tuple[Batch, ...] = ()
    requests: tuple[Record, ...] = ()


class Move(NamedTuple):
    """One transition: where it happens, what, the state after it, and what it broke."""

    place: str
    action: Action
    state: State
    breaches: tuple[str, ...]


class Local(NamedTuple):
    """One transition of a region, in numbers."""

    action: Action
    region: int
    sent: tuple[int, ...]
    breaches: tuple[str, ...]


class Table:
    """Gives equal forms one number."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self.values: list[Any] = []

    def number(self, form: Hashable, value: Any) -> int:
        """The number of a form; `value` is kept when the form is new."""
        number = self._numbers.setdefault(form, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number


class Regions:
    """Gives equal regions one number. So that memory lasts, only those that were needed last are held; another is made
    again from the one that it came from.
    """

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._parts = Table()
        self._origins: list[tuple[int, Action] | Region] = []
        self._held: OrderedDict[int, Region] = OrderedDict()

    def number(self, region: Region, origin: tuple[int, Action] | None = None) -> int:
        """The number of a region; `origin`: the number of the one that it came from, and by which action."""
        region.normalise()
        parts = tuple([self._parts.number(part, None) for part in region.form()])
        number = self._numbers.setdefault(parts, len(self._origins))
        if number == len(self._origins):
            self._origins.append(origin or region)
            self._hold(number, region)
        return number

    def region(self, number: int) -> Region:
        """The region that a number stands for."""
        missing = []
        while (region := self._held.get(number)) is None:
            origin = self._origins[number]
            if isinstance(origin, Region):
                region = origin
                break
            missing.append((number, origin[1]))
            number = origin[0]
        for made, action in reversed(missing):
            region = carry_out(region, [action]).region
            region.normalise()
            self._hold(made, region)
        if number in self._held:
            self._held.move_to_end(number)
        return region

    def _hold(self, number: int, region: Region) -> None:
        self._held[number] = region
        if len(self._held) > REGIONS_HELD:
            self._held.popitem(last=False)


class World:
    """All transitions of a set of regions, each computed once."""

    def __init__(self, names: str, *, prompt_at: int = -1, allowed: tuple[str, ...] = ()) -> None:
        """`prompt_at`: with so many changes left, or fewer, a region's own store and ledger answer at once, but for
        writes of requests. `allowed`: how the only changes begin that may be (`crash`, `a crash -1`); none: all.
        """
        self._allowed = allowed
        self.names = tuple(names)
        self.prompt_at = prompt_at
        self._prompt: dict[int, Local | None] = {}
        self.ways = tuple((s, t) for s in range(len(names)) for t in range(len(names)) if s != t)
        self._out = tuple(tuple(n for n, way in enumerate(self.ways) if way[0] == s) for s in range(len(names)))
        self._regions, self._links, self._batches = Regions(), Table(), Table()
        self._moves: dict[int, list[Local]] = {}
        self._single: dict[tuple[int, Action], Local] = {}
        self._changes: dict[int, list[changes.Change]] = {}
        self._pushed: dict[tuple[int, int], int] = {}
        self._popped: dict[int, tuple[int, int]] = {}
        self._older: dict[int, int] = {}
        self._quiet: dict[int, tuple[str, ...]] = {}

    # Numbers ----------------------------------------------------------------------------------------------------

    def region(self, number: int) -> Region:
        """The region that a number stands for. Nobody changes it."""
        return self._regions.region(number)

    def link(self, number: int) -> Link:
        """The link that a number stands for."""
        link: Link = self._links.values[number]
        return link

    def batch(self, number: int) -> Batch:
        """What was said at one time, by its number."""
        batch: Batch = self._batches.values[number]
        return batch

    @property
    def locals_computed(self) -> int:
        """How many transitions of single regions ran the core."""
        return len(self._single) + sum(map(len, self._moves.values()))

    def link_number(self, link: Link) -> int:
        """The number of a link."""
        return self._links.number((link.cut, freeze(link.ledger), link.requests), link)

    # Transitions of one region ----------------------------------------------------------------------------------

    def local(self, number: int, action: Action) -> Local:
        """What an action does to a region."""
        known = self._single.get((number, action))
        if known is None:
            known = self._single[number, action] = self._compute(number, action)
        return known

    def _compute(self, number: int, action: Action) -> Local:
        spelled_out = self._spell_out(action)
        done = carry_out(self.region(number), [spelled_out])
        sent = tuple(self.batch_number(batch, done.region.clock) for batch in done.sent)
        after = self._regions.number(done.region, (number, spelled_out))
        return Local(action, after, sent, tuple(dict.fromkeys(done.breaches)))

    def batch_number(self, batch: Batch, units: int = 0) -> int:
        """The number of what was said at one time."""
        shifted = tuple(shift_statement(one, units) for one in batch)
        return self._batches.number(freeze(shifted), shifted)

    def _spell_out(self, action: Action) -> Action:
        return (action[0], action[1], self._batches.values[action[2]]) if action[0] == "deliver" else action

    def own_moves(self, number: int) -> list[Local]:
        """What a region can do next by itself."""
        moves = self._moves.get(number)
        if moves is None:
            moves = [self._compute(number, action) for action in self.region(number).actions()]
            self._moves[number] = moves
        return moves

    def _prompt_move(self, number: int) -> Local | None:
        if number not in self._prompt:
            action = self.region(number).prompt_action()
            self._prompt[number] = None if action is None else self.local(number, action)
        return self._prompt[number]

    # Transitions of the world -----------------------------------------------------------------------------------

    def moves(self, state: State) -> Iterator[Move]:
        """What can happen next by itself, at the same time: as far as there are turns left, in any order."""
        moves = self._all_moves(state)
        if state.turns is None:
            yield from moves
            return
        yield from islice(moves, 1)
        if state.turns:
            for move in moves:
                yield move._replace(state=move.state._replace(turns=state.turns - 1))

    def _all_moves(self, state: State) -> Iterator[Move]:
        if state.left <= self.prompt_at:
            for index, number in enumerate(state.regions):
                prompt = self._prompt_move(number)
                if prompt is not None:
                    yield self._moved(state, index, prompt)
                    return
        for index, number in enumerate(state.regions):
            for local in self.own_moves(number):
                yield self._moved(state, index, local)
        for way, number in enumerate(state.links):
            link = self.link(number)
            if not link.cut and (link.ledger or link.requests) and self._is_open(state, way):
                if link.ledger:
                    yield self._deliver(state, way)
                if link.requests:
                    yield self._mirror(state, way)

    def _is_open(self, state: State, way: int) -> bool:
        source, target = (self.region(state.regions[index]) for index in self.ways[way])
        return not (source.dead or target.dead or target.stalled)

    def _moved(self, state: State, index: int, local: Local, *, links: tuple[int, ...] | None = None) -> Move:
        regions = _put(state.regions, index, local.region)
        links = state.links if links is None else links
        for batch in local.sent:
            for way in self._out[index]:
                links = _put(links, way, self._push(links[way], batch))
        return Move(self.names[index], local.action, State(regions, links, state.left, state.turns), local.breaches)

    def _push(self, link: int, batch: int) -> int:
        known = self._pushed.get((link, batch))
        if known is None:
            before, said = self.link(link), self._batches.values[batch]
            waiting = before.ledger
            if isinstance(said[0], Standing):
                waiting = tuple(one for one in waiting if not isinstance(one[0], Standing))
            known = self._pushed[link, batch] = self.link_number(before._replace(ledger=(*waiting, said)))
        return known

    def _deliver(self, state: State, way: int) -> Move:
        source, target = self.ways[way]
        popped = self._popped.get(state.links[way])
        if popped is None:
            link = self.link(state.links[way])
            rest = self.link_number(link._replace(ledger=link.ledger[1:]))
            popped = self._popped[state.links[way]] = rest, self.batch_number(link.ledger[0])
        links = _put(state.links, way, popped[0])
        local = self.local(state.regions[target], ("deliver", self.names[source], popped[1]))
        return self._moved(state, target, local, links=links)

    def _mirror(self, state: State, way: int) -> Move:
        source, target = self.ways[way]
        link = self.link(state.links[way])
        rest = self.link_number(link._replace(requests=link.requests[1:]))
        links = _put(state.links, way, rest)
        local = self.local(state.regions[target], ("mirror", self.names[source], link.requests[0]))
        return self._moved(state, target, local, links=links)

    def pass_time(self, state: State) -> Move:
        """A unit of time passes everywhere, and each process notices."""
        links = tuple(self._grow_older(link) for link in state.links)
        breaches: list[str] = []
        after = State(state.regions, links, state.left, state.turns)
        for index, number in enumerate(state.regions):
            move = self._moved(after, index, self.local(number, ("time",)))
            after = move.state
            breaches += move.breaches
        return Move("", ("time",), after, tuple(breaches))

    def _grow_older(self, number: int) -> int:
        known = self._older.get(number)
        if known is None:
            link = self.link(number)
            older = tuple(shift_waiting(batch, 1) for batch in link.ledger)
            known = self._older[number] = self.link_number(link._replace(ledger=older))
        return known

    def quiet_breaches(self, state: State) -> tuple[str, ...]:
        """What is wrong where nothing can happen but that time passes."""
        found: tuple[str, ...] = ()
        for number in state.regions:
            if number not in self._quiet:
                self._quiet[number] = tuple(checks.of_quiet(self.region(number)))
            found += self._quiet[number]
        return found

    # Changes of the environment ---------------------------------------------------------------------------------

    def changes(self, state: State, *, quiet: bool) -> Iterator[Move]:
        """What can go wrong, or right, next, of the kinds that are allowed."""
        for move in self._all_changes(state, quiet=quiet):
            text = " ".join(map(str, move.action))
            if not self._allowed or text.startswith(self._allowed) or f"{move.place} {text}".startswith(self._allowed):
                yield move

    def _all_changes(self, state: State, *, quiet: bool) -> Iterator[Move]:
        less = state._replace(left=state.left - 1)
        speaker = next((n for n, number in enumerate(state.regions) if not self.region(number).dead), None)
        for index, number in enumerate(state.regions):
            found = self._changes.get(number)
            if found is None:
                found = self._changes[number] = list(changes.of_region(self.region(number), self.names))
            for change in found:
                if (quiet or not change.when_quiet) and (index == speaker or not change.by_person):
                    yield self._moved(less, index, self.local(number, change.action))
        for way, number in enumerate(state.links):
            source, target = (self.names[index] for index in self.ways[way])
            for name, link in changes.of_link(self.link(number), self.region(state.regions[self.ways[way][0]]), quiet):
                links = _put(state.links, way, self.link_number(link))
                yield Move(f"{source}->{target}", (name,), less._replace(links=links), ())
        if not quiet:
            move = self.pass_time(less)
            yield move._replace(action=("delay",))

    def calmed(self, state: State) -> State:
        """The network and the processes are healed; stores and dead regions are as they were."""
        links = tuple(self.link_number(self.link(number)._replace(cut=False)) for number in state.links)
        regions = tuple(self.local(number, ("set", "stalled", False)).region for number in state.regions)
        return State(regions, links, 0)

    def healed(self, state: State) -> State:
        """Everything is healed, and every region joined (wherever it is known that one was drained)."""
        for index in range(len(state.regions)):
            for action in (("heal",), *(("join", name) for name in self.names)):
                state = self._moved(state, index, self.local(state.regions[index], action)).state
        return state

    # The beginning ----------------------------------------------------------------------------------------------

    def started(
        self,
        natures: dict[int, Nature],
        *,
        left: int,
        faults: Iterable[tuple[str, int, Kind]] = (),
        split: bool = False,
        turns: int | None = None,
    ) -> State:
        """Regions that have heard each other, and requests in the logs of those that took them. `faults`: which stores
        fail which request from the start. `split`: an answer to a look takes its time, too.
        """
        records = {n: record_of(n, nature) for n, nature in natures.items()}
        keys = {key_of(records[n]): nature for n, nature in natures.items()}
        numbers = []
        for name in self.names:
            region = Region(name, tuple(peer for peer in self.names if peer != name), keys)
            region.logs, region.starts = dict.fromkeys(region.sources, ()), dict.fromkeys(region.sources, 0)
            region.ledgers = {origin: {} for origin in self.names}
            numbers.append(self._regions.number(region))
        state = self.rest(State(tuple(numbers), (self.link_number(Link()),) * len(self.ways), left))
        taken = {
            index: tuple(records[n] for n in natures if n % len(self.names) == index)
            for index in range(len(self.names))
        }
        regions = tuple(
            self._take(
                number, taken[index], [fault[1:] for fault in faults if fault[0] == self.names[index]], split=split
            )
            for index, number in enumerate(state.regions)
        )
        links = tuple(
            self.link_number(self.link(number)._replace(requests=taken[self.ways[way][0]]))
            for way, number in enumerate(state.links)
        )
        return State(regions, links, left, turns)

    def _take(
        self, number: int, records: tuple[Record, ...], faults: Iterable[tuple[int, Kind]], *, split: bool
    ) -> int:
        region = self.region(number).copy()
        region.faults = {list(region.natures)[request]: kind for request, kind in faults}
        region.split = split
        region.logs[OWN] = records
        region.backup = region.store.copy()
        return self._regions.number(region)

    def rest(self, state: State) -> State:
        """Where one fixed order of everything ends."""
        seen = set()
        while state not in seen:
            seen.add(state)
            state = self.next(state).state
        return state

    def next(self, state: State) -> Move:
        """The first thing that can happen; that time passes when it is the only one."""
        return next(self.moves(state), None) or self.pass_time(state)


def _put(numbers: tuple[int, ...], index: int, number: int) -> tuple[int, ...]:
    return (*numbers[:index], number, *numbers[index + 1 :])


def record_of(n: int, nature: Nature) -> Record:
    """The n-th request's record."""
    body = b'{"n":%d}' % n
    key = RequestKey(Parent(f"service-{n}", "disk"), (SECOND << 32) + n, digest(body))
    record = encode_request(Request(key, SECOND * 1_000_000 + n, "ab"[n % 2], 2, body))
    return record._replace(headers=()) if nature is Nature.GARBAGE else record


def key_of(record: Record) -> RequestKey:
    """The key by which every region knows a record."""
    content = decode_record(record)
    assert not hasattr(content, "tick_us")
    return content.key

"""A trace as a timeline that a person can read."""

from collections.abc import Iterable
from typing import Any

from tests.exploration.region import Nature, Region
from tests.exploration.world import Action, State, World
from tocsin.core.effects import Count, Keep, Look, Lose, Mark, Save, Write
from tocsin.core.statements import Opened, Payload, Promoted, RegionOrder, RequestOrder, Said, Standing, Word


def lines_of(world: World, states: Iterable[State], trace: Iterable[tuple[str, Action]]) -> list[str]:
    """One line a step. `states` are those before each step."""
    lines = []
    for number, (state, (place, action)) in enumerate(zip(states, trace, strict=False), 1):
        region = world.region(state.regions[world.names.index(place)]) if place in world.names else None
        lines.append(f"{number:3}  {place or 'all':5} {_spell(world, region, action)}")
    return lines


def describe(world: World, state: State) -> list[str]:
    """Where everything is."""
    lines = []
    for number in state.regions:
        region = world.region(number)
        flags = [name for name in ("dead", "stalled", "silent", "old", "halted_elsewhere") if getattr(region, name)]
        outcomes = ", ".join(f"r{n} {region.store.outcome(key)}" for n, key in enumerate(region.natures))
        machine = region.machine
        phase = f"{machine.phase}, halted {machine.halted}" if machine is not None else "no process"
        lines.append(f"     {region.name}: {outcomes}; {phase} {' '.join(flags)}")
        lines += [
            f"        r{_index(region, case.key)}: {case.stage} by {case.row or 'no row yet'}, {case.kind}"
            for case in (machine.cases.open.values() if machine is not None else ())
        ]
    return lines


def _spell(world: World, region: Region | None, action: Action) -> str:
    name, *rest = action
    match name:
        case "do" if region is not None:
            return f"the store answers: {_op(region, region.ops[rest[0]])}"
        case "append" if region is not None:
            return f"says {_batch(region, region.says[0])}"
        case "acknowledge" if region is not None:
            return f"its ledger acknowledges {_batch(region, region.says[0])}"
        case "deliver" if region is not None:
            return f"hears from {rest[0]}: {_batch(region, world.batch(rest[1]))}"
        case "mirror":
            return f"the mirror brings a request of {rest[0]}"
        case "crash" if region is not None and rest[0] is not None:
            late = _batch(region, region.says[0]) if rest[0] < 0 else _op(region, region.ops[rest[0]])
            return f"CHANGE: the process dies; this may come late: {late}"
        case "ghost" if region is not None:
            return f"late, of the process that died: {region.ghost}"
        case "time":
            return "a unit of time passes"
        case "boot" | "fetch" | "exit" | "read back":
            return " ".join(map(str, action))
        case _:
            return "CHANGE: " + " ".join(map(str, action))


def _index(region: Region, key: Any) -> int:
    return list(region.natures).index(key)


def _op(region: Region, op: Any) -> str:
    match op:
        case Write(requests=requests, alone=alone):
            results = [f"r{_index(region, one.key)} {region.failure_of(one.key) or 'stored'}" for one in requests]
            return f"write{' in a child' if alone else ''}: {', '.join(results)}"
        case Look(key=key):
            return f"look for r{_index(region, key)}"
        case Keep(kept=kept):
            row = kept.decisions[-1].row if kept.decisions else "-"
            return f"keep r{_index(region, kept.key)} as {kept.stage} by {row}"
        case Mark(key=key, dropped=dropped):
            return f"{'mark' if dropped else 'unmark'} r{_index(region, key)}"
        case Save(row=row):
            done = {name: [(0, source.runs.low), *source.runs] for name, source in row.sources.items()}
            return f"save progress of epoch {row.epoch}: {done}"
        case Count(service=service):
            return f"count {service}"
        case Lose(source=source, start=start, end=end):
            return f"record as lost: {source} {start}..{end - 1}"
        case _:
            return str(op)


def _batch(region: Region, batch: Iterable[Any]) -> str:
    return " + ".join(_statement(region, one) for one in batch)


def _statement(region: Region, one: Any) -> str:
    match one:
        case Said():
            word = "stored" if one.word is Word.STORED else f"failed, {one.kind}"
            return f"r{_index(region, one.key)} {word} (incarnation {one.incarnation}, attempt {one.attempt})"
        case Payload(key=key):
            return f"payload of r{_index(region, key)}"
        case Standing():
            states = [name for name in ("halted", "ill", "draining") if getattr(one, name)] or ["serving"]
            heard = ", ".join(f"{peer} {beat.epoch}.{beat.n}" for peer, beat in sorted(one.heard.items()))
            return f"heartbeat {one.beat.epoch}.{one.beat.n} {' '.join(states)}, heard {heard or 'nobody'}"
        case Opened():
            return f"opens incarnation {one.incarnation}"
        case Promoted():
            return "its stack is promoted"
        case RequestOrder():
            return f"a person: r{_index(region, one.key)} {one.word} ({one.number})"
        case RegionOrder():
            return f"a person: {one.region} {one.word} ({one.number})"
        case _:
            return str(one)


__all__ = ["Nature", "describe", "lines_of"]

"""One region of the exploration: its machine, the shell around it, its store, its logs, and what is wrong with it.

A region takes one action at a time. What it says to others comes out as batches of statements; nothing else leaves it.
So a region's future is a function of its own state and the actions, and each of its transitions is computed once,
however many states of the whole world it is part of (`moves.py`).

Each effect of the machine waits until an action carries it out: in any order, but for what is said, which is appended
in the order in which it was said.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import msgspec

from tests.exploration.limits import LIMITS, NOW, UNIT_S, UNIT_US
from tests.exploration.normal import (
    clone,
    freeze,
    freeze_machine,
    rank_versions,
    rank_writes,
    shift_effect,
    shift_machine,
    shift_statement,
    without_echoes,
    younger,
)
from tests.exploration.store import Store
from tocsin.core import statements as codec
from tocsin.core.effects import Count, Effect, Keep, Look, Looked, Lose, Mark, Now, Save, Write
from tocsin.core.failures import Kind
from tocsin.core.ids import RequestKey
from tocsin.core.kept import Kept
from tocsin.core.partition import Partition
from tocsin.core.requests import Record, decode_record
from tocsin.core.statements import Opened, Replica, Said, Standing, Statement

OWN: Final = "requests"
Batch = tuple[Statement, ...]
Ledger = dict[bytes, tuple[Statement, ...]]
"""A ledger partition by key: of each the statements in log order, and those that are repeated once."""


class Head(StrEnum):
    """How far the first of what is to be said has come."""

    WAITING = "waiting"
    APPENDED = "appended"
    READ = "appended, and read back"


class Nature(StrEnum):
    """What a request is in itself, in every region."""

    GOOD = "good"
    BAD = "bad"
    POISON = "poison"
    GARBAGE = "garbage"


@dataclass(slots=True)
class Region:
    """One region. `clock`: units that have passed since its memory was last brought into the normal form."""

    name: str
    peers: tuple[str, ...]
    natures: dict[RequestKey, Nature]
    store: Store = field(default_factory=Store)
    backup: Store = field(default_factory=Store)
    machine: Partition | None = None
    epoch: int = 0
    clock: int = 0
    ops: tuple[Any, ...] = ()
    """Effects that were not carried out yet (and of looks, when `split`, answers that were not told yet)."""
    says: tuple[Batch, ...] = ()
    head: Head = Head.WAITING
    ghost: Effect | None = None
    """What a former owner had under way when it died, and what may still be carried out."""
    logs: dict[str, tuple[Record, ...]] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    faults: dict[RequestKey, Kind] = field(default_factory=dict)
    silent: bool = False
    dead: bool = False
    stalled: bool = False
    old: bool = False
    """Runs a release that cannot read the schema version of the requests."""
    halted_elsewhere: bool = False
    split: bool = False
    """What a look saw is told later than it was seen."""
    echoed: dict[str, float] = field(default_factory=dict)
    """By peer: when the latest heartbeat was sent that this peer has echoed. For the checkers alone."""

    @property
    def me(self) -> Replica:
        """Its only stack."""
        return Replica(self.name, "blue")

    @property
    def now(self) -> Now:
        """This region's clocks."""
        return Now(NOW.mono_s + self.clock * UNIT_S, NOW.unix_us + self.clock * UNIT_US)

    @property
    def sources(self) -> tuple[str, ...]:
        """The `requests` topics, own and mirrored."""
        return OWN, *(f"{peer}.{OWN}" for peer in self.peers)

    def copy(self) -> "Region":
        """An independent copy."""
        twin = Region(self.name, self.peers, self.natures)
        for name in _SHARED:
            setattr(twin, name, getattr(self, name))
        twin.store = self.store.copy()
        twin.machine = clone(self.machine) if self.machine is not None else None
        twin.logs, twin.starts = self.logs.copy(), self.starts.copy()
        twin.ledgers = {origin: ledger.copy() for origin, ledger in self.ledgers.items()}
        twin.faults, twin.echoed = self.faults.copy(), self.echoed.copy()
        return twin

    # What can happen --------------------------------------------------------------------------------------------

    def actions(self) -> list[tuple[Any, ...]]:
        """What can happen here next by itself, in one fixed order."""
        if self.dead or self.stalled:
            return []
        found: list[tuple[Any, ...]] = []
        for index, op in enumerate(self.ops):
            if not (self.silent and isinstance(op, Count | Lose | Save)):  # a save would be repeated at once
                found.append(("do", index))
        if self.ghost is not None:
            found.append(("ghost",))
        if self.machine is None:
            if not self.silent:
                found.append(("boot", "full"))
                if any(len(said) > 1 for ledger in self.ledgers.values() for said in ledger.values()):
                    found.append(("boot", "compacted"))
            return found
        if self.says:
            found += [("append",)] if self.head is Head.WAITING else [("acknowledge",)]
            if self.head is Head.APPENDED and isinstance(self.says[0][-1], Said):
                found.append(("read back",))
        fetches = [(fetch.source, fetch.position) for fetch in self.machine.fetches()]
        found += [("fetch", source) for source, position in fetches if position < len(self.logs[source])]
        if self.machine.phase.name == "STOPPED" and not self.machine.sources.saving and not self.ops and not self.says:
            found.append(("exit",))
        return found

    def prompt_action(self) -> tuple[Any, ...] | None:
        """The first thing that happens here at once, where the search takes it that answers do: all but writes."""
        if self.dead or self.stalled:
            return None
        for index, op in enumerate(self.ops):
            if not isinstance(op, Write) and not (self.silent and isinstance(op, Count | Lose | Save)):
                return "do", index
        if self.machine is None or not self.says:
            return None
        return ("append",) if self.head is Head.WAITING else ("acknowledge",)

    def failure_of(self, key: RequestKey) -> Kind | None:
        """What becomes of a write of this request here, now."""
        nature = self.natures[key]
        fault = self.faults.get(key)
        if nature is Nature.POISON or fault is Kind.CRASHED:
            return Kind.CRASHED
        if self.silent or fault is Kind.UNAVAILABLE:
            return Kind.UNAVAILABLE
        return Kind.REJECTED if nature is Nature.BAD or fault is Kind.REJECTED else None

    def append(self, origin: str, batch: Batch) -> None:
        """Appends to a ledger here: our own, or a peer's mirrored one."""
        ledger = self.ledgers[origin]
        for statement in batch:
            key = codec.encode_statement(statement)[0]
            if isinstance(statement, Standing):
                if origin != self.name:
                    ledger[key] = (without_echoes(statement),)
                continue
            others = [one for one in ledger.get(key, ()) if one != statement]
            ledger[key] = (*sorted(others, key=codec.encode_statement), statement)

    def read_ledgers(self, *, compacted: bool) -> list[Statement]:
        """All ledgers here from their starts; `compacted`: of each key only the last."""
        found = (said[-1:] if compacted else said for ledger in self.ledgers.values() for said in ledger.values())
        return [statement for part in found for statement in part]

    def key_at(self, source: str, offset: int) -> RequestKey:
        """The request at a place of a log."""
        content = decode_record(self.logs[source][offset])
        assert not hasattr(content, "tick_us")
        return content.key

    # The normal form --------------------------------------------------------------------------------------------

    def normalise(self) -> None:
        """Brings everything that is remembered into the normal form."""
        units, machine = self.clock, self.machine
        self.clock = 0
        self.ops = tuple(shift_effect(op, units) for op in self.ops)
        self.says = tuple(tuple(shift_statement(one, units) for one in batch) for batch in self.says)
        self.ghost = shift_effect(self.ghost, units) if self.ghost is not None else None
        if units:
            self.store.grow_older(units)
            for ledger in self.ledgers.values():
                for key, said in ledger.items():
                    ledger[key] = tuple(shift_statement(one, units) for one in said)
        oldest_s = NOW.mono_s - LIMITS.ask_limit_s
        echoed = ((peer, younger(sent_s, units)) for peer, sent_s in self.echoed.items())
        self.echoed = {peer: sent_s for peer, sent_s in echoed if sent_s > oldest_s}
        if machine is not None:
            shift_machine(machine, units)
        self._rank()
        self.ops = tuple(sorted(self.ops, key=_place_of))

    def _rank(self) -> None:
        under_way = [op.kept for op in (*self.ops, self.ghost) if isinstance(op, Keep)]
        rank = rank_versions(self.machine, [*self.store.kept.values(), *under_way])
        self.store.kept = {key: _with_version(kept, rank(kept.version)) for key, kept in self.store.kept.items()}
        writes = rank_writes(self.machine) if self.machine is not None else {}

        def ranked(op: Effect) -> Effect:
            if isinstance(op, Keep):
                return Keep(_with_version(op.kept, rank(op.kept.version)))
            return op._replace(write=writes.get(op.write, 0)) if isinstance(op, Write) else op

        self.ops = tuple(ranked(op) for op in self.ops)
        self.ghost = ranked(self.ghost) if self.ghost is not None else None

    def form(self) -> tuple[Any, ...]:
        """The normal form of a region that `normalise` has gone over, in parts that many have in common."""
        machine = freeze_machine(self.machine) if self.machine is not None else ()
        return (
            self.name,
            *machine,
            self.store.form(),
            tuple([freeze(op) for op in self.ops]),
            freeze(self.says),
            self.head,
            freeze(self.ghost),
            self.epoch,
            freeze(self.logs),
            freeze(self.starts),
            freeze(self.ledgers),
            freeze(self.faults),
            (self.silent, self.dead, self.stalled, self.old, self.halted_elsewhere, self.split),
            self.backup.form(),
            freeze(self.echoed),
        )


_SHARED: Final = (
    "backup",
    "epoch",
    "clock",
    "ops",
    "says",
    "head",
    "ghost",
    "silent",
    "dead",
    "stalled",
    "old",
    "halted_elsewhere",
    "split",
)


def _with_version(kept: Kept, version: int) -> Kept:
    return kept if kept.version == version else msgspec.structs.replace(kept, version=version)


def _place_of(op: Any) -> tuple[Any, ...]:
    """One fixed order of what waits: it is carried out in any order."""
    match op:
        case Write(write=write):
            return "write", write
        case Look(key=key):
            return "look", key
        case Looked(key=key, stored=stored):
            return "looked", key, str(stored)
        case Keep(kept=kept):
            return "keep", kept.key, kept.version
        case Mark(key=key, number=number):
            return "mark", key, number
        case Save(row=row, first=first):
            return "save", row.epoch, not first
        case Count(service=service):
            return "count", service
        case Lose():
            return "lose", *op
        case _:
            raise AssertionError(op)


def opens_or_beats(batch: Batch) -> bool:
    """Whether nobody can look at the moment between a batch's append and its acknowledgement."""
    return isinstance(batch[0], Opened | Standing)

"""One transition of one region: an action goes in; the region afterwards, what it said, and what it broke come out."""

from collections.abc import Iterable
from typing import Any

from tests.exploration import checks
from tests.exploration.changes import drained_regions
from tests.exploration.limits import LIMITS
from tests.exploration.region import OWN, Batch, Head, Region, opens_or_beats
from tocsin.core import requests as requests_module
from tocsin.core.effects import (
    Acknowledged,
    Alarm,
    BudgetIs,
    Count,
    Effect,
    Input,
    Keep,
    KeptDone,
    LedgerRead,
    Look,
    Looked,
    Lose,
    LoseDone,
    Mark,
    MarkDone,
    RegionIs,
    Save,
    SaveDone,
    Say,
    SetFetched,
    Stop,
    StoreAnswers,
    Tick,
    Write,
    Wrote,
)
from tocsin.core.failures import Failure, Kind
from tocsin.core.kept import Kept
from tocsin.core.knowledge import Place
from tocsin.core.partition import Partition
from tocsin.core.progress import Coordinates, ProgressRow, Runs, SourceProgress
from tocsin.core.requests import SCHEMA, Record, decode_records
from tocsin.core.statements import PersonWord, RegionOrder, RequestOrder, Standing

OLD_SCHEMA = 1


class Step:
    """Carries out one action on a copy of a region."""

    def __init__(self, before: Region) -> None:
        self._before = before
        self.region = before.copy()
        self.sent: list[Batch] = []
        self.breaches: list[str] = []

    def act(self, action: tuple[Any, ...]) -> None:
        """Does what the action says: its first word names the method."""
        requests_module.SCHEMA = OLD_SCHEMA if self.region.old else SCHEMA  # type: ignore[misc]
        try:
            getattr(self, "_" + action[0].replace(" ", "_"))(*action[1:])
            self._say_beats()
        finally:
            requests_module.SCHEMA = SCHEMA  # type: ignore[misc]
        self.breaches += checks.of_progress(self.region)

    # The shell --------------------------------------------------------------------------------------------------

    def _feed(self, event: Input) -> None:
        machine = self.region.machine
        assert machine is not None
        for effect in machine.step(event, self.region.now):
            match effect:
                case Alarm():
                    pass
                case Say(statements=statements):
                    self.region.says += (tuple(statements),)
                case Keep(kept=kept):
                    if not self._repeats(kept):
                        self.breaches += checks.of_decision(self.region, kept)
                    self.region.ops += (effect,)
                case _:
                    self.region.ops += (effect,)

    def _repeats(self, kept: Kept) -> bool:
        """Whether a row is kept again of what was decided before this step."""
        machine = self._before.machine
        case = machine.cases.open.get(kept.key) if machine is not None else None
        if case is None or not kept.decisions:
            return False
        return (case.stage, case.row, case.kind) == (kept.stage, kept.decisions[-1].row, kept.kind)

    def _say_beats(self) -> None:
        """Heartbeats are appended and acknowledged at once: no order of the two makes a difference to anybody."""
        while self.region.says and isinstance(self.region.says[0][0], Standing):
            self._append()

    def _append(self) -> None:
        region = self.region
        batch = region.says[0]
        region.append(region.name, batch)
        self.sent.append(batch)
        if opens_or_beats(batch):
            self._acknowledge()
        else:
            region.head = Head.APPENDED

    def _acknowledge(self) -> None:
        batch = self.region.says[0]
        self.region.says, self.region.head = self.region.says[1:], Head.WAITING
        self._feed(Acknowledged(batch))

    def _read_back(self) -> None:
        """The machine reads from its ledger what it said, before the acknowledgement comes."""
        self.region.head = Head.READ
        self._feed(LedgerRead(self.region.says[0]))

    def _fetch(self, source: str) -> None:
        region = self.region
        assert region.machine is not None
        position = next(one.position for one in region.machine.fetches() if one.source == source)
        start = max(position, region.starts[source])
        records = region.logs[source][start : start + LIMITS.set_records_max]
        end = start + len(records)
        contents = decode_records(records)
        self._feed(SetFetched(source, position, range(start, end), records, contents, end, region.starts[source]))

    def _do(self, index: int) -> None:
        op = self.region.ops[index]
        self.region.ops = self.region.ops[:index] + self.region.ops[index + 1 :]
        answer = op if isinstance(op, Looked) else self._carry_out(op)
        if self.region.split and isinstance(op, Look):
            self.region.ops += (answer,)
            return
        if answer is not None and self.region.machine is not None:
            self._feed(answer)

    def _carry_out(self, op: Effect) -> Input | None:
        region, store = self.region, self.region.store
        ok = not region.silent
        match op:
            case Write():
                return self._write(op)
            case Look(key=key):
                cannot = region.silent or region.faults.get(key) is Kind.UNAVAILABLE
                return Looked(key, None if cannot else key in store.entries)
            case Keep(kept=kept):
                if ok:
                    store.keep(kept)
                return KeptDone(kept.key, kept.version, ok)
            case Mark(key=key, number=number, dropped=dropped):
                if ok:
                    store.mark(key, number, dropped=dropped)
                return MarkDone(key, number, ok)
            case Save(row=row, first=first):
                if ok:
                    store.save(row, first=first)
                    if region.machine is not None and row.epoch == region.epoch:
                        store.confirmed |= done_by(row, region)
                return SaveDone(ok)
            case Count(service=service):
                store.budget = store.budget.count(service, self._services(), services_max=LIMITS.budget_services)
                return BudgetIs(store.budget.admitted, store.budget.spent)
            case Lose(source=source, start=start, end=end):
                store.lost |= {(source, offset) for offset in range(start, end)}
                return LoseDone(source, start, end)
            case _:
                raise AssertionError(op)

    def _services(self) -> set[str]:
        region = self.region
        return {region.key_at(name, offset).service for name, log in region.logs.items() for offset in range(len(log))}

    def _write(self, op: Write) -> Input | None:
        failures: dict[int, Failure] = {}
        for index, one in enumerate(op.requests):
            kind = self.region.failure_of(one.key)
            if kind is Kind.CRASHED and not op.alone:
                self._die_with(None)
                return None
            if kind is None:
                self.region.store.entries |= {one.key}
            else:
                failures[index] = Failure(kind, "")
        return Wrote(op.write, failures, not self.region.silent)

    # A process --------------------------------------------------------------------------------------------------

    def _boot(self, read: str) -> None:
        region = self.region
        region.epoch += 1
        founding = frozenset((region.name, *region.peers))
        region.machine = Partition(
            Place(region.me, 0, region.epoch, region.store.identity, region.peers, founding),
            LIMITS,
            region.now,
            sources={n: SourceProgress(Coordinates(region.name, n, "1", 0), Runs()) for n in region.sources},
            rows=region.store.progress(),
            kept=region.store.open_rows(),
            ends={name: len(log) for name, log in region.logs.items()},
        )
        self.breaches += checks.of_start(region)
        self._feed(LedgerRead(region.read_ledgers(compacted=read == "compacted"), at_end=True))
        self._feed(BudgetIs(region.store.budget.admitted, region.store.budget.spent))
        if region.halted_elsewhere:
            self._feed(RegionIs(halted=True, ill=False, draining=False))

    def _exit(self) -> None:
        self._die_with(None)

    def _die_with(self, ghost: Effect | None) -> None:
        region = self.region
        region.machine, region.ops, region.says, region.head = None, (), (), Head.WAITING
        region.echoed = {}
        region.ghost = ghost if ghost is not None else region.ghost

    def _crash(self, index: int | None) -> None:
        """The process dies; of what it had under way, this one (the first to be said: -1) may come yet."""
        if index is None:
            self._die_with(None)
        else:
            self._die_with(Say(self.region.says[0]) if index < 0 else self.region.ops[index])

    def _ghost(self) -> None:
        op, self.region.ghost = self.region.ghost, None
        if isinstance(op, Say):
            batch = tuple(op.statements)
            self.region.append(self.region.name, batch)
            self.sent.append(batch)
            if self.region.machine is not None:
                self._feed(LedgerRead(batch))
        elif isinstance(op, Write) and any(self.region.failure_of(one.key) is Kind.CRASHED for one in op.requests):
            pass
        elif op is not None:
            self._carry_out(op)

    def _stop(self) -> None:
        self._feed(Stop())

    # What comes from outside ------------------------------------------------------------------------------------

    def _deliver(self, peer: str, batch: Batch) -> None:
        """The mirror brings a batch into the peer's ledger here, and the machine, if there is one, reads it."""
        region = self.region
        region.append(peer, batch)
        machine = region.machine
        if machine is None:
            return
        for one in batch:
            if (
                isinstance(one, Standing)
                and (echo := one.heard.get(region.name))
                and echo in machine.known.hearing._sent
            ):
                sent_s = machine.known.hearing._sent[echo]
                region.echoed[peer] = max(sent_s, region.echoed.get(peer, sent_s))
        self._feed(LedgerRead(batch))

    def _mirror(self, peer: str, record: Record) -> None:
        name = f"{peer}.{OWN}"
        self.region.logs[name] += (record,)

    def _drain(self, name: str) -> None:
        self._order(RegionOrder(name, self._next_number(name), PersonWord.DRAINED, "eve", 0))

    def _join(self, name: str) -> None:
        if name in drained_regions(self.region):
            self._order(RegionOrder(name, self._next_number(name), PersonWord.JOINED, "eve", 0))

    def _drop(self, number: int) -> None:
        key = list(self.region.natures)[number]
        self._order(RequestOrder(key, self._next_number(key), PersonWord.DROPPED, "eve", 0))

    def _redrive(self, number: int) -> None:
        key = list(self.region.natures)[number]
        self._order(RequestOrder(key, self._next_number(key), PersonWord.REDRIVE, "eve", 0))

    def _next_number(self, subject: object) -> int:
        said = self.region.read_ledgers(compacted=False)
        return 1 + max(
            (
                one.number
                for one in said
                if (isinstance(one, RequestOrder) and one.key == subject)
                or (isinstance(one, RegionOrder) and one.region == subject)
            ),
            default=0,
        )

    def _order(self, order: RequestOrder | RegionOrder) -> None:
        """A person's word is appended to our own ledger, and read."""
        region, batch = self.region, (order,)
        region.append(region.name, batch)
        self.sent.append(batch)
        if region.machine is not None:
            self._feed(LedgerRead(batch))

    def _time(self) -> None:
        region = self.region
        region.clock += 1
        if region.machine is not None and not region.stalled:
            self._feed(StoreAnswers(not region.silent))
            self._feed(Tick())

    # What goes wrong --------------------------------------------------------------------------------------------

    def _fault(self, number: int, kind: Kind) -> None:
        self.region.faults[list(self.region.natures)[number]] = kind

    def _set(self, name: str, value: bool) -> None:  # noqa: FBT001 - an action is a tuple
        setattr(self.region, name, value)

    def _lift(self) -> None:
        self.region.faults, self.region.silent = {}, False

    def _heal(self) -> None:
        """Everything that was wrong here is repaired."""
        self._lift()
        self.region.dead = self.region.stalled = False
        if self.region.halted_elsewhere:
            self._halt(halted=False)
        if self.region.old:
            self._upgrade()

    def _upgrade(self) -> None:
        self.region.old = False
        self._die_with(None)

    def _halt(self, halted: bool) -> None:  # noqa: FBT001 - an action is a tuple
        self.region.halted_elsewhere = halted
        if self.region.machine is not None:
            self._feed(RegionIs(halted=halted, ill=False, draining=False))

    def _restore(self) -> None:
        self._die_with(None)
        self.region.ghost = None
        self.region.store = self.region.store.restored(self.region.backup)

    def _retain(self, source: str) -> None:
        self.region.starts[source] = len(self.region.logs[source])

    def _perish(self) -> None:
        """The region is gone, with its last standing as it was."""
        self._die_with(None)
        self.region.dead = True


def done_by(row: ProgressRow, region: Region) -> set[tuple[str, int]]:
    """The places that a row of progress calls done."""
    places = ((name, offset) for name, log in region.logs.items() for offset in range(len(log)))
    return {(name, offset) for name, offset in places if offset in row.sources[name].runs}


def carry_out(before: Region, actions: Iterable[tuple[Any, ...]]) -> Step:
    """Several actions, one after the other."""
    step = Step(before)
    for action in actions:
        step.act(action)
    return step

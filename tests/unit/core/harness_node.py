"""One replica in the harness: its store, and around its machine the shell that does what the effects say."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from tests.unit.core.harness_parts import Killed, MemoryStore
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
from tocsin.core.hearing import answer_of
from tocsin.core.ids import RequestKey
from tocsin.core.kept import Kept, Stage
from tocsin.core.knowledge import Place
from tocsin.core.partition import Partition, Phase
from tocsin.core.progress import Coordinates, Runs, SourceProgress
from tocsin.core.requests import Tick as TickRecord
from tocsin.core.requests import decode_records
from tocsin.core.sources import Fetch
from tocsin.core.statements import (
    Replica,
    Said,
    Statement,
    Word,
    decode_statement,
)
from tocsin.core.verdict import Answer

if TYPE_CHECKING:
    from tests.unit.core.harness import World

TICK_S: Final = 0.5


class Node:
    """One replica: its store, and the shell around its machine, while it lives."""

    def __init__(self, world: "World", me: Replica) -> None:
        self.world = world
        self.me = me
        self.store = MemoryStore(f"db-{me}-1")
        self.machine: Partition | None = None
        self.said: list[Said] = []
        """All words said, by all lives."""
        self.beats = 0
        self.ledger_delay_s = 0.0
        """How much longer than usual our ledgers take to acknowledge, or to be read from the start."""
        self.alarms: list[Alarm] = []
        self.seen: dict[str, int] = {}
        """Services of the requests taken, by all lives."""
        self.story: list[tuple[float, str]] = []
        self._peers = tuple(name for name in world.names if name != me.region)
        self._sources = ("requests", *(f"{peer}.requests" for peer in self._peers))
        self._epoch = 0
        self._life = 0
        self._read: dict[str, int] = {}
        self._ends: dict[str, int] = {}
        self._saying: deque[Say] = deque()
        self._fetching: set[str] = set()
        self._unchecked: dict[str, list[int]] = {name: [] for name in self._sources}
        self._known_end = dict.fromkeys(self._sources, 0)

    # Life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """A new process takes the partition number."""
        assert self.machine is None
        world = self.world
        if self.store.silent:
            world.later(1.0, lambda: self.start() if self.machine is None else None)
            return
        self._epoch += 1
        self._life += 1
        place = Place(self.me, 0, self._epoch, self.store.identity, self._peers, frozenset(world.names))
        self.machine = Partition(
            place,
            world.limits,
            world.now,
            sources={n: SourceProgress(Coordinates(self.me.region, n, "1", 0), Runs()) for n in self._sources},
            rows=self.store.progress(),
            kept=self.store.open_rows(),
        )
        self._saying.clear()
        self._fetching.clear()
        self._read = {name: 0 for name in world.topics[self.me.region] if name.endswith("ledger")}
        self._ends = {name: len(world.topics[self.me.region][name].records) for name in self._read}
        self._guarded(world.latency_s() + self.ledger_delay_s, self._read_book)
        self._guarded(TICK_S, self._tick)

    def kill(self) -> None:
        """SIGKILL: what was in memory is lost; what was under way may still be applied."""
        self.machine = None
        self._life += 1
        if self.world.restarting:
            life = self._life
            self.world.later(1.0, lambda: self.start() if self._life == life and self.machine is None else None)

    def stop(self) -> None:
        """A clean stop; runs until the machine has stopped and its last save is acknowledged."""
        machine = self.machine
        assert machine is not None
        self._step(Stop())
        self.world.until(lambda: machine.phase is Phase.STOPPED and not machine.sources.saving)
        self.machine = None
        self._life += 1

    def restart(self) -> None:
        """A clean stop, then a start."""
        self.stop()
        self.start()

    def lose_store(self) -> None:
        """The database is gone; a new process starts on a new one."""
        assert self.machine is None
        self.store.lose_all(f"db-{self.me}-{self._epoch + 1}")
        self._unchecked = {name: [] for name in self._sources}
        self._known_end = dict.fromkeys(self._sources, 0)
        self.start()

    @property
    def lives(self) -> int:
        """How many processes there were."""
        return self._epoch

    @property
    def is_halted(self) -> bool:
        return self.machine is not None and bool(self.machine.halted)

    def words(self, key: RequestKey) -> list[str]:
        """What this replica said of a request, in order."""
        return [str(said.kind or said.word) for said in self.said if said.key == key]

    def decisions(self, key: RequestKey) -> list[str]:
        """The verdicts on a request as they were kept, repeats merged."""
        kept = self.store.kept.get(key)
        verdicts = [decision.verdict for decision in kept.decisions] if kept else []
        return [v for i, v in enumerate(verdicts) if i == 0 or verdicts[i - 1] != v]

    # The shell --------------------------------------------------------------------------------------------------

    def _guarded(self, delay_s: float, act: Callable[[], None]) -> None:
        """Later, if the process still lives."""
        life = self._life
        self.world.later(delay_s, lambda: act() if self._life == life else None)

    def _step(self, event: Input) -> None:
        machine = self.machine
        assert machine is not None
        effects = machine.step(event, self.world.now)
        self._check_progress(machine)
        for effect in effects:
            self._do(effect)
        for fetch in machine.fetches():
            self._fetch(fetch)

    def look_around(self) -> None:
        """Something was appended to one of our topics."""
        if self.machine is not None:
            self._guarded(self.world.latency_s(), self._read_new)

    def _read_book(self) -> None:
        """The start: ledgers in any order, perhaps compacted in the meantime, up to the end seen at assignment."""
        world = self.world
        names = world.rng.sample(sorted(self._read), len(self._read))
        for name in names:
            topic = world.topics[self.me.region][name]
            compacting = world.rng.random() < 0.5 if world.compacting is None else world.compacting
            records = topic.compacted() if compacting else topic.records
            self._read[name] = len(topic.records)
            self._step(LedgerRead([decode_statement(r.key, r.value) for r in records], at_end=name == names[-1]))

    def _read_new(self) -> None:
        world, machine = self.world, self.machine
        if machine is None or machine.phase in (Phase.READING, Phase.STOPPED):
            return
        for name in world.rng.sample(sorted(self._read), len(self._read)):
            records = world.topics[self.me.region][name].records
            start, self._read[name] = self._read[name], len(records)
            if start < len(records) and self.machine is not None:
                self._step(LedgerRead([decode_statement(r.key, r.value) for r in records[start:]]))
        for fetch in machine.fetches():
            self._fetch(fetch)

    def _tick(self) -> None:
        self._guarded(TICK_S, self._tick)
        self._read_new()
        if self.machine is not None:
            self._step(StoreAnswers(not self.store.silent))
            self._step(Tick())

    def _fetch(self, fetch: Fetch) -> None:
        topic = self.world.topics[self.me.region][fetch.source]
        if fetch.source in self._fetching or fetch.position >= len(topic.records):
            return
        self._fetching.add(fetch.source)

        def fetched() -> None:
            self._fetching.discard(fetch.source)
            start = max(fetch.position, topic.start)
            records = topic.records[start : start + fetch.records_max]
            offsets = list(range(start, start + len(records)))
            self._step(
                SetFetched(
                    fetch.source,
                    fetch.position,
                    offsets,
                    records,
                    decode_records(records),
                    start + len(records),
                    topic.start,
                )
            )

        self._guarded(self.world.latency_s(), fetched)

    def _under_way(self, apply: Callable[[], Input]) -> None:
        """Applied whether or not the process lives to see it; answered if it does."""

        def applied() -> None:
            answer = apply()
            self._guarded_by(life, self.world.latency_s(), lambda: self._step(answer))

        life = self._life
        self.world.later(self.world.latency_s(), applied)

    def _guarded_by(self, life: int, delay_s: float, act: Callable[[], None]) -> None:
        self.world.later(delay_s, lambda: act() if self._life == life else None)

    def _do(self, effect: Effect) -> None:
        store = self.store
        match effect:
            case Write():
                self._write(effect)
            case Look(key=key):
                self._under_way(lambda: Looked(key, store.look(key)))
            case Say(statements=statements):
                self._saying.append(effect)
                self._heed(statements)
                if len(self._saying) == 1:
                    self._append()
            case Keep(kept=kept):
                self._check_quarantine(kept)
                last = kept.decisions[-1]
                self.story.append((self.world.now_s, f"{kept.key} {last.verdict} by {last.row}: {last.evidence}"))
                self._under_way(lambda: KeptDone(kept.key, kept.version, store.keep(kept)))
            case Mark(key=key, number=number, dropped=dropped):
                self._under_way(lambda: MarkDone(key, number, store.mark(key, number, dropped=dropped)))
            case Save(row=row, first=first):
                self._under_way(lambda: SaveDone(store.save(row, first=first)))
            case Count(service=service):
                self._count(service)
            case Lose(source=source, start=start, end=end):
                store.lost.append((source, start, end))
                self._guarded(self.world.latency_s(), lambda: self._step(LoseDone(source, start, end)))
            case Alarm():
                self.alarms.append(effect)

    def _write(self, effect: Write) -> None:
        life = self._life

        def applied() -> None:
            try:
                failures = self.store.write(effect.requests, alone=effect.alone)
            except Killed:
                if self._life == life:
                    self.kill()
                return
            answer = Wrote(effect.write, failures, not self.store.silent)
            self._guarded_by(life, self.world.latency_s(), lambda: self._step(answer))

        self.world.later(self.world.latency_s(), applied)

    def _heed(self, statements: Iterable[Statement]) -> None:
        words = [statement for statement in statements if isinstance(statement, Said)]
        self.said += words
        self.beats += not words

    def _append(self) -> None:
        """Appends one `Say` after the other, each once the one before is acknowledged."""
        say, life = self._saying[0], self._life

        def applied() -> None:
            self.world.say(self.me.region, *say.statements)
            self._guarded_by(life, self.world.latency_s(), acknowledged)

        def acknowledged() -> None:
            self._saying.popleft()
            if self._saying:
                self._append()
            self._step(Acknowledged(say.statements))

        self.world.later(self.world.latency_s() + self.ledger_delay_s, applied)

    def _count(self, service: str) -> None:
        store, machine = self.store, self.machine
        if store.silent or machine is None:
            self._guarded(TICK_S, lambda: self._count(service))
            return
        self.seen.update(machine.seen)
        store.budget = store.budget.count(service, self.seen, services_max=self.world.limits.budget_services)
        self.say_budget()

    def say_budget(self) -> None:
        """Tells the machine how its budget stands."""
        self._guarded(
            self.world.latency_s(),
            lambda: self._step(BudgetIs(frozenset(self.store.budget.counted), self.store.budget.spent)),
        )

    # Checks -----------------------------------------------------------------------------------------------------

    def _check_progress(self, machine: Partition) -> None:
        """Promise 6: whatever became done in this step is stored or kept whole, or was named as lost."""
        for source in self._unchecked:
            unchecked = self._unchecked[source]
            records = self.world.topics[self.me.region][source].records
            end = max(self._known_end[source], min(machine.sources.position(source), len(records)))
            unchecked += range(self._known_end[source], end)
            self._known_end[source] = end
            runs = machine.sources.runs(source)
            done = [offset for offset in unchecked if offset in runs]
            if done:
                self._unchecked[source] = [offset for offset in unchecked if offset not in runs]
            for offset, content in zip(done, decode_records([records[o] for o in done]), strict=True):
                if not isinstance(content, TickRecord) and offset >= self.world.topics[self.me.region][source].start:
                    kept = self.store.kept.get(content.key)
                    reached = content.key in self.store.entries or (kept is not None and kept.stage is not Stage.HELD)
                    assert reached, f"{self.me}: {source}/{offset} is done, {content.key} is not here"

    def _check_quarantine(self, kept: Kept) -> None:
        """Promises 4 and 8: a quarantine only on evidence from every region, and never once a `stored` was heard."""
        machine = self.machine
        assert machine is not None
        if kept.stage is not Stage.QUARANTINED or kept.decisions[-1].row != "all-refused":
            return
        book, evidence = machine.known.book, False
        assert kept.kind.is_evidence
        assert kept.key not in self.store.entries
        for neighbour in machine.known.neighbours(self.world.now):
            said = book.region_word(kept.key, neighbour.region)
            assert said is None or said.word is not Word.STORED
            if not neighbour.drained:
                assert answer_of(said) is Answer.REFUSED
                evidence = True
        assert evidence

r"""The owner of one partition number: the thin shell around its state machine.

    fetch --\                                   /--> store (writer, trials, rows)
    ledgers --> inbox --> Partition.step --> effects --> ledger (scribe)
    answers --/                                 \--> budget, alarms

One loop takes one input after the other and starts what comes out as tasks; each task puts its answer into the inbox.
Nothing here decides anything.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tocsin.core.effects import (
    Acknowledged,
    Alarm,
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
    Tick,
    Write,
    Wrote,
)
from tocsin.core.failures import Failure, Kind
from tocsin.core.ids import Parent
from tocsin.core.knowledge import Place
from tocsin.core.partition import Partition, Phase
from tocsin.core.progress import Coordinates, Runs, SourceProgress, merge_rows
from tocsin.core.requests import decode_records
from tocsin.core.sources import Fetch
from tocsin.core.statements import Replica, Statement, decode_statement
from tocsin.engines.errors import EngineError, OutOfRange
from tocsin.engines.log import Claim, Log
from tocsin.engines.store import Lost, Store
from tocsin.roles.assigner import Assigner
from tocsin.roles.claiming import ClaimLost
from tocsin.roles.clock import now
from tocsin.roles.followed import Followed
from tocsin.roles.known_log import (
    FETCH_BYTES_MAX,
    check_epoch,
    check_known,
    check_same,
    coordinates_of,
)
from tocsin.roles.measure import OPEN_STAGES, Measure
from tocsin.roles.scribe import Scribe
from tocsin.roles.trial import Trials
from tocsin.roles.writer import FOLDINGS_MAX, Writer
from tocsin.telemetry import Bound, Meters, Reading, bound
from tocsin.telemetry.traces import failed
from tocsin.topology import Region

FETCH_WAIT_S: Final = 1.0
TICK_S: Final = 0.1
STOP_S_MAX: Final = 10.0
INBOX_MAX: Final = 100
"""Inputs that wait for the machine; while there are more, ledgers are not read on."""
UNREACHABLE_PAUSE_S: Final = 0.5
LEDGER_RECORDS_MAX: Final = 1000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the owners of one creator share."""

    log: Log
    store: Store
    region: Region
    replica: Replica
    founding: frozenset[str]
    trials: Trials
    meters: Meters
    assigner: Assigner
    followed: Followed
    store_answers: Callable[[], Coroutine[Any, Any, bool]]
    """Probes the store now."""
    count: Callable[[str], None]
    """A request of this service would be skipped: all owners are told the budget afterwards."""


class Owner:
    """Runs one partition number from its claim to its release."""

    def __init__(
        self,
        around: Surroundings,
        claim: Claim,
        machine: Partition,
        coordinates: dict[str, Coordinates],
        lost: Sequence[Lost],
    ) -> None:
        self.machine = machine
        self.measured = Measure(around.meters, around.region, claim.partition, machine, lost, now())
        self.partition = claim.partition
        self.claim = claim
        self._coordinates = coordinates
        self._around = around
        self._inbox: asyncio.Queue[Input] = asyncio.Queue()
        self._writer = Writer(around.store, claim.epoch, around.assigner)
        self._scribe = Scribe(around.log, around.region.ledger, claim.partition, self._said)
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._read_to_end: set[str] = set()

    @property
    def holds(self) -> bool:
        """Whether the claim is in force."""
        return self._around.log.holds(self.claim)

    @classmethod
    async def take_over(cls, around: Surroundings, claim: Claim) -> "Owner":
        """Loads what earlier owners left; raises `Misconfigured` when the log is not the one that they knew."""
        store, partition = around.store, claim.partition
        rows = await store.progress(partition)
        check_epoch(rows, claim)
        coordinates = {
            name: await coordinates_of(around.log, topic, partition)
            for name, topic in around.region.requests_topics.items()
        }
        for name, source in merge_rows(rows).items():
            if name in coordinates:
                await check_known(around.log, source, coordinates[name])
        sources = {name: SourceProgress(present, Runs()) for name, present in coordinates.items()}
        place = Place(
            around.replica,
            partition,
            claim.epoch,
            await store.identity(),
            tuple(peer.name for peer in around.region.peers),
            around.founding,
        )
        kept = await store.kept_rows(partition=partition, stages=OPEN_STAGES)
        topics = around.region.requests_topics
        bounds = await asyncio.gather(*(around.log.bounds(topic, partition) for topic in topics.values()))
        ends = {name: end for name, (_, end) in zip(topics, bounds, strict=True)}
        machine = Partition(place, around.region.limits, now(), sources=sources, rows=rows, kept=kept, ends=ends)
        return cls(around, claim, machine, coordinates, await store.lost())

    # From the outside -------------------------------------------------------------------------------------------

    def tell(self, event: Input) -> None:
        """Puts an input before the machine."""
        self._inbox.put_nowait(event)

    async def reassign(self, parents: list[Parent]) -> None:
        """Has those told who are responsible by now for what is open of these parents; raises `EngineError`."""
        await self._writer.reassign(parents)

    async def run(self, stopping: asyncio.Event) -> None:
        """Drives the machine until `stopping` is set and what was in hand is written, or `STOP_S_MAX` after that.

        Raises what went wrong in a group: `ClaimLost` when the claim ended by itself, with nothing more saved or said;
        `Misconfigured` when a topic turns out not to be the one that it was.
        """
        async with asyncio.TaskGroup() as group:
            services = [group.create_task(self._scribe.run()), group.create_task(self._tick())]
            for name, topic in self._around.region.ledger_topics.items():
                services.append(group.create_task(self._read_ledger(name, topic)))
            loop = group.create_task(self._loop(group))
            await stopping.wait()
            self.tell(Stop())
            in_hand = self.machine.phase is Phase.RUNNING
            if (await asyncio.wait((loop,), timeout=STOP_S_MAX if in_hand else 0))[1] and in_hand:
                _log.warning("stopped with work in hand", extra={"action": "stop_timed_out"})
            for task in (loop, *services, *self._tasks, *self._fetching.values()):
                task.cancel()

    async def _loop(self, group: asyncio.TaskGroup) -> None:
        """Until the machine has stopped, its last save is acknowledged, and what was to be said is said."""
        while self.machine.phase is not Phase.STOPPED or not (
            self._scribe.idle and self._inbox.empty() and not self._tasks
        ):
            await self._step(await self._inbox.get(), group)

    async def _step(self, event: Input, group: asyncio.TaskGroup) -> None:
        if isinstance(event, SetFetched):
            del self._fetching[event.source]
            if not self._is_wanted(event):
                return
        if not self.holds:  # ticks are inputs too: it shows within one, and before anything is begun
            raise ClaimLost
        for effect in self.machine.step(event, now()):
            self._start(effect, group)
        for fetch in self.machine.fetches():
            if fetch.source not in self._fetching:
                self._fetching[fetch.source] = group.create_task(self._fetch(fetch))
        await asyncio.sleep(0)

    def _is_wanted(self, event: SetFetched) -> bool:
        """Whether a set that arrives may still be taken: the machine may have halted while it was on its way."""
        wanted = {fetch.source: fetch.position for fetch in self.machine.fetches()}
        return wanted.get(event.source) == event.position

    async def _tick(self) -> None:
        while True:
            self.tell(Tick(self.measured.lag_s))
            self.measured.decided()
            await asyncio.sleep(TICK_S)

    # Effects ----------------------------------------------------------------------------------------------------

    def _start(self, effect: Effect, group: asyncio.TaskGroup) -> None:
        match effect:
            case Say(statements=statements):
                self._scribe.say(statements)
            case Alarm(action=action, subject=subject, text=text):
                _log.warning(text, extra={"action": action, "request": subject, "partition": self.partition})
            case Count(service=service):
                self._around.count(service)
            case Write():
                self._spawn(self._write(effect), group)
            case Look():
                self._spawn(self._look(effect), group)
            case Keep():
                self._spawn(self._keep(effect), group)
            case Mark():
                self._spawn(self._mark(effect), group)
            case Save():
                self._spawn(self._save(effect), group)
            case Lose():
                self._spawn(self._lose(effect), group)

    def _spawn(self, work: Coroutine[Any, Any, None], group: asyncio.TaskGroup) -> None:
        task = group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self, effect: Write) -> None:
        followed, requests = self._around.followed, effect.requests
        with followed.begin(requests) as span:
            failures = await self._write_all(effect)
            if failures and span.is_recording():
                failed(span, f"{len(failures)} of {len(requests)} failed")
            followed.stored([one for index, one in enumerate(requests) if index not in failures])
        self.measured.written(requests, failures, self._writer.collisions, now().unix_us)
        nothing = len(failures) == len(requests) and all(
            failure.kind is Kind.UNAVAILABLE for failure in failures.values()
        )
        answers = not nothing or await self._around.store_answers()
        self.tell(Wrote(effect.write, failures, answers))

    async def _write_all(self, effect: Write) -> dict[int, Failure]:
        if not effect.alone:
            return await self._writer.write(effect.requests)
        failures = await self._around.trials.write(effect.requests)
        tried = [index for index in range(len(effect.requests)) if index not in failures]
        for place, failure in (await self._writer.write([effect.requests[index] for index in tried])).items():
            failures[tried[place]] = failure
        return failures

    async def _look(self, effect: Look) -> None:
        try:
            stored: bool | None = await self._around.store.entry(effect.key) is not None
        except EngineError:
            stored = None
        self.tell(Looked(effect.key, stored))

    async def _keep(self, effect: Keep) -> None:
        ok = await _works(self._around.store.put_kept(effect.kept))
        self.tell(KeptDone(effect.kept.key, effect.kept.version, ok))

    async def _mark(self, effect: Mark) -> None:
        ok = await _works(self._around.store.mark(effect.key, effect.number, dropped=effect.dropped))
        ok = ok and await _works(self._writer.refold(effect.key.parent))
        self.tell(MarkDone(effect.key, effect.number, ok))

    async def _save(self, effect: Save) -> None:
        store, row = self._around.store, effect.row
        ok = await _works(store.save_progress(row))
        if ok and effect.first:
            await _works(store.forget_progress(row.partition, row.epoch))
        self.tell(SaveDone(ok))
        if ok:
            topics = self._around.region.requests_topics
            for name, source in row.sources.items():
                group, low = self.claim.group, source.runs.low
                await _works(self._around.log.commit(group, topics[name], self.partition, low))

    async def _lose(self, effect: Lose) -> None:
        _log.error(
            "retention removed offsets %d to %d of %s before they were read here: see runbooks/TocsinRecordsLost.md",
            effect.start,
            effect.end - 1,
            effect.source,
            extra={"action": "lost_to_retention", "partition": self.partition},
        )
        lost = Lost(self.partition, effect.source, effect.start, effect.end, now().unix_us)
        while not await _works(self._around.store.put_lost(lost)):  # noqa: ASYNC110 - a retry, no wait for an event
            await asyncio.sleep(UNREACHABLE_PAUSE_S)
        self.measured.lost(lost)
        self.tell(LoseDone(effect.source, effect.start, effect.end))

    def _said(self, statements: Sequence[Statement]) -> None:
        self.measured.said(statements, now())
        self.tell(Acknowledged(statements))

    # Reading ----------------------------------------------------------------------------------------------------

    async def _fetch(self, fetch: Fetch) -> None:
        """Fetches one message set; the next fetch of this source starts once the machine was told, or at a tick."""
        topic = self._around.region.requests_topics[fetch.source]
        try:
            fetched = await self._around.log.fetch(
                topic,
                self.partition,
                fetch.position,
                records_max=fetch.records_max,
                bytes_max=FETCH_BYTES_MAX,
                wait_s=FETCH_WAIT_S,
            )
        except EngineError as error:
            _log.warning("fetch failed: %s", error, extra={"action": "fetch_failed", "topic": topic})
            await self._check_topics()
            await asyncio.sleep(UNREACHABLE_PAUSE_S)
            del self._fetching[fetch.source]
            return
        if fetched.next_offset == fetch.position and fetched.log_start <= fetch.position:
            del self._fetching[fetch.source]
            return
        offsets = [delivered.offset for delivered in fetched.records]
        records = [delivered.record for delivered in fetched.records]
        contents = decode_records(records)
        self._around.followed.take(records, contents)
        self.measured.fetched(contents)
        self.tell(
            SetFetched(fetch.source, fetch.position, offsets, records, contents, fetched.next_offset, fetched.log_start)
        )

    async def _read_ledger(self, name: str, topic: str) -> None:
        """Reads a ledger from its start, for ever; the machine is told when all were read to their present ends."""
        log = self._around.log
        offset = 0
        end: int | None = None
        while True:
            try:
                if end is None:
                    _, end = await log.bounds(topic, self.partition)
                fetched = await log.fetch(
                    topic,
                    self.partition,
                    offset,
                    records_max=LEDGER_RECORDS_MAX,
                    bytes_max=FETCH_BYTES_MAX,
                    wait_s=FETCH_WAIT_S if name in self._read_to_end else 0.0,
                )
            except EngineError as error:
                _log.warning("ledger read failed: %s", error, extra={"action": "ledger_read_failed", "topic": topic})
                if isinstance(error, OutOfRange):
                    offset = 0  # made anew: a book may be read again from its start at any time
                await asyncio.sleep(UNREACHABLE_PAUSE_S)
                continue
            offset = fetched.next_offset
            statements = [decode_statement(record.key, record.value) for _, record in fetched.records]
            if offset >= end:
                self._read_to_end.add(name)
            self.measured.heard(statements, now())
            at_end = self._read_to_end == set(self._around.region.ledger_topics)
            if statements or (at_end and self.machine.phase is Phase.READING):
                self.tell(LedgerRead(statements, at_end))
            while self._inbox.qsize() > INBOX_MAX:  # noqa: ASYNC110 - rare, and nobody else should have to know of it
                await asyncio.sleep(TICK_S)

    async def _check_topics(self) -> None:
        """Raises `Misconfigured` when a topic was made anew under us: its offsets would be taken for those we knew."""
        for name, topic in self._around.region.requests_topics.items():
            try:
                present = await coordinates_of(self._around.log, topic, self.partition)
            except EngineError as error:
                _log.warning("%s", error, extra={"action": "engine_call_failed"})
                continue
            check_same(self._coordinates[name], present)

    async def look(self) -> None:
        """Measures how far the log is ahead; raises `EngineError`."""
        await self.measured.look(self._around.log, now())

    def readings(self) -> Iterator[Reading]:
        """What gauges show of this partition number."""
        here = {"partition": str(self.partition)}
        yield from self.measured.readings(now())
        yield from bound(Bound.INBOX, self._inbox.qsize(), INBOX_MAX, **here)
        yield from bound(Bound.FOLDINGS, self._writer.foldings, FOLDINGS_MAX, **here)
        yield from bound(Bound.STATEMENTS, self._scribe.waiting, None, **here)


async def _works(call: Coroutine[Any, Any, Any]) -> bool:
    """Whether a call on an engine worked; why not is logged."""
    try:
        await call
    except EngineError as error:
        _log.warning("%s", error, extra={"action": "engine_call_failed"})
        return False
    return True

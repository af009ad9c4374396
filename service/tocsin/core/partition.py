"""The state machine of one partition number: inputs and time go in, effects and fetch decisions come out.

Theory
------
    READING ----the book was read to the end seen at assignment----> ANNOUNCING --acknowledged--> RUNNING --> STOPPED

READING: statements are merged, nothing is decided. ANNOUNCING: when the data in the store are not those of our last
incarnation, a new one is opened in this ledger partition first; then words of the old one count as nothing said.
RUNNING: message sets are written, failures become cases (`cases.py`), questions are answered
(`questions.py`).

While the store answers nothing, sets in hand wait as they are, no new ones are taken, and only the head of the
partition is said in the ledger.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from tocsin.core import requests
from tocsin.core.case import Copy
from tocsin.core.cases import Cases
from tocsin.core.effects import (
    Acknowledged,
    BudgetIs,
    Effect,
    Input,
    KeptDone,
    LedgerRead,
    Looked,
    Lose,
    LoseDone,
    MarkDone,
    Now,
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
from tocsin.core.failures import Failure
from tocsin.core.ids import RequestKey
from tocsin.core.kept import Kept, Stage
from tocsin.core.knowledge import Knowledge, Place
from tocsin.core.limits import Limits
from tocsin.core.progress import Anchor, ProgressRow, SourceProgress, merge_rows
from tocsin.core.questions import Questions
from tocsin.core.requests import SCHEMA, Request, Unreadable, bytes_digest
from tocsin.core.sources import Fetch, Hand, Sources
from tocsin.core.statements import (
    Beat,
    Opened,
    Payload,
    Promoted,
    RegionOrder,
    RequestOrder,
    Said,
    Standing,
    Statement,
)


class Phase(StrEnum):
    """How far a machine is."""

    READING = "reading the ledger"
    ANNOUNCING = "announcing its incarnation"
    RUNNING = "running"
    STOPPED = "stopped"


class Partition:
    """One partition number of one replica: its requests (own and mirrored), its ledgers."""

    def __init__(
        self,
        place: Place,
        limits: Limits,
        now: Now,
        *,
        sources: dict[str, SourceProgress],
        rows: list[ProgressRow],
        kept: list[Kept],
        ends: Mapping[str, int] | None = None,
    ) -> None:
        """`sources`: an empty account for each source as the log has it now; `ends`: where each ends now; `rows`: what
        owners saved; `kept`: the rows of this partition that are not done. Raises ValueError when saved coordinates
        are not the log's.
        """
        saved = merge_rows(rows)
        for name, source in sources.items():
            if name in saved:
                source.merge(saved[name])
        self._unclean = any(not row.clean for row in rows)
        self.known = Knowledge(place, limits, now)
        self.sources = Sources(sources, limits, unclean=self._unclean, ends=ends)
        self.cases = Cases(self.known, self.sources)
        self.phase = Phase.READING
        self.seen: dict[str, int] = {}
        """Services of the requests taken, with the Unix microseconds of the latest."""
        self._hands: dict[int, Hand] = {}
        self._blocked: dict[int, Hand] = {}
        self._writes = 0
        self._questions = Questions(self.known, self.cases)
        self._beat = 0
        self._beat_s = float("-inf")
        self._beating = False
        self._first_save = True
        self._stopping = False
        self._handlers: dict[type[Input], Callable[[Any, Now], None]] = {
            LedgerRead: self._read,
            SetFetched: self._take,
            Wrote: self._wrote,
            StoreAnswers: lambda event, now: self._store_answers(now, answers=event.answers),
            Looked: self._looked,
            Acknowledged: self._acknowledged,
            KeptDone: lambda event, now: self.cases.kept(event.key, event.version, now, ok=event.ok),
            MarkDone: lambda event, _: self.cases.marked(event.key, event.number, ok=event.ok),
            SaveDone: self._save_done,
            LoseDone: lambda event, _: self.sources.done(event.source, event.start, event.end),
            BudgetIs: lambda event, now: self.cases.budget(now, event.counted, spent=event.spent),
            RegionIs: self._region_is,
            Tick: self._tick,
            Stop: self._stop,
        }
        for row in kept:
            self.cases.restore(row)

    # The step ---------------------------------------------------------------------------------------------------

    def step(self, event: Input, now: Now) -> list[Effect]:
        """Takes one input in; returns what is to be done, in order."""
        self._handlers[type(event)](event, now)
        self._write_cases()
        self._save(now)
        effects, self.known.out = self.known.out, []
        return effects

    def fetches(self) -> list[Fetch]:
        """What may be fetched now: nothing while halted, held up, waiting for the store, or full."""
        if self._is_full() or self.sets_in_flight >= self.known.limits.sets_in_flight_max:
            return []
        return self.sources.fetches()

    @property
    def sets_in_flight(self) -> int:
        """How many writes of sets are not answered. Retries of single requests do not count: one that hangs would keep
        others from being written.
        """
        return sum(hand.case is None for hand in self._hands.values())

    def _is_full(self) -> bool:
        return bool(
            self.phase is not Phase.RUNNING
            or self._stopping
            or not self.known.answers
            or self.cases.held >= self.known.limits.held_max
            or self.cases.halting
        )

    @property
    def halted(self) -> list[str]:
        """Why this partition number takes no new sets, empty when it does."""
        return [f"{case.key.printed}: {case.row}" for case in self.cases.halting]

    # The ledger -------------------------------------------------------------------------------------------------

    def _read(self, event: LedgerRead, now: Now) -> None:
        news = [statement for statement in event.statements if self.known.book.merge(statement)]
        for statement in event.statements:
            if isinstance(statement, Standing):
                self.known.heard(statement)
        if self.phase is Phase.READING and event.at_end:
            self._announce()
        if self.phase is not Phase.RUNNING:
            return
        for key in dict.fromkeys(s.key for s in news if isinstance(s, RequestOrder)):
            self.cases.ordered(key, now)
        for key in dict.fromkeys(s.key for s in news if isinstance(s, Said | Payload)):
            self._questions.ask(key, now)
            if key in self.cases.open:
                self.cases.decide(self.cases.open[key], now)
        if any(isinstance(s, Opened | Promoted) for s in news):
            self.cases.decide_all(now)  # words that counted may count no more
        elif any(isinstance(s, Standing | RegionOrder) for s in news):
            self.cases.tick(now)

    def _announce(self) -> None:
        """Opens an incarnation if the data are not those that the last one was opened on."""
        place, book = self.known.place, self.known.book
        opened = book.opened.get(place.me)
        self.phase = Phase.ANNOUNCING
        if opened is None or opened.database != place.database:
            opened = Opened(place.me, opened.incarnation + 1 if opened else 1, place.database)
        statements: list[Statement] = [opened]
        if place.me.region not in book.promotions:
            statements.append(Promoted(place.me.region, 1, place.me.stack))
        self.known.incarnation = opened.incarnation
        self.known.out.append(Say(statements))

    def _acknowledged(self, event: Acknowledged, now: Now) -> None:
        self.known.book.merge_all(event.statements)
        for statement in event.statements:
            match statement:
                case Opened():
                    if self.phase is Phase.ANNOUNCING:
                        self._run(now)
                case Standing():
                    self._beating = False
                case Said(key=key):
                    self.known.acknowledged(statement)
                    self.cases.acknowledged(key, now)

    def _run(self, now: Now) -> None:
        """The book is read and our incarnation announced: goes through everything that others may wait for."""
        self.phase = Phase.RUNNING
        self.known.ready = True
        self.known.hearing.assigned(now.mono_s)
        for key in self.known.book.orders:
            self.cases.ordered(key, now)
        self.cases.start(now, unclean=self._unclean)
        for key in self.known.book.words:
            self._questions.ask(key, now)
        if self._unclean:
            self.known.suspects.update(self._questions)

    # Message sets -----------------------------------------------------------------------------------------------

    def _take(self, event: SetFetched, now: Now) -> None:
        source = event.source
        if self._is_full() or event.position != self.sources.position(source):
            return  # it came late: it is fetched again
        # Consumers never reset by themselves: what retention took unread is lost here, and said so.
        self.known.out += [Lose(source, *lost) for lost in self.sources.lose(source, event.log_start)]
        start = max(event.position, event.log_start)
        last = Anchor(event.offsets[-1], bytes_digest(event.records[-1])) if event.offsets else None
        self.sources.passed(source, max(event.next_offset, start), last)
        set_hand = Hand(source, [], [], span=(start, max(event.next_offset, start)))
        alone = Hand(source, [], [], alone=True)
        good: list[Request] = []
        suspects: list[Request] = []
        runs, cases = self.sources.runs(source), self.cases.open
        for offset, record, content in zip(event.offsets, event.records, event.contents, strict=True):
            if offset in runs:
                continue
            if isinstance(content, requests.Tick):
                self.sources.tick(source, offset, content.tick_us)
                continue
            self.seen[content.key.service] = now.unix_us
            case = cases.get(content.key)
            if case is not None and case.stage is not Stage.DONE:
                set_hand.holes.add(offset)
                self.cases.attach(case, (source, offset), Copy.of(record.encode(), content))
            elif isinstance(content, Unreadable):
                set_hand.holes.add(offset)
                copy = Copy.of(record.encode(), content)
                self.cases.fail(content.key, copy, content.failure, (source, offset), now)
            elif self.sources.is_suspect(source, offset) or self.known.is_tried_alone(content.key):
                set_hand.holes.add(offset)
                self.known.suspects.add(content.key)  # its copies in later sets, too, until the trial has ended
                suspects.append(content)
                alone.offsets.append(offset)
            else:
                good.append(content)
                set_hand.offsets.append(offset)
        set_hand.requests, alone.requests = good, suspects
        if good:
            self._write(set_hand)
        else:
            self.sources.finish(set_hand)
        if suspects:
            self._write(alone)

    def _write(self, hand: Hand) -> None:
        self._writes += 1
        self._hands[self._writes] = hand
        self.known.out.append(Write(self._writes, hand.requests, hand.alone))

    def _write_cases(self) -> None:
        if self._first_save or self._stopping:
            return  # what kills us must find a row that says we are running; and a stop begins nothing new
        for case in self.cases.tries:
            if case.request is not None:
                alone = self.known.is_tried_alone(case.key)
                self._write(Hand("", [], [case.request], alone=alone, case=case.key))
        self.cases.tries.clear()

    def _looked(self, event: Looked, now: Now) -> None:
        case = self.cases.open.get(event.key)
        if case is not None and case.looking:
            self.cases.looked(case, now, stored=event.stored)
        self._questions.looked(event.key, now, stored=event.stored)

    def _wrote(self, event: Wrote, now: Now) -> None:
        hand = self._hands.pop(event.write)
        self._store_answers(now, answers=event.answers)
        if hand.case is not None:
            self._tried(hand.case, hand.requests[0], event, now)
            return
        if self._questions or self.cases.open:
            for index, request in enumerate(hand.requests):
                if index not in event.failures:
                    self._stored(request, now)
        if event.failures and not event.answers:
            self._block(event.write, hand, event.failures, now)
            return
        if hand.alone:
            self.known.suspects.difference_update(request.key for request in hand.requests)
        for index, failure in event.failures.items():
            self._fail(hand, index, failure, now)
        self.sources.finish(hand)

    def _tried(self, key: RequestKey, request: Request, event: Wrote, now: Now) -> None:
        self.known.suspects.discard(key)
        case = self.cases.open.get(key)
        if case is None:
            return  # stored by another way in the meantime
        case.trying = False
        if event.failures:
            self.cases.failed(case, event.failures[0], now)
        else:
            self._stored(request, now)

    def _stored(self, request: Request, now: Now) -> None:
        self._questions.written((request.key,), now)
        case = self.cases.open.get(request.key)
        if case is not None and case.stage is not Stage.DONE:
            self.cases.stored(case, request.arrival, now)

    def _fail(self, hand: Hand, index: int, failure: Failure, now: Now) -> None:
        request, offset = hand.requests[index], hand.offsets[index]
        hand.holes.add(offset)
        self.cases.fail(request.key, Copy.of_request(request), failure, (hand.source, offset), now)

    def _block(self, write: int, hand: Hand, failures: dict[int, Failure], now: Now) -> None:
        """The store answers nothing: what failed waits as it is; the head alone becomes a case, and is said."""
        waiting = sorted(failures)
        if not self._blocked and not self.cases.held:
            head = waiting.pop(0)
            self._fail(hand, head, failures[head], now)
        written = set(range(len(hand.requests))) - failures.keys()
        self.sources.finish(Hand(hand.source, [hand.offsets[i] for i in written], []))
        hand.requests = [hand.requests[i] for i in waiting]
        hand.offsets = [hand.offsets[i] for i in waiting]
        self._blocked[write] = hand

    def _store_answers(self, now: Now, *, answers: bool) -> None:
        if not self.known.store_answers(now, answers=answers) or not answers:
            return
        blocked, self._blocked = self._blocked, {}
        for hand in blocked.values():
            if hand.requests:
                self._write(hand)
            else:
                self.sources.finish(hand)
        self.cases.answering(now)

    # Time -------------------------------------------------------------------------------------------------------

    def _region_is(self, event: RegionIs, _now: Now) -> None:
        self.known.region = event

    def _stop(self, _event: Stop, _now: Now) -> None:
        self._stopping = True
        if self.phase is not Phase.RUNNING:
            self.phase = Phase.STOPPED  # nothing was begun

    def _tick(self, event: Tick, now: Now) -> None:
        if self.phase is not Phase.RUNNING:
            return
        if self.known.answers:
            self._questions.tick()
        self.cases.tick(now)
        if not self._beating and now.mono_s - self._beat_s >= self.known.limits.standing_every_s:
            self._heartbeat(event.lag_s, now)

    def _heartbeat(self, lag_s: float, now: Now) -> None:
        known = self.known
        self._beat += 1
        self._beat_s, self._beating = now.mono_s, True
        beat = Beat(known.place.epoch, self._beat)
        known.hearing.sent(beat, now.mono_s)
        last = {peer: known.book.region_standing(peer) for peer in known.place.peers}
        standing = Standing(
            replica=known.place.me,
            beat=beat,
            at_us=now.unix_us,
            halted=known.region.halted or bool(self.cases.halting),
            ill=known.region.ill or known.is_ill(now),
            draining=known.region.draining,
            lag_s=lag_s,
            schema=SCHEMA,
            incarnation=known.incarnation,
            heard={peer: heard.beat for peer, heard in last.items() if heard is not None},
        )
        known.out.append(Say([standing]))

    def _save(self, now: Now) -> None:
        if self.phase is not Phase.RUNNING:
            return
        place = self.known.place
        if self._stopping:
            if not self._hands and not self.sources.saving:
                row = self.sources.row(place.partition, place.epoch, now.mono_s, clean=not self.known.suspects)
                self.known.out.append(Save(row, first=self._first_save))
                self.phase = Phase.STOPPED
        elif self.known.answers and self.sources.save_due(now.mono_s):
            row = self.sources.row(place.partition, place.epoch, now.mono_s, clean=False)
            self.known.out.append(Save(row, first=self._first_save))

    def _save_done(self, event: SaveDone, _now: Now) -> None:
        self.sources.saved(ok=event.ok)
        self._first_save = self._first_save and not event.ok

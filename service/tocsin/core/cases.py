"""Cases: the requests that failed, from the first failure to the last word.

Theory
------
A case is opened by a failed write, by a record that cannot be read, by a kept row after a restart, or by a peer's
question with its payload. Its life is short in code: say the failure in our ledger; once that is acknowledged, decide
by the table at every news; keep a row of what was decided; retry at the pace of its stage.

    stage        done?          retried                       left by
    HELD         no             soon, with backoff, for ever  any verdict
    SET ASIDE    provisionally  slowly, a few at a time       any verdict but RETRY and WAIT
    QUARANTINED  yes            no                            `stored` from anyone, `redrive`, `dropped`
    DROPPED      yes            no                            `redrive`
    DONE         yes            no                            (gone once its row is kept)

An offset is done only once the row that justifies it is acknowledged: progress never runs ahead of the data.

A request can come in several copies that differ in their arrival; the earliest is the entry, in every region. So a case
keeps the earliest copy that failed here, and ends only when that one (or an earlier one) is acknowledged: what else is
in our store answers peers, `stored`, and is a reason neither to halt nor to quarantine, but the case goes on.
"""

from collections import Counter
from typing import Final

from tocsin.core.case import STAGE_OF, Case, Copy
from tocsin.core.effects import Alarm, Count, Keep, Look, Mark, Now
from tocsin.core.failures import Failure, Kind
from tocsin.core.hearing import Neighbour, describe
from tocsin.core.ids import RequestKey
from tocsin.core.kept import Decision, Kept, Stage
from tocsin.core.knowledge import Knowledge
from tocsin.core.requests import Arrival
from tocsin.core.sources import Sources
from tocsin.core.statements import Payload, Said, Word
from tocsin.core.verdict import INCOMPLETE, OwnMatter, Row, Verdict, decide, own_word, peers_word

REOPENING: Final = frozenset({"dropped", "better-peer-stored", "stored-elsewhere", INCOMPLETE, "too-new"})
"""The rows that may change a quarantine. A release that cannot read what an earlier one refused takes that back."""

BUDGET_ROW: Final = "budget-spent"


class Cases:
    """All cases of one partition number, and what is decided of them."""

    def __init__(self, known: Knowledge, sources: Sources) -> None:
        self._known = known
        self._sources = sources
        self.open: dict[RequestKey, Case] = {}
        self._held: set[RequestKey] = set()
        self.tries: list[Case] = []
        """Cases to be written now; the machine takes them out at the end of its step."""
        self.decided: Counter[Verdict] = Counter()
        self._head: RequestKey | None = None
        self._no_grace = False
        self._version = known.place.epoch << 32
        self._counting: set[str] = set()
        self._marks: dict[RequestKey, tuple[int, bool]] = {}
        self._marks_due: set[RequestKey] = set()
        self._facts: list[tuple[str, bool, bool, bool, bool]] = []

    # Questions about all cases ----------------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """How many are not decided, or halting."""
        return len(self._held)

    @property
    def halting(self) -> list[Case]:
        """The cases because of which this partition number takes no new sets."""
        return [case for case in map(self.open.__getitem__, self._held) if case.verdict is Verdict.HALT]

    # From the outside -------------------------------------------------------------------------------------------

    def fail(
        self,
        key: RequestKey,
        copy: Copy,
        failure: Failure,
        place: tuple[str, int],
        now: Now,
    ) -> None:
        """A request of the log failed, for the first time as far as this machine knows."""
        case = self.open.get(key)
        if case is None or case.stage is Stage.DONE:
            case = self._add(Case(key, copy))
        self.attach(case, place, copy)
        self.failed(case, failure, now)

    def attach(self, case: Case, place: tuple[str, int], copy: Copy) -> None:
        """The log delivered a case's request (again): its offset shares the case's fate. The earliest copy is tried."""
        if copy.precedes(case.copy):
            case.copy = copy
            if case.version:
                case.settled = False
                self._keep(case)
        if case.settled:
            self._sources.done(place[0], place[1], place[1] + 1)
        else:
            case.places.add(place)

    def deliver(self, key: RequestKey, record: bytes, now: Now) -> None:
        """The ledger delivered a request that we have no outcome for: it is tried at once, also while halted."""
        copy = Copy.read(record)
        case = self._add(Case(key, copy))
        if isinstance(copy.content, Failure):
            self.failed(case, copy.content, now)
        else:
            self._try(case)

    def restore(self, kept: Kept) -> None:
        """A kept row of an earlier owner: everything it had decided is decided again, by this release of our code."""
        case = self._add(Case.of_row(kept))
        if case.stage is Stage.ASIDE and case.kind is Kind.UNAVAILABLE:
            self._no_grace = True

    def _add(self, case: Case) -> Case:
        self.open[case.key] = case
        if case.stage is Stage.HELD:
            self._held.add(case.key)
        return case

    def _move(self, case: Case, stage: Stage, now: Now) -> None:
        """The only place where a stage changes."""
        if stage is case.stage:
            return
        case.stage, case.settled, case.checked, case.tries = stage, False, False, 0
        case.next_try_s = min(case.next_try_s, now.mono_s + case.pause_s(self._known.limits))
        (self._held.add if stage is Stage.HELD else self._held.discard)(case.key)

    def _close(self, case: Case) -> None:
        self._held.discard(case.key)
        del self.open[case.key]

    def failed(self, case: Case, failure: Failure, now: Now) -> None:
        """A try of a case failed."""
        known = self._known
        case.checked = False
        if case.stage is Stage.DONE:
            return  # it was stored by another way in the meantime
        if case.stage is Stage.QUARANTINED and failure.kind is Kind.UNAVAILABLE:
            return  # a late copy met an outage: that takes back no evidence, and nobody would try again here
        said = known.last_word(case.key)
        if case.kind is None:
            case.since_us = said.since_us if said else now.unix_us
        if case.kind is not failure.kind:
            case.failed_s = now.mono_s
        case.kind, case.reason = failure
        if failure.kind is Kind.CRASHED:
            known.book.crashers.add(case.key)
        case.next_try_s = now.mono_s + case.pause_s(self._known.limits)
        case.tries += 1
        if not known.answers and self._head is None and not (said is not None and said.word is Word.STORED):
            self._head = case.key
        self._say_failed(case)
        self.decide(case, now)

    def stored(self, case: Case, arrival: Arrival, now: Now) -> None:
        """The copy of a case's request that arrived then is in our store, entry and fold."""
        if case.copy.arrival is not None and case.copy.arrival < arrival:
            self.say_stored(case.key, now, unasked=True)
            case.next_try_s = now.mono_s  # an earlier one is not
            return
        for source, offset in case.places:
            self._sources.done(source, offset, offset + 1)
        case.places.clear()
        if case.kind is Kind.UNAVAILABLE:
            self._no_grace = False
        self.say_stored(case.key, now)
        if not case.version:
            self._close(case)  # nothing of it was ever kept
            return
        self._move(case, Stage.DONE, now)
        case.verdict, case.row = Verdict.DONE, "stored"
        self.decided[Verdict.DONE] += 1
        self._record(case, "it is in our store", now)
        self._keep(case)

    def say_stored(self, key: RequestKey, now: Now, *, unasked: bool = False) -> None:
        """Answers a question, or takes back our own `failed`. When nobody asked and we said nothing, it says nothing,
        but for a case that goes on: our word is what tells, also after a restart, that the request is not in question.
        """
        known = self._known
        said = known.last_word(key)
        if said.word is Word.STORED if said else not (unasked or known.book.is_asked(key)):
            return
        attempt, since_us = (said.attempt + 1, said.since_us) if said else (1, now.unix_us)
        known.say(Said(key, known.place.me, Word.STORED, known.incarnation, attempt, since_us))

    def acknowledged(self, key: RequestKey, now: Now) -> None:
        """A word of ours is on the ledger."""
        case = self.open.get(key)
        if case is not None and case.stage is not Stage.DONE:
            self._say_failed(case)  # if another owner's late word stands there instead
            self.decide(case, now)

    def looked(self, case: Case, now: Now, *, stored: bool | None) -> None:
        """Our own store was asked for a case's row, before a quarantine. One that is there proves that the request is
        good, and no more: it may be that of a later copy, or not be folded. So the case goes on; it is kept first,
        because once we have said `stored`, nobody will deliver the request to us again.
        """
        case.looking = False
        if stored and case.settled:
            self.say_stored(case.key, now, unasked=True)
        elif stored:
            case.found = True
            self._keep(case)
        elif stored is False:
            case.checked = True
            self.decide(case, now)

    def kept(self, key: RequestKey, version: int, now: Now, *, ok: bool) -> None:
        """A row was written, or was not."""
        case = self.open.get(key)
        if case is None or version != case.version:
            return
        if not ok:
            case.keep_due = True
            return
        if case.found:
            self.say_stored(key, now, unasked=True)
        if case.stage is Stage.DONE:
            self._close(case)
        elif case.stage is not Stage.HELD:
            case.settled = True
            self._settle(case)

    def ordered(self, key: RequestKey, now: Now) -> None:
        """A person said `dropped` or `redrive`: a mark is written or lifted, whether or not the entry is here."""
        order = self._known.book.orders[key]
        dropped = self._known.book.is_dropped(key)
        self._marks[key] = (order.number, dropped)
        self._known.out.append(Mark(key, order.number, dropped))
        case = self.open.get(key)
        if case is None or case.stage is Stage.DONE:
            return
        if dropped:
            self.decide(case, now)
            return
        row = f"redrive-{order.number}"
        if any(decision.row == row for decision in case.decisions):
            return  # an earlier owner has reopened it already
        self._move(case, Stage.HELD, now)
        case.verdict, case.row, case.next_try_s = None, "", now.mono_s
        self._record(case, f"{order.by} said redrive: {order.why}", now, verdict="REDRIVE", row=row)
        self._keep(case)
        self._try(case)

    def marked(self, key: RequestKey, number: int, *, ok: bool) -> None:
        """A mark was written, or was not: then it is tried again at the next tick."""
        mark = self._marks.get(key)
        if mark is None or mark[0] != number:
            return
        if not ok:
            self._marks_due.add(key)
            return
        self._marks_due.discard(key)
        del self._marks[key]
        case = self.open.get(key)
        if case is not None:
            self._settle(case)

    # News -------------------------------------------------------------------------------------------------------

    def decide_all(self, now: Now) -> None:
        """Decides every case again."""
        neighbours = self._known.neighbours(now)
        self._facts = [neighbour.facts for neighbour in neighbours]
        for case in list(self.open.values()):
            self.decide(case, now, neighbours)

    def start(self, now: Now, *, unclean: bool) -> None:
        """Verdicts may be given from now on: says what earlier owners had not said, and decides everything. After an
        `unclean` stop a write may have ended unseen: what is retried is suspect, what is not is looked for.
        """
        for case in list(self.open.values()):
            if unclean and case.stage is Stage.QUARANTINED:
                self._look(case)
            elif unclean and case.request is not None and case.stage is not Stage.DROPPED:
                self._known.suspects.add(case.key)
            said = self._known.own_word(case.key)
            if said is not None and said.kind is not None and case.request is not None:
                case.kind, case.reason = said.kind, said.reason  # what was said last, the row did not live to see
            self._say_failed(case)
        self.decide_all(now)

    def answering(self, now: Now) -> None:
        """The store answers again: everything held is tried now, and what nobody tries again is said."""
        self._head = None
        for case in self.open.values():
            if case.request is None or case.stage is Stage.QUARANTINED:
                self._say_failed(case)
            if case.stage is Stage.HELD:
                case.next_try_s = now.mono_s
        self._retry(now)

    def tick(self, now: Now) -> None:
        """Time has passed: decides what time decides, retries, and repeats what was not written."""
        if not self._known.ready:
            return
        neighbours = self._known.neighbours(now)
        facts = [neighbour.facts for neighbour in neighbours]
        news = facts != self._facts
        self._facts = facts
        for case in list(self.open.values()):
            if news or case.stage is Stage.HELD or case.due:
                self.decide(case, now, neighbours)
        if not self._known.answers:
            return
        for case in self.open.values():
            if case.keep_due:
                self._keep(case)
        for key in self._marks_due:
            self._known.out.append(Mark(key, *self._marks[key]))
        self._marks_due.clear()
        self._retry(now)

    # Deciding ---------------------------------------------------------------------------------------------------

    def decide(self, case: Case, now: Now, neighbours: list[Neighbour] | None = None) -> None:
        """Gives a verdict, unless our own statement of the failure is not acknowledged yet."""
        known = self._known
        said = known.own_word(case.key)
        if not known.ready or case.stage is Stage.DONE or case.kind is None or said is None:
            return
        here = said.word is Word.STORED
        if not here and said.kind is not case.kind:
            return
        peers = [n.on(case.key, known.book) for n in (neighbours or known.neighbours(now))]
        matter = OwnMatter(case.kind, known.answers, self._past_grace(case, now), here)
        waited_s = (now.unix_us - case.since_us) / 1e6
        row = decide(
            dropped=known.book.is_dropped(case.key),
            own=own_word(matter),
            peers=peers_word(known.place.me.region, peers, within_deadline=waited_s < known.limits.answer_deadline_s),
        )
        self._apply(case, row, f"own: {case.kind} ({case.reason}); {describe(peers)}", now)

    def _past_grace(self, case: Case, now: Now) -> bool:
        grace_s = 0.0 if self._no_grace else self._known.limits.grace_s
        return now.mono_s - max(case.failed_s, self._known.answering_since_s) >= grace_s

    def _apply(self, case: Case, row: Row, evidence: str, now: Now) -> None:
        verdict, name = row.verdict, row.name
        case.due = False
        if case.stage is not Stage.HELD and verdict in (Verdict.RETRY, Verdict.WAIT):
            return
        if case.stage is Stage.QUARANTINED and name not in REOPENING:
            return
        if verdict in (Verdict.SET_ASIDE, Verdict.QUARANTINE) and name != INCOMPLETE and not self._admitted(case):
            if not self._known.spent:
                return  # the answer to `Count` decides again
            verdict, name = Verdict.HALT, BUDGET_ROW
        if verdict is Verdict.QUARANTINE and (case.trying or not case.checked):
            case.due = True
            self._look(case)
            return
        if (verdict, name) == (case.verdict, case.row):
            if case.kind is not case.kept_kind:
                self._keep(case)
            return
        self._enter(case, verdict, name, evidence, now)

    def _look(self, case: Case) -> None:
        if not (case.looking or case.trying or case.found):
            case.looking = True
            self._known.out.append(Look(case.key))

    def _admitted(self, case: Case) -> bool:
        """Whether the budget lets this case be skipped; asks to count its service when that was not done yet."""
        known = self._known
        if case.kind is None or not case.kind.is_evidence or case.counted:
            return True
        service = case.key.service
        if not known.spent and service in known.counted:
            case.counted = True
            return True
        if not known.spent and service not in self._counting:
            self._counting.add(service)
            known.out.append(Count(service))
        return False

    def budget(self, now: Now, counted: frozenset[str], *, spent: bool) -> None:
        """The replica's budget as it now stands."""
        self._known.counted, self._known.spent = counted, spent
        self._counting.clear()
        self.decide_all(now)

    def _enter(self, case: Case, verdict: Verdict, row: str, evidence: str, now: Now) -> None:
        self._move(case, STAGE_OF[verdict], now)
        case.verdict, case.row = verdict, row
        self.decided[verdict] += 1
        if verdict is Verdict.SET_ASIDE and case.kind is Kind.UNAVAILABLE:
            self._no_grace = True
        self._record(case, evidence, now)
        self._keep(case)
        if verdict not in (Verdict.RETRY, Verdict.WAIT):
            action = "budget_spent" if row == BUDGET_ROW else f"verdict_{verdict.lower()}"
            self._known.out.append(Alarm(action, case.key.printed, f"{verdict} by row {row}: {evidence}"))
        self._settle(case)

    def _settle(self, case: Case) -> None:
        """What is justified by an acknowledged row (and mark) is done."""
        if case.settled and case.key not in self._marks:
            for source, offset in case.places:
                self._sources.done(source, offset, offset + 1)
            case.places.clear()

    # Saying, keeping, trying ------------------------------------------------------------------------------------

    def _say_failed(self, case: Case) -> None:
        known = self._known
        said = known.last_word(case.key)
        if case.kind is None or (said is not None and (said.kind is case.kind or said.word is Word.STORED)):
            return  # what stands in the ledger is the answer
        if not known.ready or (not known.answers and case.key != self._head):
            return  # an outage writes a handful of statements
        attempt, crashed = said.attempt + 1 if said else 1, case.key in known.book.crashers
        word = case.failed_word(known.place.me, known.incarnation, attempt, crashed=crashed)
        known.say(word, *([] if said else [Payload(case.key, case.copy.record)]))

    def _record(self, case: Case, evidence: str, now: Now, *, verdict: str = "", row: str = "") -> None:
        case.record_decision(Decision(now.unix_us, verdict or str(case.verdict), row or case.row, evidence))

    def _keep(self, case: Case) -> None:
        self._version += 1
        kept = case.row_to_keep(self._known.place.partition, self._known.incarnation, self._version)
        if kept is not None:
            self._known.out.append(Keep(kept))

    def _retry(self, now: Now) -> None:
        limits = self._known.limits
        aside = sum(case.trying for case in self.open.values() if case.stage is Stage.ASIDE)
        for case in self.open.values():
            if case.trying or case.next_try_s > now.mono_s or case.stage not in (Stage.HELD, Stage.ASIDE):
                continue
            if case.stage is Stage.ASIDE:
                if aside >= limits.aside_tries_max:
                    continue
                aside += 1
            self._try(case)

    def _try(self, case: Case) -> None:
        """Hands a case to be written; one whose record this release cannot read has nothing to be tried."""
        if case.request is not None and not case.trying:
            case.trying = True
            self.tries.append(case)

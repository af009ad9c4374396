"""Defects that the exploration (tests/exploration) found in the core, each by its trace."""

import msgspec

from tests.unit.core.harness import LIMITS, request
from tocsin.core.case import Case
from tocsin.core.effects import (
    Acknowledged,
    BudgetIs,
    Count,
    Effect,
    Input,
    Keep,
    LedgerRead,
    Look,
    Looked,
    Lose,
    LoseDone,
    Now,
    Save,
    SaveDone,
    Say,
    SetFetched,
    Write,
    Wrote,
)
from tocsin.core.failures import Failure, Kind
from tocsin.core.kept import Decision, Kept, Stage
from tocsin.core.knowledge import Place
from tocsin.core.partition import Partition
from tocsin.core.progress import Coordinates, ProgressRow, Runs, SourceProgress
from tocsin.core.requests import decode_records, encode_request
from tocsin.core.statements import Payload, Promoted, Replica, Said, Statement, Word

ME, PEER = Replica("b", "blue"), Replica("a", "blue")
BAD = request(0)
NOW = Now(100.0, 1_700_000_100_000_000)
REFUSED = Failure(Kind.REJECTED, "refused by rule")
OUTAGE = Failure(Kind.UNAVAILABLE, "timed out")


def running(rows: list[ProgressRow] | None = None) -> Partition:
    """A machine that is running, with its first save acknowledged and one request after what retention took."""
    machine = Partition(
        Place(ME, 0, 1, "db", ("a",), frozenset({"a", "b"})),
        LIMITS,
        NOW,
        sources={"requests": SourceProgress(Coordinates("b", "requests", "1", 0), Runs())},
        rows=rows or [],
        kept=[],
    )
    opening = machine.step(LedgerRead([Promoted("a", 1, "blue")], at_end=True), NOW)
    said = next(effect for effect in opening if isinstance(effect, Say))
    machine.step(Acknowledged(said.statements), NOW)
    machine.step(SaveDone(ok=True), NOW)
    return machine


def fetched(log_start: int) -> SetFetched:
    records = [encode_request(BAD)]
    return SetFetched("requests", 0, [log_start], records, decode_records(records), log_start + 1, log_start)


def one(effects: list[Effect], kind: type[Effect]) -> Effect:
    return next(effect for effect in effects if isinstance(effect, kind))


def test_an_outage_that_a_copy_in_flight_meets_takes_back_no_evidence_from_a_quarantine() -> None:
    """Trace: a peer's `failed` delivers a request while its set is being written; one of the two writes is refused and
    the request quarantined, then the store goes silent under the other. The word became UNAVAILABLE: a peer that had
    yet to decide set the request aside for ever, since nobody retries what is quarantined.
    """
    machine = running()
    in_set = one(machine.step(fetched(0), NOW), Write)
    question: list[Statement] = [
        Payload(BAD.key, encode_request(BAD).encode()),
        Said(BAD.key, PEER, Word.FAILED, 1, 1, 0, Kind.REJECTED),
    ]
    machine.step(LedgerRead(question), NOW)
    delivered = one(machine.step(Looked(BAD.key, stored=False), NOW), Write)
    assert isinstance(in_set, Write)
    assert isinstance(delivered, Write)

    def until_quiet(*inputs: Input) -> list[Effect]:
        """Answers what is asked of ledger, store and budget."""
        found: list[Effect] = []
        waiting = list(inputs)
        while waiting:
            for effect in machine.step(waiting.pop(0), NOW):
                found.append(effect)
                match effect:
                    case Say(statements=statements):
                        waiting.append(Acknowledged(statements))
                    case Look(key=key):
                        waiting.append(Looked(key, stored=False))
                    case Count(service=service):
                        waiting.append(BudgetIs(frozenset({service}), spent=False))
        return found

    decided = until_quiet(Wrote(delivered.write, {0: REFUSED}, answers=True))
    assert [effect.kept.stage for effect in decided if isinstance(effect, Keep)][-1] is Stage.QUARANTINED

    after = until_quiet(Wrote(in_set.write, {0: OUTAGE}, answers=True))
    assert not [effect for effect in after if isinstance(effect, Say)], "the word that stands is the evidence"
    assert machine.cases.open[BAD.key].kind is Kind.REJECTED


def test_what_retention_took_is_done_only_when_it_is_recorded_as_lost() -> None:
    """Trace: retention takes a record unread; the set above it is fetched; progress is saved over the gap; the process
    dies before the gap is recorded. The range was done and named nowhere.
    """
    machine = running()
    effects = machine.step(fetched(3), NOW)
    assert Lose("requests", 0, 3) in effects
    write = one(effects, Write)
    assert isinstance(write, Write)
    later = Now(NOW.mono_s + 1, NOW.unix_us + 1_000_000)
    saves = [effect for effect in machine.step(Wrote(write.write, {}, answers=True), later) if isinstance(effect, Save)]
    assert [list(save.row.sources["requests"].runs) for save in saves] == [[(3, 4)]], "the gap is not done yet"

    machine.step(LoseDone("requests", 0, 3), later)
    assert machine.sources.runs("requests").low == 4


def test_what_was_dropped_before_the_budget_counted_it_is_counted_when_it_is_redriven_after_a_restart() -> None:
    """Trace: a refused request is held, then dropped; the process dies; it is redriven and refused again. Its row was
    taken for one that the budget had admitted, so it was quarantined without being counted.
    """
    decided = Decision(0, "DONE", "dropped", "")
    row = Kept(BAD.key, 0, Stage.DROPPED, encode_request(BAD).encode(), Kind.REJECTED, "", 0, 1, 1, (decided,), 1)
    assert not Case.of_row(row).counted
    refused = Decision(0, "QUARANTINE", "all-refused", "")
    quarantined = msgspec.structs.replace(row, stage=Stage.QUARANTINED, decisions=(refused,))
    assert Case.of_row(quarantined).counted

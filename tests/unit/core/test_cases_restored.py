"""A machine that takes over rows which an earlier owner kept: what of them goes on, and what is decided anew."""

from dataclasses import replace

import msgspec
import pytest

from tests.unit.core.alone import BAD, EPOCH, ME, NOW, OUTAGE, PEER, REFUSED, Alone, every, order, rows, the, words
from tests.unit.core.harness import LIMITS, request
from tocsin.core.effects import (
    Acknowledged,
    Alarm,
    Count,
    Effect,
    Keep,
    KeptDone,
    LedgerRead,
    Look,
    Looked,
    Mark,
    Say,
    StoreAnswers,
    Write,
    Wrote,
)
from tocsin.core.failures import Kind
from tocsin.core.kept import Decision, Kept, Stage
from tocsin.core.progress import Coordinates, ProgressRow, Runs, SourceProgress
from tocsin.core.requests import Record, Request, Tick, encode_request, encode_tick
from tocsin.core.statements import Opened, Payload, PersonWord, Promoted, Said, Statement, Word

SINCE_US = NOW.unix_us - 5_000_000
EARLIER = (1 << 32) + 5
UNCLEAN = ProgressRow(
    7, 1, clean=False, sources={"requests": SourceProgress(Coordinates("b", "requests", "1", 0), Runs(), reach=9)}
)

REFUSED_ROW = {
    Stage.HELD: Decision(SINCE_US, "WAIT", "awaiting-answer", "no answer"),
    Stage.ASIDE: Decision(SINCE_US, "SET_ASIDE", "no-answer", "nobody to ask"),
    Stage.QUARANTINED: Decision(SINCE_US, "QUARANTINE", "all-refused", "all refused"),
    Stage.DROPPED: Decision(SINCE_US, "DONE", "dropped", "a person said so"),
}


def row(stage: Stage, *, kind: Kind = Kind.REJECTED, one: Request = BAD, record: bytes | None = None) -> Kept:
    """What the owner before us kept."""
    decisions = (REFUSED_ROW[stage],)
    raw = encode_request(one).encode() if record is None else record
    return Kept(one.key, 7, stage, raw, kind, "refused by rule", SINCE_US, 1, 2, decisions, EARLIER)


def said(kind: Kind = Kind.REJECTED, *, one: Request = BAD, reason: str = "refused by rule") -> list[Statement]:
    """What the owner before us said, on the same data."""
    failed = Said(one.key, ME, Word.FAILED, 1, 1, SINCE_US, kind, reason)
    return [Opened(ME, 1, "db"), Payload(one.key, encode_request(one).encode()), failed]


def started(kept: Kept, *statements: Statement, unclean: bool = False) -> tuple[Alone, list[Effect]]:
    """A machine with one kept row that has just taken up work, and what it did."""
    alone = Alone(kept=[kept], saved=[UNCLEAN] if unclean else [])
    alone.fails[kept.key] = REFUSED
    return alone, alone.run(*statements)


def peer_refused(one: Request = BAD) -> Said:
    return Said(one.key, PEER, Word.FAILED, 1, 1, SINCE_US, Kind.REJECTED)


def test_a_quarantine_that_stands_is_neither_said_kept_nor_announced_again() -> None:
    alone, effects = started(row(Stage.QUARANTINED), *said(), peer_refused())
    assert not words(effects)
    assert not rows(effects)
    assert not every(effects, Alarm)
    assert alone.machine.cases.open[BAD.key].stage is Stage.QUARANTINED
    assert alone.machine.cases.held == 0


def test_a_set_aside_that_stands_is_neither_said_kept_nor_counted_again() -> None:
    alone, effects = started(row(Stage.ASIDE), *said(), Said(BAD.key, PEER, Word.FAILED, 1, 1, 0, Kind.UNAVAILABLE))
    assert not words(effects)
    assert not rows(effects)
    assert not every(effects, Count), "an earlier owner had it counted"
    assert alone.machine.cases.held == 0


def test_what_is_held_counts_as_held_and_is_counted_when_it_would_be_skipped() -> None:
    alone, effects = started(row(Stage.HELD), *said(), peer_refused())
    assert every(effects, Count) == [Count("checkout")]
    kept = rows(effects)[-1]
    assert kept.stage is Stage.QUARANTINED
    assert kept.decisions[0] == REFUSED_ROW[Stage.HELD], "what was decided before stays on record"
    assert kept.since_us == SINCE_US
    assert kept.version == (EPOCH << 32) + 1, "above every version of an earlier owner"
    assert alone.machine.cases.held == 0


@pytest.mark.parametrize("stage", [Stage.ASIDE, Stage.QUARANTINED, Stage.DROPPED])
def test_what_an_earlier_owner_settled_is_done_when_the_log_delivers_it_again(stage: Stage) -> None:
    dropped = [order(1, PersonWord.DROPPED)] if stage is Stage.DROPPED else []
    alone, _ = started(row(stage), *said(), peer_refused(), *dropped)
    effects = alone.take(BAD)
    assert not every(effects, Write)
    assert not rows(effects)
    assert alone.machine.sources.runs("requests").low == 1


def test_what_an_earlier_owner_held_is_not_done_when_the_log_delivers_it_again() -> None:
    alone, _ = started(row(Stage.HELD), *said())
    alone.take(BAD)
    assert alone.machine.sources.runs("requests").low == 0
    assert alone.machine.cases.held == 1


def test_what_the_ledger_does_not_hold_yet_is_said_since_the_first_failure() -> None:
    _, effects = started(row(Stage.HELD), Opened(ME, 1, "db"))
    failed = Said(BAD.key, ME, Word.FAILED, 1, 1, SINCE_US, Kind.REJECTED, "refused by rule")
    payload = Payload(BAD.key, encode_request(BAD).encode())
    assert words(effects) == [failed]
    assert payload in [statement for effect in effects for statement in getattr(effect, "statements", [])]


def test_the_answer_deadline_goes_on_from_the_first_failure() -> None:
    limits = replace(LIMITS, answer_deadline_s=7.0, ask_limit_s=60.0, retry_first_s=60.0, retry_max_s=60.0)
    alone = Alone(kept=[row(Stage.HELD)], limits=limits)
    alone.fails[BAD.key] = REFUSED
    alone.run(*said())
    alone.wait(1.75)
    assert alone.machine.cases.open[BAD.key].stage is Stage.HELD
    alone.wait(0.25)
    assert alone.machine.cases.open[BAD.key].stage is Stage.ASIDE, "it is over at the deadline, not after it"


def test_what_was_said_last_counts_where_the_row_did_not_live_to_see_it() -> None:
    alone, effects = started(row(Stage.HELD), *said(Kind.CRASHED, reason="it killed the child"), peer_refused())
    kept = rows(effects)[-1]
    assert (kept.kind, kept.reason) == (Kind.CRASHED, "it killed the child")
    assert kept.stage is Stage.QUARANTINED
    assert not words(effects)
    assert alone.machine.cases.open[BAD.key].kind is Kind.CRASHED


@pytest.mark.parametrize(
    ("record", "kind", "reason"),
    [
        (b"\xc1", Kind.REJECTED, "undecodable: what was kept of it is no record: "),
        (encode_request(BAD._replace(schema=99)).encode(), Kind.TOO_NEW, "schema version 99 is above ours"),
        (encode_tick(Tick(NOW.unix_us, "a")).encode(), Kind.REJECTED, "undecodable: it is a tick, and no request"),
        (Record(b"k", b"v", ()).encode(), Kind.REJECTED, "undecodable: "),
    ],
    ids=["garbage", "a schema above ours", "a tick", "no headers"],
)
def test_a_kept_record_that_this_release_cannot_read_fails_as_what_it_is(
    record: bytes, kind: Kind, reason: str
) -> None:
    alone, effects = started(row(Stage.HELD, kind=Kind.UNAVAILABLE, record=record), *said(Kind.UNAVAILABLE))
    word = words(effects)[0]
    assert word.kind is kind
    assert word.reason.startswith(reason)
    kept = rows(effects)[0]
    assert (kept.kind, kept.record) == (kind, record)
    assert not every(alone.wait(60.0), Write), "there is nothing to be tried"


def test_a_verdict_that_this_release_does_not_know_is_decided_anew() -> None:
    shrugged = Decision(SINCE_US, "SHRUG", "no-answer", "")
    strange = msgspec.structs.replace(row(Stage.ASIDE), decisions=(shrugged,))
    _, effects = started(strange, *said(), Said(BAD.key, PEER, Word.FAILED, 1, 1, 0, Kind.UNAVAILABLE))
    assert the(effects, Alarm).action == "verdict_set_aside"
    assert [decision.verdict for decision in rows(effects)[-1].decisions] == ["SHRUG", "SET_ASIDE"]


def test_a_row_without_decisions_is_decided_like_any_other() -> None:
    bare = msgspec.structs.replace(row(Stage.HELD), decisions=())
    _, effects = started(bare, *said())
    assert [decision.row for decision in rows(effects)[-1].decisions] == ["awaiting-answer"]


def test_a_redrive_that_an_earlier_owner_followed_is_not_followed_again() -> None:
    redrive = Decision(SINCE_US, "REDRIVE", "redrive-1", "eve")
    redriven = row(Stage.QUARANTINED)
    redriven = msgspec.structs.replace(redriven, decisions=(redrive, *redriven.decisions))
    alone, effects = started(redriven, *said(), peer_refused(), order(1, PersonWord.REDRIVE))
    assert every(effects, Mark) == [Mark(BAD.key, 1, dropped=False)], "the mark may not have been lifted"
    assert not rows(effects)
    assert alone.machine.cases.open[BAD.key].stage is Stage.QUARANTINED
    assert rows(alone.hear(order(2, PersonWord.REDRIVE)))[0].stage is Stage.HELD


def test_an_earlier_copy_takes_the_place_of_the_one_in_the_row() -> None:
    alone, _ = started(row(Stage.ASIDE), *said(), Said(BAD.key, PEER, Word.FAILED, 1, 1, 0, Kind.UNAVAILABLE))
    earlier = BAD._replace(received_us=BAD.received_us - 1)
    kept = the(alone.take(earlier), Keep).kept
    assert kept.record == encode_request(earlier).encode()
    assert kept.stage is Stage.ASIDE
    assert kept.decisions == row(Stage.ASIDE).decisions


def test_an_earlier_copy_of_what_was_settled_is_done_once_the_row_has_it() -> None:
    alone, _ = started(row(Stage.ASIDE), *said(), Said(BAD.key, PEER, Word.FAILED, 1, 1, 0, Kind.UNAVAILABLE))
    alone.unanswered = {Keep}
    kept = the(alone.take(BAD._replace(received_us=BAD.received_us - 1)), Keep).kept
    assert alone.machine.sources.runs("requests").low == 0
    alone.quiet(KeptDone(BAD.key, kept.version, ok=True))
    assert alone.machine.sources.runs("requests").low == 1


def test_what_was_said_without_a_row_being_kept_failed_when_it_was_said() -> None:
    alone = Alone()
    alone.unanswered = {Look}
    alone.run(*said())
    alone.wait(0.0)
    alone.fails[BAD.key] = REFUSED
    effects = alone.take(BAD)
    assert not words(effects), "what stands in the ledger is the answer"
    assert the(effects, Keep).kept.since_us == SINCE_US


def test_what_of_a_case_cannot_be_read_is_not_older_or_newer_than_what_can() -> None:
    alone, _ = started(row(Stage.HELD, record=b"garbage"), *said())
    assert not rows(alone.take(BAD))
    assert alone.machine.cases.held == 1


# After an unclean stop ------------------------------------------------------------------------------------------------


def test_after_an_unclean_stop_what_is_retried_is_tried_in_a_child_once() -> None:
    alone, _ = started(row(Stage.HELD), *said(), unclean=True)
    writes = every(alone.wait(2.0), Write)
    assert [(write.requests, write.alone) for write in writes] == [([BAD], True)]
    assert [write.alone for write in every(alone.wait(3.0), Write)] == [False]


def test_after_a_clean_stop_nothing_is_suspect() -> None:
    alone, _ = started(row(Stage.HELD), *said())
    assert [write.alone for write in every(alone.wait(2.0), Write)] == [False]


def test_after_an_unclean_stop_what_is_quarantined_is_looked_for_and_not_tried() -> None:
    alone, effects = started(row(Stage.QUARANTINED), *said(), peer_refused(), unclean=True)
    assert Look(BAD.key) in effects
    assert not every(alone.wait(60.0), Write)


def test_after_a_clean_stop_what_is_quarantined_is_not_looked_for() -> None:
    _, effects = started(row(Stage.QUARANTINED), *said(), peer_refused())
    assert not every(effects, Look)


# Taken up while the store answers nothing ----------------------------------------------------------------------------


def silent(stage: Stage) -> Alone:
    """A machine with one kept row, of which the ledger knows nothing, that takes up work in an outage."""
    alone = Alone(kept=[row(stage)], saved=[UNCLEAN])
    alone.unanswered = {Look}
    opening = the(alone.step(LedgerRead([Promoted("a", 1, "blue")], at_end=True)), Say)
    alone.step(StoreAnswers(answers=False))
    assert not words(alone.quiet(Acknowledged(opening.statements))), "an outage writes a handful of statements"
    return alone


def test_what_failed_unsaid_and_unasked_for_is_stored_without_a_word() -> None:
    alone = silent(Stage.HELD)
    effects = alone.quiet(StoreAnswers(answers=True))
    assert the(effects, Write).requests == [BAD]
    assert rows(effects)[-1].stage is Stage.DONE
    assert not words(effects)


def test_what_was_stored_without_a_word_is_said_to_who_asks_before_its_row_is_kept() -> None:
    alone = silent(Stage.HELD)
    alone.unanswered = {Keep}
    alone.quiet(StoreAnswers(answers=True))
    assert words(alone.hear(*alone.asks(BAD))) == [Said(BAD.key, ME, Word.STORED, 1, 1, NOW.unix_us)]


def test_when_only_a_later_copy_was_stored_that_is_said_though_nobody_asked_and_the_earlier_is_tried() -> None:
    alone = silent(Stage.HELD)
    alone.unanswered = {Write}
    write = the(alone.quiet(StoreAnswers(answers=True)), Write)
    earlier = BAD._replace(received_us=BAD.received_us - 1)
    alone.take(earlier)
    effects = alone.quiet(Wrote(write.write, {}, answers=True))
    assert words(effects) == [Said(BAD.key, ME, Word.STORED, 1, 1, NOW.unix_us)]
    assert the(alone.wait(0.0), Write).requests == [earlier]
    assert len(alone.machine.cases.open) == 1


def test_what_our_store_turns_out_to_have_is_said_though_nobody_asked() -> None:
    alone = silent(Stage.QUARANTINED)
    alone.quiet(StoreAnswers(answers=True))
    assert words(alone.quiet(Looked(BAD.key, stored=True))) == [Said(BAD.key, ME, Word.STORED, 1, 2, SINCE_US)]


def test_what_our_store_turns_out_to_have_is_said_once_the_row_with_the_earlier_copy_is_kept() -> None:
    alone = silent(Stage.QUARANTINED)
    alone.quiet(StoreAnswers(answers=True))
    alone.unanswered = {Keep}
    alone.take(BAD._replace(received_us=BAD.received_us - 1))
    effects = alone.quiet(Looked(BAD.key, stored=True))
    assert not words(effects)
    version = the(effects, Keep).kept.version
    effects = alone.quiet(KeptDone(BAD.key, version, ok=True))
    assert words(effects)[0] == Said(BAD.key, ME, Word.STORED, 1, 2, NOW.unix_us - 5_000_000)


# Outages --------------------------------------------------------------------------------------------------------------


def test_a_set_aside_outage_of_an_earlier_owner_leaves_the_next_ones_without_a_grace() -> None:
    slow = request(5)
    aside = row(Stage.ASIDE, kind=Kind.UNAVAILABLE, one=slow)
    alone = Alone(kept=[aside])
    alone.run(*said(Kind.UNAVAILABLE, one=slow, reason="timed out"))
    alone.fails = {slow.key: OUTAGE, BAD.key: OUTAGE}
    alone.take(BAD)
    assert alone.machine.cases.open[BAD.key].stage is Stage.ASIDE


def test_a_set_aside_refusal_of_an_earlier_owner_takes_nobody_s_grace() -> None:
    alone, _ = started(row(Stage.ASIDE, one=request(5)), *said(one=request(5)))
    alone.fails[BAD.key] = OUTAGE
    alone.take(BAD)
    assert alone.machine.cases.open[BAD.key].stage is Stage.HELD


def test_within_its_grace_an_outage_is_retried_and_past_it_set_aside() -> None:
    alone = Alone.running(limits=replace(LIMITS, grace_s=4.0, ask_limit_s=60.0))
    alone.fails[BAD.key] = OUTAGE
    alone.take(BAD)
    alone.wait(3.9)
    assert alone.machine.cases.open[BAD.key].row == "within-grace"
    effects = alone.wait(0.1)
    assert rows(effects)[-1].stage is Stage.ASIDE
    assert rows(effects)[-1].decisions[-1].row == "lasting-outage"


def test_the_grace_begins_anew_when_the_store_answers_again() -> None:
    alone = Alone.running(limits=replace(LIMITS, grace_s=4.0, ask_limit_s=60.0))
    alone.fails[BAD.key] = OUTAGE
    alone.take(BAD)
    alone.wait(3.0)
    alone.quiet(StoreAnswers(answers=False))
    alone.wait(3.0)
    alone.quiet(StoreAnswers(answers=True))
    alone.wait(3.9)
    assert alone.machine.cases.open[BAD.key].stage is Stage.HELD
    alone.wait(0.2)
    assert alone.machine.cases.open[BAD.key].stage is Stage.ASIDE


def test_the_grace_begins_when_the_failure_becomes_an_outage() -> None:
    limits = replace(LIMITS, grace_s=4.0, ask_limit_s=60.0, answer_deadline_s=60.0, retry_first_s=3.0, retry_max_s=3.0)
    alone = Alone.running(limits=limits)
    alone.refused()
    alone.fails[BAD.key] = OUTAGE
    alone.wait(3.9)
    assert alone.machine.cases.open[BAD.key].kind is Kind.UNAVAILABLE
    alone.wait(3.9)
    assert alone.machine.cases.open[BAD.key].stage is Stage.HELD


def test_one_that_is_stored_gives_the_next_their_grace_back() -> None:
    alone = Alone.running(limits=replace(LIMITS, ask_limit_s=60.0))
    alone.fails = {BAD.key: OUTAGE}
    alone.take(BAD)
    alone.wait(4.0)
    other, third = request(5), request(6)
    alone.fails = {BAD.key: OUTAGE, other.key: OUTAGE}
    alone.take(other)
    assert alone.machine.cases.open[other.key].stage is Stage.ASIDE, "further ones have no grace"
    alone.fails = {third.key: OUTAGE}
    alone.wait(20.0)
    assert not alone.machine.cases.open
    alone.take(third)
    assert alone.machine.cases.open[third.key].stage is Stage.HELD

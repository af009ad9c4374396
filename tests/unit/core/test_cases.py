"""What one machine says, keeps and alarms of a request that failed; by hand, one step after the other."""

import pytest

from tests.unit.core.alone import BAD, CRASHED, EPOCH, ME, NOW, REFUSED, Alone, every, rows, the, words
from tests.unit.core.harness import request
from tocsin.core.effects import (
    Alarm,
    Count,
    Keep,
    KeptDone,
    Look,
    Say,
    StoreAnswers,
    Write,
)
from tocsin.core.failures import Failure, Kind
from tocsin.core.kept import Decision, Kept, Stage
from tocsin.core.requests import Record, encode_request, encode_tick
from tocsin.core.requests import Tick as TickRecord
from tocsin.core.statements import Payload, Said, Word
from tocsin.core.verdict import Verdict

GOOD = request(1)
RECORD = encode_request(BAD).encode()
FIRST_VERSION = (EPOCH << 32) + 1


def test_a_refusal_is_said_with_its_payload_then_kept_while_the_peer_is_waited_for() -> None:
    alone = Alone.running()
    alone.fails[BAD.key] = REFUSED
    effects = alone.take(GOOD, BAD)
    assert the(effects, Write) == Write(1, [GOOD, BAD], alone=False)
    said = Said(BAD.key, ME, Word.FAILED, 1, 1, NOW.unix_us, Kind.REJECTED, "refused by rule")
    assert the(effects, Say).statements == [Payload(BAD.key, RECORD), said]
    evidence = "own: rejected (refused by rule); a: not answered (serves)"
    assert the(effects, Keep).kept == Kept(
        key=BAD.key,
        partition=7,
        stage=Stage.HELD,
        record=RECORD,
        kind=Kind.REJECTED,
        reason="refused by rule",
        since_us=NOW.unix_us,
        incarnation=1,
        attempt=1,
        decisions=(Decision(NOW.unix_us, "WAIT", "awaiting-answer", evidence),),
        version=FIRST_VERSION,
    )
    assert not every(effects, Alarm), "waiting for an answer is nothing that a person should know"
    assert alone.machine.sources.runs("requests").low == 1


def test_what_the_peer_refused_too_is_quarantined_once_budget_and_store_were_asked() -> None:
    alone = Alone.running()
    alone.fails[BAD.key] = REFUSED
    alone.take(BAD)
    effects = alone.hear(alone.word(BAD.key, Word.FAILED, Kind.REJECTED))
    evidence = "own: rejected (refused by rule); a: refused (serves)"
    assert {type(effect) for effect in effects[:2]} == {Count, Look}
    assert [type(effect) for effect in effects[2:]] == [Keep, Alarm]
    assert the(effects, Count) == Count("checkout")
    assert the(effects, Look) == Look(BAD.key)
    row = the(effects, Keep).kept
    assert (row.stage, row.attempt, row.version) == (Stage.QUARANTINED, 0, FIRST_VERSION + 1)
    assert row.decisions[1:] == (Decision(NOW.unix_us, "QUARANTINE", "all-refused", evidence),)
    assert the(effects, Alarm) == Alarm(
        "verdict_quarantine", BAD.key.printed, f"QUARANTINE by row all-refused: {evidence}"
    )
    assert alone.machine.sources.runs("requests").low == 1, "it is done once the row is kept"


def test_a_set_aside_says_so_and_its_offset_is_done_only_once_the_row_is_kept() -> None:
    alone = Alone.running()
    alone.fails[BAD.key] = Failure(Kind.TOO_NEW, "schema 9")
    alone.unanswered = {Keep}
    effects = alone.take(BAD)
    assert the(effects, Keep).kept.stage is Stage.ASIDE
    assert the(effects, Alarm).action == "verdict_set_aside"
    assert the(effects, Alarm).subject == BAD.key.printed
    assert alone.machine.sources.runs("requests").low == 0
    alone.quiet(KeptDone(BAD.key, FIRST_VERSION, ok=True))
    assert alone.machine.sources.runs("requests").low == 1


def test_the_answer_to_an_older_version_of_a_row_settles_nothing() -> None:
    alone = Alone.running()
    alone.fails[BAD.key] = REFUSED
    alone.unanswered = {Keep}
    alone.take(BAD)
    alone.hear(alone.word(BAD.key, Word.FAILED, Kind.REJECTED))
    alone.quiet(KeptDone(BAD.key, FIRST_VERSION, ok=True))
    assert alone.machine.sources.runs("requests").low == 0
    alone.quiet(KeptDone(BAD.key, FIRST_VERSION + 1, ok=True))
    assert alone.machine.sources.runs("requests").low == 1


def test_a_row_that_was_not_written_is_written_at_the_next_tick_and_no_more() -> None:
    alone = Alone.running()
    alone.fails[BAD.key] = REFUSED
    alone.unanswered = {Keep, Write}
    alone.take(BAD)
    alone.unanswered = {Keep}
    alone.quiet(alone.answer(alone.open[0])[0])
    alone.unanswered = {Write}
    alone.quiet(KeptDone(BAD.key, FIRST_VERSION, ok=False))
    assert [row.version for row in rows(alone.wait(0.1))] == [FIRST_VERSION + 1]
    assert not rows(alone.wait(0.1))


def test_while_the_store_answers_nothing_no_row_is_written_again() -> None:
    alone = Alone.running()
    alone.fails[BAD.key] = REFUSED
    alone.unanswered = {Keep, Write}
    alone.take(BAD)
    alone.quiet(alone.answer(alone.open[0])[0])
    alone.quiet(StoreAnswers(answers=False))
    alone.quiet(KeptDone(BAD.key, FIRST_VERSION, ok=False))
    alone.answers = False
    assert not rows(alone.wait(0.1))


def test_a_failure_of_another_kind_is_said_under_the_next_number_and_kept() -> None:
    alone = Alone.running()
    alone.fails[BAD.key] = REFUSED
    alone.take(BAD)
    alone.fails[BAD.key] = CRASHED
    effects = alone.wait(1.0)
    said = Said(BAD.key, ME, Word.FAILED, 1, 2, NOW.unix_us, Kind.CRASHED, "it killed the child", crashed=True)
    assert [say.statements for say in every(effects, Say) if words([say])] == [[said]], "the payload is there already"
    assert the(effects, Keep).kept.kind is Kind.CRASHED


def test_a_retry_that_fails_alike_says_and_keeps_nothing() -> None:
    alone = Alone.running()
    alone.fails[BAD.key] = REFUSED
    alone.take(BAD)
    effects = alone.wait(1.0)
    assert the(effects, Write).requests == [BAD]
    assert not rows(effects)
    assert not words(effects)


def test_what_is_stored_at_last_is_taken_back_kept_as_done_and_forgotten() -> None:
    alone = Alone.running()
    alone.fails[BAD.key] = REFUSED
    alone.take(BAD)
    alone.fails.clear()
    effects = alone.wait(1.0)
    assert words(effects) == [Said(BAD.key, ME, Word.STORED, 1, 2, NOW.unix_us)]
    row = the(effects, Keep).kept
    assert row.stage is Stage.DONE
    assert row.decisions[-1] == Decision(alone.now.unix_us, "DONE", "stored", "it is in our store")
    assert not alone.machine.cases.open
    assert alone.machine.cases.decided == {Verdict.WAIT: 1, Verdict.DONE: 1}
    assert alone.machine.sources.runs("requests").low == 1


def test_verdicts_are_counted_case_by_case() -> None:
    alone = Alone.running()
    bad = [request(100 + n) for n in range(3)]
    alone.fails |= {one.key: REFUSED for one in bad}
    alone.take(*bad)
    assert alone.machine.cases.decided == {Verdict.WAIT: 3}
    assert alone.machine.cases.held == 3


def test_a_delivered_request_that_is_stored_at_once_answers_the_peer_and_keeps_no_row() -> None:
    alone = Alone.running()
    effects = alone.hear(*alone.asks(BAD))
    assert [type(effect) for effect in effects] == [Look, Write, Say]
    assert words(effects) == [Said(BAD.key, ME, Word.STORED, 1, 1, NOW.unix_us)]
    assert not alone.machine.cases.open


@pytest.mark.parametrize(
    ("record", "kind", "reason"),
    [
        (b"\xc1 no record", Kind.REJECTED, "undecodable: what was kept of it is no record: "),
        (encode_request(BAD._replace(schema=99)).encode(), Kind.TOO_NEW, "schema version 99 is above ours"),
        (Record(BAD.key.parent.encode(), b"{}", ()).encode(), Kind.REJECTED, ""),
    ],
    ids=["garbage", "a schema above ours", "no headers"],
)
def test_a_delivered_record_that_cannot_be_read_fails_as_what_it_is(record: bytes, kind: Kind, reason: str) -> None:
    alone = Alone.running()
    effects = alone.hear(Payload(BAD.key, record), alone.word(BAD.key, Word.FAILED, Kind.REJECTED))
    said = words(effects)[0]
    assert said.kind is kind
    assert said.reason.startswith(reason)
    assert said.reason
    assert rows(effects)[-1].record == record
    assert not every(effects, Write), "there is nothing to be tried"


def test_a_tick_in_the_place_of_a_request_is_refused_with_that_reason() -> None:
    alone = Alone.running()
    record = encode_tick(TickRecord(NOW.unix_us, "a")).encode()
    effects = alone.hear(Payload(BAD.key, record), alone.word(BAD.key, Word.FAILED, Kind.REJECTED))
    assert words(effects)[0].reason == "undecodable: it is a tick, and no request"
    assert words(effects)[0].kind is Kind.REJECTED


def test_what_is_stored_before_its_failure_was_acknowledged_leaves_no_row() -> None:
    alone = Alone.running()
    alone.unanswered = {Say}
    alone.refused()
    alone.fails.clear()
    effects = alone.wait(1.0)
    assert [word.word for word in words(effects)] == [Word.STORED]
    assert not rows(effects)
    assert not alone.machine.cases.open


def test_what_can_be_read_by_nobody_is_quarantined_although_it_is_never_tried() -> None:
    alone = Alone.running()
    garbage = Record(b"checkout\0x", b"{}", ())
    (word,) = words(alone.take(garbage))
    alone.wait(1.0)
    effects = alone.hear(alone.word(word.key, Word.FAILED, Kind.REJECTED))
    assert rows(effects)[-1].stage is Stage.QUARANTINED

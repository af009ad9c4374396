"""What exactly a partition machine does, step by step: its opening, sets of its log, and news from the ledger."""

from dataclasses import replace

import msgspec
import pytest

from tests.unit.core.alone import BAD, EPOCH, ME, NOW, PEER, Alone, every, order, rows, the, words
from tests.unit.core.harness import LIMITS, request
from tocsin.core.effects import (
    Acknowledged,
    BudgetIs,
    LedgerRead,
    Look,
    Looked,
    Lose,
    LoseDone,
    Mark,
    Save,
    SaveDone,
    Say,
    SetFetched,
    Write,
    Wrote,
)
from tocsin.core.failures import Kind
from tocsin.core.kept import Decision, Kept, Stage
from tocsin.core.partition import Phase
from tocsin.core.progress import Anchor, Coordinates, ProgressRow, Runs, SourceProgress
from tocsin.core.requests import SCHEMA, Record, Tick, bytes_digest, decode_records, encode_request, encode_tick
from tocsin.core.sources import Fetch
from tocsin.core.statements import (
    Opened,
    PersonWord,
    Promoted,
    RegionOrder,
    Replica,
    Said,
    Statement,
    Word,
)

GOOD = [request(n) for n in range(1, 6)]
OPENED = Opened(ME, 1, "db")
REACH = LIMITS.reach_records


def saved(runs: Runs, *, clean: bool, epoch: int = 1, reach: int = 0, tick_us: int = 0) -> ProgressRow:
    source = SourceProgress(Coordinates("b", "requests", "1", 0), runs, reach=reach, tick_us=tick_us)
    return ProgressRow(7, epoch, clean, {"requests": source})


# Opening --------------------------------------------------------------------------------------------------------------


def test_the_first_owner_opens_the_first_incarnation_and_promotes_its_own_stack() -> None:
    alone = Alone()
    assert not alone.step(LedgerRead([Promoted("a", 1, "blue")]))
    phases = [alone.machine.phase]
    effects = alone.step(LedgerRead([], at_end=True))
    assert effects == [Say([OPENED, Promoted("b", 1, "blue")])]
    assert [*phases, alone.machine.phase] == [Phase.READING, Phase.ANNOUNCING]
    assert alone.machine.known.incarnation == 1


@pytest.mark.parametrize(("database", "incarnation"), [("db", 4), ("another", 5)])
def test_an_incarnation_is_opened_only_on_other_data_and_is_announced_all_the_same(
    database: str, incarnation: int
) -> None:
    alone = Alone()
    before: list[Statement] = [Opened(ME, 4, database), Promoted("b", 2, "green")]
    assert alone.step(LedgerRead(before, at_end=True)) == [Say([Opened(ME, incarnation, "db")])]
    assert alone.machine.known.incarnation == incarnation


def test_work_begins_when_the_opening_is_acknowledged_with_a_save_that_is_the_first_of_this_owner() -> None:
    alone = Alone(saved=[saved(Runs(3), clean=True), saved(Runs(5), clean=True, epoch=2)])
    opening = the(alone.step(LedgerRead([], at_end=True)), Say)
    assert alone.machine.fetches() == []
    save = the(alone.step(Acknowledged(opening.statements)), Save)
    assert alone.machine.phase is Phase.RUNNING
    assert save.first
    assert (save.row.partition, save.row.epoch, save.row.clean) == (7, EPOCH, False)
    assert save.row.sources["requests"].runs.low == 5, "the union of what owners saved"
    assert save.row.sources["requests"].reach == 5 + REACH
    assert alone.machine.fetches() == [], "nothing is taken in hand above a reach that is not saved"
    alone.step(SaveDone(ok=True))
    assert alone.machine.fetches() == [Fetch("requests", 5, LIMITS.set_records_max)]


def test_a_second_acknowledgement_of_the_opening_begins_nothing_again() -> None:
    alone = Alone.running()
    alone.refused()
    assert not words(alone.step(Acknowledged([OPENED])))
    assert alone.machine.phase is Phase.RUNNING


def test_a_first_save_that_fails_is_repeated_as_the_first() -> None:
    alone = Alone()
    alone.unanswered = {Save}
    assert the(alone.run(), Save).first
    alone.quiet(SaveDone(ok=False))
    assert the(alone.wait(LIMITS.flush_every_s), Save).first
    alone.quiet(SaveDone(ok=True))
    alone.take(GOOD[0])
    assert not the(alone.wait(LIMITS.flush_every_s), Save).first


def test_no_case_is_tried_before_the_first_save_is_acknowledged() -> None:
    alone = Alone()
    alone.unanswered = {Save}
    alone.run(*alone.asks(BAD))
    effects = alone.quiet(Looked(BAD.key, stored=False))
    assert not every(effects, Write)
    assert the(alone.quiet(SaveDone(ok=True)), Write).requests == [BAD]


def test_orders_in_the_book_are_marked_and_questions_in_it_looked_for_at_the_start() -> None:
    alone = Alone()
    alone.unanswered = {Look}
    effects = alone.run(*alone.asks(BAD), order(3, PersonWord.DROPPED, GOOD[0].key))
    assert every(effects, Mark) == [Mark(GOOD[0].key, 3, dropped=True)]
    assert every(effects, Look) == [Look(BAD.key)]


# Sets -----------------------------------------------------------------------------------------------------------------


def test_a_good_set_is_one_write_and_its_span_is_done_when_that_ends() -> None:
    alone = Alone.running()
    alone.unanswered = {Write}
    assert alone.take(*GOOD) == [Write(1, GOOD)]
    assert alone.machine.sources.runs("requests").low == 0
    assert alone.machine.sets_in_flight == 1
    alone.quiet(Wrote(1, {}, answers=True))
    assert alone.machine.sources.runs("requests").low == 5
    assert alone.machine.sets_in_flight == 0
    assert alone.machine.seen == {"checkout": NOW.unix_us}


def test_a_set_from_another_position_than_the_one_asked_for_is_not_taken() -> None:
    alone = Alone.running()
    late = alone.fetched(GOOD[0])
    alone.quiet(late)
    assert not every(alone.quiet(late), Write)
    assert not every(alone.quiet(late._replace(position=2)), Write)


def test_offsets_that_the_log_never_delivered_are_done_with_their_set() -> None:
    alone = Alone.running()
    records = [encode_request(GOOD[0])]
    alone.quiet(SetFetched("requests", 0, [3], records, decode_records(records), 9, 0))
    assert alone.machine.sources.runs("requests").low == 9
    assert alone.machine.sources.position("requests") == 9


def test_a_set_whose_parts_do_not_belong_together_is_an_error() -> None:
    alone = Alone.running()
    records = [encode_request(GOOD[0])]
    with pytest.raises(ValueError, match="zip"):
        alone.quiet(SetFetched("requests", 0, [0, 1], records, decode_records(records), 2, 0))


def test_an_empty_set_moves_on() -> None:
    alone = Alone.running()
    alone.quiet(SetFetched("requests", 0, [], [], [], 4, 0))
    assert alone.machine.sources.runs("requests").low == 4


def test_what_retention_took_is_named_as_lost_and_the_rest_of_the_set_is_written() -> None:
    alone = Alone.running()
    alone.unanswered = {Lose}
    records = [encode_request(GOOD[0])]
    effects = alone.quiet(SetFetched("requests", 0, [6], records, decode_records(records), 7, 6))
    assert every(effects, Lose) == [Lose("requests", 0, 6)]
    assert the(effects, Write).requests == [GOOD[0]]
    assert list(alone.machine.sources.runs("requests")) == [(6, 7)]
    alone.quiet(LoseDone("requests", 0, 6))
    assert alone.machine.sources.runs("requests").low == 7


def test_an_empty_set_below_what_retention_left_goes_on_above_it() -> None:
    alone = Alone.running()
    alone.quiet(SetFetched("requests", 0, [], [], [], 0, 6))
    assert alone.machine.sources.position("requests") == 6
    assert alone.machine.sources.runs("requests").low == 6


def test_what_is_done_already_is_not_written_again() -> None:
    alone = Alone(saved=[saved(Runs(0, [(1, 3)]), clean=True)])
    alone.run()
    write = the(alone.take(*GOOD), Write)
    assert write.requests == [GOOD[0], *GOOD[3:]]
    assert alone.machine.sources.runs("requests").low == 5


def test_ticks_are_no_requests_and_are_applied_once_all_below_them_is_done() -> None:
    alone = Alone.running()
    alone.unanswered = {Write}
    tick = encode_tick(Tick(123, "b"))
    assert the(alone.take(GOOD[0], tick, GOOD[1]), Write).requests == GOOD[:2]
    alone.wait(LIMITS.flush_every_s)
    save = the(alone.quiet(Wrote(1, {}, answers=True)), Save)
    assert save.row.sources["requests"].tick_us == 123
    assert save.row.sources["requests"].runs.low == 3
    assert save.row.sources["requests"].anchor == Anchor(2, bytes_digest(encode_request(GOOD[1])))


def test_below_the_saved_reach_of_an_unclean_owner_everything_is_tried_alone_and_above_it_nothing() -> None:
    alone = Alone(saved=[saved(Runs(), clean=False, reach=2)])
    alone.run()
    writes = every(alone.take(*GOOD), Write)
    assert [(write.requests, write.alone) for write in writes] == [(GOOD[2:], False), (GOOD[:2], True)]
    assert alone.machine.sources.runs("requests").low == 5


def test_what_the_log_did_not_hold_yet_when_we_took_over_was_in_nobody_s_hand() -> None:
    alone = Alone(saved=[saved(Runs(), clean=False, reach=5)], ends={"requests": 2})
    alone.run()
    writes = every(alone.take(*GOOD), Write)
    assert [(write.requests, write.alone) for write in writes] == [(GOOD[2:], False), (GOOD[:2], True)]


def test_what_any_replica_called_crashed_is_tried_alone() -> None:
    alone = Alone.running()
    alone.unanswered = {Look}
    alone.hear(Said(GOOD[1].key, PEER, Word.FAILED, 1, 1, 0, Kind.CRASHED, "", crashed=True))
    writes = every(alone.take(*GOOD[:3]), Write)
    assert [(write.requests, write.alone) for write in writes] == [([GOOD[0], GOOD[2]], False), ([GOOD[1]], True)]


def test_a_record_that_cannot_be_read_is_said_and_its_set_goes_on() -> None:
    alone = Alone.running()
    garbage = Record(b"checkout\0x", b"{}", ())
    effects = alone.take(GOOD[0], garbage, GOOD[1])
    assert the(effects, Write).requests == GOOD[:2]
    (word,) = words(effects)
    assert word.key.digest == bytes_digest(garbage)
    assert word.kind is Kind.REJECTED
    assert rows(effects)[-1].record == garbage.encode()
    assert list(alone.machine.sources.runs("requests")) == [(2, 3)]
    assert alone.machine.sources.runs("requests").low == 1


def test_a_record_above_our_schema_is_set_aside_as_it_is() -> None:
    alone = Alone.running()
    newer = GOOD[0]._replace(schema=SCHEMA + 1)
    effects = alone.take(newer)
    assert rows(effects)[-1].stage is Stage.ASIDE
    assert rows(effects)[-1].kind is Kind.TOO_NEW
    assert rows(effects)[-1].record == encode_request(newer).encode()
    assert alone.machine.sources.runs("requests").low == 1


def test_a_second_delivery_of_a_case_shares_its_fate_and_is_not_written_with_its_set() -> None:
    alone = Alone.running()
    alone.refused()
    effects = alone.take(GOOD[0], BAD)
    assert the(effects, Write).requests == [GOOD[0]]
    assert list(alone.machine.sources.runs("requests")) == [(1, 2)]
    alone.peer_refuses()
    assert alone.machine.sources.runs("requests").low == 3


def test_no_more_sets_are_in_flight_than_the_limit() -> None:
    alone = Alone.running(limits=replace(LIMITS, sets_in_flight_max=2))
    alone.unanswered = {Write}
    alone.take(GOOD[0])
    assert alone.machine.fetches() == [Fetch("requests", 1, LIMITS.set_records_max)]
    alone.take(GOOD[1])
    assert alone.machine.fetches() == []
    alone.quiet(Wrote(1, {}, answers=True))
    assert len(alone.machine.fetches()) == 1


@pytest.mark.parametrize(("held_max", "fetching"), [(1, 0), (2, 1)])
def test_at_the_cap_of_held_requests_nothing_is_fetched(held_max: int, fetching: int) -> None:
    alone = Alone.running(limits=replace(LIMITS, held_max=held_max))
    alone.refused()
    assert len(alone.machine.fetches()) == fetching


def test_a_halt_is_named_and_fetches_nothing() -> None:
    alone = Alone.running()
    alone.refused()
    alone.hear(alone.word(BAD.key, Word.STORED))
    assert alone.machine.halted == [f"{BAD.key.printed}: better-peer-stored"]
    assert alone.machine.fetches() == []
    alone.fails.clear()
    alone.wait(1.0)
    assert alone.machine.halted == []
    assert len(alone.machine.fetches()) == 1


# News -----------------------------------------------------------------------------------------------------------------


def test_a_promotion_has_everything_decided_again() -> None:
    alone = Alone.running()
    alone.refused()
    green = Replica("a", "green")
    alone.hear(Said(BAD.key, green, Word.FAILED, 1, 1, 0, Kind.REJECTED))
    assert alone.machine.cases.open[BAD.key].stage is Stage.HELD
    alone.hear(Promoted("a", 2, "green"))
    assert alone.machine.cases.open[BAD.key].stage is Stage.QUARANTINED


def test_a_drain_has_everything_decided_again() -> None:
    alone = Alone.running()
    alone.refused()
    alone.hear(alone.word(BAD.key, Word.STORED))
    assert alone.machine.halted
    alone.hear(RegionOrder("a", 1, PersonWord.DRAINED, "eve", 0))
    assert alone.machine.cases.open[BAD.key].row == "stored-elsewhere"


def test_a_standing_of_a_stack_that_is_not_promoted_says_nothing_of_its_region() -> None:
    alone = Alone.running(limits=replace(LIMITS, ask_limit_s=2.0, answer_deadline_s=60.0))
    alone.refused()
    alone.wait(1.9)
    alone.hear(msgspec.structs.replace(alone.standing(3), replica=Replica("a", "green")))
    alone.wait(0.2)
    assert alone.machine.cases.open[BAD.key].row == "no-answer"


def test_statements_that_are_known_already_are_no_news() -> None:
    alone = Alone.running()
    alone.hear(order(1, PersonWord.DROPPED))
    assert not alone.hear(order(1, PersonWord.DROPPED))
    assert not alone.step(LedgerRead([], at_end=True))


def test_a_heartbeat_of_a_region_that_nobody_promoted_says_nothing_of_it() -> None:
    alone = Alone.running()
    assert not alone.hear(msgspec.structs.replace(alone.standing(3), replica=Replica("z", "blue")))


def test_no_verdict_is_given_before_the_book_is_read_to_its_end() -> None:
    decision = Decision(NOW.unix_us, "WAIT", "awaiting-answer", "")
    record = encode_request(BAD).encode()
    kept = Kept(BAD.key, 7, Stage.HELD, record, Kind.REJECTED, "refused", NOW.unix_us, 1, 1, (decision,), 5)
    alone = Alone(kept=[kept])
    word = Said(BAD.key, ME, Word.FAILED, 1, 1, NOW.unix_us, Kind.REJECTED)
    assert not alone.step(LedgerRead([OPENED, Promoted("a", 1, "blue"), word, alone.word(BAD.key, Word.STORED)]))
    assert not alone.step(BudgetIs(frozenset(), spent=False))
    assert not alone.machine.halted


def test_before_it_takes_up_work_a_machine_takes_every_peer_to_hear_it() -> None:
    (neighbour,) = Alone().machine.known.neighbours(NOW)
    assert neighbour.can_be_asked


def test_a_set_of_which_a_record_was_not_decoded_is_a_fault_of_the_shell() -> None:
    alone = Alone.running()
    whole = alone.fetched(*GOOD)
    with pytest.raises(ValueError, match="shorter"):
        alone.step(whole._replace(contents=whole.contents[:-1]))

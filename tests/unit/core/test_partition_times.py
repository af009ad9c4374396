"""What exactly a partition machine does when time passes, its store falls silent, or it is stopped."""

from dataclasses import replace

from tests.unit.core.alone import BAD, EPOCH, ME, NOW, OUTAGE, REFUSED, Alone, every, order, rows, the, words
from tests.unit.core.harness import LIMITS, request
from tocsin.core.effects import (
    Acknowledged,
    Effect,
    LedgerRead,
    Look,
    RegionIs,
    Save,
    SaveDone,
    Say,
    SetFetched,
    Stop,
    StoreAnswers,
    Write,
    Wrote,
)
from tocsin.core.effects import Tick as TimePassed
from tocsin.core.failures import Kind
from tocsin.core.partition import Phase
from tocsin.core.progress import Coordinates, ProgressRow, Runs, SourceProgress
from tocsin.core.requests import SCHEMA
from tocsin.core.statements import (
    Beat,
    Opened,
    PersonWord,
    Standing,
    Word,
)

GOOD = [request(n) for n in range(1, 6)]
OPENED = Opened(ME, 1, "db")
REACH = LIMITS.reach_records


def saved(runs: Runs, *, clean: bool, epoch: int = 1, reach: int = 0, tick_us: int = 0) -> ProgressRow:
    source = SourceProgress(Coordinates("b", "requests", "1", 0), runs, reach=reach, tick_us=tick_us)
    return ProgressRow(7, epoch, clean, {"requests": source})


# A silent store -------------------------------------------------------------------------------------------------------


def silenced(alone: Alone, *taken: int) -> list[Effect]:
    """A set meets a store that answers nothing."""
    alone.answers = False
    return alone.take(*[GOOD[n] for n in taken])


def test_of_a_set_that_met_a_silent_store_only_the_head_becomes_a_case_and_the_rest_waits_as_it_is() -> None:
    alone = Alone.running()
    effects = silenced(alone, 0, 1, 2)
    assert [word.key for word in words(effects)] == [GOOD[0].key]
    assert rows(effects)[-1].decisions[-1].row == "store-silent"
    assert list(alone.machine.cases.open) == [GOOD[0].key]
    assert alone.machine.fetches() == []
    assert alone.machine.sources.runs("requests").low == 0
    alone.answers = True
    writes = every(alone.quiet(StoreAnswers(answers=True)), Write)
    assert [write.requests for write in writes] == [GOOD[1:3], [GOOD[0]]]
    assert alone.machine.sources.runs("requests").low == 3
    assert len(alone.machine.fetches()) == 1


def test_what_was_written_before_the_store_fell_silent_is_done() -> None:
    alone = Alone.running()
    alone.unanswered = {Write}
    alone.take(*GOOD)
    alone.answers = False
    alone.quiet(Wrote(1, {1: OUTAGE, 3: OUTAGE}, answers=False))
    assert [case.key for case in alone.machine.cases.open.values()] == [GOOD[1].key]
    runs = alone.machine.sources.runs("requests")
    assert (runs.low, list(runs)) == (1, [(2, 3), (4, 5)])
    alone.answers, alone.unanswered = True, set()
    alone.quiet(StoreAnswers(answers=True))
    assert runs.low == 5


def test_the_second_set_that_meets_a_silent_store_says_nothing() -> None:
    alone = Alone.running()
    alone.unanswered = {Write}
    alone.take(GOOD[0])
    alone.take(GOOD[1])
    alone.answers = False
    assert len(words(alone.quiet(Wrote(1, {0: OUTAGE}, answers=False)))) == 1
    assert not words(alone.quiet(Wrote(2, {0: OUTAGE}, answers=False)))
    assert alone.machine.cases.held == 1
    alone.answers, alone.unanswered = True, set()
    assert [write.requests for write in every(alone.quiet(StoreAnswers(answers=True)), Write)] == [[GOOD[1]], [GOOD[0]]]


def test_what_waited_for_a_silent_store_and_is_refused_then_holds_its_own_offset() -> None:
    alone = Alone.running()
    silenced(alone, 0, 1, 2)
    alone.answers, alone.fails = True, {GOOD[2].key: REFUSED}
    alone.quiet(StoreAnswers(answers=True))
    runs = alone.machine.sources.runs("requests")
    assert (runs.low, list(runs)) == (2, [])
    assert list(alone.machine.cases.open) == [GOOD[2].key]


def test_nothing_is_fetched_for_a_store_that_answers_nothing() -> None:
    alone = Alone.running()
    assert alone.machine.fetches()
    alone.quiet(StoreAnswers(answers=False))
    assert alone.machine.fetches() == []


def test_all_sets_that_wait_for_a_silent_store_are_written_when_it_answers() -> None:
    alone = Alone.running()
    alone.unanswered = {Write}
    alone.take(GOOD[0], GOOD[1])
    alone.take(GOOD[2], GOOD[3])
    alone.answers = False
    alone.quiet(Wrote(1, {0: OUTAGE, 1: OUTAGE}, answers=False))
    alone.quiet(Wrote(2, {0: OUTAGE, 1: OUTAGE}, answers=False))
    alone.answers, alone.unanswered = True, set()
    writes = every(alone.quiet(StoreAnswers(answers=True)), Write)
    assert [write.requests for write in writes] == [[GOOD[1]], GOOD[2:4], [GOOD[0]]]
    assert alone.machine.sources.runs("requests").low == 4


def test_each_outage_says_its_own_head() -> None:
    alone = Alone.running()
    assert [word.key for word in words(silenced(alone, 0))] == [GOOD[0].key]
    alone.answers = True
    alone.quiet(StoreAnswers(answers=True))
    assert [word.key for word in words(silenced(alone, 1))] == [GOOD[1].key]


def test_of_the_retries_that_meet_a_silent_store_the_first_alone_is_said() -> None:
    alone = Alone.running()
    alone.refused(GOOD[0])
    alone.refused(GOOD[1])
    alone.unanswered = {Write}
    first, second = every(alone.wait(1.0), Write)
    (word,) = words(alone.quiet(Wrote(first.write, {0: OUTAGE}, answers=False)))
    assert (word.key, word.kind) == (first.requests[0].key, Kind.UNAVAILABLE)
    assert not words(alone.quiet(Wrote(second.write, {0: OUTAGE}, answers=False)))


def test_with_a_request_held_already_a_silent_store_makes_no_case_of_another() -> None:
    alone = Alone.running()
    alone.refused()
    effects = silenced(alone, 0)
    assert not words(effects)
    assert list(alone.machine.cases.open) == [BAD.key]


def test_single_failures_of_a_store_that_answers_are_cases_of_their_own() -> None:
    alone = Alone.running()
    alone.fails = {GOOD[0].key: OUTAGE, GOOD[2].key: REFUSED}
    effects = alone.take(*GOOD)
    assert [(word.key, word.kind) for word in words(effects)] == [
        (GOOD[0].key, Kind.UNAVAILABLE),
        (GOOD[2].key, Kind.REJECTED),
    ]
    runs = alone.machine.sources.runs("requests")
    assert (runs.low, list(runs)) == (0, [(1, 2), (3, 5)])


def test_a_store_that_goes_on_being_silent_is_no_news() -> None:
    alone = Alone.running()
    alone.quiet(StoreAnswers(answers=False))
    assert not alone.step(StoreAnswers(answers=False))
    alone.quiet(StoreAnswers(answers=True))
    assert not alone.step(StoreAnswers(answers=True))


# Heartbeats -----------------------------------------------------------------------------------------------------------


def beats(effects: list[Effect]) -> list[Standing]:
    return [s for say in every(effects, Say) for s in say.statements if isinstance(s, Standing)]


def test_a_heartbeat_tells_the_region_s_state_and_echoes_the_peers() -> None:
    alone = Alone()
    alone.run(Opened(ME, 2, "db"))
    alone.hear(alone.standing(7))
    alone.quiet(RegionIs(halted=False, ill=False, draining=True))
    (beat,) = beats(alone.quiet(TimePassed(lag_s=1.5)))
    assert beat == Standing(
        replica=ME,
        beat=Beat(EPOCH, 1),
        at_us=NOW.unix_us,
        halted=False,
        ill=False,
        draining=True,
        lag_s=1.5,
        schema=SCHEMA,
        incarnation=2,
        heard={"a": Beat(1, 7)},
    )


def test_heartbeats_are_numbered_on_and_keep_their_pace() -> None:
    alone = Alone.running(limits=replace(LIMITS, standing_every_s=1.0))
    assert not beats(alone.wait(0.9))
    (second,) = beats(alone.wait(0.1))
    assert second.beat == Beat(EPOCH, 2)
    assert second.heard == {"a": Beat(1, 1)}
    assert not beats(alone.wait(0.5))


def test_no_heartbeat_is_said_before_the_last_one_is_acknowledged() -> None:
    alone = Alone.running()
    alone.unanswered = {Say}
    (beat,) = beats(alone.wait(1.0))
    assert not beats(alone.wait(5.0))
    alone.quiet(Acknowledged([beat]))
    assert len(beats(alone.wait(0.1))) == 1


def test_a_heartbeat_says_that_we_halt_when_we_or_any_of_the_region_does() -> None:
    alone = Alone.running()
    alone.quiet(RegionIs(halted=True, ill=True, draining=False))
    (beat,) = beats(alone.wait(1.0))
    assert (beat.halted, beat.ill, beat.draining) == (True, True, False)
    alone.quiet(RegionIs(halted=False, ill=False, draining=False))
    (beat,) = beats(alone.wait(1.0))
    assert (beat.halted, beat.ill) == (False, False)
    alone.refused()
    alone.hear(alone.word(BAD.key, Word.STORED))
    (beat,) = beats(alone.wait(1.0))
    assert (beat.halted, beat.ill) == (True, False)


def test_a_store_that_was_silent_for_the_grace_makes_us_ill_until_it_answers() -> None:
    alone = Alone.running(limits=replace(LIMITS, grace_s=3.0))
    alone.quiet(StoreAnswers(answers=False))
    alone.answers = False
    found = [beats(alone.wait(1.0))[0].ill for _ in range(4)]
    assert found == [False, False, True, True]
    alone.answers = True
    alone.quiet(StoreAnswers(answers=True))
    assert not beats(alone.wait(1.0))[0].ill


def test_a_machine_that_was_told_nothing_of_its_region_takes_it_for_well() -> None:
    alone = Alone()
    alone.run()
    (beat,) = beats(alone.wait(0.0))
    assert (beat.halted, beat.ill, beat.draining) == (False, False, False)
    assert beat.heard == {}


def test_a_machine_that_does_not_run_yet_has_no_heartbeat() -> None:
    assert not Alone().step(TimePassed())


# Saving and stopping --------------------------------------------------------------------------------------------------


def test_progress_is_saved_on_change_once_an_interval_and_one_save_at_a_time() -> None:
    alone = Alone.running(limits=replace(LIMITS, flush_every_s=0.5))
    alone.unanswered = {Save}
    assert not every(alone.wait(0.6), Save), "nothing has changed"
    effects = alone.take(GOOD[0])
    save = the(effects, Save)
    assert not save.first
    assert not save.row.clean
    alone.take(GOOD[1])
    assert not every(alone.wait(5.0), Save), "one is under way"
    effects = alone.quiet(SaveDone(ok=True))
    assert the(effects, Save).row.sources["requests"].runs.low == 2


def test_while_the_store_answers_nothing_progress_is_not_saved() -> None:
    alone = Alone.running()
    alone.quiet(StoreAnswers(answers=False))
    alone.hear(order(1, PersonWord.DROPPED))
    alone.quiet(SetFetched("requests", 0, [], [], [], 4, 0))
    assert not every(alone.wait(5.0), Save)


def test_a_stop_waits_for_what_is_in_hand_then_saves_a_clean_row_and_takes_nothing_new() -> None:
    alone = Alone.running()
    alone.unanswered = {Write}
    alone.take(GOOD[0])
    assert not every(alone.quiet(Stop()), Save)
    assert alone.machine.fetches() == []
    save = the(alone.quiet(Wrote(1, {}, answers=True)), Save)
    assert save.row.clean
    assert (save.row.partition, save.row.epoch, save.first) == (7, EPOCH, False)
    assert alone.machine.phase is Phase.STOPPED
    assert not alone.wait(5.0)


def test_a_stop_waits_for_the_save_under_way() -> None:
    alone = Alone.running()
    alone.wait(1.0)
    alone.unanswered = {Save}
    the(alone.take(GOOD[0]), Save)
    assert not every(alone.quiet(Stop()), Save)
    assert the(alone.quiet(SaveDone(ok=True)), Save).row.clean


def test_a_stop_with_a_suspect_that_was_never_tried_is_not_clean() -> None:
    alone = Alone(saved=[saved(Runs(), clean=False)])
    alone.unanswered = {Look}
    alone.run(*alone.asks(BAD))
    assert not the(alone.quiet(Stop()), Save).row.clean


def test_nothing_is_tried_again_once_a_stop_was_asked_for() -> None:
    alone = Alone.running()
    alone.unanswered = {Write}
    alone.take(GOOD[0])
    alone.step(Stop())
    alone.fails[GOOD[0].key] = REFUSED
    alone.hear(*alone.asks(BAD))
    assert not every(alone.wait(5.0), Write)


def test_a_stop_before_the_opening_is_acknowledged_ends_at_once() -> None:
    alone = Alone()
    alone.step(LedgerRead([], at_end=True))
    assert not alone.step(Stop())
    assert alone.machine.phase is Phase.STOPPED

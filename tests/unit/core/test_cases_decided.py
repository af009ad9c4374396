"""The way of one case into a quarantine, past the budget, and what a person's words do to it."""

from tests.unit.core.alone import BAD, NOW, PEER, REFUSED, Alone, every, order, rows, the
from tests.unit.core.harness import request
from tocsin.core.effects import (
    Alarm,
    BudgetIs,
    Count,
    Keep,
    KeptDone,
    Look,
    Looked,
    Mark,
    MarkDone,
    Write,
    Wrote,
)
from tocsin.core.failures import Kind
from tocsin.core.kept import Decision, Stage
from tocsin.core.statements import Opened, PersonWord, Said, Word
from tocsin.core.verdict import Verdict

GOOD = request(1)


# The way to a quarantine ----------------------------------------------------------------------------------------------


def test_nothing_is_quarantined_before_our_own_store_was_asked_and_it_is_asked_once() -> None:
    alone = Alone.running()
    alone.refused()
    alone.unanswered = {Look}
    assert the(alone.peer_refuses(), Look) == Look(BAD.key)
    assert not every(alone.wait(0.05), Look)
    assert alone.machine.cases.open[BAD.key].stage is Stage.HELD
    effects = alone.quiet(Looked(BAD.key, stored=False))
    assert the(effects, Keep).kept.stage is Stage.QUARANTINED


def test_a_store_that_does_not_say_whether_it_has_a_row_is_asked_again_at_the_next_tick() -> None:
    alone = Alone.running()
    alone.refused()
    alone.unanswered = {Look}
    alone.peer_refuses()
    assert not alone.quiet(Looked(BAD.key, stored=None))
    assert every(alone.wait(0.05), Look) == [Look(BAD.key)]
    alone.quiet(Looked(BAD.key, stored=False))
    assert alone.machine.cases.open[BAD.key].stage is Stage.QUARANTINED


def test_nothing_is_quarantined_or_looked_for_while_it_is_being_tried() -> None:
    alone = Alone.running()
    alone.refused()
    alone.unanswered = {Write}
    write = the(alone.wait(1.0), Write)
    effects = alone.peer_refuses()
    assert not every(effects, Look)
    assert not rows(effects)
    effects = alone.quiet(Wrote(write.write, {0: REFUSED}, answers=True))
    assert the(effects, Look) == Look(BAD.key)
    assert rows(effects)[-1].stage is Stage.QUARANTINED


def test_a_try_that_failed_again_has_our_store_asked_again() -> None:
    alone = Alone.running()
    alone.refused()
    alone.unanswered = {Look, Write}
    alone.peer_refuses()
    alone.quiet(Looked(BAD.key, stored=None))
    write = the(alone.wait(1.0), Write)
    alone.quiet(Looked(BAD.key, stored=False))
    assert alone.machine.cases.open[BAD.key].stage is Stage.HELD, "what is being tried is not quarantined"
    effects = alone.quiet(Wrote(write.write, {0: REFUSED}, answers=True))
    assert every(effects, Look) == [Look(BAD.key)]


def test_a_service_is_counted_once_while_the_answer_is_on_its_way() -> None:
    alone = Alone.running()
    other = request(5)
    alone.unanswered = {Count}
    alone.refused()
    alone.refused(other)
    assert every(alone.peer_refuses(), Count) == [Count("checkout")]
    assert not every(alone.peer_refuses(other), Count)
    alone.unanswered = set()
    effects = alone.quiet(BudgetIs(frozenset({"checkout"}), spent=False))
    assert {row.key for row in rows(effects) if row.stage is Stage.QUARANTINED} == {BAD.key, other.key}
    assert not every(effects, Count)


def test_an_answer_about_other_services_has_ours_counted_again() -> None:
    alone = Alone.running()
    alone.unanswered = {Count}
    alone.refused()
    alone.peer_refuses()
    effects = alone.quiet(BudgetIs(frozenset({"another"}), spent=False))
    assert every(effects, Count) == [Count("checkout")]


def test_a_spent_budget_halts_by_a_row_of_its_own_and_asks_for_a_person() -> None:
    alone = Alone.running()
    alone.unanswered = {Count}
    alone.refused()
    alone.peer_refuses()
    effects = alone.quiet(BudgetIs(frozenset({"others"}), spent=True))
    assert the(effects, Alarm).action == "budget_spent"
    assert the(effects, Alarm).text.startswith("HALT by row budget-spent: own: rejected")
    row = the(effects, Keep).kept
    assert (row.stage, row.decisions[-1].verdict, row.decisions[-1].row) == (Stage.HELD, "HALT", "budget-spent")
    assert alone.machine.halted == [f"{BAD.key.printed}: budget-spent"]


def test_what_the_budget_admitted_stays_admitted_when_it_is_spent_later() -> None:
    alone = Alone.running()
    alone.refused()
    alone.peer_refuses()
    assert alone.machine.cases.open[BAD.key].stage is Stage.QUARANTINED
    alone.quiet(BudgetIs(frozenset({"checkout"}), spent=True))
    alone.hear(alone.word(BAD.key, Word.STORED, attempt=2), alone.standing(2, ill=True))
    case = alone.machine.cases.open[BAD.key]
    assert (case.stage, case.row) == (Stage.ASIDE, "stored-elsewhere")


def test_a_quarantine_ignores_news_that_could_not_reopen_it() -> None:
    alone = Alone.running()
    alone.refused()
    alone.peer_refuses()
    assert not rows(alone.hear(alone.standing(2, ill=True)))
    assert not rows(alone.hear(alone.word(BAD.key, Word.FAILED, Kind.UNAVAILABLE, attempt=2)))
    assert alone.machine.cases.open[BAD.key].stage is Stage.QUARANTINED
    assert not every(alone.wait(60.0), Write), "and it is not retried"


def test_what_was_set_aside_is_decided_again_with_the_news_of_a_peer_and_not_without() -> None:
    alone = Alone.running()
    alone.hear(alone.standing(2, ill=True), alone.word(BAD.key, Word.STORED))
    alone.refused()
    assert alone.machine.cases.open[BAD.key].verdict is Verdict.SET_ASIDE
    before = alone.machine.cases.decided.copy()
    alone.hear(alone.standing(3, ill=True))
    assert alone.machine.cases.decided == before
    alone.hear(alone.standing(4))
    assert alone.machine.cases.open[BAD.key].verdict is Verdict.HALT


def test_each_verdict_is_counted_as_often_as_it_is_given() -> None:
    alone = Alone.running()
    others = [request(1), request(2)]
    for one in others:
        alone.refused(one)
    alone.hear(alone.standing(2, ill=True))
    alone.fails.clear()
    alone.wait(60.0)
    counted = alone.machine.cases.decided
    assert (counted[Verdict.SET_ASIDE], counted[Verdict.DONE]) == (2, 2)


def test_a_quarantine_that_is_reopened_is_looked_for_anew_before_the_next_one() -> None:
    alone = Alone.running()
    alone.refused()
    alone.peer_refuses()
    effects = alone.hear(order(1, PersonWord.REDRIVE))
    assert the(effects, Mark) == Mark(BAD.key, 1, dropped=False)
    assert every(effects, Look) == [Look(BAD.key)]
    assert [row.decisions[-1].row for row in rows(effects)] == ["redrive-1", "all-refused"]


def test_what_was_set_aside_is_looked_for_until_our_store_says_whether_it_has_it() -> None:
    alone = Alone.running()
    alone.hear(alone.standing(2, ill=True))
    alone.refused()
    assert alone.machine.cases.open[BAD.key].stage is Stage.ASIDE
    alone.unanswered = {Look}
    assert every(alone.peer_refuses(), Look) == [Look(BAD.key)]
    alone.quiet(Looked(BAD.key, stored=None))
    assert every(alone.wait(0.05), Look) == [Look(BAD.key)]
    alone.quiet(Looked(BAD.key, stored=False))
    assert alone.machine.cases.open[BAD.key].stage is Stage.QUARANTINED


def test_what_was_looked_for_before_another_verdict_is_looked_for_again_after_it() -> None:
    alone = Alone.running()
    alone.refused()
    alone.peer_refuses()
    alone.hear(alone.word(BAD.key, Word.STORED, attempt=2))
    assert alone.machine.halted
    alone.unanswered = {Look}
    again = Said(BAD.key, PEER, Word.FAILED, 2, 1, NOW.unix_us, Kind.REJECTED)
    effects = alone.hear(Opened(PEER, 2, "its new database"), again)
    assert every(effects, Look) == [Look(BAD.key)]
    assert alone.machine.halted


# A person's words -----------------------------------------------------------------------------------------------------


def test_a_redrive_is_kept_with_who_said_it_and_why_and_tried_at_once() -> None:
    alone = Alone.running()
    alone.refused()
    alone.peer_refuses()
    alone.unanswered = {Write}
    effects = alone.hear(order(1, PersonWord.REDRIVE))
    assert the(effects, Keep).kept.decisions[-1] == Decision(
        NOW.unix_us, "REDRIVE", "redrive-1", "eve said redrive: because"
    )
    assert the(effects, Keep).kept.stage is Stage.HELD
    assert the(effects, Write).requests == [BAD]


def test_a_drop_is_done_once_row_and_mark_are_both_written() -> None:
    alone = Alone.running()
    alone.refused()
    alone.unanswered = {Mark, Keep}
    effects = alone.hear(order(1, PersonWord.DROPPED))
    assert the(effects, Mark) == Mark(BAD.key, 1, dropped=True)
    row = the(effects, Keep).kept
    assert row.stage is Stage.DROPPED
    assert the(effects, Alarm).action == "verdict_done"
    alone.quiet(KeptDone(BAD.key, row.version, ok=True))
    assert alone.machine.sources.runs("requests").low == 0
    alone.quiet(MarkDone(BAD.key, 1, ok=True))
    assert alone.machine.sources.runs("requests").low == 1


def test_a_mark_that_was_not_written_is_written_at_the_next_tick_and_then_no_more() -> None:
    alone = Alone.running()
    alone.unanswered = {Mark}
    alone.hear(order(1, PersonWord.DROPPED))
    alone.quiet(MarkDone(BAD.key, 1, ok=False))
    assert every(alone.wait(0.05), Mark) == [Mark(BAD.key, 1, dropped=True)]
    assert not every(alone.wait(0.05), Mark)
    alone.quiet(MarkDone(BAD.key, 1, ok=True))
    assert not every(alone.wait(0.05), Mark)


def test_a_mark_that_failed_is_given_up_for_the_next_order() -> None:
    alone = Alone.running()
    alone.unanswered = {Mark}
    alone.hear(order(1, PersonWord.DROPPED))
    alone.quiet(MarkDone(BAD.key, 1, ok=False))
    alone.hear(order(2, PersonWord.DROPPED))
    alone.quiet(MarkDone(BAD.key, 2, ok=True))
    assert not every(alone.wait(0.05), Mark)


def test_a_second_answer_about_a_mark_changes_nothing() -> None:
    alone = Alone.running()
    alone.hear(order(1, PersonWord.DROPPED))
    assert not alone.quiet(MarkDone(BAD.key, 1, ok=True), MarkDone(BAD.key, 1, ok=False))
    assert not every(alone.wait(0.05), Mark)


def test_an_answer_about_an_older_mark_says_nothing_of_the_newer() -> None:
    alone = Alone.running()
    alone.refused()
    alone.unanswered = {Mark}
    alone.hear(order(1, PersonWord.REDRIVE))
    alone.hear(order(2, PersonWord.DROPPED))
    alone.quiet(MarkDone(BAD.key, 1, ok=True))
    alone.quiet(MarkDone(BAD.key, 1, ok=False))
    assert not every(alone.wait(0.05), Mark)
    assert alone.machine.sources.runs("requests").low == 0
    alone.quiet(MarkDone(BAD.key, 2, ok=True))
    assert alone.machine.sources.runs("requests").low == 1


def test_a_drop_of_what_is_no_case_is_a_mark_and_nothing_else() -> None:
    alone = Alone.running()
    assert alone.hear(order(1, PersonWord.DROPPED, GOOD.key)) == [Mark(GOOD.key, 1, dropped=True)]


def test_of_what_is_dropped_nothing_is_tried_and_a_redrive_lifts_it() -> None:
    alone = Alone.running()
    alone.refused()
    alone.hear(order(1, PersonWord.DROPPED))
    assert not every(alone.wait(60.0), Write)
    alone.fails.clear()
    effects = alone.hear(order(2, PersonWord.REDRIVE))
    assert the(effects, Write).requests == [BAD]
    assert rows(effects)[-1].stage is Stage.DONE

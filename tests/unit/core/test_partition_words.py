"""One machine a region: a person's words, incarnations, stacks, releases and questions.

Every scenario ends healed and quiet, and is then checked for agreement.
"""

import pytest

from tests.unit.core.harness import World, request, settle, started
from tocsin.core import requests as request_codec
from tocsin.core.effects import BudgetIs, LedgerRead, Look
from tocsin.core.kept import Stage
from tocsin.core.requests import encode_request
from tocsin.core.statements import PersonWord, Promoted, Replica, Said, Word

GOOD = [request(n) for n in range(10)]
BAD = request(99)


# A person's words -----------------------------------------------------------------------------------------------------


def quarantined(*, region: str = "a") -> World:
    world = started()
    for name in world.names:
        world[name].store.refuses.add(BAD.key)
    world.accept(region, BAD)
    world.until(lambda: set(world.outcomes(BAD.key).values()) == {"quarantined"})
    world.run(2.0)
    return world


def test_a_quarantine_is_reopened_by_redrive() -> None:
    world = quarantined()
    for name in world.names:
        world[name].store.heal()
    world.order(BAD.key, 1, PersonWord.REDRIVE, region="b")
    world.until(lambda: set(world.outcomes(BAD.key).values()) == {"stored"}, limit_s=5.0)
    settle(world)


def test_a_redrive_that_is_refused_again_quarantines_again_and_a_restart_does_not_repeat_it() -> None:
    world = quarantined()
    world.order(BAD.key, 1, PersonWord.REDRIVE)
    world.run(10.0)
    assert set(world.outcomes(BAD.key).values()) == {"quarantined"}
    decisions = world["a"].decisions(BAD.key)
    assert decisions[-2:] == ["REDRIVE", "QUARANTINE"]
    world["a"].restart()
    settle(world, stores=False)
    assert world["a"].decisions(BAD.key) == decisions


def test_a_quarantine_is_reopened_by_a_later_stored_of_oneself_and_of_the_peer() -> None:
    world = quarantined()
    # A write that was under way when its process was killed: nobody saw it end.
    world["a"].kill()
    world["a"].store.heal()
    world["a"].store.write([BAD], alone=False)
    world.until(lambda: world["b"].is_halted, limit_s=5.0)
    assert world["a"].words(BAD.key) == ["rejected", "stored"]
    settle(world)
    assert world.outcomes(BAD.key) == {"a": "stored", "b": "stored"}


def test_nothing_is_quarantined_while_a_write_of_it_is_under_way() -> None:
    world = started()
    world.cut("b", "a")
    for region in world.names:
        world[region].store.refuses.add(BAD.key)
    world.accept("a", BAD)
    machine = world["a"].machine
    assert machine is not None
    world.until(lambda: BAD.key in machine.cases.open and machine.cases.open[BAD.key].trying)
    world["a"].store.heal()
    effects = machine.step(LedgerRead([world["b"].said[-1]]), world.now)
    effects += machine.step(BudgetIs(frozenset({BAD.key.parent.service}), spent=False), world.now)
    assert not any(isinstance(effect, Look) for effect in effects), "what it would see is about to change"
    assert machine.cases.open[BAD.key].stage is Stage.HELD
    world.until(lambda: world["a"].store.outcome(BAD.key) == "stored")
    settle(world)


def test_a_stored_that_was_said_but_not_kept_is_found_in_the_ledger_at_the_start() -> None:
    world = quarantined()
    world["a"].stop()
    world["a"].store.heal()
    world["a"].store.write([BAD], alone=False)
    world.say("a", Said(BAD.key, Replica("a", "blue"), Word.STORED, 1, 2, 0))
    world["a"].start()
    world.run(3.0)
    assert world["a"].store.kept[BAD.key].stage is Stage.DONE
    settle(world)


@pytest.mark.parametrize("moment", ["before delivery", "while halted", "after it was stored", "after the quarantine"])
def test_what_a_person_drops_is_left_out_everywhere(moment: str) -> None:
    world = quarantined() if moment == "after the quarantine" else started()
    if moment == "while halted":
        world["b"].store.refuses.add(BAD.key)
        world.accept("a", BAD)
        world.until(lambda: world["b"].is_halted)
    elif moment == "after it was stored":
        world.accept("a", BAD)
        world.run(2.0)
    world.order(BAD.key, 1, PersonWord.DROPPED)
    world.run(3.0)
    if moment == "before delivery":
        world.accept("a", BAD)
    world.run(2.0)
    settle(world, stores=False)
    assert world.outcomes(BAD.key) == {"a": "dropped", "b": "dropped"}
    world.order(BAD.key, 2, PersonWord.REDRIVE, region="b")
    settle(world)
    assert world.outcomes(BAD.key) == {"a": "stored", "b": "stored"}


def test_of_two_orders_with_one_number_dropped_wins_in_every_region() -> None:
    world = quarantined()
    world.order(BAD.key, 1, PersonWord.REDRIVE, region="a")
    world.order(BAD.key, 1, PersonWord.DROPPED, region="b")
    settle(world)
    assert world.outcomes(BAD.key) == {"a": "dropped", "b": "dropped"}


def test_a_drop_survives_the_loss_of_the_store() -> None:
    world = started()
    world.accept("a", BAD)
    world.run(2.0)
    world.order(BAD.key, 1, PersonWord.DROPPED)
    world.run(3.0)
    world["a"].stop()
    world["a"].lose_store()
    settle(world)
    assert world.outcomes(BAD.key) == {"a": "dropped", "b": "dropped"}


def test_a_mark_that_the_store_did_not_take_is_written_when_it_can() -> None:
    world = started()
    world.accept("a", BAD)
    world.run(2.0)
    world["b"].store.silent = True
    world.order(BAD.key, 1, PersonWord.DROPPED)
    world.run(3.0)
    settle(world)
    assert world.outcomes(BAD.key) == {"a": "dropped", "b": "dropped"}


# Incarnations and stacks ----------------------------------------------------------------------------------------------


def test_on_a_new_database_an_incarnation_is_opened_and_old_words_count_as_nothing() -> None:
    world = started()
    world["b"].store.refuses.add(BAD.key)
    world.accept("a", BAD)
    world.until(lambda: world["b"].is_halted)
    world.restarting = False
    world["a"].kill()
    world["a"].store.refuses.add(BAD.key)
    world["a"].lose_store()
    world.run(10.0)
    machine = world["b"].machine
    assert machine is not None
    assert machine.known.book.incarnation(Replica("a", "blue")) == 2
    assert world.outcomes(BAD.key) == {"a": "quarantined", "b": "quarantined"}, "nobody has stored it now"
    settle(world, stores=False)


def test_a_new_database_gets_back_what_only_the_ledger_still_has() -> None:
    world = quarantined()
    world["a"].stop()
    world.topics["a"]["requests"].start = 1
    world["a"].lose_store()
    world.run(5.0)
    assert world["a"].store.outcome(BAD.key) == "quarantined"
    world["a"].store.heal()
    world["a"].stop()
    world["a"].lose_store()
    settle(world)
    assert world.outcomes(BAD.key) == {"a": "stored", "b": "stored"}


def test_a_candidate_stack_asks_and_is_answered_but_counts_in_no_verdict() -> None:
    world = started()
    green = world.add(Replica("b", "green"))
    green.store.refuses.add(BAD.key)
    world["a"].store.refuses.add(BAD.key)
    world.accept("a", BAD)
    world.accept("b", *GOOD)
    world.run(10.0)
    assert green.words(BAD.key) == ["rejected"]
    assert world["a"].is_halted, "the serving stack stored it"
    only_green = request(50)
    green.store.refuses.add(only_green.key)
    world.accept("b", only_green)
    world["a"].store.heal()
    world.run(10.0)
    assert "stored" in world["a"].words(only_green.key), "its question is answered"
    world.say("b", Promoted("b", 2, "green"))
    settle(world)


def test_what_only_a_drained_peer_stored_is_set_aside_and_halts_nobody() -> None:
    world = started()
    world.order_region("b", 1, PersonWord.DRAINED)
    world.run(1.0)
    world["a"].store.refuses.add(BAD.key)
    world.accept("b", BAD)
    world.run(8.0)
    assert world["a"].store.outcome(BAD.key) == "set_aside"
    assert not world["a"].is_halted
    world.order_region("b", 2, PersonWord.JOINED)
    world.until(lambda: world["a"].is_halted, limit_s=5.0)
    settle(world)


# Releases -------------------------------------------------------------------------------------------------------------


def test_a_schema_that_is_too_new_is_set_aside_never_halted_on_and_stored_by_the_next_release(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = started()
    new = request(5)._replace(schema=request_codec.SCHEMA + 1)
    world.accept("a", new, *GOOD[:3])
    world.run(5.0)
    for region in world.names:
        assert world[region].store.outcome(new.key) == "set_aside"
        assert not world[region].is_halted
        assert world[region].store.budget.counted == ()
    monkeypatch.setattr(request_codec, "SCHEMA", request_codec.SCHEMA + 1)
    world["a"].restart()
    world.until(lambda: world["a"].store.outcome(new.key) == "stored")
    world.run(3.0)
    assert not world["b"].is_halted
    world["b"].restart()
    settle(world)


# Questions ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_a_question_that_meets_a_write_under_way_is_answered_in_either_order(seed: int) -> None:
    world = started(seed=seed)
    world["a"].store.refuses.add(BAD.key)
    world.accept("a", BAD)
    world.until(lambda: bool(world["a"].words(BAD.key)))
    world.run(seed * 0.005)
    world.append("b", "requests", [encode_request(BAD)])
    world.until(lambda: world["b"].words(BAD.key) == ["stored"], limit_s=2.0)
    settle(world)

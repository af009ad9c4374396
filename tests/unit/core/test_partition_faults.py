"""One machine a region: what is refused, what an outage does, mirrors that are cut, peers that die.

Every scenario ends healed and quiet, and is then checked for agreement.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.unit.core.harness import LIMITS, World, request, settle, started
from tocsin.core import requests as request_codec
from tocsin.core.effects import Write
from tocsin.core.requests import Record

GOOD = [request(n) for n in range(10)]
BAD = request(99)


# Rejected -------------------------------------------------------------------------------------------------------------


def test_what_every_region_refuses_is_quarantined_in_all_and_its_neighbours_are_stored() -> None:
    world = started("abc")
    for region in world.names:
        world[region].store.refuses.add(BAD.key)
    world.accept("a", *GOOD[:3], BAD, *GOOD[3:])
    settle(world, stores=False)
    assert world.outcomes(BAD.key) == {"a": "quarantined", "b": "quarantined", "c": "quarantined"}
    for region in world.names:
        assert world[region].words(BAD.key) == ["rejected"], "what stands in the ledger is the answer"
        assert world[region].store.writes.count(GOOD[5].key) == 1


def test_a_region_that_refuses_what_its_serving_peer_stored_halts_and_resumes_by_itself() -> None:
    world = started()
    world["b"].store.refuses.add(BAD.key)
    world.accept("a", BAD)
    world.until(lambda: world["b"].is_halted)
    world.accept("a", *GOOD)
    world.run(10.0)
    assert not world["a"].is_halted
    assert len(world["a"].store.entries) == 11
    assert not world["b"].store.entries, "a halted partition takes no new sets"
    settle(world)
    assert world["b"].decisions(BAD.key)[-2:] == ["HALT", "DONE"]
    assert world["b"].words(BAD.key) == ["rejected", "stored"]


def test_retries_that_hang_keep_no_new_sets_from_being_written(monkeypatch: pytest.MonkeyPatch) -> None:
    world = started()
    node = world["a"]
    bad = [request(n) for n in range(100, 106)]
    for region in world.names:
        world[region].store.times_out.update(one.key for one in bad)
    world.accept("a", *bad)
    world.until(lambda: all(node.store.outcome(one.key) == "set_aside" for one in bad))
    hanging = []

    def hang(effect: Write, answer: Callable[[Write], None] = node._write) -> None:
        if effect.requests[0].key in node.store.times_out:
            hanging.append(effect.requests[0].key)
        else:
            answer(effect)

    monkeypatch.setattr(node, "_write", hang)
    world.until(lambda: len(hanging) == LIMITS.aside_tries_max)
    assert len(hanging) >= LIMITS.sets_in_flight_max
    world.accept("a", *GOOD)
    world.until(lambda: all(one.key in node.store.entries for one in GOOD), limit_s=3.0)


def test_the_ledger_delivers_what_the_mirror_has_not_brought_and_a_verdict_takes_one_round_trip() -> None:
    world = started()
    world["a"].store.refuses.add(BAD.key)
    world["b"].store.refuses.add(BAD.key)
    world.links["a", "b"].positions["requests"] = 1_000_000  # the mirror of this one topic is stuck
    world.accept("a", BAD)
    start_s = world.now_s
    world.until(lambda: world["a"].store.outcome(BAD.key) == "quarantined")
    assert world.now_s - start_s < 1.0
    world.run(1.0)
    assert world["b"].store.outcome(BAD.key) == "quarantined"
    world.links["a", "b"].replay()
    settle(world, stores=False)


def test_the_ledger_delivers_to_a_halted_partition_too() -> None:
    world = started()
    world["b"].store.refuses.add(BAD.key)
    world.accept("a", BAD)
    world.until(lambda: world["b"].is_halted)
    world["a"].store.refuses.add(GOOD[0].key)
    world.accept("a", GOOD[0])
    world.until(lambda: GOOD[0].key in world["b"].store.entries, limit_s=3.0)
    settle(world)


def test_a_failure_that_is_acknowledged_only_after_the_retry_has_succeeded_is_taken_back() -> None:
    world = started()
    world["a"].ledger_delay_s = 2.0
    world["a"].store.refuses.add(BAD.key)
    world.accept("a", BAD)
    world.until(lambda: bool(world["a"].said))
    world["a"].store.heal()
    world.until(lambda: world["a"].store.outcome(BAD.key) == "stored", limit_s=1.0)
    world.run(5.0)
    assert world["a"].words(BAD.key) == ["rejected", "stored"]
    settle(world)


def test_words_that_wait_for_the_ledger_are_numbered_on() -> None:
    world = started()
    world["a"].ledger_delay_s = 3.0
    world["a"].store.refuses.add(BAD.key)
    world.cut("a", "b")
    world.accept("a", BAD)
    world.until(lambda: world["a"].words(BAD.key) == ["rejected"])
    world["a"].store.heal()
    world["a"].store.times_out.add(BAD.key)
    world.until(lambda: world["a"].words(BAD.key) == ["rejected", "unavailable"], limit_s=2.0)
    assert [said.attempt for said in world["a"].said] == [1, 2]
    settle(world)


def test_two_regions_that_would_halt_on_each_other_leave_one_that_serves() -> None:
    world = started()
    only_a, only_b = request(1), request(2)
    world["a"].store.refuses.add(only_b.key)
    world["b"].store.refuses.add(only_a.key)
    world.accept("a", only_a, only_b)
    world.accept("b", only_a, only_b)
    world.run(20.0)
    assert [region for region in world.names if world[region].is_halted] == ["b"]
    assert world.outcomes(only_b.key) == {"a": "set_aside", "b": "stored"}
    settle(world)


def test_a_record_that_nobody_can_decode_is_quarantined_under_one_key_everywhere() -> None:
    world = started()
    record = Record(b"no parent", b"\xff\x00", ())
    content = request_codec.decode_record(record)
    assert not isinstance(content, request_codec.Tick)
    world.accepted[content.key] = None
    world.append("a", "requests", [record])
    settle(world)
    assert world.outcomes(content.key) == {"a": "quarantined", "b": "quarantined"}


# Unavailable ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("silent", ["b", "ab"])
def test_an_outage_writes_a_handful_of_statements_and_quarantines_nothing(silent: str) -> None:
    world = started()
    for region in silent:
        world[region].store.silent = True
    world.accept("a", *[request(n) for n in range(200)])
    world.run(1.0)
    machine = world["b"].machine
    assert machine is not None
    assert not machine.known.is_ill(world.now)
    world.run(8.0)
    assert machine.known.is_ill(world.now)
    assert not world["b"].is_halted, "an outage is no reason to halt"
    assert sum(len(world[region].said) for region in world.names) <= 4
    assert not machine.fetches()
    settle(world)
    assert world.outcomes(request(7).key) == {"a": "stored", "b": "stored"}
    assert sum(len(world[region].said) for region in world.names) <= 8


def test_keys_that_time_out_in_one_region_halt_it_past_the_grace() -> None:
    world = started()
    world["b"].store.times_out.add(BAD.key)
    world.accept("a", BAD, *GOOD)
    world.run(world.limits.grace_s - 1.0)
    assert not world["b"].is_halted
    assert len(world["b"].store.entries) == len(GOOD)
    world.until(lambda: world["b"].is_halted, limit_s=3.0)
    settle(world)


def test_keys_that_time_out_in_all_regions_are_set_aside_and_only_the_first_has_a_grace() -> None:
    world = started()
    second = request(98)
    for region in world.names:
        world[region].store.times_out |= {BAD.key, second.key}
    world.accept("a", BAD, *GOOD)
    world.run(world.limits.grace_s + 3.0)
    assert world.outcomes(BAD.key) == {"a": "set_aside", "b": "set_aside"}
    world.accept("a", second)
    world.run(1.0)
    assert world.outcomes(second.key) == {"a": "set_aside", "b": "set_aside"}
    assert len(world["a"].store.entries) == len(GOOD)
    settle(world)


def test_the_grace_that_was_used_up_stays_used_up_over_a_restart() -> None:
    world = started()
    second = request(98)
    for region in world.names:
        world[region].store.times_out |= {BAD.key, second.key}
    world.accept("a", BAD)
    world.run(world.limits.grace_s + 3.0)
    world["a"].restart()
    world.run(1.0)
    world.accept("a", second)
    world.run(1.0)
    assert world["a"].store.outcome(second.key) == "set_aside"
    settle(world)


# Mirrors and deaths ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [[("a", "b")], [("b", "a")], [("a", "b"), ("b", "a")]])
def test_a_refused_request_is_set_aside_while_a_mirror_is_cut_and_agreed_on_after_the_heal(
    cuts: list[tuple[str, str]],
) -> None:
    world = started()
    for source, target in cuts:
        world.cut(source, target)
    world["a"].store.refuses.add(BAD.key)
    world["b"].store.refuses.add(BAD.key)
    world.accept("a", BAD)
    world.accept("b", BAD)
    world.until(lambda: bool(world["a"].decisions(BAD.key)))
    world.run(world.limits.answer_deadline_s + 5.0)
    for region in world.names:
        # Where the peer's word arrives and says the same, that is all the evidence there can be.
        hears = not any(cut[1] == region for cut in cuts)
        assert world[region].store.outcome(BAD.key) == ("quarantined" if hears else "set_aside")
    settle(world, stores=False)
    assert world.outcomes(BAD.key) == {"a": "quarantined", "b": "quarantined"}


def test_what_halts_us_after_it_was_set_aside_is_retried_at_the_pace_of_what_is_held() -> None:
    world = World(limits=replace(LIMITS, aside_retry_first_s=100.0, aside_retry_max_s=100.0))
    world.run(3.0)
    world.cut("b", "a")
    world["a"].store.refuses.add(BAD.key)
    world.accept("b", BAD)
    world.accept("a", BAD)
    world.run(world.limits.answer_deadline_s + 5.0)
    assert world["a"].store.outcome(BAD.key) == "set_aside"
    world.heal(stores=False)
    world.until(lambda: world["a"].is_halted, limit_s=10.0)
    world["a"].store.heal()
    world.until(lambda: not world["a"].is_halted, limit_s=2 * world.limits.retry_max_s)
    settle(world)


def test_a_deaf_peer_cannot_be_asked_though_its_heartbeats_arrive() -> None:
    world = started()
    world.cut("a", "b")
    world.run(world.limits.ask_limit_s + 2.0)
    machine = world["a"].machine
    assert machine is not None
    beats = machine.known.book.region_standing("b")
    assert beats is not None
    assert not machine.known.neighbours(world.now)[0].can_be_asked
    world["a"].store.refuses.add(BAD.key)
    world.accept("a", BAD)
    world.run(1.0)
    assert world["a"].store.outcome(BAD.key) == "set_aside", "nobody to wait for"
    settle(world)


def test_a_dead_peer_that_stored_halts_us_no_longer_than_the_limit() -> None:
    world = started()
    world.restarting = False
    world["a"].store.refuses.add(BAD.key)
    world.accept("b", BAD)
    world.until(lambda: world["a"].is_halted)
    world["b"].kill()
    world.run(world.limits.ask_limit_s + 2.0)
    assert not world["a"].is_halted
    assert world["a"].store.outcome(BAD.key) == "set_aside"
    world.heal(stores=False)
    world.until(lambda: world["a"].is_halted, limit_s=10.0)
    settle(world)


def test_a_restart_forgets_no_halt_even_after_a_long_time_away() -> None:
    world = started()
    world["b"].store.refuses.add(BAD.key)
    world.accept("a", BAD)
    world.until(lambda: world["b"].is_halted)
    world["b"].stop()
    world.run(60.0)
    reading_s = world["b"].ledger_delay_s = 2 * world.limits.ask_limit_s  # the ledger is long
    world["b"].start()
    world["b"].ledger_delay_s = 0.0
    assert world["b"].is_halted
    world.run(reading_s + 10.0)
    assert world["b"].is_halted
    assert "SET_ASIDE" not in world["b"].decisions(BAD.key)
    settle(world)

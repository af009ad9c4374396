"""One machine a region: the flow, stops and kills, crashes, the budget and the cap.

Every scenario ends healed and quiet, and is then checked for agreement.
"""

from tests.unit.core.harness import World, request, settle, started
from tocsin.core.effects import SetFetched, Write
from tocsin.core.ids import RequestKey
from tocsin.core.kept import Stage
from tocsin.core.requests import decode_records, encode_request

GOOD = [request(n) for n in range(10)]
BAD = request(99)


# The flow -------------------------------------------------------------------------------------------------------------


def test_good_requests_flow_to_all_regions() -> None:
    world = started("abc")
    world.accept("a", *GOOD[:5])
    world.accept("b", *GOOD[5:])
    settle(world)
    for region in world.names:
        assert set(world[region].store.entries) == set(world.accepted)
        assert not world[region].said, "success costs the ledger nothing"


def test_duplicates_and_replays_change_nothing() -> None:
    world = started()
    world.links["a", "b"].doubling = True
    world.accept("a", *GOOD)
    world.accept("b", *GOOD)
    world.run(2.0)
    before = dict(world["b"].store.entries)
    world.links["a", "b"].replay()
    settle(world)
    assert world["b"].store.entries == before


def test_of_two_records_of_one_request_the_earlier_is_the_entry_though_the_later_failed_first() -> None:
    world = started()
    later, earlier = request(1, received_us=2_000), request(1, received_us=1_000, region="b")
    world["b"].store.refuses.add(later.key)
    world.accept("a", later)
    world.until(lambda: world["b"].is_halted)
    world.accept("b", earlier)
    settle(world)
    assert world["b"].store.entries[later.key] == earlier


def test_after_a_clean_restart_nothing_is_written_again() -> None:
    world = started()
    for region in world.names:
        world[region].store.refuses.add(BAD.key)
    world.accept("a", *GOOD, BAD)
    world.run(5.0)
    world["a"].restart()
    settle(world)
    assert sorted(world["a"].store.writes) == sorted(one.key for one in GOOD)


def test_after_a_kill_only_what_was_done_since_the_last_save_is_written_again() -> None:
    world = started()
    world.accept("a", *GOOD[:5])
    world.run(2.0)
    world.accept("a", *GOOD[5:])
    world.until(lambda: GOOD[-1].key in world["a"].store.entries)
    world["a"].kill()
    settle(world)
    writes = world["a"].store.writes
    assert all(writes.count(one.key) == 1 for one in GOOD[:5])
    assert all(writes.count(one.key) <= 2 for one in GOOD[5:])


def test_what_a_killed_owner_had_under_way_does_no_harm() -> None:
    world = started()
    world.accept("a", *GOOD)
    world.until(lambda: bool(world["a"].store.entries))
    old = world["a"].store.progress()[0]
    assert not old.clean
    world["a"].kill()
    world.run(5.0)
    world["a"].store.save(old, first=False)
    world["a"].restart()
    settle(world)


def test_what_retention_took_unread_is_named_and_progress_goes_on() -> None:
    world = started()
    world["a"].stop()
    world.accept("a", *GOOD)
    world.topics["a"]["requests"].start = 4
    world["a"].start()
    world.accept("a", BAD)
    world.run(5.0)
    assert world["a"].store.lost == [("requests", 0, 4)]
    assert set(world["a"].store.entries) == {one.key for one in [*GOOD[4:], BAD]}
    machine = world["a"].machine
    assert machine is not None
    assert machine.sources.runs("requests").low == 11


def test_a_hundred_thousand_messages_above_one_held_request_are_one_run() -> None:
    world = started()
    world["b"].store.silent = True
    world["b"].kill()
    world["a"].store.times_out.add(BAD.key)
    many = [encode_request(request(n)) for n in range(1_000)]
    world.accept("a", BAD)
    for _ in range(100):
        world.append("a", "requests", many)
    machine = world["a"].machine
    assert machine is not None
    world.until(lambda: machine.sources.runs("requests").top == 100_001, limit_s=300.0)
    runs = machine.sources.runs("requests")
    assert len(runs) <= 1
    assert world["a"].store.kept[BAD.key].stage is Stage.ASIDE


# Stopping -------------------------------------------------------------------------------------------------------------


def test_a_stop_ends_although_held_requests_are_retried_for_ever() -> None:
    world = World(latency_s=(0.3, 0.9))
    world["b"].store.refuses |= {request(n).key for n in range(8)}
    world.accept("a", *GOOD)
    world.until(lambda: world["b"].is_halted)
    world["b"].stop()
    assert all(row.clean for row in world["b"].store.progress())
    settle(world)


def test_a_set_that_arrives_after_the_halt_is_fetched_again() -> None:
    world = started()
    world["b"].store.refuses.add(BAD.key)
    world.accept("a", BAD)
    world.until(lambda: world["b"].is_halted)
    machine = world["b"].machine
    assert machine is not None
    late = [encode_request(one) for one in GOOD]
    position = machine.sources.position("a.requests")
    offsets = list(range(position, position + len(late)))
    fetched = SetFetched("a.requests", position, offsets, late, decode_records(late), offsets[-1] + 1, 0)
    assert not any(isinstance(effect, Write) for effect in machine.step(fetched, world.now))
    assert machine.sources.position("a.requests") == position
    world.accept("a", *GOOD)
    settle(world)


def test_a_stop_before_the_ledger_was_read_ends_at_once() -> None:
    world = World("ab")
    world["a"].stop()
    assert world["a"].machine is None
    settle(world)


# Crashes --------------------------------------------------------------------------------------------------------------


def test_what_kills_its_process_is_found_alone_and_quarantined_when_it_crashes_the_peer_too() -> None:
    world = started()
    for region in world.names:
        world[region].store.crashes.add(BAD.key)
    world.accept("a", *GOOD[:5], BAD, *GOOD[5:])
    settle(world, stores=False)
    assert world.outcomes(BAD.key) == {"a": "quarantined", "b": "quarantined"}
    for region in world.names:
        assert world[region].words(BAD.key) == ["crashed"]
        assert world[region].lives <= 2


def test_a_question_whose_payload_kills_the_process_kills_it_once() -> None:
    world = started()
    world["a"].store.refuses.add(BAD.key)
    world["b"].store.crashes.add(BAD.key)
    world.links["a", "b"].positions["requests"] = 1_000_000  # the ledger alone delivers it
    world.accept("a", BAD)
    world.run(20.0)
    assert world.outcomes(BAD.key) == {"a": "quarantined", "b": "quarantined"}
    assert world["b"].lives == 2
    world.links["a", "b"].replay()
    settle(world, stores=False)


def test_a_retry_that_kills_the_process_kills_it_once() -> None:
    world = started()
    world["b"].store.refuses.add(BAD.key)
    world.accept("a", BAD)
    world.until(lambda: world["b"].is_halted)
    world["b"].store.heal()
    world["b"].store.crashes.add(BAD.key)
    world.run(20.0)
    assert world["b"].lives == 2
    assert world["b"].words(BAD.key) == ["rejected", "crashed"]
    settle(world)


def test_what_was_called_crashed_once_is_never_tried_in_process_again() -> None:
    world = started()
    world.compacting = True
    world["b"].store.crashes.add(BAD.key)
    world.accept("a", BAD)
    world.until(lambda: world["b"].words(BAD.key) == ["crashed"])
    world["b"].store.crashes.clear()
    world["b"].store.times_out.add(BAD.key)
    world.until(lambda: world["b"].words(BAD.key) == ["crashed", "unavailable"], limit_s=20.0)
    world["b"].restart()
    world["b"].store.times_out.clear()
    world["b"].store.crashes.add(BAD.key)
    world.run(20.0)
    assert world["b"].lives == 3
    settle(world)


# Budget and cap -------------------------------------------------------------------------------------------------------


def bad_release(world: World, services: int) -> list[RequestKey]:
    """Every region refuses good requests of so many services."""
    bad = [request(100 + n, service=f"service-{n}") for n in range(services)]
    for region in world.names:
        world[region].store.refuses |= {one.key for one in bad}
    world.accept("a", *[request(200 + n, service=f"well-{n}") for n in range(20)], *bad)
    return [one.key for one in bad]


def test_more_services_than_the_budget_allows_halt_the_replica_until_a_person_releases_it() -> None:
    world = started()
    keys = bad_release(world, world.limits.budget_services + 2)
    world.run(15.0)
    for region in world.names:
        node = world[region]
        assert node.is_halted
        assert node.store.budget.spent
        assert any(alarm.action == "budget_spent" for alarm in node.alarms)
        skipped = [key for key in keys if node.store.outcome(key) == "quarantined"]
        assert len(skipped) == world.limits.budget_services
    world["a"].restart()
    world.run(5.0)
    assert world["a"].is_halted, "once spent it stays spent"
    for region in world.names:
        world[region].store.budget = type(world[region].store.budget)()
        world[region].say_budget()
    settle(world, stores=False)
    assert all(set(world.outcomes(key).values()) == {"quarantined"} for key in keys)


def test_outages_never_count_against_the_budget() -> None:
    world = started()
    slow = [request(100 + n, service=f"service-{n}") for n in range(9)]
    for region in world.names:
        world[region].store.times_out |= {one.key for one in slow}
    world.accept("a", *slow)
    world.run(10.0)
    for region in world.names:
        assert not world[region].is_halted
        assert world[region].store.budget.counted == ()
    settle(world)


def test_at_the_cap_no_new_set_is_taken_until_one_is_decided() -> None:
    world = started()
    cap = world.limits.held_max
    held = [request(100 + n) for n in range(cap)]
    for region in world.names:
        world[region].store.times_out |= {one.key for one in held}
    world.accept("a", *held)
    world.run(1.5)
    machine = world["a"].machine
    assert machine is not None
    assert machine.cases.held == cap
    world.accept("a", *GOOD)
    world.run(1.0)
    assert not world["a"].store.entries
    world.run(world.limits.grace_s)
    assert len(world["a"].store.entries) == len(GOOD)
    settle(world)

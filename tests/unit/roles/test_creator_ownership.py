"""Which creator owns what, what it refuses to own, and how it starts and stops."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.requests_made import key_in, request
from tests.two_regions import Running, Site, TwoRegions, fails, set_environment, two_regions, until
from tocsin.core.progress import Anchor, ProgressRow, Runs
from tocsin.core.requests import Record, Request, encode_request
from tocsin.engines.errors import Misconfigured, Owned
from tocsin.engines.faults import CHECK_EVERY_S, Fault, Rule
from tocsin.roles import owner as owner_module


@pytest_asyncio.fixture
async def regions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TwoRegions]:
    set_environment(monkeypatch, tmp_path)
    async with two_regions(tmp_path) as made:
        await made.make_topics()
        yield made


@pytest.fixture
def a(regions: TwoRegions) -> Site:
    """Region a, with nothing of b at work: nothing here needs a peer."""
    return regions.a


async def stored(site: Site, *requests: Request) -> None:
    await until(lambda: site.has(requests), "requests stored")


async def test_a_second_creator_stands_by_and_takes_over_what_the_first_lets_go(a: Site) -> None:
    first = a.start()
    await stored(a, *(await sent(a, 4)))
    second = a.start()
    await until(lambda: ready(second), "the second standing by")
    assert (first.owned, second.owned) == ([0, 1], [])
    await first.stop()
    await stored(a, *(await sent(a, 4)))
    assert second.owned == [0, 1]
    assert len(await a.journal()) == 8

    async def says_so() -> bool:
        return {status.epoch for status in (await a.statuses()).values()} == {2}

    await until(says_so, "the status of the new owner")


async def sent(site: Site, count: int) -> list[Request]:
    requests = [request(key_in(n % 2, f"key-{n}")) for n in range(count)]
    await site.send(*requests)
    return requests


async def ready(running: Running) -> bool:
    return not running.creator.unready


async def test_creators_share_the_partition_numbers_that_each_is_told_to_own(a: Site) -> None:
    first, second = a.start([1]), a.start([0])
    await stored(a, *(await sent(a, 6)))
    assert (first.owned, second.owned) == ([1], [0])


async def test_a_partition_number_that_must_be_owned_and_is_not_free_ends_the_creator(a: Site) -> None:
    owner = a.start([1])
    await until(lambda: ready(owner), "the owner")
    error = await fails(a.start([0, 1]).task)
    assert isinstance(error, Owned)
    assert "partition 1" in str(error)
    free = a.start([0])  # the failed creator keeps nothing
    await until(lambda: ready(free), "the owner of what was let go")


async def test_topics_of_another_partition_count_end_the_creator_with_a_message(a: Site) -> None:
    await a.log.delete_topic("requests")
    await a.log.ensure_topic("requests", 3)
    error = await fails(a.start().task)
    assert isinstance(error, Misconfigured)
    assert "3 partitions" in str(error)


# A log that is not the one that we knew ------------------------------------------------------------------------------


async def refusals(site: Site) -> list[str]:
    reasons = site.running[-1].creator.unready
    return [reason for reason in reasons if "log that" in reason or "log was" in reason or "offsets" in reason]


async def test_a_topic_made_anew_between_two_runs_is_refused_and_nothing_of_it_is_read(a: Site) -> None:
    a.start()
    await stored(a, *(await sent(a, 10)))
    await a.stop()
    await a.log.delete_topic("requests")
    await a.log.ensure_topic("requests", 2, retention_s=604800)
    late = [request(f"late-{n}") for n in range(40)]
    await a.send(*late)
    running = a.start()

    async def both_are_refused() -> bool:
        return len(await refusals(a)) == 2

    await until(both_are_refused, "the refusal of both partitions")
    assert "is not the log that progress was recorded in" in running.creator.unready[0]
    assert "new store" in running.creator.unready[0]
    assert not any([await a.has([one]) for one in late])
    assert not running.task.done()


async def test_a_topic_made_anew_while_it_is_read_is_refused_too(a: Site) -> None:
    running = a.start()
    await stored(a, *(await sent(a, 10)))
    await a.log.delete_topic("requests")
    await a.log.ensure_topic("requests", 2, retention_s=604800)
    await until(lambda: refusals(a), "the refusal")
    late = [request(f"late-{n}") for n in range(40)]
    await a.send(*late)
    await asyncio.sleep(0.3)
    assert not any([await a.has([one]) for one in late])
    assert not running.task.done()


async def test_offsets_that_were_used_again_for_other_records_are_refused_in_their_partition_alone(a: Site) -> None:
    a.start()
    known = await sent(a, 10)
    await stored(a, *known)
    await a.stop()
    await forge_anchor(a, 0)
    running = a.start()
    await until(lambda: refusals(a), "the refusal")
    [refusal] = await refusals(a)
    assert refusal.startswith("partition 0: ")
    assert "does not hold the record at offset" in refusal
    beside = request(key_in(1, "beside"))
    await a.send(beside)
    await stored(a, beside)
    assert running.owned == [1]


async def forge_anchor(site: Site, partition: int) -> None:
    """Makes progress remember another record than the log holds, as after a log was set back and written on."""
    [row] = await site.store.progress(partition)
    source = row.sources["a"]
    assert source.anchor is not None
    source.anchor = Anchor(source.anchor.offset, b"another record's")
    await site.store.save_progress(row)


async def test_a_log_that_ends_below_what_is_done_is_refused_also_while_its_watermark_is_held(a: Site) -> None:
    a.start()
    await stored(a, *(await sent(a, 10)))
    await a.stop()
    [row] = await a.store.progress(1)
    source = row.sources["a"]
    source.runs, source.anchor = Runs(0, [(1, 400)]), None  # the first is held, so no record below is known
    await a.store.save_progress(row)
    a.start()
    await until(lambda: refusals(a), "the refusal")
    [refusal] = await refusals(a)
    assert refusal.startswith("partition 1: ")
    assert "ends at 5, and progress is recorded up to 400" in refusal


async def test_progress_that_cannot_be_read_refuses_its_partition_alone(a: Site) -> None:
    class Damaged(ProgressRow):
        def encode(self) -> bytes:
            return b"\x81\xa1a\xc4\x03\x00\x01\x02"

    await a.store.save_progress(Damaged(0, 1, True, {}))  # noqa: FBT003
    running = a.start()
    beside = request(key_in(1, "beside"))
    await a.send(beside)
    await stored(a, beside)
    assert running.owned == [1]
    assert any(reason.startswith("partition 0: ") for reason in running.creator.unready)


async def test_what_retention_removed_unread_is_recorded_as_lost_and_the_rest_is_stored(a: Site) -> None:
    old = [encode_request(request(key_in(0, f"old-{n}")))._replace(timestamp_ms=1_000 + n) for n in range(7)]
    new = request(key_in(0, "new"))
    await a.log.append("requests", 0, [*old, encode_request(new)._replace(timestamp_ms=int(time.time() * 1000))])
    assert await a.log.housekeep(time.time()) == 7
    a.start()
    await stored(a, new)

    async def lost() -> list[tuple[int, str, int, int]]:
        return [found[:4] for found in await a.store.lost()]

    await until(lost, "the record of the loss")
    assert await lost() == [(0, "a", 0, 7)]
    await a.stop()
    a.start()
    await stored(a, *(await sent(a, 2)))
    assert await lost() == [(0, "a", 0, 7)]


async def test_a_claim_with_an_epoch_that_an_earlier_owner_had_is_refused(a: Site) -> None:
    await a.store.save_progress(ProgressRow(0, 7, clean=True, sources={}))
    running = a.start()
    await until(lambda: ready_but(running, "partition 0: "), "the refusal")
    assert "claimed under epoch 1, and an earlier owner had 7" in running.creator.unready[0]
    assert running.owned == [1]


async def ready_but(running: Running, why: str) -> bool:
    return len(running.creator.unready) == 1 and running.creator.unready[0].startswith(why)


# Trouble at the start, at the end, and of our own --------------------------------------------------------------------


async def test_a_creator_that_starts_while_its_store_is_away_waits_for_it(regions: TwoRegions, a: Site) -> None:
    rule = await regions.breaks("a", Fault.UNAVAILABLE)
    running = a.start()
    requests = await sent(a, 4)
    await asyncio.sleep(0.3)
    assert "it has not taken over yet what it is to own" in running.creator.unready
    regions.switch.clear(rule)
    await stored(a, *requests)
    await until(lambda: ready(running), "readiness")


async def test_a_log_that_is_away_for_a_while_is_waited_for(regions: TwoRegions, a: Site) -> None:
    running = a.start()
    await stored(a, *(await sent(a, 4)))
    regions.switch.set_rule(Rule(id="log", region="a", port="log", kind=Fault.UNAVAILABLE))
    await asyncio.sleep(2 * CHECK_EVERY_S)
    requests = await sent(a, 4)
    await asyncio.sleep(1.2)
    assert not running.task.done()
    assert not await a.has(requests)
    regions.switch.clear("log")
    await stored(a, *requests)


@pytest.mark.parametrize("port", ["log", "store"])
async def test_a_creator_that_stops_waits_for_no_engine_that_is_away(
    regions: TwoRegions, a: Site, port: str, caplog: pytest.LogCaptureFixture
) -> None:
    running = a.start()
    await stored(a, *(await sent(a, 4)))
    regions.switch.set_rule(Rule(id="gone", region="a", port=port, kind=Fault.UNAVAILABLE))  # type: ignore[arg-type]
    await asyncio.sleep(2 * CHECK_EVERY_S)
    await sent(a, 4)
    await asyncio.sleep(0.3)
    await running.stop()
    assert "stop_timed_out" not in actions(caplog)
    regions.switch.clear_all()


def actions(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged, by action."""
    return [getattr(record, "action", "") for record in caplog.records]


async def test_a_stop_before_the_ledger_was_read_does_not_wait_for_it(
    regions: TwoRegions, a: Site, caplog: pytest.LogCaptureFixture
) -> None:
    rule = Rule(id="log", region="a", port="log", kind=Fault.DELAY, op="read", delay_s=0.4)
    running = a.start()
    regions.switch.set_rule(rule)
    await asyncio.sleep(CHECK_EVERY_S)
    await running.stop()
    assert "stop_timed_out" not in actions(caplog)


async def test_a_write_that_hangs_delays_a_stop_by_a_bounded_time(
    regions: TwoRegions, a: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(owner_module, "STOP_S_MAX", 0.5)
    running = a.start()
    await until(lambda: ready(running), "readiness")
    await regions.breaks("a", Fault.DELAY, "hangs", delay_s=60)
    hanging = request("hangs")
    await a.send(hanging)
    await asyncio.sleep(0.3)
    await running.stop()
    assert "stop_timed_out" in actions(caplog)
    regions.switch.clear_all()
    a.running.clear()
    a.start()
    await stored(a, hanging)


@pytest.mark.parametrize("culprit", ["_read_ledger", "_fetch", "_write", "_save", "look"])
async def test_a_fault_of_our_own_ends_the_creator_loudly(
    a: Site, monkeypatch: pytest.MonkeyPatch, culprit: str
) -> None:
    running = a.start()
    await until(lambda: ready(running), "readiness")

    async def broken(*_: object) -> None:
        raise AssertionError("a bug")

    for owner in running.creator._owners.values():
        monkeypatch.setattr(owner, culprit, broken)
    if culprit == "_read_ledger":  # it has begun already
        monkeypatch.setattr(owner_module, "decode_statement", lambda *_: 1 / 0)
    await sent(a, 2)
    with pytest.raises(ExceptionGroup):
        async with asyncio.timeout(5):
            await running.task


async def test_a_record_of_no_request_in_the_ledger_is_passed_over(a: Site) -> None:
    await a.log.append("ledger", 0, [Record(None, b"\xff"), Record(b"\x00", b""), Record(b"\xc1", b"\xc1" * 100)])
    running = a.start()
    await stored(a, *(await sent(a, 4)))
    assert not running.creator.unready

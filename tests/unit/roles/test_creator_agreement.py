"""Two regions with mirrors and creators: each holds all, and both decide alike on what cannot be stored."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.requests_made import invalid_request, key_in, request
from tests.two_regions import TwoRegions, set_environment, two_regions, until
from tocsin.core.documents import REGION_WORDS, RegionWords
from tocsin.core.failures import Kind
from tocsin.core.ids import NOBODY, RequestKey
from tocsin.core.kept import Stage
from tocsin.core.requests import Record, bytes_digest, encode_request
from tocsin.core.statements import PersonWord, RegionOrder, RequestOrder
from tocsin.engines.embedded.log import RECORD_BYTES_MAX
from tocsin.engines.faults import CHECK_EVERY_S, Fault, Rule
from tocsin.telemetry import Counter
from tocsin.telemetry.meters import Spread


@pytest_asyncio.fixture
async def regions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TwoRegions]:
    set_environment(monkeypatch, tmp_path)
    async with two_regions(tmp_path) as made:
        yield await made.start()


async def test_requests_of_either_region_are_stored_and_folded_in_both(regions: TwoRegions) -> None:
    parents = [f"key-{n % 20}" for n in range(300)]
    ours = [request(key, region="a") for key in parents]
    theirs = [request(key, region="b") for key in parents]
    await asyncio.gather(regions.a.send(*ours), regions.b.send(*theirs))
    await regions.both_have(*ours, *theirs)
    await regions.stop()
    for parent in {one.key.parent for one in ours}:
        there, here = await regions.a.store.incidents_of(parent), await regions.b.store.incidents_of(parent)
        assert there == here
        assert sum(incident.entries for incident in here) == 30
    for site in regions.both:
        assert [row.effect for row in await site.journal()] == ["inserted"] * 600
        statuses = await site.statuses()
        assert sorted(statuses) == [0, 1]
        assert all(status.lag_records == 0 and status.phase == "stopped" for status in statuses.values())


async def test_a_region_that_refuses_what_its_peer_stored_halts_that_partition_and_resumes_once_healed(
    regions: TwoRegions,
) -> None:
    stuck, other = key_in(0, "stuck"), key_in(1, "other")
    rule = await regions.breaks("b", Fault.REFUSE, stuck)
    one = request(stuck)
    await regions.a.send(one)
    await until(regions.b.is_halted, "the halt of b")
    assert "better-peer-stored" in str((await regions.b.statuses())[0].halted)
    assert any("partition 0 is halted" in why for why in regions.b.running[0].creator.unready)
    assert not await regions.a.is_halted()

    behind, beside = request(key_in(0, "behind")), request(other)
    await regions.a.send(behind, beside)
    await until(lambda: regions.b.has([beside]), "a request of another partition")
    await until(lambda: regions.a.has([behind]), "the request at the peer")
    assert not await regions.b.has([behind]), "a halted partition number takes no new sets"

    regions.switch.clear(rule)
    await regions.both_have(one, behind)

    async def serves() -> bool:
        return not await regions.b.is_halted() and not regions.b.running[0].creator.unready

    await until(serves, "b serving again")
    assert (await regions.b.verdicts(one.key))[-2:] == ["better-peer-stored", "stored"]
    assert await regions.a.kept(one.key) is None


async def test_what_every_region_refuses_is_quarantined_whole_in_all_and_its_neighbours_are_stored(
    regions: TwoRegions,
) -> None:
    before, bad, after = request("mixed"), invalid_request("mixed"), request("mixed")
    await regions.a.send(before, bad, after)
    await regions.kept_in_both(bad.key, Stage.QUARANTINED)
    await regions.both_have(before, after)
    for site in regions.both:
        kept = await site.kept(bad.key)
        assert kept is not None
        assert kept.kind is Kind.REJECTED
        assert "event_action" in kept.reason
        assert Record.decode(kept.record)[:3] == encode_request(bad)[:3]
        assert (await site.verdicts(bad.key))[-1] == "all-refused"
        assert not await site.is_halted()


async def test_a_quarantined_request_is_stored_everywhere_after_a_redrive(regions: TwoRegions) -> None:
    name = key_in(1, "once-bad")
    rules = [await regions.breaks(region, Fault.REFUSE, name) for region in "ab"]
    bad = request(name)
    await regions.b.send(bad)
    await regions.kept_in_both(bad.key, Stage.QUARANTINED)
    for rule in rules:
        regions.switch.clear(rule)
    await asyncio.sleep(CHECK_EVERY_S)  # a redrive that meets the old rule ends in quarantine again
    await regions.b.say(RequestOrder(bad.key, 1, PersonWord.REDRIVE, "tester", 1, "the release is fixed"), 1)
    await regions.both_have(bad)


async def test_what_a_person_dropped_is_left_out_of_both_folds(regions: TwoRegions) -> None:
    name = key_in(0, "rubbish")
    kept, rubbish = request(name), request(name, action="resolve")
    await regions.a.send(kept, rubbish)
    await regions.both_have(kept, rubbish)
    await regions.a.say(RequestOrder(rubbish.key, 1, PersonWord.DROPPED, "tester", 1), 0)

    async def both_leave_it_out() -> bool:
        incidents = [await site.store.incidents_of(kept.key.parent) for site in regions.both]
        return all([incident.status for incident in each] == ["triggered"] for each in incidents)

    await until(both_leave_it_out, "incidents without what was dropped")


async def test_records_that_no_region_can_read_are_quarantined_with_their_bytes(regions: TwoRegions) -> None:
    good = request(key_in(1, "good"))
    carried = encode_request(good)
    strange = [
        Record(b"\xff\xfe garbage", b"\x00\x01\x02", (("tocsin-id", b"not an id"),)),
        Record(None, b"no key at all"),
        Record(carried.key, carried.value, ()),
        Record(carried.key, b"headers of the wrong kind", (*carried.headers[:-1], ("tocsin-region", b"\xc3\x28"))),
        Record(b"", b"", ()),
        Record(None, b"x" * (RECORD_BYTES_MAX - 1)),  # the largest that the log takes: no payload can hold it
    ]
    await regions.a.log.append("requests", 1, [*strange[:3], carried, *strange[3:]])
    for record in strange:
        key = RequestKey(NOBODY, 0, bytes_digest(record))
        await regions.kept_in_both(key, Stage.QUARANTINED)
        for site in regions.both:
            kept = await site.kept(key)
            assert kept is not None
            assert Record.decode(kept.record)[:3] == record[:3]
            assert kept.reason.startswith("undecodable: ")
    await regions.both_have(good)


async def test_the_outage_of_one_store_delays_its_region_and_is_evidence_of_nothing(regions: TwoRegions) -> None:
    rule = await regions.breaks("b", Fault.UNAVAILABLE)
    requests = [request(f"during-{n}") for n in range(60)]
    await regions.a.send(*requests)
    await until(lambda: regions.a.has(requests), "the requests at the peer")

    async def is_ill() -> bool:
        return any(owner.machine.known.region.ill for owner in regions.b.running[0].creator._owners.values())

    await until(is_ill, "the illness of b")
    assert "the store does not answer" in regions.b.running[0].creator.unready
    regions.switch.clear(rule)
    await regions.both_have(*requests)
    for site in regions.both:
        stages = {row.stage for row in await site.store.kept_rows()}
        assert stages <= {Stage.DONE}


async def test_the_outage_of_both_stores_quarantines_nothing_and_says_a_handful_of_words(regions: TwoRegions) -> None:
    rules = [await regions.breaks(region, Fault.UNAVAILABLE) for region in "ab"]
    requests = [request(f"during-{n}") for n in range(200)]
    await regions.a.send(*requests)
    await asyncio.sleep(1.5)
    for rule in rules:
        regions.switch.clear(rule)
    await regions.both_have(*requests)
    for site in regions.both:
        rows = await site.store.kept_rows()
        assert {row.stage for row in rows} <= {Stage.DONE}
        assert len(rows) <= 2, "the head of each partition alone is a case"


async def test_keys_that_time_out_in_both_regions_are_set_aside_and_stored_once_healed(regions: TwoRegions) -> None:
    name = key_in(0, "ailing")
    rules = [await regions.breaks(region, Fault.UNAVAILABLE, name) for region in "ab"]
    ailing, fine = [request(name) for _ in range(3)], [request(key_in(0, f"fine-{n}")) for n in range(3)]
    await regions.a.send(*ailing, *fine)
    for one in ailing:
        await regions.kept_in_both(one.key, Stage.ASIDE)
    await regions.both_have(*fine)
    for site in regions.both:
        assert not await site.is_halted()
    for rule in rules:
        regions.switch.clear(rule)
    await regions.both_have(*ailing)


async def test_keys_that_time_out_in_one_region_halt_it_once_the_grace_is_over(regions: TwoRegions) -> None:
    name = key_in(0, "ailing")
    rule = await regions.breaks("a", Fault.UNAVAILABLE, name)
    ailing, fine = request(name), request(key_in(0, "fine"))
    await regions.a.send(ailing, fine)
    await until(regions.a.is_halted, "the halt of a")
    assert await regions.b.has([ailing, fine])
    regions.switch.clear(rule)
    await regions.both_have(ailing, fine)


async def test_a_mirror_that_is_cut_sets_aside_and_the_regions_agree_after_the_heal(regions: TwoRegions) -> None:
    for region, peer in (("a", "b"), ("b", "a")):
        rule = Rule(id=f"cut-{region}", region=region, port="mirror", kind=Fault.CUT, peer=peer)
        regions.switch.set_rule(rule)
    await asyncio.sleep(2.1)  # until neither is heard any more
    bad = invalid_request("cut")
    await regions.a.send(bad, good := request("cut"))
    await until(lambda: regions.a.is_kept(bad.key, Stage.ASIDE), "the request set aside in a")
    assert await regions.a.has([good])
    regions.switch.clear_all()
    await regions.kept_in_both(bad.key, Stage.QUARANTINED)
    await regions.both_have(good)


async def test_a_drained_peer_has_no_vote(regions: TwoRegions) -> None:
    await regions.a.say(RegionOrder("b", 1, PersonWord.DRAINED, "tester", 1), 0)
    await regions.a.say(RegionOrder("b", 1, PersonWord.DRAINED, "tester", 1), 1)

    async def both_know() -> bool:
        words = [await site.store.document(REGION_WORDS) for site in regions.both]
        return all(word is not None and RegionWords.decode(word.value).drained == ("b",) for word in words)

    await until(both_know, "both stores saying that b is drained")
    bad = invalid_request(key_in(0, "bad"))
    await regions.a.send(bad)
    await until(lambda: regions.a.is_kept(bad.key, Stage.ASIDE), "the request set aside in a")


async def test_everything_delivered_twice_changes_nothing(regions: TwoRegions) -> None:
    requests = [request(f"twice-{n}") for n in range(20)]
    await regions.a.send(*requests)
    await regions.a.send(*requests)
    await regions.b.send(*requests)  # as intake does with `ack: all-regions`
    await regions.both_have(*requests)
    await regions.stop()
    for site in regions.both:
        effects = [row.effect for row in await site.journal()]
        assert effects.count("inserted") == 20
        assert "replaced" not in effects


async def test_what_is_stored_here_and_refused_by_every_peer_is_counted_as_disputed(regions: TwoRegions) -> None:
    def disputed() -> list[float]:
        families = dict(regions.a.running[0].meters.collect())
        return [value for value in families.get(Counter.DISPUTED, {}).values() if not isinstance(value, Spread)]

    good = request(key_in(1, "good"))
    await regions.a.send(good)
    await regions.both_have(good)
    assert disputed() == [0]

    rule = await regions.breaks("b", Fault.REFUSE, "rubbish")
    one = request(key_in(0, "rubbish"))
    await regions.a.send(one)
    await until(regions.b.is_halted, "the halt of b")
    assert disputed() == [1]

    regions.switch.clear(rule)
    await regions.both_have(one)
    assert disputed() == [1]

"""The notifier's shell: who is paged once, what survives a crash at which step, and that a former owner is silent."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from tests.two_regions import ROOT
from tests.unit.roles.paging_rig import Inbox, Rig, until
from tocsin.core.documents import PagerPositions
from tocsin.core.events import entry_of
from tocsin.core.notices import NOTIFY, notice_of
from tocsin.core.paging.assignments import user_partition
from tocsin.core.paging.feedback import Outcome
from tocsin.engines.errors import Unavailable
from tocsin.engines.log import Claim
from tocsin.engines.store import Document, Store
from tocsin.topology import FEEDBACK

PAGING = {
    "pace_s": 0.2,
    "look_ahead_s": 0.05,
    "backstop_s": 1.0,
    "silence_s": 0.3,
    "pulse_every_s": 0.1,
    "keep_every_s": 0.05,
}
PARTITIONS = 2


@pytest_asyncio.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    for name, value in {
        "TOCSIN_DATA_DIR": tmp_path,
        "TOCSIN_REGIONS_DIR": ROOT / "regions" / "local",
        "TOCSIN_REGION__PARTITIONS": PARTITIONS,
        "TOCSIN_REGION__PAGING": json.dumps(PAGING),
    }.items():
        monkeypatch.setenv(name, str(value))
    made = await Rig(tmp_path).open()
    yield made
    await made.close()


async def test_a_responder_is_paged_once_and_the_log_tells_of_it(rig: Rig) -> None:
    running = rig.start()
    await running.ready()
    one = await rig.assign("ann", "disk full")
    await until(rig.ends, "an end")
    assert rig.inbox.titles == [("ann", "disk full")]
    [intent], [end] = await rig.intents(), await rig.ends()
    assert (end.id, end.outcome) == (intent.id, Outcome.DELIVERED)
    [told] = await rig.requests()
    assert told.key.parent == one.incident.parent
    entry = entry_of(told)
    notice = notice_of(entry)
    assert notice is not None
    assert (entry.action, notice.user, notice.outcome, notice.region) == (NOTIFY, "ann", "delivered", "a")
    assert notice.incident_id == one.incident.id
    await running.stop()


async def test_what_was_kept_goes_on_and_is_not_paged_again_by_the_next_owner(rig: Rig) -> None:
    first = rig.start()
    await first.ready()
    await rig.assign("ann", "one")
    await until(rig.ends, "an end")
    await first.stop()
    second = rig.start()
    await second.ready()
    await rig.assign("ann", "two")
    await until(lambda: len(rig.inbox.titles) > 1, "the second page")
    await second.stop()
    assert rig.inbox.titles == [("ann", "one"), ("ann", "two")]


async def test_positions_are_kept_and_nothing_below_them_is_read_again(rig: Rig) -> None:
    first = rig.start()
    await first.ready()
    await rig.assign("ann", "one")
    await until(rig.ends, "an end")
    await first.stop()
    document = await rig.store.document(PagerPositions.name(user_partition("ann", PARTITIONS)))
    assert document is not None
    topics = PagerPositions.decode(document.value).topics
    assert topics[rig.region.assignments].offset == 1
    assert set(topics) == {rig.region.assignments, *rig.region.feedback_topics.values()}


class Broken:
    """A store that fails, after so many calls of an operation, for good; as one does to a process that is cut off."""

    def __init__(self, store: Store, operation: str, after: int = 0) -> None:
        self._store = store
        self._operation = operation
        self._left = after
        self.hit = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)
        if name != self._operation:
            return call

        async def counted(*given: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                self.hit.set()
                raise Unavailable("cut off")
            return await call(*given, **named)

        return counted


@pytest.mark.parametrize("after", [0, 1, 2, 3])
async def test_a_crash_before_users_are_kept_loses_no_page_and_repeats_none(rig: Rig, after: int) -> None:
    first = rig.start(store=Broken(rig.store, "keep_users", after))
    await first.ready()
    await rig.assign("ann", "one")
    await rig.assign("ben", "two")
    await until(lambda: len(rig.inbox.bundles) == 2, "two pages")
    await until(lambda: _ended(rig, 2), "both ends")  # a page whose end is not on the log is repeated, and may be
    await first.kill()
    second = rig.start()
    await second.ready()
    await rig.assign("eve", "three")
    await until(lambda: ("eve", "three") in rig.inbox.titles, "a page by the second owner")
    await asyncio.sleep(3 * PAGING["pace_s"])
    assert sorted(rig.inbox.titles) == [("ann", "one"), ("ben", "two"), ("eve", "three")]


async def test_an_intent_whose_page_is_not_known_to_have_arrived_is_ended_as_unknown_and_paged_once_more(
    rig: Rig,
) -> None:
    rig.inbox.holding = True
    first = rig.start()
    await first.ready()
    await rig.assign("ann", "one")
    await until(lambda: rig.inbox.bundles, "a page under way")
    await first.kill()
    rig.inbox.holding = False
    second = rig.start()
    await second.ready()
    await until(lambda: len(rig.inbox.bundles) == 2, "the page once more")
    await until(lambda: _ended(rig, 2), "both ends")
    assert [end.outcome for end in await rig.ends()] == [Outcome.UNKNOWN, Outcome.DELIVERED]
    await second.stop()


async def _ended(rig: Rig, count: int) -> bool:
    return len(await rig.ends()) >= count


async def test_while_the_fence_cannot_be_written_nobody_is_paged_and_afterwards_everybody_is(rig: Rig) -> None:
    broken = Broken(rig.store, "put_document", after=PARTITIONS)
    first = rig.start(store=broken)
    await first.ready()
    await rig.assign("ann", "one")
    await broken.hit.wait()
    await asyncio.sleep(0.1)
    assert not rig.inbox.bundles
    assert not await rig.intents()
    await first.kill()
    second = rig.start()
    await until(lambda: rig.inbox.titles == [("ann", "one")], "the page")
    await second.stop()


async def test_a_former_owner_that_does_not_know_it_is_one_sends_nothing(rig: Rig) -> None:
    class Blind:
        """A log that says its claims hold for ever, as to a process that was stopped and goes on."""

        def __init__(self, log: Any) -> None:
            self._log = log

        def __getattr__(self, name: str) -> Any:
            return getattr(self._log, name)

        def holds(self, claim: Claim) -> bool:
            return True

    former_box = Inbox()
    log = Blind(rig.start_log())
    former = rig.start(log=log, inbox=former_box)
    await former.ready()
    owners = dict(former.notifier._claiming.owners)
    for owner in owners.values():
        await log.release(owner.claim)
    later = rig.start()
    await later.ready()
    await rig.assign("ann", "one")
    await until(lambda: rig.inbox.titles == [("ann", "one")], "the page by the later owner")
    await asyncio.sleep(0.3)
    assert not former_box.bundles
    assert {intent.id.epoch for intent in await rig.intents()} == {max(o.claim.epoch for o in owners.values()) + 1}


@pytest.mark.parametrize("ill", [{"drained": ("a",)}, {"halted": ("0x1: a row",)}, {"ill": True}, {"lag_s": 60.0}])
async def test_an_unfit_region_says_so_in_its_pulses_and_pages_all_the_same_when_alone(
    rig: Rig, ill: dict[str, Any]
) -> None:
    await rig.creators_are(**ill)
    running = rig.start()
    await running.ready()
    await rig.assign("ann", "one")
    await until(lambda: rig.inbox.titles == [("ann", "one")], "the page")
    assert running.notifier._fitness.reasons
    await running.stop()


async def test_what_is_resolved_before_it_is_due_pages_nobody(rig: Rig) -> None:
    one = await rig.assign("ann", "one", version=1)
    await rig.put(replace(one, status="resolved", version=2))
    running = rig.start()
    await running.ready()
    await rig.assign("ann", "two")
    await until(lambda: rig.inbox.titles == [("ann", "two")], "the page of the other")
    await running.stop()


async def test_a_damaged_document_refuses_the_partition_with_a_reason(rig: Rig) -> None:
    await rig.store.put_document(Document(PagerPositions.name(0), 1, b"garbage"))
    running = rig.start()
    await until(lambda: any(why.startswith("partition 0:") for why in running.notifier.unready), "a reason")
    await running.stop()


class Deaf:
    """A log that takes nothing of some topics while it is told so; with `takes` it does, and does not answer."""

    def __init__(self, log: Any, *topics: str) -> None:
        self._log = log
        self._topics = topics
        self.is_deaf = False
        self.takes = False

    async def append(self, topic: str, partition: int, records: Any) -> int:
        if not self.is_deaf or topic not in self._topics:
            return int(await self._log.append(topic, partition, records))
        if self.takes:
            await self._log.append(topic, partition, records)
        raise Unavailable("no answer")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


@pytest.mark.parametrize("takes", [False, True])
async def test_an_intent_of_which_the_log_did_not_answer_is_decided_anew_and_pages_once(
    rig: Rig, *, takes: bool
) -> None:
    log = Deaf(rig.start_log(), FEEDBACK)
    running = rig.start(log=log)
    await running.ready()
    log.is_deaf, log.takes = True, takes
    await rig.assign("ann", "one")
    await until(lambda: running.notifier.unready, "a reason")
    assert not rig.inbox.bundles
    log.is_deaf = False
    await until(lambda: rig.inbox.titles, "the page")
    await until(lambda: not running.notifier.unready, "readiness again")
    await asyncio.sleep(3 * PAGING["pace_s"])
    assert rig.inbox.titles == [("ann", "one")]
    await running.stop()


async def test_an_end_is_said_until_the_log_has_it_and_not_before_the_entry_that_tells_of_it(rig: Rig) -> None:
    log = Deaf(rig.start_log(), rig.region.requests)
    running = rig.start(log=log)
    await running.ready()
    log.is_deaf = True
    await rig.assign("ann", "one")
    await until(lambda: running.notifier.unready, "a reason")
    assert rig.inbox.titles == [("ann", "one")]
    assert not await rig.ends()
    log.is_deaf = False
    await until(rig.ends, "the end")
    assert len(await rig.requests()) == 1
    await running.stop()

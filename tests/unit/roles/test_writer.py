"""The writer: validates, stores, folds; what fails, fails alone."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from tests.requests_made import invalid_request, request
from tocsin.core.entries import Entry
from tocsin.core.events import entry_of
from tocsin.core.failures import Kind
from tocsin.core.ids import Parent
from tocsin.core.incidents import Incident, fold
from tocsin.core.requests import Request
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.errors import EngineError, Refused, Unavailable
from tocsin.engines.faults import Fault, FaultSwitch, Rule
from tocsin.engines.faulty import FaultyStore
from tocsin.roles import writer as writer_module
from tocsin.roles.writer import ATTEMPTS_MAX, Writer


@pytest.fixture
def writer(store: EmbeddedStore, switch: FaultSwitch) -> Writer:
    return Writer(FaultyStore(store, switch, "a"), epoch=3)


def expected(requests: Sequence[Request]) -> list[Incident]:
    return fold(map(entry_of, requests))


async def test_stores_entries_and_folds_their_incidents(store: EmbeddedStore, writer: Writer) -> None:
    requests = [request(), request(action="acknowledge"), request("other")]
    assert await writer.write(requests) == {}
    for one in requests:
        assert await store.entry(one.key) == entry_of(one)
    [incident] = await store.incidents_of(requests[0].key.parent)
    assert (incident.status, incident.entries) == ("acknowledged", 2)
    assert await store.incidents_of(requests[2].key.parent) == expected(requests[2:])


async def test_a_request_that_is_invalid_is_rejected_alone(store: EmbeddedStore, writer: Writer) -> None:
    good, bad, other = request(), invalid_request(), request()
    failures = await writer.write([good, bad, other])
    assert list(failures) == [1]
    assert failures[1].kind is Kind.REJECTED
    assert "event_action" in failures[1].reason
    assert await store.entry(bad.key) is None
    assert await store.incidents_of(good.key.parent) == expected([good, other])


async def test_writing_again_what_is_stored_changes_nothing(store: EmbeddedStore, writer: Writer) -> None:
    requests = [request(), request()]
    copy = requests[0]._replace(received_us=requests[0].received_us + 5, region="b")
    assert await writer.write(requests) == {}
    before = await store.incidents_of(requests[0].key.parent)
    assert await writer.write([*requests, copy]) == {}
    assert [row.effect for row in await store.journal_rows()] == ["inserted"] * 2 + ["same"] * 3
    assert await store.incidents_of(requests[0].key.parent) == before


async def test_of_two_records_with_one_key_the_earlier_is_folded_whenever_it_comes(
    store: EmbeddedStore, writer: Writer
) -> None:
    late = request()
    early = late._replace(received_us=late.received_us - 1_000_000, region="b")
    assert await writer.write([late]) == {}
    assert await writer.write([early]) == {}
    assert await store.incidents_of(late.key.parent) == expected([early])


@pytest.mark.parametrize("seed", range(5))
async def test_the_fold_is_that_of_all_entries_in_whatever_order_and_sets_they_come(
    store: EmbeddedStore, writer: Writer, seed: int
) -> None:
    draw = random.Random(seed)
    actions = [draw.choice(["trigger", "acknowledge", "resolve"]) for _ in range(40)]
    requests = [request(action=action) for action in actions]
    shuffled = draw.sample(requests, len(requests))
    while shuffled:
        size = draw.randint(1, 7)
        assert await writer.write(shuffled[:size]) == {}
        shuffled = shuffled[size:]
    assert await store.incidents_of(requests[0].key.parent) == expected(requests)


async def test_sets_that_are_written_at_one_time_fold_to_all_of_them(store: EmbeddedStore, writer: Writer) -> None:
    requests = [request() for _ in range(60)]
    outcomes = await asyncio.gather(*(writer.write(requests[n::6]) for n in range(6)))
    assert outcomes == [{}] * 6
    assert await store.incidents_of(requests[0].key.parent) == expected(requests)


async def test_a_store_that_is_away_is_tried_some_times_and_is_no_evidence(writer: Writer, switch: FaultSwitch) -> None:
    switch.set_rule(Rule(id="away", region="a", port="store", kind=Fault.UNAVAILABLE, op="write", times=100))
    failures = await writer.write([request(), invalid_request(), request()])
    assert {index: failure.kind for index, failure in failures.items()} == {
        0: Kind.UNAVAILABLE,
        1: Kind.REJECTED,
        2: Kind.UNAVAILABLE,
    }
    hits = next((switch._path.parent / "faults.json.hits").iterdir()).stat().st_size
    assert hits == ATTEMPTS_MAX


async def test_only_what_was_unavailable_is_tried_again(
    store: EmbeddedStore, writer: Writer, switch: FaultSwitch
) -> None:
    switch.set_rule(
        Rule(id="once", region="a", port="store", kind=Fault.UNAVAILABLE, op="write", dedup_key="slow", times=1)
    )
    requests = [request("quick"), request("slow"), request("quick")]
    assert await writer.write(requests) == {}
    written = [row.key for row in await store.journal_rows()]
    assert written == [requests[0].key, requests[2].key, requests[1].key]


class UnfoldableStore(EmbeddedStore):
    """The real store, but for incidents of one parent."""

    broken: tuple[Parent, EngineError] | None = None
    unreadable: EngineError | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.updated: list[int] = []

    async def put_incidents(self, parent: Parent, incidents: Sequence[Incident], version: int) -> None:
        if self.broken and self.broken[0] == parent:
            raise self.broken[1]
        await super().put_incidents(parent, incidents, version)

    async def update_incidents(self, parent: Parent, changed: Sequence[Incident], version: int) -> None:
        if self.broken and self.broken[0] == parent:
            raise self.broken[1]
        self.updated.append(len(changed))
        await super().update_incidents(parent, changed, version)

    async def entries_of(self, parents: Sequence[Parent]) -> dict[Parent, list[Entry]]:
        if self.unreadable:
            raise self.unreadable
        return await super().entries_of(parents)


@pytest_asyncio.fixture
async def unfoldable(tmp_path: Path) -> AsyncIterator[UnfoldableStore]:
    opened = UnfoldableStore(tmp_path / "unfoldable.db")
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("error", "kind"), [(Refused("too long"), Kind.REJECTED), (Unavailable("away"), Kind.UNAVAILABLE)]
)
async def test_a_fold_that_fails_fails_the_requests_of_its_parent_alone_and_is_made_good_later(
    unfoldable: UnfoldableStore, error: EngineError, kind: Kind
) -> None:
    writer = Writer(unfoldable, epoch=1)
    bad, good = request("bad"), request("good")
    unfoldable.broken = (bad.key.parent, error)
    failures = await writer.write([bad, good])
    assert {index: failure.kind for index, failure in failures.items()} == {0: kind}
    assert "could not be folded" in failures[0].reason
    assert await unfoldable.incidents_of(good.key.parent) == expected([good])

    unfoldable.broken = None
    assert await writer.write([bad]) == {}
    assert await unfoldable.incidents_of(bad.key.parent) == expected([bad])


async def test_what_comes_in_order_writes_only_what_it_changed_and_a_repeat_nothing(
    unfoldable: UnfoldableStore,
) -> None:
    writer = Writer(unfoldable, epoch=1)
    past = [request(action=action) for action in ("trigger", "resolve") * 5]
    assert await writer.write(past) == {}
    assert unfoldable.updated == []
    parent, sets = past[0].key.parent, [[request()], [request(action="resolve"), request()], past]
    for some in sets:
        assert await writer.write(some) == {}
    assert unfoldable.updated == [1, 2]
    assert await unfoldable.incidents_of(parent) == expected([*past, *sets[0], *sets[1]])


async def test_a_change_that_cannot_be_put_is_made_good_from_the_store(unfoldable: UnfoldableStore) -> None:
    writer = Writer(unfoldable, epoch=1)
    requests = [request(action=action) for action in ("trigger", "resolve", "trigger", "resolve")]
    parent = requests[0].key.parent
    assert await writer.write(requests[:2]) == {}
    unfoldable.broken = (parent, Unavailable("away"))
    assert [failure.kind for failure in (await writer.write(requests[2:3])).values()] == [Kind.UNAVAILABLE]
    unfoldable.broken = None
    assert await writer.write(requests[3:]) == {}
    assert await unfoldable.incidents_of(parent) == expected(requests)


async def test_requests_that_met_in_one_id_are_both_folded_and_counted_once(
    store: EmbeddedStore, writer: Writer
) -> None:
    first, second = request(), request(action="acknowledge")
    twin = second._replace(key=second.key._replace(id=first.key.id))
    assert await writer.write([first, request("other")]) == {}
    assert writer.collisions == 0
    for _ in range(2):
        assert await writer.write([twin, first]) == {}
        assert writer.collisions == 1
    early = first._replace(received_us=first.received_us - 1, region="b")
    assert await writer.write([early]) == {}  # folds the parent from the store
    assert writer.collisions == 1
    assert await store.incidents_of(first.key.parent) == expected([early, twin])


async def test_parents_in_memory_are_folded_while_entries_cannot_be_read(unfoldable: UnfoldableStore) -> None:
    writer = Writer(unfoldable, epoch=1)
    first, second, unknown = request("known"), request("known"), request("unknown")
    assert await writer.write([first]) == {}
    unfoldable.unreadable = Unavailable("away")
    assert {index: failure.kind for index, failure in (await writer.write([second, unknown])).items()} == {
        1: Kind.UNAVAILABLE
    }
    assert await unfoldable.incidents_of(first.key.parent) == expected([first, second])


async def test_a_fault_of_our_own_in_the_store_is_no_failure_of_a_request(unfoldable: UnfoldableStore) -> None:
    one = request()
    unfoldable.broken = (one.key.parent, AssertionError("a bug"))  # type: ignore[assignment]
    with pytest.raises(AssertionError, match="a bug"):
        await Writer(unfoldable, epoch=1).write([one])


async def test_memory_holds_a_bounded_number_of_parents(
    store: EmbeddedStore, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "FOLDINGS_MAX", 8)
    requests = [request(f"key-{n}") for n in range(30)]
    assert await writer.write(requests[:20]) == {}
    for one in requests[20:]:
        assert await writer.write([one]) == {}
        assert len(writer._foldings) <= 8
    again = [request(f"key-{n}") for n in range(30)]
    assert await writer.write(again) == {}
    for first, second in zip(requests, again, strict=True):
        assert await store.incidents_of(first.key.parent) == expected([first, second])


async def test_a_mark_is_folded_out_and_a_lifted_one_in_again(store: EmbeddedStore, writer: Writer) -> None:
    requests = [request(action=action) for action in ("trigger", "resolve", "trigger")]
    parent = requests[0].key.parent
    assert await writer.write(requests) == {}
    await store.mark(requests[1].key, 1, dropped=True)
    await writer.refold(parent)
    assert await store.incidents_of(parent) == expected([requests[0], requests[2]])
    more = request()
    assert await writer.write([more]) == {}
    assert await store.incidents_of(parent) == expected([requests[0], requests[2], more])
    await store.mark(requests[1].key, 2, dropped=False)
    await writer.refold(parent)
    assert await store.incidents_of(parent) == expected([*requests, more])


@pytest.mark.parametrize("is_there", [True, False], ids=["again", "for the first time"])
async def test_an_entry_that_is_marked_and_written_after_that_stays_out_of_the_fold(
    store: EmbeddedStore, writer: Writer, *, is_there: bool
) -> None:
    first, dropped = request(), request(action="resolve")
    assert await writer.write([first, dropped] if is_there else [first]) == {}
    await store.mark(dropped.key, 1, dropped=True)
    await writer.refold(first.key.parent)
    assert await writer.write([dropped]) == {}
    assert await store.incidents_of(first.key.parent) == expected([first])


async def test_a_refold_that_cannot_be_put_is_an_error_and_forgets_what_is_in_memory(
    unfoldable: UnfoldableStore,
) -> None:
    writer = Writer(unfoldable, epoch=1)
    one = request()
    assert await writer.write([one]) == {}
    await unfoldable.mark(one.key, 1, dropped=True)
    unfoldable.broken = (one.key.parent, Unavailable("away"))
    with pytest.raises(Unavailable):
        await writer.refold(one.key.parent)
    unfoldable.broken = None
    await writer.refold(one.key.parent)
    assert await unfoldable.incidents_of(one.key.parent) == []


async def test_a_former_owner_changes_no_incident_of_its_successor(store: EmbeddedStore) -> None:
    former, present = Writer(store, epoch=1), Writer(store, epoch=2)
    first, second = request(), request()
    assert await former.write([first]) == {}
    assert await present.write([second]) == {}
    assert await former.write([first]) == {}  # late, and knows only of its own
    assert await store.incidents_of(first.key.parent) == expected([first, second])


async def test_a_write_can_be_cancelled(writer: Writer, switch: FaultSwitch) -> None:
    switch.set_rule(Rule(id="slow", region="a", port="store", kind=Fault.DELAY, op="write", delay_s=30))
    task = asyncio.create_task(writer.write([request()]))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

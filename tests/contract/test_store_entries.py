"""Entries are immutable, and replay, duplication and reordering change nothing."""

from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.store_adapters import StoreAdapter
from tests.contract.store_rows import ID, PARENT, entry, key
from tocsin.core.events import REQUEST_BYTES_MAX
from tocsin.core.failures import Kind
from tocsin.core.ids import NOBODY, Parent, RequestKey, digest
from tocsin.engines.store import Store

_examples = count()
# One store serves all examples of a property, since each has a parent of its own.
many_examples = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def test_what_was_written_is_read_back_field_by_field(store: Store) -> None:
    written = entry(body=b'{"summary": "disk full"}')

    assert await store.write([written]) == {}

    assert await store.entry(written.key) == written
    assert await store.find_entries(written.key.id) == [written]
    assert await store.entries_of([PARENT]) == {PARENT: [written]}


async def test_writing_nothing_is_no_failure(store: Store) -> None:
    assert await store.write([]) == {}


async def test_an_unknown_key_id_or_parent_has_no_entries(store: Store) -> None:
    await store.write([entry()])
    stranger = Parent("checkout", "db-8/disk")

    assert await store.entry(key(content=b"another")) is None
    assert await store.find_entries(ID + 1) == []
    assert await store.entries_of([stranger]) == {stranger: []}
    assert await store.entries_of([]) == {}


async def test_writing_again_changes_nothing(store: Store) -> None:
    await store.write([entry()])

    assert await store.write([entry(), entry()]) == {}

    assert await store.entries_of([PARENT]) == {PARENT: [entry()]}


@many_examples
@given(
    records=st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc")), min_size=1, max_size=6),
    batch=st.integers(1, 6),
)
async def test_the_lowest_received_at_and_region_is_the_entry_in_whatever_order_and_however_often_they_come(
    store: Store, records: list[tuple[int, str]], batch: int
) -> None:
    request = key(parent=Parent("order", str(next(_examples))))
    entries = [entry(request, received_us=at, region=region, body=f"{at}{region}".encode()) for at, region in records]

    for start in range(0, len(entries), batch):
        assert await store.write(entries[start : start + batch]) == {}

    lowest = min(entries, key=lambda one: (one.received_us, one.region))
    assert await store.entry(request) == lowest
    assert await store.entries_of([request.parent]) == {request.parent: [lowest]}


async def test_a_collision_of_ids_under_one_parent_keeps_both(store: Store) -> None:
    first, second = entry(key(content=b"one"), body=b"one"), entry(key(content=b"two"), body=b"two")

    await store.write([first, second])

    assert await store.entry(first.key) == first
    assert await store.entry(second.key) == second
    assert sorted(await store.find_entries(ID)) == sorted([first, second])


async def test_an_id_is_found_under_all_its_parents(store: Store) -> None:
    entries = [entry(key(parent=Parent("checkout", name))) for name in ("x", "y")]

    await store.write(entries)

    assert sorted(await store.find_entries(ID)) == entries


async def test_entries_of_a_parent_come_in_fold_order(store: Store) -> None:
    late = entry(key(1), received_us=30)
    twins = sorted((entry(key(2, content=bytes([n])), received_us=20) for n in range(5)), key=lambda one: one.order)
    higher_id = entry(key(2**63 + 1), received_us=20)
    early = entry(key(9), received_us=-5)

    await store.write([higher_id, late, *reversed(twins), early])

    assert await store.entries_of([PARENT]) == {PARENT: [early, *twins, higher_id, late]}


async def test_entries_of_many_parents_are_told_apart(store: Store) -> None:
    entries = [entry(key(n, parent=Parent("many", f"alert {n}"))) for n in range(1_200)]

    assert await store.write(entries) == {}

    found = await store.entries_of([one.key.parent for one in entries])
    assert found == {one.key.parent: [one] for one in entries}


@pytest.mark.parametrize("body", [b"", bytes(range(256)), b"\x00", b"\xed\xa0\x80", b"x" * REQUEST_BYTES_MAX], ids=len)
async def test_bodies_are_opaque_bytes(store: Store, body: bytes) -> None:
    await store.write([entry(body=body)])

    found = await store.entry(key())

    assert found is not None
    assert found.body == body


@pytest.mark.parametrize(
    "parent",
    [
        Parent("оплата", "база/диск"),
        Parent("支払い", "🔥" * 50),
        Parent("service", ""),
        Parent("O'Brien; DROP TABLE entries", "%_\\"),
        Parent("e\u0301", "\u00e9"),
        NOBODY,
    ],
    ids=repr,
)
async def test_any_text_names_a_parent(store: Store, parent: Parent) -> None:
    written = entry(key(parent=parent))

    assert await store.write([written]) == {}

    assert await store.entry(written.key) == written
    assert await store.entries_of([parent]) == {parent: [written]}
    assert await store.find_entries(ID) == [written]


async def test_parents_that_look_alike_are_different(store: Store) -> None:
    parents = [Parent("a", "b"), Parent("A", "b"), Parent("a", "b "), Parent("ab", ""), Parent("a", "\u0431")]
    entries = [entry(key(parent=parent)) for parent in parents]

    await store.write(entries)

    assert await store.entries_of(parents) == {one.key.parent: [one] for one in entries}


@pytest.mark.parametrize("id", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
async def test_ids_have_64_bits_without_a_sign(store: Store, id: int) -> None:
    written = entry(key(id))

    await store.write([written])

    assert await store.entry(key(id)) == written
    assert await store.find_entries(id) == [written]


async def test_numbers_at_their_limits_are_kept(store: Store) -> None:
    written = entry(received_us=2**62 - 1)._replace(schema=2**31 - 1)

    assert await store.write([written]) == {}

    assert await store.entry(written.key) == written


async def test_an_entry_that_is_refused_on_its_merits_is_rejected_alone(
    store: Store, store_adapter: StoreAdapter
) -> None:
    good = [entry(key(n)) for n in (1, 3)]
    refused = entry(key(2), body=bytes(store_adapter.body_bytes_max + 1))

    failures = await store.write([good[0], refused, good[1]])

    assert {index: failure.kind for index, failure in failures.items()} == {1: Kind.REJECTED}
    assert failures[1].reason
    assert await store.entries_of([PARENT]) == {PARENT: good}


async def test_a_body_at_the_limit_is_stored(store: Store, store_adapter: StoreAdapter) -> None:
    assert await store.write([entry(body=bytes(store_adapter.body_bytes_max))]) == {}


async def test_a_store_that_is_away_is_unavailable_for_every_entry(
    store: Store, store_adapter: StoreAdapter, store_place: Path
) -> None:
    await store.write([entry()])
    store_adapter.take_away(store_place)

    failures = await store.write([entry(key(1)), entry(key(2), body=bytes(store_adapter.body_bytes_max + 1))])

    assert {index: failure.kind for index, failure in failures.items()} == {0: Kind.UNAVAILABLE, 1: Kind.UNAVAILABLE}


async def test_the_digest_of_a_row_survives_the_store(store: Store) -> None:
    written = entry(RequestKey(PARENT, 2**64 - 1, digest(b"x")), body=bytes(range(256)))

    await store.write([written])

    assert [one.row_digest() for one in await store.find_entries(2**64 - 1)] == [written.row_digest()]

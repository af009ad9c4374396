"""Scans see every row once and in one order, whatever the size of a page: `verify` compares regions by them."""

import pytest

from tests.contract.store_rows import PARENT, entry, incident, key
from tocsin.core.entries import Entry
from tocsin.core.ids import NOBODY, Parent, RequestKey
from tocsin.core.incidents import Incident
from tocsin.engines.store import Store

PARENTS = [
    NOBODY,
    Parent("a", ""),
    Parent("a", "b"),
    Parent("a", "\u00e9"),
    Parent("a", "\uffff"),
    Parent("a", "\U0001f525"),
    Parent("a\u0001", "b"),
    Parent("B", "z"),
]
IDS = [0, 2**63 - 1, 2**63, 2**64 - 1]


def in_order(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda one: (one.key.parent.place, one.key.id, one.key.digest))


@pytest.mark.parametrize("limit", [1, 2, 1_000])
async def test_a_scan_of_entries_is_complete_and_in_order_of_the_parents_place_id_and_digest(
    store: Store, limit: int
) -> None:
    entries = [entry(key(id, parent=parent, content=c)) for parent in PARENTS for id in IDS for c in (b"x", b"y")]
    await store.write(entries)
    await store.mark(entries[0].key, 1, dropped=True)

    scanned: list[Entry] = []
    after: RequestKey | None = None
    while page := await store.scan_entries(after, limit):
        assert len(page) <= limit
        scanned += page
        after = page[-1].key

    assert scanned == in_order(entries)


@pytest.mark.parametrize("limit", [1, 2, 1_000])
async def test_a_scan_of_incidents_is_complete_and_in_order_of_the_parents_places(store: Store, limit: int) -> None:
    expected = [
        (parent, [incident(key(id, parent=parent), created_us=n) for n, id in enumerate(IDS)])
        for parent in sorted(PARENTS, key=lambda parent: parent.place)
    ]
    for parent, incidents in reversed(expected):
        await store.put_incidents(parent, incidents, 1)

    scanned: list[tuple[Parent, list[Incident]]] = []
    after: Parent | None = None
    while page := await store.scan_incidents(after, limit):
        assert len(page) <= limit
        scanned += page
        after = page[-1][0]

    assert scanned == expected


async def test_a_scan_of_a_parent_goes_through_all_of_its_time(store: Store) -> None:
    hour = 3_600 << 32
    entries = [entry(key(n // 2 * 2 * hour + n)) for n in range(60)]
    neighbours = [entry(key(n * hour, parent=Parent("n", str(n)))) for n in range(40)]
    await store.write(entries + neighbours)

    scanned: list[Entry] = []
    while page := await store.scan_entries(scanned[-1].key if scanned else None, 7):
        scanned += page

    assert scanned == in_order(entries + neighbours)
    assert await store.entries_of([PARENT]) == {PARENT: sorted(entries, key=lambda one: one.order)}


async def test_a_scan_passes_marks_without_entries(store: Store) -> None:
    for n in range(12):
        await store.mark(key(n), 1, dropped=True)
    entries = [entry(key(n)) for n in (3, 11, 20)]
    await store.write(entries)

    assert await store.scan_entries(None, 2) == entries[:2]
    assert await store.scan_entries(entries[0].key, 2) == entries[1:]


async def test_a_scan_goes_on_above_a_key_that_is_not_there(store: Store) -> None:
    low, high = entry(key(1)), entry(key(3))
    await store.write([low, high])

    assert await store.scan_entries(key(2), 10) == [high]


async def test_a_parent_whose_incidents_are_gone_is_not_scanned(store: Store) -> None:
    await store.put_incidents(PARENTS[1], [incident(key(parent=PARENTS[1]))], 1)
    await store.put_incidents(PARENTS[1], [], 2)

    assert await store.scan_incidents(None, 10) == []


async def test_a_scan_of_marks_has_every_key_with_its_number_and_word(store: Store) -> None:
    marks = [(key(id, parent=parent), n + 1, n % 2 == 0) for parent in PARENTS for n, id in enumerate(IDS)]
    for request, number, dropped in marks:
        await store.mark(request, number, dropped=dropped)

    assert sorted(await store.scan_marks()) == sorted(marks)


async def test_an_empty_store_scans_as_empty(store: Store) -> None:
    assert await store.scan_entries(None, 10) == []
    assert await store.scan_incidents(None, 10) == []
    assert await store.scan_marks() == []

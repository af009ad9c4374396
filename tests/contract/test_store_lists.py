"""Lists of entries across parents, by the time at which they were received."""

from tests.contract.store_rows import PARENT, entry, key
from tocsin.core.entries import EntryFilter
from tocsin.core.ids import Parent
from tocsin.engines.store import Store

NEIGHBOUR = Parent("checkout-eu", "db-7/disk")
"""Of a service whose name begins with that of another."""


async def test_entries_of_all_parents_are_listed_the_one_received_last_first(store: Store) -> None:
    entries = [
        entry(key(1, parent=NEIGHBOUR), received_us=30),
        entry(key(2**63), received_us=20),
        entry(key(9), received_us=20),
        entry(key(99), received_us=10),
    ]
    await store.write(entries[::-1])

    assert await store.list_entries(EntryFilter()) == entries


async def test_pages_of_entries_neither_overlap_nor_skip(store: Store) -> None:
    entries = [entry(key(n), received_us=n // 3) for n in range(10)]
    await store.write(entries)

    pages = [await store.list_entries(EntryFilter(offset=offset, limit=4)) for offset in (0, 4, 8, 12)]

    assert [len(page) for page in pages] == [4, 4, 2, 0]
    assert [one for page in pages for one in page] == entries[::-1]


async def test_each_condition_narrows_the_list_and_its_count_and_all_must_hold(store: Store) -> None:
    disk = entry(key(1), received_us=10)
    seen = entry(key(2), received_us=20, action="acknowledge")
    other = entry(key(3, parent=NEIGHBOUR), received_us=30)
    await store.write([disk, seen, other])

    for where, expected in (
        (EntryFilter(services=(PARENT.service,)), [seen, disk]),
        (EntryFilter(services=(NEIGHBOUR.service,)), [other]),
        (EntryFilter(services=(PARENT.service, NEIGHBOUR.service)), [other, seen, disk]),
        (EntryFilter(services=("check",)), []),
        (EntryFilter(actions=("acknowledge",)), [seen]),
        (EntryFilter(actions=("acknowledge", "trigger")), [other, seen, disk]),
        (EntryFilter(since_us=20), [other, seen]),
        (EntryFilter(until_us=20), [disk]),
        (EntryFilter(since_us=20, until_us=30, actions=("trigger",)), []),
    ):
        assert await store.list_entries(where) == expected
        assert await store.count_entries(where) == len(expected)


async def test_a_request_that_was_received_twice_is_listed_and_counted_once_where_it_was_first(store: Store) -> None:
    early, late = entry(key(1), received_us=5_000_000), entry(key(1), received_us=95_000_000, region="b")
    other = entry(key(2), received_us=50_000_000)
    for batch in ([late], [other], [early]):
        await store.write(batch)

    assert await store.list_entries(EntryFilter()) == [other, early]
    assert await store.list_entries(EntryFilter(offset=1)) == [early]
    assert await store.list_entries(EntryFilter(since_us=60_000_000)) == []
    assert await store.count_entries(EntryFilter()) == 2


async def test_lists_reach_back_over_days_with_nothing_in_them(store: Store) -> None:
    day_us = 86_400_000_000
    entries = [entry(key(n), received_us=n * 40 * day_us + 1) for n in range(4, 0, -1)]
    await store.write(entries)

    assert await store.list_entries(EntryFilter()) == entries
    assert await store.list_entries(EntryFilter(until_us=160 * day_us, limit=1)) == [entries[1]]
    assert await store.count_entries(EntryFilter(since_us=80 * day_us)) == 3


async def test_a_list_tells_the_entries_of_one_second_apart(store: Store) -> None:
    entries = [entry(key(n, parent=Parent("many", f"alert {n}")), received_us=7_000_000 + n) for n in range(600)]
    await store.write(entries)

    assert await store.list_entries(EntryFilter(limit=1_000)) == entries[::-1]
    assert await store.list_entries(EntryFilter(since_us=7_000_100, until_us=7_000_102)) == [entries[101], entries[100]]


async def test_entries_are_counted_whatever_page_is_asked_for(store: Store) -> None:
    await store.write([entry(key(n)) for n in range(5)])

    assert await store.count_entries(EntryFilter(offset=4, limit=1)) == 5


async def test_a_dropped_entry_is_neither_listed_nor_counted_until_its_mark_is_lifted(store: Store) -> None:
    await store.write([entry(key(1)), entry(key(2))])

    await store.mark(key(1), 1, dropped=True)
    assert await store.list_entries(EntryFilter()) == [entry(key(2))]
    assert await store.count_entries(EntryFilter()) == 1

    await store.mark(key(1), 2, dropped=False)
    assert await store.count_entries(EntryFilter()) == 2

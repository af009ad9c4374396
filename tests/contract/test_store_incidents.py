"""Folded incidents: replaced by parent and version, listed by what people look for."""

import asyncio

import pytest

from tests.contract.store_rows import PARENT, entry, incident, key
from tocsin.core.ids import Parent
from tocsin.core.incidents import Incident, IncidentFilter, Sort, SortBy
from tocsin.engines.store import Store

OTHER = Parent("mail", "queue")


async def put_all(store: Store, incidents: list[Incident]) -> None:
    """Puts the incidents, and the entries that they were folded from."""
    names = {one.key: {one.key.id, *one.aliases} for one in incidents}
    await store.write([entry(key(id, parent=of.parent)) for of, ids in names.items() for id in ids])
    for parent in {one.parent for one in incidents}:
        await store.put_incidents(parent, [one for one in incidents if one.parent == parent], 1)


async def test_incidents_of_a_parent_come_oldest_first_field_by_field(store: Store) -> None:
    older = incident(key(2), created_us=10, aliases=(5, 2**64 - 1), status="resolved")
    newer, newest = incident(key(1), created_us=20), incident(key(2**64 - 1), created_us=20)

    await store.put_incidents(PARENT, [newest, older, newer], 1)

    assert await store.incidents_of(PARENT) == [older, newer, newest]
    assert await store.incidents_of(OTHER) == []


async def test_a_higher_version_replaces_all_incidents_of_its_parent_and_no_others(store: Store) -> None:
    stranger = incident(key(parent=OTHER))
    await put_all(store, [incident(key(1)), incident(key(2)), stranger])

    await store.put_incidents(PARENT, [incident(key(3))], 2)

    assert await store.incidents_of(PARENT) == [incident(key(3))]
    assert await store.incidents_of(OTHER) == [stranger]
    assert await store.find_incidents(IncidentFilter(id=1)) == []


async def test_a_lower_version_than_the_one_there_changes_nothing(store: Store) -> None:
    await store.put_incidents(PARENT, [incident(status="acknowledged")], 5)

    await store.put_incidents(PARENT, [incident(status="triggered"), incident(key(1))], 4)

    assert await store.incidents_of(PARENT) == [incident(status="acknowledged")]


async def test_the_same_put_again_changes_nothing(store: Store) -> None:
    await store.put_incidents(PARENT, [incident(key(1)), incident(key(2))], 5)
    await store.update_incidents(PARENT, [incident(key(2), status="resolved")], 6)

    await store.put_incidents(PARENT, [incident(key(1)), incident(key(2))], 5)
    await store.update_incidents(PARENT, [incident(key(2), status="resolved")], 6)

    assert await store.incidents_of(PARENT) == [incident(key(1)), incident(key(2), status="resolved")]


async def test_the_version_stays_when_the_last_incident_is_gone(store: Store) -> None:
    await store.put_incidents(PARENT, [incident()], 5)
    await store.put_incidents(PARENT, [], 6)

    await store.put_incidents(PARENT, [incident()], 5)

    assert await store.incidents_of(PARENT) == []


async def test_versions_of_owners_have_room_for_an_epoch_above_their_counter(store: Store) -> None:
    await store.put_incidents(PARENT, [incident(key(1))], (2**31 - 1) << 32)

    await store.put_incidents(PARENT, [incident(key(2))], (2**31 - 1) << 32 | 1)

    assert await store.incidents_of(PARENT) == [incident(key(2))]


async def test_an_update_writes_some_incidents_of_a_parent_and_leaves_all_others(store: Store) -> None:
    stranger, first = incident(key(2, parent=OTHER)), incident(key(1), created_us=10)
    second = incident(key(2), created_us=20, aliases=(8,))
    await put_all(store, [first, second, stranger])
    await store.write([entry(key(n)) for n in (2, 8, 9)])

    moved = incident(key(2), created_us=20, status="resolved", aliases=(9,))
    third = incident(key(3), created_us=30)
    await store.update_incidents(PARENT, [moved, third], 2)

    assert await store.incidents_of(PARENT) == [first, moved, third]
    assert await store.incidents_of(OTHER) == [stranger]
    assert await store.find_incidents(IncidentFilter(statuses=("resolved",))) == [moved]
    assert await store.find_incidents(IncidentFilter(id=9)) == [moved]
    assert await store.find_incidents(IncidentFilter(id=8)) == []


async def test_an_update_may_be_the_first_that_is_heard_of_a_parent(store: Store) -> None:
    await store.update_incidents(PARENT, [incident()], 1)

    assert await store.incidents_of(PARENT) == [incident()]


async def test_what_a_former_owner_writes_late_is_never_seen(store: Store) -> None:
    first, second = incident(key(1)), incident(key(2))
    former, owner = 1 << 32, 2 << 32
    await store.put_incidents(PARENT, [first, second], former | 1)
    await store.put_incidents(PARENT, [first], owner | 1)

    await store.update_incidents(PARENT, [incident(key(1), status="resolved"), second], former | 2)
    await store.put_incidents(PARENT, [second, incident(key(3))], former | 3)
    await store.update_incidents(PARENT, [incident(key(4))], owner)
    assert await store.incidents_of(PARENT) == [first]
    assert await store.find_incidents(IncidentFilter()) == [first]

    await store.update_incidents(PARENT, [second], owner | 2)
    assert await store.incidents_of(PARENT) == [first, second]


async def test_an_incident_that_begins_earlier_than_was_known_is_listed_once_where_it_begins(store: Store) -> None:
    later, earlier = incident(key(1), created_us=95_000_000), incident(key(1), created_us=5_000_000)
    other = incident(key(2), created_us=50_000_000)
    await store.put_incidents(PARENT, [later, other], 1)
    await store.put_incidents(PARENT, [earlier, other], 2)

    assert await store.find_incidents(IncidentFilter()) == [other, earlier]
    assert await store.find_incidents(IncidentFilter(since_us=60_000_000)) == []
    assert await store.count_incidents(IncidentFilter()) == 2


async def test_a_parent_may_have_hundreds_of_incidents(store: Store) -> None:
    incidents = [incident(key(n), created_us=n, resolved_us=n, status="resolved") for n in range(500)]
    await store.put_incidents(PARENT, incidents, 1)

    last = incident(key(499), created_us=499)
    await store.update_incidents(PARENT, [last], 2)

    assert await store.incidents_of(PARENT) == [*incidents[:-1], last]
    assert await store.find_incidents(IncidentFilter(statuses=("triggered", "acknowledged"))) == [last]
    assert await store.count_incidents(IncidentFilter(statuses=("resolved",))) == 499


async def test_many_parents_are_put_at_the_same_time(store: Store) -> None:
    parents = [Parent("many", f"alert {n}") for n in range(300)]

    await asyncio.gather(*(store.put_incidents(parent, [incident(key(parent=parent))], 1) for parent in parents))
    await asyncio.gather(
        *(store.update_incidents(parent, [incident(key(parent=parent), status="resolved")], 2) for parent in parents)
    )

    assert await store.count_incidents(IncidentFilter(statuses=("resolved",))) == 300
    assert await store.count_incidents(IncidentFilter(statuses=("triggered",))) == 0


async def test_a_list_is_newest_first_by_creation_then_id(store: Store) -> None:
    incidents = [
        incident(key(1, parent=OTHER), created_us=30),
        incident(key(2**63), created_us=20),
        incident(key(9), created_us=20),
        incident(key(99), created_us=10),
    ]
    await put_all(store, incidents)

    assert await store.find_incidents(IncidentFilter()) == incidents
    assert await store.find_incidents(IncidentFilter(sort=(Sort(SortBy.CREATED),))) == incidents[::-1]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    ("by", "expected"),
    [(SortBy.CREATED, [4, 1, 3, 2]), (SortBy.ID, [1, 2, 3, 4]), (SortBy.RESOLVED, [3, 2, 4, 1]),
     (SortBy.URGENCY, [4, 2, 1, 3])],
)  # fmt: skip
async def test_a_list_is_in_the_order_that_is_asked_for(
    store: Store, by: SortBy, expected: list[int], *, descending: bool
) -> None:
    incidents = [
        incident(key(1), created_us=20, resolved_us=90),
        incident(key(2, parent=OTHER), created_us=40, urgency="low"),
        incident(key(3), created_us=30),
        incident(key(4, parent=OTHER), created_us=10, resolved_us=50, urgency="low"),
    ]
    await put_all(store, incidents)

    found = await store.find_incidents(IncidentFilter(sort=(Sort(by, descending=descending),)))

    assert [one.key.id for one in found] == (expected[::-1] if descending else expected)


async def test_what_the_first_key_of_an_order_leaves_open_the_second_settles(store: Store) -> None:
    incidents = [incident(key(n), created_us=n, urgency="low" if n % 2 else "high") for n in range(1, 5)]
    await put_all(store, incidents)

    sort = Sort(SortBy.URGENCY, descending=True), Sort(SortBy.CREATED)

    assert [one.key.id for one in await store.find_incidents(IncidentFilter(sort=sort))] == [2, 4, 1, 3]


async def test_incidents_are_counted_whatever_page_is_asked_for(store: Store) -> None:
    await put_all(store, [incident(key(n), urgency="low" if n % 2 else "high") for n in range(5)])

    assert await store.count_incidents(IncidentFilter()) == 5
    assert await store.count_incidents(IncidentFilter(urgencies=("high",), offset=1, limit=1)) == 3
    assert await store.count_incidents(IncidentFilter(services=("nobody",))) == 0


async def test_pages_neither_overlap_nor_skip(store: Store) -> None:
    incidents = [incident(key(n), created_us=n // 3) for n in range(10)]
    await put_all(store, incidents)

    pages = [await store.find_incidents(IncidentFilter(offset=offset, limit=4)) for offset in (0, 4, 8, 12)]

    assert [len(page) for page in pages] == [4, 4, 2, 0]
    assert [one for page in pages for one in page] == incidents[::-1]


async def test_each_condition_of_a_filter_narrows_the_list_and_all_must_hold(store: Store) -> None:
    disk = incident(key(1), created_us=10)
    seen = incident(key(2), created_us=20, status="acknowledged", urgency="low")
    queue = incident(key(3, parent=OTHER), created_us=30, urgency="low")
    load = incident(key(4, parent=Parent("checkout", "load")), created_us=40, status="resolved")
    await put_all(store, [disk, seen, queue, load])

    async def found(where: IncidentFilter) -> list[Incident]:
        return await store.find_incidents(where)

    assert await found(IncidentFilter(services=("mail",))) == [queue]
    assert await found(IncidentFilter(services=("mail", "checkout"))) == [load, queue, seen, disk]
    assert await found(IncidentFilter(services=("checkout",), dedup_key="load")) == [load]
    assert await found(IncidentFilter(dedup_key=PARENT.dedup_key)) == [seen, disk]
    assert await found(IncidentFilter(statuses=("triggered", "acknowledged"))) == [queue, seen, disk]
    assert await found(IncidentFilter(urgencies=("low",))) == [queue, seen]
    assert await found(IncidentFilter(urgencies=("low",), statuses=("triggered",))) == [queue]
    assert await found(IncidentFilter(since_us=20, until_us=40)) == [queue, seen]
    assert await found(IncidentFilter(services=("nobody",))) == []


async def test_an_incident_is_found_by_its_id_and_by_each_alias(store: Store) -> None:
    wanted = incident(key(2**64 - 1), aliases=(0, 7, 2**63))
    twin = incident(key(7, parent=OTHER))
    await put_all(store, [wanted, twin])

    assert await store.find_incidents(IncidentFilter(id=2**64 - 1)) == [wanted]
    assert await store.find_incidents(IncidentFilter(id=0)) == [wanted]
    assert await store.find_incidents(IncidentFilter(id=2**63)) == [wanted]
    assert await store.find_incidents(IncidentFilter(id=7, services=("checkout",))) == [wanted]
    assert sorted(one.parent for one in await store.find_incidents(IncidentFilter(id=7))) == [PARENT, OTHER]
    assert await store.find_incidents(IncidentFilter(id=8)) == []


async def test_an_alias_that_repeats_the_incidents_own_id_names_it_once(store: Store) -> None:
    wanted = incident(key(7), aliases=(7, 7))

    await put_all(store, [wanted])

    assert await store.find_incidents(IncidentFilter(id=7)) == [wanted]

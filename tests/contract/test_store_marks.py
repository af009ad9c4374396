"""A person's `dropped` is a mark under a key: a register with a number, before or after the entry."""

from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.store_rows import PARENT, entry, key
from tocsin.core.ids import Parent
from tocsin.engines.store import Store

_examples = count()


async def test_a_dropped_entry_is_left_out_of_the_fold_while_its_row_stays(store: Store) -> None:
    dropped, other = entry(key(1)), entry(key(2))
    await store.write([dropped, other])

    await store.mark(dropped.key, 1, dropped=True)

    assert await store.marked(dropped.key)
    assert not await store.marked(other.key)
    assert await store.entries_of([PARENT]) == {PARENT: [other]}
    assert await store.entry(dropped.key) == dropped
    assert await store.find_entries(1) == [dropped]
    assert await store.scan_entries(None, 10) == [dropped, other]


async def test_a_mark_may_come_before_its_entry_and_the_entry_does_not_lift_it(store: Store) -> None:
    await store.mark(key(), 1, dropped=True)

    await store.write([entry()])

    assert await store.marked(key())
    assert await store.entries_of([PARENT]) == {PARENT: []}


async def test_a_higher_number_lifts_the_mark(store: Store) -> None:
    await store.write([entry()])
    await store.mark(key(), 1, dropped=True)

    await store.mark(key(), 2, dropped=False)

    assert not await store.marked(key())
    assert await store.entries_of([PARENT]) == {PARENT: [entry()]}


async def test_a_mark_is_of_one_digest(store: Store) -> None:
    twin = entry(key(content=b"collided"))
    await store.write([entry(), twin])

    await store.mark(key(), 1, dropped=True)

    assert await store.entries_of([PARENT]) == {PARENT: [twin]}


# One store serves all examples, since each has a key of its own.
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(marks=st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=6))
async def test_the_highest_number_counts_and_dropped_wins_a_tie_in_whatever_order_they_come(
    store: Store, marks: list[tuple[int, bool]]
) -> None:
    request = key(parent=Parent("marks", str(next(_examples))))

    for number, dropped in marks:
        await store.mark(request, number, dropped=dropped)

    assert (await store.marked(request)) is max(marks)[1]
    assert (request, *max(marks)) in await store.scan_marks()

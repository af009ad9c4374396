"""Progress by owner's epoch, and the ranges that retention took unread."""

from tests.contract.store_rows import progress
from tocsin.core.progress import ProgressRow
from tocsin.engines.store import Lost, Store


async def test_each_epoch_has_a_row_of_its_own(store: Store) -> None:
    rows = [progress(0, 1), progress(3, 1, low=5), progress(3, 2, low=7, clean=True)]
    for row in reversed(rows):
        await store.save_progress(row)

    assert by_place(await store.progress()) == rows
    assert by_place(await store.progress(3)) == rows[1:]
    assert await store.progress(0) == rows[:1]
    assert await store.progress(1) == []


async def test_the_latest_save_of_an_epoch_is_its_row(store: Store) -> None:
    await store.save_progress(progress(low=10, clean=True))

    await store.save_progress(progress(low=8, clean=False))

    assert await store.progress() == [progress(low=8, clean=False)]


async def test_a_late_save_of_a_former_owner_changes_no_other_row(store: Store) -> None:
    await store.save_progress(progress(epoch=2, low=100))

    await store.save_progress(progress(epoch=1, low=50))

    assert by_place(await store.progress()) == [progress(epoch=1, low=50), progress(epoch=2, low=100)]


async def test_an_account_without_sources_is_kept(store: Store) -> None:
    await store.save_progress(ProgressRow(3, 1, clean=True, sources={}))

    assert await store.progress() == [ProgressRow(3, 1, clean=True, sources={})]


async def test_forgetting_removes_the_older_epochs_of_one_partition(store: Store) -> None:
    for partition, epoch in ((3, 1), (3, 2), (3, 3), (4, 1)):
        await store.save_progress(progress(partition, epoch))

    await store.forget_progress(3, below_epoch=3)
    await store.forget_progress(3, below_epoch=3)

    assert by_place(await store.progress()) == [progress(3, 3), progress(4, 1)]


async def test_a_lost_range_is_recorded_once(store: Store) -> None:
    ranges = [
        Lost(0, "requests", 10, 20, 1_000),
        Lost(3, "b.requests", 10, 20, 1_000),
        Lost(3, "requests", 10, 20, 1_000),
        Lost(3, "requests", 30, 2**62, 2_000),
    ]
    for lost in [*ranges, *ranges]:
        await store.put_lost(lost)

    assert sorted(await store.lost()) == ranges


def by_place(rows: list[ProgressRow]) -> list[ProgressRow]:
    return sorted(rows, key=lambda row: (row.partition, row.epoch))

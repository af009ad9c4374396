"""What is kept of failures: one row a request, whole, with the decisions that brought it where it is."""

from tests.contract.store_rows import ID, PARENT, kept, key
from tocsin.core.ids import NOBODY, PARENT_BYTES_MAX, Parent
from tocsin.core.kept import Stage
from tocsin.engines.store import Store

OTHER = Parent("mail", "queue")


async def test_a_kept_row_is_read_back_field_by_field(store: Store) -> None:
    row = kept(key(2**64 - 1), stage=Stage.QUARANTINED, reason="NUL in summary — 不正", version=(2**31 - 1) << 32)

    await store.put_kept(row)

    assert await store.kept(row.key) == row
    assert await store.kept(key(1)) is None


async def test_whatever_parent_a_record_may_name_a_row_can_be_kept_under_it(store: Store) -> None:
    """Else its request would stay held for ever, and 16 of them stop a partition number."""
    row = kept(key(parent=Parent("s", "x" * (PARENT_BYTES_MAX - 2))))

    await store.put_kept(row)

    assert await store.kept_of(row.key.parent) == [row]


async def test_a_higher_version_replaces_the_row(store: Store) -> None:
    await store.put_kept(kept(version=1, partition=3, stage=Stage.HELD))
    replacement = kept(version=2, partition=4, stage=Stage.ASIDE, since_us=5)

    await store.put_kept(replacement)

    assert await store.kept_rows() == [replacement]
    assert await store.kept_rows(partition=3) == []
    assert await store.kept_rows(stages=[Stage.ASIDE]) == [replacement]


async def test_a_lower_version_than_the_one_there_and_the_same_again_change_nothing(store: Store) -> None:
    await store.put_kept(kept(version=5, stage=Stage.QUARANTINED))

    await store.put_kept(kept(version=4, stage=Stage.HELD, partition=4, since_us=9))
    await store.put_kept(kept(version=5, stage=Stage.QUARANTINED))

    assert await store.kept_rows() == [kept(version=5, stage=Stage.QUARANTINED)]
    assert await store.kept_rows(partition=4) == []


async def test_rows_come_oldest_since_first_by_partition_and_stage(store: Store) -> None:
    first = kept(key(1), partition=1, since_us=10, stage=Stage.HELD)
    second = kept(key(2), partition=2, since_us=20, stage=Stage.ASIDE)
    third = kept(key(3), partition=1, since_us=30, stage=Stage.ASIDE)
    for row in (third, first, second):
        await store.put_kept(row)

    assert await store.kept_rows() == [first, second, third]
    assert await store.kept_rows(limit=2) == [first, second]
    assert await store.kept_rows(limit=0) == []
    assert await store.kept_rows(partition=1) == [first, third]
    assert await store.kept_rows(partition=0) == []
    assert await store.kept_rows(stages=[Stage.ASIDE, Stage.QUARANTINED]) == [second, third]
    assert await store.kept_rows(partition=1, stages=[Stage.ASIDE], limit=5) == [third]


async def test_rows_are_found_by_id_and_by_parent(store: Store) -> None:
    mine, collided, other = kept(), kept(key(content=b"collided"), since_us=2_000), kept(key(1, parent=OTHER))
    for row in (mine, collided, other):
        await store.put_kept(row)

    assert await store.find_kept(ID) == [mine, collided]
    assert await store.find_kept(ID + 1) == []
    assert await store.kept_of(PARENT) == [mine, collided]
    assert await store.kept_of(OTHER) == [other]
    assert await store.kept_of(NOBODY) == []


async def test_a_record_that_nobody_can_decode_is_kept_under_nobody(store: Store) -> None:
    row = kept(key(0, parent=NOBODY))

    await store.put_kept(row)

    assert await store.kept(row.key) == row
    assert await store.kept_of(NOBODY) == [row]


async def test_a_record_that_is_too_large_to_be_an_entry_is_kept_whole(store: Store) -> None:
    large = bytes(range(256)) * 8_192
    row = kept()

    await store.put_kept(type(row)(**{name: getattr(row, name) for name in row.__struct_fields__} | {"record": large}))

    found = await store.kept(row.key)
    assert found is not None
    assert found.record == large

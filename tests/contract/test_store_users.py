"""What the notifier keeps of its users."""

import pytest

from tocsin.core.paging.effects import UserRow
from tocsin.engines.store import Store


async def test_users_are_kept_by_partition_number(store: Store) -> None:
    rows = [UserRow(f"user-{n}", b"%d" % n) for n in range(300)]
    await store.keep_users(3, rows, 1)
    await store.keep_users(4, [UserRow("user-1", b"elsewhere")], 1)

    assert sorted(await store.kept_users(3)) == sorted(rows)
    assert await store.kept_users(4) == [UserRow("user-1", b"elsewhere")]
    assert await store.kept_users(5) == []


async def test_the_highest_version_of_a_user_counts(store: Store) -> None:
    former, present = 7 << 32 | 900, 8 << 32 | 1
    await store.keep_users(3, [UserRow("ada", b"present")], present)

    await store.keep_users(3, [UserRow("ada", b"former, late"), UserRow("bob", b"of the former")], former)

    assert sorted(await store.kept_users(3)) == [UserRow("ada", b"present"), UserRow("bob", b"of the former")]


async def test_a_user_that_was_forgotten_does_not_come_back_by_a_late_save(store: Store) -> None:
    await store.keep_users(3, [UserRow("ada", b"state")], 1)

    await store.keep_users(3, [UserRow("ada", b"")], 3)
    await store.keep_users(3, [UserRow("ada", b"late")], 2)

    assert await store.kept_users(3) == []


@pytest.mark.parametrize("size", [1, 60_000])
async def test_states_of_any_size_and_bytes_come_back(store: Store, size: int) -> None:
    rows = [UserRow(user, bytes(range(256)) * (size // 256) + b"\0") for user in ("ada", "ü/\u2028 x", "b" * 200)]

    await store.keep_users(3, rows, 5)

    assert sorted(await store.kept_users(3)) == sorted(rows)

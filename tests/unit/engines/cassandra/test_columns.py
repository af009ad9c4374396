"""Keys as columns: in the order of keys, and in partitions that stay within bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.store_rows import SECOND
from tocsin.core.ids import DIGEST_BYTES, NOBODY, SHARDS, Parent, RequestKey, partition_of
from tocsin.engines.cassandra.columns import bucket_of, id_of, key_of, parent_of, place_of, request_of

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
PARENTS = st.builds(Parent, TEXT, TEXT)
KEYS = st.builds(
    RequestKey, PARENTS, st.integers(0, 2**64 - 1), st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES)
)


@given(KEYS)
def test_a_key_survives_its_columns(key: RequestKey) -> None:
    place = place_of(key)
    assert key_of(place.parent, place.request) == key
    assert id_of(place.request) == key.id


@given(KEYS, KEYS)
def test_requests_lie_in_the_order_of_id_and_digest(one: RequestKey, other: RequestKey) -> None:
    assert (request_of(one) < request_of(other)) == ((one.id, one.digest) < (other.id, other.digest))


@given(KEYS, st.sampled_from([4, 16, 64]))
def test_a_message_set_of_one_partition_touches_few_shards(key: RequestKey, partitions: int) -> None:
    assert place_of(key).shard % partitions == partition_of(key.parent, partitions)
    assert 0 <= place_of(key).shard < SHARDS


def test_a_bucket_is_4096_seconds_of_the_id() -> None:
    start = SECOND - SECOND % 4_096
    assert bucket_of(start << 32) == bucket_of((start + 4_096 << 32) - 1) == bucket_of((start + 4_096) << 32) - 1
    assert (bucket_of(0), bucket_of(2**64 - 1)) == (0, 2**20 - 1)


@pytest.mark.parametrize("parent", [NOBODY, Parent("a", ""), Parent("оплата", "🔥")])
def test_any_parent_is_read_from_its_bytes(parent: Parent) -> None:
    assert parent_of(parent.encode()) == parent


@pytest.mark.parametrize("column", [b"", b"no end", b"\xff\0x"])
def test_bytes_that_are_no_parent_are_told(column: bytes) -> None:
    with pytest.raises(ValueError, match=r"damaged|utf-8"):
        parent_of(column)

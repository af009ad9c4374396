"""Columns: how keys are written in tables, and in which partition an entry is.

Theory
------
An entry's partition is its parent's shard and the time of its id. Cassandra wants partitions below some 100,000 rows or
100 MB, and many rows of one partition in a write. A partition for each parent would give a message set as many writes
as it has parents; a shard's gives it few, because the shards of one partition number are its own (`core/ids.py`).

A bucket is 2^12 seconds (an hour and eight minutes). So within the bound a region may take 256 shards x 100,000 rows in
a bucket, 6,250 entries a second evenly spread, and one parent alone 24 a second; one that goes on at the limit of its
whole service, 100 a second, comes to four times the bound, which is slower to read and nothing worse. The entries of
a parent lie in as many partitions as there are buckets in which it has any.
"""

from typing import Final, NamedTuple

from tocsin.core.ids import Parent, RequestKey

BUCKET_BITS: Final = 12
"""A bucket is 2 to this many seconds."""
ID_BYTES: Final = 8


class Place(NamedTuple):
    """Where a request's row is: its columns, in the order of the table's key."""

    shard: int
    bucket: int
    parent: bytes
    request: bytes


def bucket_of(temporal_id: int) -> int:
    """The time bucket of an id, whenever its entry arrives."""
    return temporal_id >> (32 + BUCKET_BITS)


def shard_and_bytes(parent: Parent) -> tuple[int, bytes]:
    """The two columns of a parent; raises UnicodeEncodeError for what is no text."""
    place = parent.place
    return place[0], place[1:]


def request_of(key: RequestKey) -> bytes:
    """The column of a request, in the order of (id, digest); raises OverflowError for an id outside 64 bits."""
    return key.id.to_bytes(ID_BYTES, "big") + key.digest


def place_of(key: RequestKey) -> Place:
    """Where a request's row is; raises as its parts do."""
    return Place(*_split(key))


def _split(key: RequestKey) -> tuple[int, int, bytes, bytes]:
    shard, parent = shard_and_bytes(key.parent)
    return shard, bucket_of(key.id), parent, request_of(key)


def parent_of(column: bytes) -> Parent:
    """The parent of its bytes; raises ValueError when they are none. `Parent.decode` refuses the parent of undecodable
    records, which a store must hold.
    """
    service, separator, dedup_key = column.decode().partition("\0")
    if not separator:
        message = f"the parent of a row is damaged: {column[:40]!r}"
        raise ValueError(message)
    return Parent(service, dedup_key)


def id_of(request: bytes) -> int:
    """The temporal id in a request's column."""
    return int.from_bytes(request[:ID_BYTES], "big")


def key_of(parent: bytes, request: bytes) -> RequestKey:
    """The key of its columns; raises ValueError when they are none."""
    return RequestKey(parent_of(parent), id_of(request), request[ID_BYTES:])

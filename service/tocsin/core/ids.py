"""Temporal ids, parents, digests and request keys: how a request is known, in every region.

Theory
------
A *temporal id* is 64 bits: 32 bits of Unix seconds, then 32 random bits. It is minted where the request is minted,
before anything is stored, so a client knows its entry's name at once. Two requests of one parent in one second
collide with probability about 1 - exp(-n(n-1)/2^33) (the birthday problem), which is 1e-8 for ten and ten a *day*
for a thousand a second. So the id alone is not the key: a *request key* is (parent, id, digest), where the digest
covers the client's part of the request. A collision of ids then costs nothing: both are kept, and it is counted.

The partition of a parent is computed here, never by a client library: the same number in every topic and region.
"""

import math
import re
from hashlib import blake2b
from typing import Final, NamedTuple

DIGEST_BYTES: Final = 16
PARENT_BYTES_MAX: Final = 16 * 1024
"""Of a parent in a record: far more than intake makes, and what every store takes in a key."""
SECONDS_MAX: Final = 0xFFFF_FFFF
SHARDS: Final = 256
"""Shards of parents: the unit in which stores lay out and scan what they hold. Fixed for the life of all stores."""
SECONDS_REMEMBERED: Final = 4
"""Seconds of which a `Minter` knows what it gave out."""
_ID = re.compile(r"0x[0-9a-f]{16}\Z")
_KEY = re.compile(r"(0x[0-9a-f]{16})\.([0-9a-f]{12})\Z")


class Parent(NamedTuple):
    """What entries belong to: one alert key. `service` and `dedup_key` hold no NUL (intake refuses it)."""

    service: str
    dedup_key: str

    def encode(self) -> bytes:
        """The parent as the bytes that key its records: unambiguous because neither part can hold a NUL."""
        return f"{self.service}\0{self.dedup_key}".encode()

    @classmethod
    def decode(cls, raw: bytes) -> "Parent":
        """The parent of a record's key; raises ValueError when the bytes are not what `encode` makes, or too many for a
        store to keep anything under.
        """
        if len(raw) > PARENT_BYTES_MAX:
            message = f"not a parent: {len(raw)} bytes, of at most {PARENT_BYTES_MAX}"
            raise ValueError(message)
        service, separator, dedup_key = raw.decode().partition("\0")
        if not separator or not service or "\0" in dedup_key:
            message = "not a parent: expected service NUL dedup_key in UTF-8"
            raise ValueError(message)
        return cls(service, dedup_key)

    @property
    def place(self) -> bytes:
        """Where a scan of a store meets this parent: its shard as one byte, then its own bytes.

        A shard holds the parents of a partition number or of some: where the count of partitions divides `SHARDS`,
        what one partition's message set touches is few shards.
        """
        return bytes((partition_of(self, SHARDS),)) + self.encode()

    def __str__(self) -> str:
        return f"{self.service}/{self.dedup_key}"


UNDECODABLE: Final = "(undecodable)"
"""Counts as the service of what cannot be decoded."""
NOBODY: Final = Parent("", "")
"""The parent of a record that cannot be decoded: all that is known of it is the digest of its bytes."""


class RequestKey(NamedTuple):
    """What a request is known by in every region: (parent, temporal id, digest)."""

    parent: Parent
    id: int
    digest: bytes

    @property
    def service(self) -> str:
        """The service that the request counts for: what cannot be decoded counts as one of its own."""
        return self.parent.service or UNDECODABLE

    @property
    def printed(self) -> str:
        """The form that people and commands use: `0x<id>.<12 hex of the digest>`."""
        return f"{format_id(self.id)}.{self.digest.hex()[:12]}"

    def __str__(self) -> str:
        return self.printed


def format_id(temporal_id: int) -> str:
    """The printed form, `0x5d684054fc3540a0`."""
    return f"0x{temporal_id:016x}"


def parse_id(text: str) -> int:
    """The id of a printed form; raises ValueError for anything but `0x` and 16 lower-case hex digits."""
    if not _ID.match(text):
        message = f"not a temporal id: {text[:80]!r} (expected 0x and 16 lower-case hex digits)"
        raise ValueError(message)
    return int(text, 16)


def parse_printed(text: str) -> tuple[int, bytes]:
    """The id and the digest's first six bytes of a printed request key; raises ValueError when it is not one."""
    match = _KEY.match(text)
    if not match:
        message = f"not a request key: {text[:80]!r} (expected 0x<16 hex>.<12 hex>, as intake answers it)"
        raise ValueError(message)
    return int(match[1], 16), bytes.fromhex(match[2])


def id_seconds(temporal_id: int) -> int:
    """The Unix second in which the id was minted."""
    return temporal_id >> 32


def collision_odds(n: int) -> float:
    """The chance that n ids minted under one parent in one second are not all different: 1-exp(-n(n-1)/2^33)."""
    return 0.0 - math.expm1(-n * (n - 1) / 2**33)  # from 0.0: a plain minus makes -0.0 of the odds of one id


def digest(*parts: bytes) -> bytes:
    """BLAKE2b over the parts, each with its length, so that ("ab", "c") and ("a", "bc") differ; 16 bytes."""
    state = blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        state.update(len(part).to_bytes(8, "big"))
        state.update(part)
    return state.digest()


def partition_of(parent: Parent, partitions: int) -> int:
    """The partition number of a parent: the same in every topic and region while the count stays what it is."""
    return int.from_bytes(blake2b(parent.encode(), digest_size=8).digest(), "big") % partitions


class Minter:
    """Mints temporal ids that are unique within its second in this process, also when the clock steps back.

    Time and randomness are arguments. When a drawn value was used in this second already, the next free one is
    taken: the first 2^32 ids of a second are all different. The seconds minted in last are remembered, so a clock
    that is set back over fewer of them repeats nothing.
    """

    def __init__(self) -> None:
        self._used: dict[int, set[int]] = {}

    def mint(self, now_s: int, drawn: int) -> int:
        """An id for Unix second `now_s` from 32 drawn random bits; raises ValueError outside 0..2^32-1 seconds."""
        if not 0 <= now_s <= SECONDS_MAX:
            message = f"Unix second {now_s} does not fit in 32 bits"
            raise ValueError(message)
        used = self._used.get(now_s)
        if used is None:
            if len(self._used) == SECONDS_REMEMBERED:
                del self._used[next(iter(self._used))]
            used = self._used[now_s] = set()
        low = drawn & 0xFFFF_FFFF
        while low in used:
            low = (low + 1) & 0xFFFF_FFFF
        used.add(low)
        return now_s << 32 | low

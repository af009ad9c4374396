"""Statements: what replicas and people say in the ledger, and their bytes.

Theory
------
The ledger is a compacted topic of each region, mirrored to all. A statement's record key is what it is a statement
*of*, so compaction keeps the last of each: a replica's `stored` never pushes out its own `failed`, nor the payload,
because the word is part of the key and the payload is a record of its own, written before the `failed`. Of a person's
words number and word are: two people who do not know of each other may say the lower one last, and compaction must not
take the higher.

A replica's words on a request are ordered by (incarnation, `stored` before all else, attempt): within an incarnation
`stored` is for ever. A person's words belong to no replica and no incarnation: they are one numbered register a key.

A statement of a kind or word that this code does not know is kept and counts as nothing said.
"""

from enum import StrEnum
from typing import Final, NamedTuple, assert_never

import msgspec

from tocsin.core.failures import Kind
from tocsin.core.ids import RequestKey, format_id


class Replica(NamedTuple):
    """One creator, querier and database set in one region."""

    region: str
    stack: str

    def __str__(self) -> str:
        return f"{self.region}/{self.stack}"


class Word(StrEnum):
    """A replica's word on a request."""

    FAILED = "failed"
    STORED = "stored"


class PersonWord(StrEnum):
    """A person's word on a request or a region."""

    DROPPED = "dropped"
    REDRIVE = "redrive"
    DRAINED = "drained"
    JOINED = "joined"
    REMOVED = "removed"


class Said(msgspec.Struct, frozen=True, tag="said"):
    """A replica's word on a request; `failed` is a question to every other region, and a delivery."""

    key: RequestKey
    replica: Replica
    word: Word
    incarnation: int
    attempt: int
    since_us: int
    kind: Kind | None = None
    reason: str = ""
    crashed: bool = False
    """Some replica has called the request CRASHED. It goes with all later words: compaction takes the earlier one."""

    @property
    def order(self) -> tuple[int, bool, int]:
        """Of one replica's words on a request the highest counts."""
        return self.incarnation, self.word is Word.STORED, self.attempt


class Payload(msgspec.Struct, frozen=True, tag="payload"):
    """The record of a request that some replica could not store, whole (`Record.encode`)."""

    key: RequestKey
    record: bytes

    @property
    def order(self) -> bytes:
        """Duplicates of one request can differ in what intake added; which of them is kept matters to nobody."""
        return self.record


class RequestOrder(msgspec.Struct, frozen=True, tag="request_order"):
    """A person's `dropped` or `redrive`. The highest number counts, `dropped` wins a tie."""

    key: RequestKey
    number: int
    word: PersonWord
    by: str
    at_us: int
    why: str = ""

    def __post_init__(self) -> None:
        """A person's word on a region is none on a request (in the ledger: kept, and nothing said)."""
        if self.word not in (PersonWord.DROPPED, PersonWord.REDRIVE):
            raise ValueError(f"a request is dropped or redrive, not {self.word}")

    @property
    def order(self) -> tuple[int, bool, int, str]:
        """Of the orders on one request the highest counts (time and name only break ties that change nothing)."""
        return self.number, self.word is PersonWord.DROPPED, self.at_us, self.by


class RegionOrder(msgspec.Struct, frozen=True, tag="region_order"):
    """A person's `drained`, `joined` or `removed`. The highest number counts; in a tie the more careful word."""

    region: str
    number: int
    word: PersonWord
    by: str
    at_us: int
    why: str = ""

    def __post_init__(self) -> None:
        """A person's word on a request is none on a region (in the ledger: kept, and nothing said)."""
        if self.word not in _CARE:
            raise ValueError(f"a region is joined, drained or removed, not {self.word}")

    @property
    def order(self) -> tuple[int, int, int, str]:
        """Of the orders on one region the highest counts."""
        return self.number, _CARE[self.word], self.at_us, self.by


_CARE = {
    PersonWord.JOINED: 0,
    PersonWord.DRAINED: 1,
    PersonWord.REMOVED: 2,
}


class Beat(NamedTuple):
    """A place in one owner's heartbeats: the owner's epoch, then a counter."""

    epoch: int
    n: int


class Standing(msgspec.Struct, frozen=True, tag="standing"):
    """A region's heartbeat in one ledger partition.

    `halted`, `ill` and `draining` are the *region's*, repeated in every partition. `heard` is the last beat heard
    of each peer region: whoever finds a young one of its own there knows that this peer can be asked.
    """

    replica: Replica
    beat: Beat
    at_us: int
    halted: bool
    ill: bool
    draining: bool
    lag_s: float
    schema: int
    incarnation: int
    heard: dict[str, Beat]

    @property
    def order(self) -> Beat:
        """Of one replica's heartbeats the latest counts."""
        return self.beat


class Opened(msgspec.Struct, frozen=True, tag="opened"):
    """A replica opens an incarnation on the data named `database`; words of older incarnations count no more."""

    replica: Replica
    incarnation: int
    database: str

    @property
    def order(self) -> tuple[int, str]:
        """Of one replica's incarnations the highest counts."""
        return self.incarnation, self.database


class Promoted(msgspec.Struct, frozen=True, tag="promoted"):
    """From now on the region's word is that of this stack. The highest number counts."""

    region: str
    number: int
    stack: str

    @property
    def order(self) -> tuple[int, str]:
        """Of one region's promotions the latest counts."""
        return self.number, self.stack


class Unknown(msgspec.Struct, frozen=True):
    """A statement that this code does not know, as it stands in the ledger."""

    ledger_key: bytes
    value: bytes

    @property
    def order(self) -> bytes:
        """Nothing is known of it; any order that is the same everywhere will do."""
        return self.value


Statement = Said | Payload | RequestOrder | RegionOrder | Standing | Opened | Promoted
_DECODER: Final = msgspec.json.Decoder(Statement)


def encode_statement(statement: Statement) -> tuple[bytes, bytes]:
    """The ledger record's (key, value). Equal subjects have equal keys: that is what compaction goes by."""
    subject: list[str]
    match statement:
        case Said(key=key, replica=replica, word=word):
            subject = ["said", *_spell(key), *replica, word]
        case Payload(key=key):
            subject = ["payload", *_spell(key)]
        case RequestOrder(key=key, number=number, word=order):
            subject = ["request_order", *_spell(key), str(number), order]
        case RegionOrder(region=region, number=number, word=order):
            subject = ["region_order", region, str(number), order]
        case Standing(replica=replica):
            subject = ["standing", *replica]
        case Opened(replica=replica):
            subject = ["opened", *replica]
        case Promoted(region=region):
            subject = ["promoted", region]
        case _:
            assert_never(statement)
    return msgspec.json.encode(subject), msgspec.json.encode(statement)


def decode_statement(ledger_key: bytes | None, value: bytes) -> Statement | Unknown:
    """The statement of a ledger record. Never raises: what cannot be read is `Unknown`."""
    try:
        statement: Statement = _DECODER.decode(value)
    except (ValueError, RecursionError):
        return Unknown(ledger_key or b"", value)
    return statement


def _spell(key: RequestKey) -> tuple[str, str, str, str]:
    return key.parent.service, key.parent.dedup_key, format_id(key.id), key.digest.hex()

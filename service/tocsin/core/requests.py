"""Requests and the log records that carry them: one codec for intake, creator, mirror and ledger.

Theory
------
A request is a command to record one log entry. Its record has the parent as key, the client's part (canonical JSON) as
value, and everything that Tocsin adds in headers: id, digest, schema version, received-at, region of acceptance. The
headers and the key keep their meaning through all schema versions: a replica that is too old to read the *body* still
knows *which* request it has in hand, and can say so (TOO_NEW). A record whose headers cannot be read is known by the
digest of its bytes alone, equal in every region, because a mirror keeps key and value.

A request that somebody follows also carries the context of its trace, in the header that W3C names for it. It is no
part of the request: what is stored does not know of it, and whoever does not trace leaves it unread.

A *tick* is a record without a key that says: whatever this region's intake minted before `tick_us` less the
mint-to-append limit is above. Ticks travel in `requests` itself, so they are mirrored in order with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from tocsin.core.failures import Failure, Kind
from tocsin.core.ids import DIGEST_BYTES, NOBODY, Parent, RequestKey, digest, format_id, parse_id

SCHEMA: Final = 3
"""The highest schema version of a request body that this code reads. It writes the lowest one that has the action."""

SCHEMA_MAX: Final = 2**31 - 1
TIME_US_MAX: Final = 2**62
"""Times are below this (the year 148,108): what a store keeps as a signed integer, with room for write times above."""
REGION_LENGTH_MAX: Final = 64
TRACE_LENGTH_MAX: Final = 128

H_ID: Final = "tocsin-id"
H_DIGEST: Final = "tocsin-digest"
H_SCHEMA: Final = "tocsin-schema"
H_RECEIVED: Final = "tocsin-received-us"
H_REGION: Final = "tocsin-region"
H_TICK: Final = "tocsin-tick-us"
H_TRACE: Final = "traceparent"


class Record(NamedTuple):
    """One record of a log, without its place: what is appended, mirrored, and kept whole when it cannot be stored."""

    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int = 0

    def encode(self) -> bytes:
        """The record as bytes, for the payload of a statement and for the table of what is kept."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> "Record":
        """The record of `encode`'s bytes; raises ValueError when they are not that."""
        return msgspec.msgpack.decode(raw, type=cls)


class Arrival(NamedTuple):
    """When and where a request was received. Of records with one request key the first to arrive is the entry."""

    received_us: int
    region: str


class Request(NamedTuple):
    """A command to record one entry. `body` is the client's part; `received_us` is Unix microseconds."""

    key: RequestKey
    received_us: int
    region: str
    schema: int
    body: bytes

    @property
    def arrival(self) -> Arrival:
        """When and where it was received."""
        return Arrival(self.received_us, self.region)


class Tick(NamedTuple):
    """Intake's mark of time in one partition of `requests`."""

    tick_us: int
    region: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that is no request for us: undecodable, or (`too_new`) of a schema version above ours."""

    key: RequestKey
    reason: str
    too_new: bool = False
    arrival: Arrival | None = None
    """None: not even the headers can be read."""

    @property
    def failure(self) -> Failure:
        """As what it fails."""
        return Failure(Kind.TOO_NEW if self.too_new else Kind.REJECTED, self.reason)


_DIGITS_MAX: Final = 19  # of 2^62, and int() takes time by the square of the length
_SHOWN_MAX: Final = 80

Content = Request | Tick | Unreadable


def encode_request(request: Request, trace: str = "") -> Record:
    """The record that carries a request. `trace`: the context of the trace that follows it, if one does."""
    key = request.key
    headers: tuple[tuple[str, bytes], ...] = (
        (H_ID, format_id(key.id).encode()),
        (H_DIGEST, key.digest),
        (H_SCHEMA, b"%d" % request.schema),
        (H_RECEIVED, b"%d" % request.received_us),
        (H_REGION, request.region.encode()),
    )
    if trace:
        headers = (*headers, (H_TRACE, trace.encode()))
    return Record(key.parent.encode(), request.body, headers, request.received_us // 1000)


def trace_of(record: Record) -> str:
    """The context of the trace that follows what the record carries; empty when none does, or it is no text of ours."""
    for name, value in reversed(record.headers):
        if name == H_TRACE:
            return value.decode() if len(value) <= TRACE_LENGTH_MAX and value.isascii() else ""
    return ""


def encode_tick(tick: Tick) -> Record:
    """The record of a tick."""
    return Record(
        None,
        b"",
        ((H_TICK, b"%d" % tick.tick_us), (H_REGION, tick.region.encode())),
        tick.tick_us // 1000,
    )


def bytes_digest(record: Record) -> bytes:
    """The digest of a record's key and value bytes, which mirrors keep: its name when nothing else can be read."""
    return digest(record.key or b"", record.value)


def decode_record(record: Record) -> Content:
    """What a record of `requests` holds. Never raises: what cannot be read is an `Unreadable` that says why."""
    headers = dict(record.headers)
    try:
        if record.key is None and H_TICK in headers:
            return Tick(_number(headers, H_TICK, TIME_US_MAX), _region(headers))
        if record.key is None:
            return _undecodable(record, "the record has no key, so no parent")
        key = RequestKey(Parent.decode(record.key), parse_id(headers[H_ID].decode()), headers[H_DIGEST])
        schema = _number(headers, H_SCHEMA, SCHEMA_MAX)
        received_us = _number(headers, H_RECEIVED, TIME_US_MAX)
        region = _region(headers)
    except KeyError as missing:
        return _undecodable(record, f"header {missing.args[0]} is missing")
    except ValueError as error:
        return _undecodable(record, str(error))
    if len(key.digest) != DIGEST_BYTES:
        return _undecodable(record, f"header {H_DIGEST} holds {len(key.digest)} bytes, not {DIGEST_BYTES}")
    if schema < 1:
        return _undecodable(record, f"header {H_SCHEMA} is 0; schema versions start at 1")
    if schema > SCHEMA:
        reason = f"schema version {schema} is above ours, {SCHEMA}"
        return Unreadable(key, reason, too_new=True, arrival=Arrival(received_us, region))
    return Request(key, received_us, region, schema, record.value)


def decode_records(records: Sequence[Record]) -> list[Content]:
    """`decode_record` over a message set."""
    return [decode_record(record) for record in records]


def _number(headers: dict[str, bytes], name: str, below: int) -> int:
    raw = headers[name]
    if not raw.isdigit() or len(raw) > _DIGITS_MAX or int(raw) >= below:
        message = f"header {name} is not a number from 0 to {below - 1}: {raw[:_SHOWN_MAX]!r}"
        raise ValueError(message)
    return int(raw)


def _region(headers: dict[str, bytes]) -> str:
    region = headers[H_REGION].decode()
    if not 0 < len(region) <= REGION_LENGTH_MAX or "\0" in region:
        message = f"header {H_REGION} is not the name of a region: {region[:_SHOWN_MAX]!r}"
        raise ValueError(message)
    return region


def _undecodable(record: Record, reason: str) -> Unreadable:
    return Unreadable(RequestKey(NOBODY, 0, bytes_digest(record)), f"undecodable: {reason}")

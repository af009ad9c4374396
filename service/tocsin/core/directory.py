"""The directory: services and people, as records that every region keeps by one rule, and their bytes.

Theory
------
A service or a person is *one* record, named by kind and id. Of several records of one name the one with the highest
(updated at, region) counts, a delete mark as any other; bytes break the tie that is left, so the order is total and
merging is a join: whatever order the records of two regions arrive in, and however often, all regions end alike. Who
changes a record puts its time above the one that was seen (`next_us`), so that a person's change counts over what they
looked at, whichever clock is ahead.

What the region's file says are records of time 0 of no region: the least that there can be. So the file is the start,
and whatever was applied or deleted since counts over it.

A routing key travels only as its SHA-256: whoever reads the topic, or a backup of it, can send no events by it. It is
32 characters of chance, so nothing is won by trying. How long looking up a hash takes also says nothing of how much of
a guessed key was right, since nobody can steer the bytes of a hash.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from tocsin.core.paging.people import DEFAULT_RULE, Person, Urgency
from tocsin.core.rates import EVENTS_PER_MIN_MAX
from tocsin.core.requests import TIME_US_MAX

VALUE_BYTES_MAX: Final = 262_144
"""No record is longer: a person with as many methods and rules as there may be has a quarter of it."""
ID_LENGTH_MAX: Final = 64
NAMES_MAX: Final = 1_000_000
"""Services and users, deleted ones included, that are held at most."""


class Kind(StrEnum):
    """What a record is about."""

    SERVICE = "service"
    USER = "user"


class Ack(StrEnum):
    """What must have a request before it is answered with 202."""

    REGION = "region"
    """The log of the region that it came to."""
    ALL_REGIONS = "all-regions"
    """The logs of all regions: losing a region then loses nothing that was accepted."""


class PeerUnreachable(StrEnum):
    """What is done with an event for all regions while a peer's log cannot be reached."""

    REFUSE = "refuse"
    """503: the client keeps it, and tries again or elsewhere."""
    ACCEPT = "accept"
    """Taken as for `region`, and the answer says so."""


class ServiceUrgency(StrEnum):
    """How much the incidents of a service matter."""

    HIGH = "high"
    LOW = "low"
    BY_SEVERITY = "by-severity"
    """As the event's severity says."""


class RoutingKey(msgspec.Struct, frozen=True):
    """A key by which events reach a service, as its hash; `until_us` when it ends, None while it is in use."""

    hash: bytes
    until_us: int | None = None


class Service(msgspec.Struct, frozen=True):
    """A service: what an event is for. `id` is part of every parent, so it never changes.

    Several `keys`, so that one can be replaced without an interruption: the new one joins, the old one gets an end.
    `events_per_min_max`: in any 60 seconds one intake process takes no more events than this. `responders` are the ids
    of the users who are told of its incidents, all of them.
    """

    id: str
    name: str
    keys: tuple[RoutingKey, ...] = ()
    ack: Ack = Ack.REGION
    when_peer_unreachable: PeerUnreachable = PeerUnreachable.REFUSE
    events_per_min_max: int = EVENTS_PER_MIN_MAX
    responders: tuple[str, ...] = ()
    urgency: ServiceUrgency = ServiceUrgency.BY_SEVERITY

    def urgency_of(self, by_severity: str) -> str:
        """The urgency of an incident whose severity alone would give it this one."""
        return by_severity if self.urgency is ServiceUrgency.BY_SEVERITY else Urgency(self.urgency)


Body = Service | Person


class Name(NamedTuple):
    """What a record is known by."""

    kind: Kind
    id: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class DirectoryRecord(NamedTuple):
    """What is known of a service or a person since `updated_us` (Unix microseconds), said in `region`.

    `body` is None for a delete mark.
    """

    name: Name
    updated_us: int
    region: str
    body: Body | None

    @property
    def order(self) -> tuple[int, str, bytes]:
        """Of the records of one name the highest counts."""
        return self.updated_us, self.region, msgspec.msgpack.encode(self.body)


class InvalidRecord(ValueError):
    """Bytes on the topic that are no record of ours."""


def hash_key(routing_key: str) -> bytes:
    """The hash by which a routing key is known."""
    return hashlib.sha256(routing_key.encode()).digest()


def name_of(body: Body) -> Name:
    """The name of a service or a person."""
    return Name(Kind.SERVICE if isinstance(body, Service) else Kind.USER, body.id)


def of_file(body: Body) -> DirectoryRecord:
    """The record that the region's file has of it: the least there can be."""
    return DirectoryRecord(name_of(body), 0, "", body)


def merge(one: DirectoryRecord, other: DirectoryRecord) -> DirectoryRecord:
    """The one of two records of one name that counts."""
    return max(one, other, key=lambda record: record.order)


class Records:
    """What was read, by name: the join of all records, in whatever order they came. At most `names_max` names."""

    def __init__(self, names_max: int = NAMES_MAX) -> None:
        self._names_max = names_max
        self.by_name: dict[Name, DirectoryRecord] = {}
        self.is_full = False
        """Whether a name was left out because there are too many."""

    def take(self, record: DirectoryRecord) -> bool:
        """Takes it in; whether what counts is another now."""
        known = self.by_name.get(record.name)
        if known is None and len(self.by_name) >= self._names_max:
            self.is_full = True
            return False
        counts = record if known is None else merge(known, record)
        self.by_name[record.name] = counts
        return counts is not known


def next_us(known: DirectoryRecord | None, now_us: int) -> int:
    """The time of a change made now by somebody who saw this record: above it, also when a clock is off."""
    return now_us if known is None else max(now_us, known.updated_us + 1)


# Bytes ---------------------------------------------------------------------------------------------------------------


class _Value(msgspec.Struct, array_like=True, frozen=True):
    updated_us: int
    region: str
    body: msgspec.Raw


_VALUE: Final = msgspec.msgpack.Decoder(_Value)
_BODIES: Final = {
    Kind.SERVICE: msgspec.msgpack.Decoder(Service | None),
    Kind.USER: msgspec.msgpack.Decoder(Person | None),
}


def encode_directory(record: DirectoryRecord) -> tuple[bytes, bytes]:
    """The record's (key, value); raises InvalidRecord for one that nobody would read."""
    body = msgspec.Raw(msgspec.msgpack.encode(record.body))
    key = f"{record.name.kind}/{record.name.id}".encode()
    value = msgspec.msgpack.encode(_Value(record.updated_us, record.region, body))
    decode_directory(key, value)
    return key, value


def decode_directory(key: bytes | None, value: bytes) -> DirectoryRecord:
    """The record of a key and value; raises InvalidRecord and nothing else."""
    if len(value) > VALUE_BYTES_MAX:
        message = f"{len(value)} bytes, more than {VALUE_BYTES_MAX}"
        raise InvalidRecord(message)
    try:
        kind, _, id = (key or b"").decode().partition("/")
        name, head = Name(Kind(kind), id), _VALUE.decode(value)
        body: Body | None = _BODIES[name.kind].decode(head.body)
    except (ValueError, RecursionError) as error:
        message = f"not a directory record: {error}"
        raise InvalidRecord(message) from error
    if not 0 < len(id) <= ID_LENGTH_MAX or not 0 <= head.updated_us < TIME_US_MAX:
        message = "its id or its time is out of bounds"
        raise InvalidRecord(message)
    if body is not None and body.id != id:
        message = f"{name} holds what is called {body.id[:ID_LENGTH_MAX]!r}"
        raise InvalidRecord(message)
    return DirectoryRecord(name, head.updated_us, head.region, body)


# Who cannot be reached -----------------------------------------------------------------------------------------------


class Unreachable(NamedTuple):
    """A responder whom a service's incidents may not reach as wanted, and why."""

    service: str
    user: str
    why: str

    def __str__(self) -> str:
        return f"responder {self.user} of service {self.service} {self.why}"


def unreachable(service: Service, user_of: Callable[[str], Person | None]) -> list[Unreachable]:
    """The responders of a service whom nothing would reach, or only the rule that stands in for none.

    `user_of` gives the person of an id. A service without responders has nobody to reach: that may be meant.
    """
    return [
        Unreachable(service.id, user, why)
        for user in dict.fromkeys(service.responders)
        for why in _why_not(user_of(user), service.urgency)
    ]


def _why_not(person: Person | None, urgency: ServiceUrgency) -> Iterator[str]:
    if person is None:
        yield "is nobody: no user has this id"
    elif not person.methods:
        yield "has no contact method"
    elif not any(method.is_usable for method in person.methods):
        verified = [method for method in person.methods if method.verified]
        unblocked = [method for method in verified if not method.blocked]
        if not verified:
            yield "has no verified contact method"
        elif not unblocked:
            yield "has no contact method left that is not blocked"
        else:
            yield "has contact methods, but none of a kind that is known here"
    else:
        by_severity = urgency is ServiceUrgency.BY_SEVERITY
        for one in [*Urgency] if by_severity else [Urgency(urgency)]:
            rule, method = next(person.reached_by(one))
            if rule.id == DEFAULT_RULE:
                yield f"has no rule for {one} urgency that leads anywhere; {method.id} is used at once instead"


def faults(services: Iterable[Service], user_of: Callable[[str], Person | None]) -> list[str]:
    """What people should mend: responders who cannot be reached, and routing keys that two services claim."""
    found, owners = [], dict[bytes, str]()
    for service in services:
        found += [str(one) for one in unreachable(service, user_of)]
        for key in service.keys:
            owner = owners.setdefault(key.hash, service.id)
            if owner != service.id:
                what = f"services {owner} and {service.id} have one routing key; its events go to the one changed last"
                found.append(what)
    return found

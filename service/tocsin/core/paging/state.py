"""The kept user: all that is needed to go on exactly, as bytes; and what is done with bytes that are none of ours.

A row is a check sum, then MessagePack: the person, the incidents, the intents with their fates. Nothing else is state:
timers, pending pairs and places are worked out. A damaged row, or one of a later version, is no row: the user starts
from nothing, which a person is told.
"""

from hashlib import blake2b
from typing import Final

import msgspec

from tocsin.core.paging.concern import Concern
from tocsin.core.paging.covers import Flight
from tocsin.core.paging.effects import UserRow
from tocsin.core.paging.feedback import End, Intent
from tocsin.core.paging.user import User

VERSION: Final = 1
SUM_BYTES: Final = 8


class _KeptConcern(msgspec.Struct, array_like=True, frozen=True):
    name: bytes
    version: int
    at_us: int
    urgency: str
    is_open: bool
    packed: bytes
    from_us: int


class _KeptFlight(msgspec.Struct, array_like=True, frozen=True):
    intent: Intent
    deadline_us: int
    end: End | None
    lapsed_us: int
    said: bool


class _KeptUser(msgspec.Struct, array_like=True, frozen=True):
    version: int
    user: str
    packed: bytes
    concerns: list[_KeptConcern]
    flights: list[_KeptFlight]


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_KeptUser)


def encode_user(user: User) -> bytes:
    """A user as they are kept; empty when nothing is to be known of them."""
    concerns = [
        _KeptConcern(one.name, one.version, one.at_us, one.urgency, one.is_open, one.packed, one.from_us)
        for one in user.concerns
    ]
    flights = [
        _KeptFlight(flight.intent, flight.deadline_us, flight.end, flight.lapsed_us, flight.said)
        for channel in user.channels
        if channel.covers is not None
        for flight in channel.covers.flights.values()
    ]
    if not (user.packed or concerns or flights):
        return b""
    body = _ENCODER.encode(_KeptUser(VERSION, user.id, user.packed, concerns, flights))
    return _sum(body) + body


def decode_user(row: UserRow) -> User | None:
    """The user of a row; None when it is damaged, another's, or of a later version.

    Which of the intents are our own is not kept: `Flights` knows who we are.
    """
    check, body = row.state[:SUM_BYTES], row.state[SUM_BYTES:]
    if check != _sum(body):
        return None
    try:
        kept = _DECODER.decode(body)
    except (ValueError, RecursionError):
        return None
    if kept.version != VERSION or kept.user != row.user:
        return None
    user = User(row.user)
    user.packed = kept.packed
    for one in kept.concerns:
        urgency = user.urgency(one.urgency)
        user.add(Concern(one.name, one.version, one.at_us, urgency, one.is_open, one.packed, one.from_us))
    for its in kept.flights:
        flight = Flight(its.intent, its.deadline_us, own=False)
        flight.end, flight.lapsed_us, flight.said = its.end, its.lapsed_us, its.said
        channel = user.channel(its.intent.channel.method, its.intent.channel.urgency)
        if channel is not None:
            channel.covering().add(flight)
    return user


def _sum(body: bytes) -> bytes:
    return blake2b(body, digest_size=SUM_BYTES, person=b"user row").digest()

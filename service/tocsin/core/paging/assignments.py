"""Assignments: that an incident is somebody's, and how it is; and their bytes on the `assignments` topic.

Theory
------
Each region derives its assignments from its own entries and directory, so the topic is not mirrored. An assignment is
*state*, not news: of several about one (user, incident) the one with the highest version of the fold counts, whatever
order they come in, and a repeat changes nothing.

Its *cause* is the entry that opened the incident. Both regions store the same entries, so the two regions' assignments
of one incident have one cause, and a page that one region sent for it counts in the other.
"""

from hashlib import blake2b
from typing import Final

import msgspec

from tocsin.core.ids import RequestKey

OPEN: Final = "triggered"
IDS: Final = 2**64


class Assignment(msgspec.Struct, frozen=True):
    """An incident as it concerns one user. Times are Unix microseconds.

    `incident` is the key of the opening entry, the cause; `since_us` when that was received, from which delays count.
    `status` is the incident's; while it is `triggered` the user is to be told. `aliases` are ids of the same parent
    that were incidents of their own before an earlier opening arrived: what is known of those ends.
    `version` is the fold's: within a region it only rises for one parent. `trace`: the context of the trace that
    follows it, as text; without one it is left out on the topic.
    """

    user: str
    incident: RequestKey
    since_us: int
    status: str
    urgency: str
    title: str
    source: str
    service: str
    version: int
    aliases: tuple[int, ...] = ()
    trace: str | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        """Names incidents that can be."""
        if not all(0 <= id < IDS for id in (self.incident.id, *self.aliases)):
            raise ValueError("an incident's id has 64 bits")

    @property
    def is_open(self) -> bool:
        """Whether the user is still to be told."""
        return self.status == OPEN


class InvalidAssignment(ValueError):
    """Bytes on the topic that are no assignment of ours."""


_DECODER: Final = msgspec.msgpack.Decoder(Assignment)


def encode_assignment(assignment: Assignment) -> tuple[bytes, bytes]:
    """The record's (key, value)."""
    return assignment.user.encode(), msgspec.msgpack.encode(assignment)


def decode_assignment(value: bytes) -> Assignment:
    """The assignment of a record's value; raises InvalidAssignment."""
    try:
        return _DECODER.decode(value)
    except (ValueError, RecursionError) as error:
        message = f"not an assignment: {error}"
        raise InvalidAssignment(message) from error


def user_partition(user: str, partitions: int) -> int:
    """The partition number of a user: the same in `assignments`, `directory` and `feedback`, and in every region."""
    return int.from_bytes(blake2b(user.encode(), digest_size=8, person=b"user").digest(), "big") % partitions


PAIR_BYTES: Final = 8


def pair_of(incident: RequestKey, rule: str) -> bytes:
    """The name of (incident, rule, cause) in intents: the incident's key is its cause's.

    8 bytes, so that an intent can cover ten thousand: within one user's channel two of n are equal with a chance of
    n^2/2^65, 3e-12 at ten thousand.
    """
    state = blake2b(digest_size=PAIR_BYTES)
    for part in (incident.parent.encode(), incident.id.to_bytes(8, "big"), incident.digest, rule.encode()):
        state.update(len(part).to_bytes(4, "big") + part)
    return state.digest()

"""Feedback: what notifiers of all regions say of pages, and their bytes on the mirrored `feedback` topic.

Theory
------
An *intent* is the recorded decision to hand a bundle over: it is acknowledged in the log before a provider is called,
so whoever reads on knows that a page may be under way. Each intent gets an *end*. A *pulse* a second says that the
notifier of a region lives and whether it calls itself fit to send; silence is told by a pulse that does not come.

All three are facts that never change: a repeat, a reordering, or a duplicate by the mirror changes nothing. What cannot
be read is `None` and counts as nothing said; it must not stop the partition.
"""

from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from tocsin.core.paging.assignments import PAIR_BYTES

COVERS_MAX: Final = 10_000
"""Pairs that one intent covers at most; what is above goes into the next bundle."""


class Outcome(StrEnum):
    """How a hand-over ended."""

    DELIVERED = "delivered"
    """The provider took it."""
    FAILED = "failed"
    """Nobody took it, and it is certain that nobody did."""
    UNKNOWN = "unknown"
    """It may have been taken: the call did not end."""


class ChannelKey(NamedTuple):
    """A user channel: one person's one method at one urgency."""

    user: str
    method: str
    urgency: str


class IntentId(NamedTuple):
    """(region, epoch of the partition's owner there, sequence): unique among the intents of a user partition."""

    region: str
    epoch: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.region}-{self.epoch}-{self.sequence}"


class Intent(msgspec.Struct, frozen=True, tag="intent"):
    """A bundle is about to be handed over. `covers`: the names (`pair_of`) of its pairs, 8 bytes each, joined.

    `due_us` is when the channel wanted to send, `at_us` when it was decided, `place` the region's in the order. `why`
    says in a word or two what made the moment: due, paced, backstop, again.
    """

    id: IntentId
    channel: ChannelKey
    covers: bytes
    due_us: int
    at_us: int
    place: int
    why: str

    def __post_init__(self) -> None:
        """Covers whole pairs."""
        if len(self.covers) % PAIR_BYTES or len(self.covers) > COVERS_MAX * PAIR_BYTES:
            raise ValueError("an intent covers whole pairs, within the limit")

    @property
    def name(self) -> str:
        """What people and receivers know the page by. Unique: the id alone is so within one user partition."""
        return f"{self.id}-{self.channel.user}"

    @property
    def pairs(self) -> list[bytes]:
        """What it covers, by name."""
        return [self.covers[i : i + PAIR_BYTES] for i in range(0, len(self.covers), PAIR_BYTES)]


class End(msgspec.Struct, frozen=True, tag="end"):
    """How an intent ended. Of several for one intent the best known counts: delivered, then failed, then unknown."""

    id: IntentId
    channel: ChannelKey
    outcome: Outcome
    at_us: int
    method: str = ""
    """The method that took it in the end, when stage two fell back to another one."""
    reason: str = ""


class Pulse(msgspec.Struct, frozen=True, tag="pulse"):
    """A region's notifier owns this partition and lives. `fit`: undrained, not halted, not ill, little lag."""

    region: str
    epoch: int
    n: int
    at_us: int
    fit: bool


Feedback = Intent | End | Pulse
_DECODER: Final = msgspec.msgpack.Decoder(Feedback)


def encode_feedback(said: Feedback) -> tuple[bytes, bytes]:
    """The record's (key, value)."""
    key = said.region if isinstance(said, Pulse) else said.channel.user
    return key.encode(), msgspec.msgpack.encode(said)


def decode_feedback(value: bytes) -> Feedback | None:
    """What a record says, None when it cannot be read."""
    try:
        said: Feedback = _DECODER.decode(value)
    except (ValueError, RecursionError):
        return None
    return said

"""Kinds of failure, and what they are evidence of (design 3.1).

Only REJECTED and CRASHED say anything about the request. A store that does not answer says nothing about what it was
asked, however its neighbours fare; neither does a schema version above ours.
"""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """Why a request could not be stored."""

    REJECTED = "rejected"
    """Refused on its own merits: undecodable, invalid, refused by the store as invalid."""
    CRASHED = "crashed"
    """Tried alone in a child process with time and memory limits, it killed or hung that child."""
    UNAVAILABLE = "unavailable"
    """A time-out or no answer. Never evidence of a bad request."""
    TOO_NEW = "too_new"
    """A schema version above ours. Never evidence of a bad request."""

    @property
    def is_evidence(self) -> bool:
        """Whether this kind says that the request is bad."""
        return self in _EVIDENCE


_EVIDENCE = frozenset({Kind.REJECTED, Kind.CRASHED})


class Failure(NamedTuple):
    """One failed attempt: its kind, and the reason in words that a person can act on."""

    kind: Kind
    reason: str

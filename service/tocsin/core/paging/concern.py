"""A concern: one incident as it concerns one user, in as few bytes as a million of them allow.

The assignment is held encoded and is decoded when a page is made of it; of an incident that ended only the version
stays, so that an older word, read again, does not open it anew.
"""

from hashlib import blake2b

import msgspec

from tocsin.core.ids import Parent
from tocsin.core.paging.assignments import Assignment, decode_assignment, pair_of

NAME_BYTES = 8
_ENCODER = msgspec.msgpack.Encoder()


def concern_name(parent: Parent, id: int) -> bytes:
    """The name of an incident within its user: 8 bytes of its parent and its id: aliases tell no more."""
    state = blake2b(digest_size=NAME_BYTES, person=b"concern")
    for part in (parent.encode(), id.to_bytes(8, "big")):
        state.update(len(part).to_bytes(4, "big") + part)
    return state.digest()


class Concern:
    """What is known of it. Times are Unix microseconds.

    `at_us`: since when it is assigned, or when it ended; `from_us`: it is not paged for before, 0 for most. `packed`:
    empty when it is let go.
    """

    __slots__ = ("at_us", "from_us", "is_open", "names", "packed", "urgency", "version")

    def __init__(
        self, version: int, at_us: int, urgency: str, packed: bytes, *, is_open: bool, from_us: int = 0
    ) -> None:
        """As kept."""
        self.version = version
        self.at_us = at_us
        self.urgency = urgency
        self.packed = packed
        self.is_open = is_open
        self.from_us = from_us
        self.names: dict[str, bytes] | None = None

    @classmethod
    def opened(cls, assignment: Assignment, urgency: str, from_us: int) -> "Concern":
        """Of an assignment that is open. `urgency`: the one string that all concerns share."""
        packed = _ENCODER.encode(assignment)
        return cls(assignment.version, assignment.since_us, urgency, packed, is_open=True, from_us=from_us)

    def due_us(self, delay_us: int) -> int:
        """When a rule with this delay is due."""
        return max(self.at_us + delay_us, self.from_us)

    def close(self, version: int, at_us: int) -> None:
        """It is nobody's to be told any more."""
        self.version = version
        self.at_us = at_us
        self.is_open = False

    def let_go(self) -> None:
        """No page that names it is under way: keep nothing but the version."""
        self.packed = b""
        self.names = None

    @property
    def assignment(self) -> Assignment:
        """The assignment, of one that was not let go."""
        return decode_assignment(self.packed)

    def pair(self, rule: str) -> bytes:
        """The name of (this incident, a rule)."""
        if self.names is None:
            self.names = {}
        name = self.names.get(rule)
        if name is None:
            name = self.names[rule] = pair_of(self.assignment.incident, rule)
        return name

"""A concern: one incident as it concerns one user, in as few bytes as a million of them allow.

What a page needs of the assignment is held packed, and unpacked when a page is made of it; of an incident that ended
only the version stays, so that an older word, read again, does not open it anew.
"""

from hashlib import blake2b
from typing import Final

import msgspec

from tocsin.core.ids import Parent, RequestKey
from tocsin.core.paging.assignments import OPEN, Assignment, pair_of

NAME_BYTES: Final = 8
_ENCODER: Final = msgspec.msgpack.Encoder()


class _Packed(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What is packed. `trace` is there only where a trace follows the incident."""

    incident: RequestKey
    title: str
    source: str
    service: str
    trace: str | msgspec.UnsetType = msgspec.UNSET


_DECODER: Final = msgspec.msgpack.Decoder(_Packed)


def concern_name(parent: Parent, id: int) -> bytes:
    """The name of an incident within its user: 8 bytes of its parent and its id, for aliases tell no more."""
    state = blake2b(digest_size=NAME_BYTES, person=b"concern")
    for part in (parent.encode(), id.to_bytes(8, "big")):
        state.update(len(part).to_bytes(4, "big") + part)
    return state.digest()


class Concern(msgspec.Struct, eq=False, gc=False):
    """What is known of it. Times are Unix microseconds.

    `at_us`: since when it is assigned, or when it ended; `from_us`: it is not paged for before, 0 for most. `packed`:
    the rest of the assignment, empty when it is let go. `names`: those of its pairs that were asked for, by rule.
    Without `gc`: it is part of no cycle, and a million of them cost the collector nothing.
    """

    name: bytes
    version: int = 0
    at_us: int = 0
    urgency: str = ""
    is_open: bool = False
    packed: bytes = b""
    from_us: int = 0
    names: dict[str, bytes] | None = None

    def due_us(self, delay_us: int) -> int:
        """When a rule with this delay is due."""
        return max(self.at_us + delay_us, self.from_us)

    def open(self, assignment: Assignment, urgency: str, from_us: int) -> None:
        """It is to be told. `urgency`: the one string that all concerns share."""
        self.version = assignment.version
        self.at_us = assignment.since_us
        self.urgency = urgency
        self.is_open = True
        incident = assignment.incident
        service = "" if assignment.service == incident.parent.service else assignment.service
        packed = (incident, assignment.title, assignment.source, service)
        followed = () if assignment.trace is msgspec.UNSET else (assignment.trace,)
        self.packed = _ENCODER.encode((*packed, *followed))
        self.from_us = from_us
        self.names = None

    def close(self, version: int, at_us: int) -> None:
        """It is nobody's to be told any more."""
        self.version = version
        self.at_us = at_us
        self.is_open = False

    def let_go(self) -> None:
        """No page that names it is under way: keep nothing but the version."""
        self.packed = b""
        self.names = None

    def assignment(self, user: str) -> Assignment:
        """The assignment to its user as it was when it was open, of one that was not let go."""
        its = _DECODER.decode(self.packed)
        service = its.service or its.incident.parent.service
        return Assignment(
            user,
            its.incident,
            self.at_us,
            OPEN,
            self.urgency,
            its.title,
            its.source,
            service,
            self.version,
            trace=its.trace,
        )

    def pair(self, rule: str) -> bytes:
        """The name of (this incident, a rule)."""
        if self.names is None:
            self.names = {}
        name = self.names.get(rule)
        if name is None:
            name = self.names[rule] = pair_of(_DECODER.decode(self.packed).incident, rule)
        return name

"""What is kept whole of a request that could not be stored: held, set aside, quarantined, dropped.

A kept row has the request's own record, so nothing is lost by letting the log go on, and the decisions that brought it
where it is, so that a person can ask why. Rows are versioned by their writer, (owner epoch << 32) + a counter: a late
write by a former owner does no harm.
"""

from enum import StrEnum
from typing import Final

import msgspec

from tocsin.core.failures import Kind
from tocsin.core.ids import RequestKey

DECISIONS_MAX: Final = 32
"""Of a row's decisions the first and the latest are kept, this many in all."""


class Stage(StrEnum):
    """Where a request that failed is."""

    HELD = "held"
    """Not decided, or halting: retried at once and for ever. Its offset is not done."""
    ASIDE = "set_aside"
    """Done provisionally: shown in reads, retried in the background, decided again at every news."""
    QUARANTINED = "quarantined"
    """Done: every region refused it. Reopened by a `stored` from anyone or by `redrive`."""
    DROPPED = "dropped"
    """Done: a person said so. Reopened by a `redrive` with a higher number."""
    DONE = "done"
    """Stored after all; the row remains as the record of what happened."""


class Decision(msgspec.Struct, frozen=True, array_like=True):
    """One verdict: when (Unix microseconds), what, by which row of the table, and the evidence in words."""

    at_us: int
    verdict: str
    row: str
    evidence: str


class Kept(msgspec.Struct, frozen=True):
    """The row of one failed request in its region's store. `record` is `Record.encode()` of what the log delivered."""

    key: RequestKey
    partition: int
    stage: Stage
    record: bytes
    kind: Kind
    reason: str
    since_us: int
    incarnation: int
    attempt: int
    decisions: tuple[Decision, ...]
    version: int

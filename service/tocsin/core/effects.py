"""What goes into a partition machine and what comes out: plain values, so that anything can drive it.

The shell does the I/O. Each effect that can fail is answered by exactly one input; an effect that was not answered
before a crash is found again after it, from the log, the ledger and the store.
"""

from collections.abc import Sequence
from typing import NamedTuple

from tocsin.core.failures import Failure
from tocsin.core.ids import RequestKey
from tocsin.core.kept import Kept
from tocsin.core.progress import ProgressRow
from tocsin.core.requests import Content, Record, Request
from tocsin.core.statements import Statement, Unknown


class Now(NamedTuple):
    """The time of a step: seconds of this process's monotonic clock, and Unix microseconds."""

    mono_s: float
    unix_us: int


# Inputs ---------------------------------------------------------------------------------------------------------


class LedgerRead(NamedTuple):
    """Statements read from a ledger, own or mirrored. `at_end`: all ledgers were now read to the end seen at
    assignment.
    """

    statements: Sequence[Statement | Unknown]
    at_end: bool = False


class SetFetched(NamedTuple):
    """A message set of one source: what was asked for at `position`, and where the next fetch goes on."""

    source: str
    position: int
    offsets: Sequence[int]
    records: Sequence[Record]
    contents: Sequence[Content]
    next_offset: int
    log_start: int


class Wrote(NamedTuple):
    """A `Write` ended. Requests not among the failures are acknowledged. `answers`: the store answered something, be it
    only its own probe.
    """

    write: int
    failures: dict[int, Failure]
    answers: bool


class StoreAnswers(NamedTuple):
    """The store's probe answered, or stopped answering."""

    answers: bool


class Looked(NamedTuple):
    """A `Look` ended: whether the row is here, None when the store did not answer."""

    key: RequestKey
    stored: bool | None


class Acknowledged(NamedTuple):
    """The statements of a `Say` are on the ledger."""

    statements: Sequence[Statement]


class KeptDone(NamedTuple):
    """A `Keep` ended."""

    key: RequestKey
    version: int
    ok: bool


class MarkDone(NamedTuple):
    """A `Mark` ended."""

    key: RequestKey
    number: int
    ok: bool


class SaveDone(NamedTuple):
    """A `Save` ended."""

    ok: bool


class LoseDone(NamedTuple):
    """A `Lose` is recorded: only now may the range count as done, or a kill could leave it done and unnamed."""

    source: str
    start: int
    end: int


class BudgetIs(NamedTuple):
    """The replica's budget as it now stands in the store."""

    counted: frozenset[str]
    spent: bool


class RegionIs(NamedTuple):
    """The region's state, all partitions and processes taken together."""

    halted: bool
    ill: bool
    draining: bool


class Tick(NamedTuple):
    """Time has passed. `lag_s` is the age of the oldest record not yet done."""

    lag_s: float = 0.0


class Stop(NamedTuple):
    """Finish what is in hand and save."""


Input = (
    LedgerRead
    | SetFetched
    | Wrote
    | StoreAnswers
    | Looked
    | Acknowledged
    | KeptDone
    | MarkDone
    | SaveDone
    | LoseDone
    | BudgetIs
    | RegionIs
    | Tick
    | Stop
)

# Effects --------------------------------------------------------------------------------------------------------


class Write(NamedTuple):
    """Store these requests, in parallel with others; `alone`: one by one in a child process. Answered by `Wrote`."""

    write: int
    requests: Sequence[Request]
    alone: bool = False


class Look(NamedTuple):
    """Is the entry of this key in our own store? Answered by `Looked`."""

    key: RequestKey


class Say(NamedTuple):
    """Append these to our own ledger, in this order and after all said before. Answered by `Acknowledged`."""

    statements: Sequence[Statement]


class Keep(NamedTuple):
    """Write this row. Answered by `KeptDone`."""

    kept: Kept


class Mark(NamedTuple):
    """Mark the key as dropped, or lift the mark. Answered by `MarkDone`."""

    key: RequestKey
    number: int
    dropped: bool


class Save(NamedTuple):
    """Save progress; `first`: it holds the union of all older rows, which may then be removed. Answered by
    `SaveDone`.
    """

    row: ProgressRow
    first: bool


class Count(NamedTuple):
    """A request of this service would be skipped. Answered by `BudgetIs`."""

    service: str


class Lose(NamedTuple):
    """Retention removed this range of a source before it was read here: record it, and alarm. Answered by `LoseDone`,
    when it is recorded.
    """

    source: str
    start: int
    end: int


class Alarm(NamedTuple):
    """Something that a person should know: a stable action word, what it is about, and the text."""

    action: str
    subject: str
    text: str


Effect = Write | Look | Say | Keep | Mark | Save | Count | Lose | Alarm

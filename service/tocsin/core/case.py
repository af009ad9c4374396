"""One case: a request that failed, and everything that is known and owed about it."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

import msgspec

from tocsin.core.failures import Failure, Kind
from tocsin.core.ids import RequestKey
from tocsin.core.kept import DECISIONS_MAX, Decision, Kept, Stage
from tocsin.core.limits import Limits
from tocsin.core.requests import Arrival, Content, Record, Request, Tick, Unreadable, decode_record, encode_request
from tocsin.core.statements import Replica, Said, Word
from tocsin.core.verdict import INCOMPLETE, Verdict

STAGE_OF: Final = {
    Verdict.HALT: Stage.HELD,
    Verdict.RETRY: Stage.HELD,
    Verdict.WAIT: Stage.HELD,
    Verdict.SET_ASIDE: Stage.ASIDE,
    Verdict.QUARANTINE: Stage.QUARANTINED,
    Verdict.DONE: Stage.DROPPED,
}
"""Where a verdict on a case leads. (A case that is stored is DONE without a verdict being needed.)"""


class Copy(NamedTuple):
    """One record of a request, whole, and what this release of our code reads of it: the request, or why not."""

    record: bytes
    content: Request | Failure
    arrival: Arrival | None

    @classmethod
    def of(cls, record: bytes, content: Content) -> Self:
        """What decoding the record gave."""
        match content:
            case Request():
                return cls(record, content, content.arrival)
            case Unreadable(failure=failure, arrival=arrival):
                return cls(record, failure, arrival)
            case Tick():
                return cls(record, Failure(Kind.REJECTED, "undecodable: it is a tick, and no request"), None)

    @classmethod
    def of_request(cls, request: Request) -> Self:
        """As intake would send it."""
        return cls(encode_request(request).encode(), request, request.arrival)

    @classmethod
    def read(cls, record: bytes) -> Self:
        """What is in a ledger's payload or a kept row."""
        try:
            return cls.of(record, decode_record(Record.decode(record)))
        except msgspec.DecodeError as error:
            what = f"undecodable: what was kept of it is no record: {error}"
            return cls(record, Failure(Kind.REJECTED, what), None)

    @property
    def request(self) -> Request | None:
        """None while it cannot be read."""
        return self.content if isinstance(self.content, Request) else None

    def precedes(self, other: "Copy") -> bool:
        """Whether this record, not the other, is the entry of their common key. What can be read is not given up for
        what cannot.
        """
        if self.arrival is None or other.arrival is None or (self.request is None and other.request is not None):
            return False
        return self.arrival < other.arrival


@dataclass(slots=True)
class Case:
    """One request that failed, and the earliest copy of it that is not in our store."""

    key: RequestKey
    copy: Copy
    stage: Stage = Stage.HELD
    kind: Kind | None = None
    reason: str = ""
    since_us: int = 0
    failed_s: float = 0.0
    places: set[tuple[str, int]] = field(default_factory=set)
    verdict: Verdict | None = None
    row: str = ""
    decisions: tuple[Decision, ...] = ()
    version: int = 0
    settled: bool = False
    """The row of the present stage is acknowledged."""
    keep_due: bool = False
    kept_kind: Kind | None = None
    """The kind in the row that is kept."""
    trying: bool = False
    tries: int = 0
    next_try_s: float = 0.0
    looking: bool = False
    checked: bool = False
    """Our own store was asked for the row, and does not have it."""
    due: bool = False
    """A verdict waits for our store or our budget: decided again at every tick."""
    found: bool = False
    """Our own store has a row of it: said once our own row of the case is kept."""
    counted: bool = False
    """The budget admits it."""

    @classmethod
    def of_row(cls, kept: Kept) -> Self:
        """The case of a kept row. What this release of our code cannot read fails as such, whatever it was before."""
        copy = Copy.read(kept.record)
        kind, reason = (kept.kind, kept.reason) if isinstance(copy.content, Request) else copy.content
        decided = kept.stage is not Stage.HELD
        last = kept.decisions[-1] if kept.decisions else None
        verdict = Verdict(last.verdict) if last and last.verdict in Verdict.__members__ else None
        return cls(
            kept.key,
            copy,
            stage=kept.stage,
            kind=kind,
            reason=reason,
            since_us=kept.since_us,
            verdict=verdict,
            row=last.row if last else "",
            decisions=kept.decisions,
            version=kept.version,
            kept_kind=kept.kind,
            settled=decided,
            counted=kept.stage in (Stage.ASIDE, Stage.QUARANTINED)
            and kept.kind.is_evidence
            and last is not None
            and last.row != INCOMPLETE,
        )

    @property
    def request(self) -> Request | None:
        """What is tried, None while this release of our code cannot read it."""
        return self.copy.request

    def pause_s(self, limits: Limits) -> float:
        """The pause before the next try: doubling, capped, with jitter from the key's own digest (no randomness)."""
        first, longest = limits.retry_first_s, limits.retry_max_s
        if self.stage is Stage.ASIDE:
            first, longest = limits.aside_retry_first_s, limits.aside_retry_max_s
        spread = self.key.digest[self.tries % len(self.key.digest)] / 255
        return min(longest, first * 2.0 ** min(self.tries, 16)) * (0.75 + 0.5 * spread)

    def failed_word(self, replica: Replica, incarnation: int, attempt: int, *, crashed: bool) -> Said:
        """What the replica has to say of the last failure."""
        return Said(
            self.key, replica, Word.FAILED, incarnation, attempt, self.since_us, self.kind, self.reason, crashed=crashed
        )

    def record_decision(self, decision: Decision) -> None:
        """Adds a decision; of too many the first and the latest remain."""
        decisions = self.decisions
        if len(decisions) >= DECISIONS_MAX:
            decisions = decisions[:1] + decisions[2:]
        self.decisions = (*decisions, decision)

    def row_to_keep(self, partition: int, incarnation: int, version: int) -> Kept | None:
        """The row that the store is to keep now, None before the first failure."""
        if self.kind is None:
            return None
        self.version, self.keep_due, self.kept_kind = version, False, self.kind
        return Kept(
            key=self.key,
            partition=partition,
            stage=self.stage,
            record=self.copy.record,
            kind=self.kind,
            reason=self.reason,
            since_us=self.since_us,
            incarnation=incarnation,
            attempt=self.tries,
            decisions=self.decisions,
            version=version,
        )

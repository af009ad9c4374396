"""One case: a request that failed, and everything that is known and owed about it."""

from dataclasses import dataclass, field
from typing import Final, Self

import msgspec

from tocsin.core.effects import Now
from tocsin.core.failures import Failure, Kind
from tocsin.core.ids import RequestKey
from tocsin.core.kept import DECISIONS_MAX, Decision, Kept, Stage
from tocsin.core.limits import Limits
from tocsin.core.requests import Record, Request, Tick, Unreadable, decode_record, encode_request
from tocsin.core.verdict import Verdict

STAGE_OF: Final = {
    Verdict.HALT: Stage.HELD,
    Verdict.RETRY: Stage.HELD,
    Verdict.WAIT: Stage.HELD,
    Verdict.SET_ASIDE: Stage.ASIDE,
    Verdict.QUARANTINE: Stage.QUARANTINED,
    Verdict.DONE: Stage.DROPPED,
}
"""Where a verdict on a case leads. (A case that is stored is DONE without a verdict being needed.)"""


@dataclass(slots=True)
class Case:
    """One request that failed. `record` is whole; `request` is None while the record cannot be read."""

    key: RequestKey
    record: bytes
    request: Request | None
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
    superseded: bool = False
    """An earlier record of the same key came, and has not been handed to be written yet."""
    counted: bool = False
    """The budget admits it."""

    @classmethod
    def of_row(cls, kept: Kept, now: Now) -> Self:
        """The case of a kept row. What this release of our code cannot read fails as such, whatever it was before."""
        content = read(kept.record)
        kind, reason = (kept.kind, kept.reason) if isinstance(content, Request) else content
        decided = kept.stage is not Stage.HELD
        last = kept.decisions[-1] if kept.decisions else None
        verdict = Verdict(last.verdict) if last and last.verdict in Verdict.__members__ else None
        return cls(
            kept.key,
            kept.record,
            content if isinstance(content, Request) else None,
            stage=kept.stage,
            kind=kind,
            reason=reason,
            since_us=kept.since_us,
            failed_s=now.mono_s - max(0.0, (now.unix_us - kept.since_us) / 1e6),
            verdict=verdict,
            row=last.row if last and verdict else "",
            decisions=kept.decisions,
            version=kept.version,
            kept_kind=kept.kind,
            settled=decided,
            counted=decided and kept.kind.is_evidence,
        )

    def supersede(self, request: Request | None) -> bool:
        """Of records with one key the earliest is the entry, in every region: if this one comes before what is tried
        so far, it is tried from now on. Returns whether it does.
        """
        mine = self.request
        if request is None or mine is None or (request.received_us, request.region) >= (mine.received_us, mine.region):
            return False
        self.request, self.record, self.superseded = request, encode_request(request).encode(), True
        return True

    def pause_s(self, limits: Limits) -> float:
        """The pause before the next try: doubling, capped, with jitter from the key's own digest (no randomness)."""
        first, longest = limits.retry_first_s, limits.retry_max_s
        if self.stage is Stage.ASIDE:
            first, longest = limits.aside_retry_first_s, limits.aside_retry_max_s
        spread = self.key.digest[self.tries % len(self.key.digest)] / 255
        return min(longest, first * 2.0 ** min(self.tries, 16)) * (0.75 + 0.5 * spread)

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
            record=self.record,
            kind=self.kind,
            reason=self.reason,
            since_us=self.since_us,
            incarnation=incarnation,
            attempt=self.tries,
            decisions=self.decisions,
            version=version,
        )


def read(record: bytes) -> Request | Failure:
    """The request of a whole record, or why this release of our code cannot read it."""
    try:
        content = decode_record(Record.decode(record))
    except msgspec.DecodeError as error:
        return Failure(Kind.REJECTED, f"undecodable: what was kept of it is no record: {error}")
    match content:
        case Request():
            return content
        case Unreadable(reason=reason, too_new=too_new):
            return Failure(Kind.TOO_NEW if too_new else Kind.REJECTED, reason)
        case Tick():
            return Failure(Kind.REJECTED, "undecodable: it is a tick, and no request")

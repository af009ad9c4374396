"""One case: a request that failed, and everything that is known and owed about it."""

from dataclasses import dataclass, field
from typing import Final

from tocsin.core.failures import Kind
from tocsin.core.ids import RequestKey
from tocsin.core.kept import DECISIONS_MAX, Decision, Kept, Stage
from tocsin.core.limits import Limits
from tocsin.core.requests import Request
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
    saying: Kind | None = None
    trying: bool = False
    tries: int = 0
    next_try_s: float = 0.0
    looking: bool = False
    checked: bool = False
    """Our own store was asked for the row, and does not have it."""
    counted: bool = False
    """The budget admits it."""

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
        self.version, self.keep_due = version, False
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

"""What a run of a drill leaves: readings, rounds, moments, times; and from them the facts and the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tocsin.ops.drills.model import Activity, Drill
from tocsin.ops.drills.target import Account
from tocsin.ops.drills.tolerance import describe, told
from tocsin.ops.drills.verdict import Facts, Row, judge
from tocsin.ops.drills.watch import Seen


@dataclass(frozen=True, slots=True)
class Reading:
    """One look of one probe. `error`: why there is no value."""

    name: str
    func: str
    arguments: Mapping[str, Any]
    tolerance: str
    at_s: float
    value: Any
    held: bool
    error: str = ""

    @classmethod
    def of(cls, probe: Activity, at_s: float, value: Any, *, held: bool, error: str = "") -> "Reading":
        """The reading of a probe of the file."""
        return cls(probe.name, probe.func, probe.arguments, describe(probe.tolerance), at_s, value, held, error)

    def __str__(self) -> str:
        found = self.error or f"is {told(self.value)}"
        return f"{self.name}: {found}, expected {self.tolerance}"


@dataclass(frozen=True, slots=True)
class Round:
    """All probes of the steady state, once, whatever each found."""

    name: str
    at_s: float
    readings: Sequence[Reading]

    @property
    def held(self) -> bool:
        """Whether all did."""
        return all(reading.held for reading in self.readings)

    @property
    def failed(self) -> list[str]:
        """Those that did not, in words."""
        return [str(reading) for reading in self.readings if not reading.held]


class Kind(StrEnum):
    """What happened at a moment."""

    BASELINE = "baseline"
    INJECT = "inject"
    EVIDENCE = "evidence"
    PROBE = "probe"
    ABORT = "abort"
    HEAL = "heal"
    STEADY = "steady"
    AGREED = "agreed"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened, by Unix time; `source` is the function or the part that tells of it."""

    at_s: float
    kind: Kind
    text: str
    source: str


@dataclass(slots=True)
class Times:
    """When what happened, Unix seconds; None for what did not."""

    began_s: float
    injected_s: float | None = None
    """The first action began."""
    complete_s: float | None = None
    """The last action began: from here the fault is whole."""
    acted_s: float | None = None
    """The last action was done."""
    evident_s: float | None = None
    """The last of the evidence was seen."""
    healed_s: float | None = None
    steady_s: float | None = None
    agreed_s: float | None = None
    ended_s: float | None = None


@dataclass(slots=True)
class Run:
    """One run of a drill."""

    drill: Drill
    target: str
    identity: Mapping[str, Any]
    times: Times
    alerts: Sequence[Seen] = ()
    """What was seen of each alert that the drill names."""
    rounds: list[Round] = field(default_factory=list)
    evidence: dict[str, Reading] = field(default_factory=dict)
    """The latest reading of each probe of the evidence: the first that held, where one did."""
    evidence_before: list[str] = field(default_factory=list)
    during: list[Reading] = field(default_factory=list)
    """The probes of the method."""
    moments: list[Moment] = field(default_factory=list)
    aborted_by: list[str] = field(default_factory=list)
    not_injected: str = ""
    interrupted: bool = False
    not_healed: list[str] = field(default_factory=list)
    unfinished: str = ""
    """What was missing when the time for agreement was over."""
    account: Account = field(default_factory=Account)

    # Seconds -----------------------------------------------------------------------------------------------------

    @property
    def measured(self) -> dict[str, float | None]:
        """The four times, as their limits are called; None for what did not come."""
        times = self.times
        mended_s = times.healed_s if self.drill.rollbacks else times.acted_s
        return {
            "detect_s": _between(times.complete_s, times.evident_s),
            "page_s": None if self.account.slowest_page_s is None else round(self.account.slowest_page_s, 1),
            "recover_s": _between(mended_s, times.steady_s),
            "converge_s": _between(mended_s, times.agreed_s),
        }

    @property
    def exceeded(self) -> list[str]:
        """The limits that were not kept, in words."""
        found = []
        for name, measured in self.measured.items():
            limit = getattr(self.drill.limits, name)
            if measured is None or measured > limit:
                found.append(f"{name}: {'did not come' if measured is None else measured}, the limit is {limit:g}")
        return found

    # The verdict -------------------------------------------------------------------------------------------------

    @property
    def facts(self) -> Facts:
        """What the verdict goes by."""
        return Facts(
            steady_before=bool(self.rounds) and self.rounds[0].held,
            evidence_before=bool(self.evidence_before),
            injected=not self.not_injected and self.times.acted_s is not None,
            evidence_seen=len(self.evidence) == len(self.drill.evidence)
            and all(reading.held for reading in self.evidence.values()),
            interrupted=self.interrupted,
            aborted=bool(self.aborted_by),
            healed=not self.not_healed,
            harmed=bool(self.account.harm),
            served=all(reading.held for reading in self.during),
            steady_after=self.times.steady_s is not None,
            agreed=self.times.agreed_s is not None,
            in_time=not self.exceeded,
            judged=not self.account.unknown_because,
        )

    @property
    def row(self) -> Row:
        """The row of the table that decides."""
        return judge(self.facts)

    @property
    def because(self) -> list[str]:
        """What decided, in words: the probes, limits or losses behind the row."""
        reasons = {
            "not steady": self.rounds[0].failed if self.rounds else ["no probe was read"],
            "evidence before": self.evidence_before,
            "harm": list(self.account.harm),
            "aborted": self.aborted_by,
            "not injected": [self.not_injected],
            "no evidence": [str(reading) for reading in self.evidence.values() if not reading.held],
            "not healed": [*self.not_healed, "run `tocsin drill heal`"],
            "not served": [str(reading) for reading in self.during if not reading.held],
            "not steady again": self.rounds[-1].failed if self.rounds else [],
            "no agreement": [self.unfinished],
            "too slow": self.exceeded,
            "not judged": list(self.account.unknown_because),
        }
        return reasons.get(self.row.name, [])


def _between(begin_s: float | None, end_s: float | None) -> float | None:
    return None if begin_s is None or end_s is None else round(max(0.0, end_s - begin_s), 1)

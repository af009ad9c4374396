"""The judgement of a history: verdict, anomalies by name, and what keeps a question open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """What a history shows."""

    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


class Kind(StrEnum):
    """What can be wrong; the table in the package says when."""

    LOST = "lost"
    SKIPPED = "skipped"
    DIVERGED = "diverged"
    REWRITTEN = "rewritten"
    LATE = "late"


class Anomaly(NamedTuple):
    """One thing that cannot be right: which request, in which region (of several, with commas), and what was seen."""

    kind: Kind
    request: str
    region: str
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """The judgement of one history."""

    anomalies: Sequence[Anomaly]
    """The first of them."""
    counts: Mapping[Kind, int]
    """How many there are of each kind."""
    unknown_because: Sequence[str]
    """What keeps the question open."""
    calls: Mapping[str, Mapping[str, int]]
    """Operations by call and end: ok, fail, info."""
    acknowledged: int
    recovered: int
    """Requests that were read and never acknowledged: sends with an indeterminate end that were recorded."""
    stable_latency_ms_max: Mapping[str, float]
    """By region: how long after its acknowledgement some read still lacked a request, at most."""

    @property
    def verdict(self) -> Verdict:
        """An anomaly is one whatever else is open."""
        if any(self.counts.values()):
            return Verdict.INVALID
        return Verdict.UNKNOWN if self.unknown_because else Verdict.VALID

    def describe(self) -> str:
        """The judgement in words, a line for each anomaly and each open question."""
        lines = [f"{self.verdict}: {self.acknowledged:,} requests acknowledged, {self.recovered:,} recovered"]
        lines += [f"{found.kind}: {found.request} in {found.region}: {found.text}" for found in self.anomalies]
        return "\n".join([*lines, *self.unknown_because])

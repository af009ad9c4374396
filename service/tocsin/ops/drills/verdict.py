"""The verdict on a drill: one table, pure, total; the first row that matches counts.

Harm counts before anything else once the steady state was there: what users lost, they lost, whether or not the fault
bit. After that a fault that cannot be believed in decides nothing, either way.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple


class Verdict(StrEnum):
    """What a drill showed."""

    HELD = "held"
    DEVIATED = "deviated"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the verdict goes by."""

    steady_before: bool
    """Every probe of the steady state held before the fault."""
    evidence_before: bool
    """Some of the fault's evidence was there before the fault: it proves nothing."""
    injected: bool
    """Every action of the method was done."""
    evidence_seen: bool
    """All of the fault's evidence was seen while it lasted."""
    interrupted: bool
    """A person, or the machine, ended the drill early."""
    aborted: bool
    """A probe of `aborts` did not hold."""
    healed: bool
    """Every rollback was done."""
    harmed: bool
    """Users lost what was promised to them."""
    served: bool
    """Every probe of the method held: what users see while it is broken."""
    steady_after: bool
    """Every probe of the steady state held again."""
    agreed: bool
    """The regions agree on everything, and everybody was told."""
    in_time: bool
    """All four limits were kept."""
    judged: bool
    """The history could be judged."""


class Row(NamedTuple):
    """One row: it matches when all these facts are so."""

    name: str
    when: Mapping[str, bool]
    verdict: Verdict
    why: str


def _row(name: str, verdict: Verdict, why: str, **when: bool) -> Row:
    return Row(name, MappingProxyType(when), verdict, why)


_HELD, _DEVIATED, _INCONCLUSIVE = Verdict
TABLE: Final = (
    _row("not steady", _INCONCLUSIVE, "the steady state was broken beforehand", steady_before=False),
    _row("evidence before", _INCONCLUSIVE, "the fault's evidence was there before the fault", evidence_before=True),
    _row("harm", _DEVIATED, "users lost what was promised to them", harmed=True),
    _row("aborted", _DEVIATED, "more broke than the hypothesis allows, so the drill was aborted", aborted=True),
    _row("interrupted", _INCONCLUSIVE, "the drill was interrupted", interrupted=True),
    _row("not injected", _INCONCLUSIVE, "the fault could not be injected", injected=False),
    _row("no evidence", _INCONCLUSIVE, "nothing shows that the fault bit", evidence_seen=False),
    _row("not healed", _INCONCLUSIVE, "what was injected could not be undone", healed=False),
    _row("not served", _DEVIATED, "users were not served while it lasted", served=False),
    _row("not steady again", _DEVIATED, "the steady state did not come back", steady_after=False),
    _row("no agreement", _DEVIATED, "the regions did not agree in time", agreed=False),
    _row("too slow", _DEVIATED, "a limit was exceeded", in_time=False),
    _row("not judged", _INCONCLUSIVE, "what clients saw could not be judged", judged=False),
    _row("held", _HELD, "the hypothesis held"),
)


def judge(facts: Facts) -> Row:
    """The row that decides."""
    known = asdict(facts)
    return next(row for row in TABLE if all(known[name] is wanted for name, wanted in row.when.items()))

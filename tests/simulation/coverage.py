"""Coverage: which faults have met which states of a partition machine, and which can.

A run that finds nothing says little when nothing met. So it is counted how often each fault was active in a region
while a machine of that region was in each state. Every cell is allowed but for those named here with the reason, and an
empty cell that is allowed is reported. Seeds take the cells in turn: the plan of each arranges for one of them.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from tests.simulation.faults import KINDS

STATES: Final[dict[str, str]] = {
    "reading": "the ledger is read from its start",
    "announcing": "the incarnation is being announced",
    "quiet": "running, and nothing is in hand",
    "writing": "sets are being written",
    "undecided": "a request has failed, and there is no verdict on it yet",
    "RETRY": "an outage within its grace",
    "WAIT": "a peer's answer is waited for",
    "HALT": "a serving peer stored what failed here",
    "SPENT": "halted because the budget is spent",
    "SET_ASIDE": "something is set aside",
    "QUARANTINE": "something is quarantined",
    "DROPPED": "something is dropped",
    "silent": "the store answers nothing",
    "ill": "the store has answered nothing for longer than the grace",
    "stopping": "stopping in good order, or handing over",
}
"""The states of a machine, and what they mean. It can be in several at one time."""

MAKERS: Final[dict[str, tuple[str, ...]]] = {
    "reading": ("kill", "kill"),
    "announcing": ("kill", "kill"),
    "undecided": ("foreign",),
    "RETRY": ("store partly",),
    "WAIT": ("foreign", "delay"),
    "HALT": ("store refuses", "release refuses"),
    "SPENT": ("foreign",) * 5,
    "SET_ASIDE": ("cut", "foreign"),
    "QUARANTINE": ("foreign",),
    "DROPPED": ("foreign", "orders", "orders"),
    "silent": ("store dead",),
    "ill": ("store dead",),
    "stopping": ("owner change", "release older"),
}
"""What brings a state about: faults that a plan adds when the state is wanted."""

NOT_ALLOWED: Final[dict[tuple[str, str], str]] = {}
"""Cells that the protocol does not allow, with the reason."""

CELLS: Final = tuple((kind, state) for kind in KINDS for state in STATES if (kind, state) not in NOT_ALLOWED)


class Coverage:
    """What was met, over many runs."""

    def __init__(self) -> None:
        self.met: Counter[tuple[str, str]] = Counter()

    def add(self, cells: Mapping[tuple[str, str], int]) -> None:
        """Adds what one run met."""
        self.met.update(cells)

    @property
    def empty(self) -> list[tuple[str, str]]:
        """The allowed cells that nothing met."""
        return [cell for cell in CELLS if not self.met[cell]]

    @property
    def forbidden(self) -> list[tuple[str, str]]:
        """The cells that were met although they are not allowed."""
        return [cell for cell in NOT_ALLOWED if self.met[cell]]

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {
            "allowed": len(CELLS),
            "met": len(CELLS) - len(self.empty),
            "empty": [" x ".join(cell) for cell in self.empty],
            "forbidden": [" x ".join(cell) for cell in self.forbidden],
            "cells": {kind: {state: self.met[kind, state] for state in STATES} for kind in KINDS},
        }

    def table(self) -> str:
        """For people: how often, in thousands where it is many; `.` for an empty cell, `-` for one not allowed."""
        lines = [" " * 16 + "".join(f"{state[:9]:>10}" for state in STATES)]
        lines += [f"{kind:<16}" + "".join(f"{self._shown(kind, state):>10}" for state in STATES) for kind in KINDS]
        return "\n".join(lines)

    def _shown(self, kind: str, state: str) -> str:
        met = self.met[kind, state]
        if (kind, state) in NOT_ALLOWED and not met:
            return "-"
        return "." if not met else str(met) if met < 10_000 else f"{met // 1000}k"  # width of a column

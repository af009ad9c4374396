"""`make sim`: many seeds on all cores, the figures, the coverage table; for a breach its story and how to replay it."""
# ruff: noqa: T201 - a script that prints what came of it

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.simulation.coverage import CELLS, Coverage
from tests.simulation.many import many, options
from tests.simulation.run import Result, run_seed

BUILD: Final = Path(__file__).parents[2] / "build"
STORIES_SHOWN_MAX: Final = 1
FULL_COVERAGE_SEEDS: Final = 4 * len(CELLS)
"""From so many seeds on, an empty cell of the coverage table is a failure: each was aimed at four times."""


class Tally:
    """What has come of all seeds so far."""

    def __init__(self) -> None:
        self.coverage = Coverage()
        self.breached: dict[int, Result] = {}
        self.seeds = self.requests = self.steps = 0
        self.simulated_s = self.cpu_s = 0.0
        self.began_s = time.perf_counter()

    @property
    def wall_s(self) -> float:
        """Since the start."""
        return time.perf_counter() - self.began_s

    def add(self, result: Result, cpu_s: float) -> None:
        """Takes one seed's result in."""
        self.seeds += 1
        self.requests += result.requests
        self.steps += result.steps
        self.simulated_s += result.simulated_s
        self.cpu_s += cpu_s
        self.coverage.add(result.cells)
        if result.breaches:
            self.breached[result.seed] = result

    def as_json(self) -> dict[str, Any]:
        """The report."""
        return {
            "seeds": self.seeds,
            "breaches": sum(len(result.breaches) for result in self.breached.values()),
            "simulated_s": round(self.simulated_s, 1),
            "wall_s": round(self.wall_s, 1),
            "coverage": self.coverage.as_json(),
            "cpu_s": round(self.cpu_s, 1),
            "requests": self.requests,
            "steps": self.steps,
            "breached": {str(seed): result.breaches for seed, result in sorted(self.breached.items())},
        }

    def figures(self) -> str:
        """The figures, for people."""
        wall_s, cpu_s = max(self.wall_s, 1e-9), max(self.cpu_s, 1e-9)
        return (
            f"{self.seeds} seeds in {wall_s:.0f} s ({3600 * self.seeds / wall_s:.0f} an hour), "
            f"{self.simulated_s:.0f} s simulated ({self.simulated_s / wall_s:.0f} times real time), "
            f"{self.requests} requests ({self.requests / cpu_s:.0f} a CPU second), "
            f"{cpu_s / max(self.seeds, 1):.2f} CPU s a seed"
        )


def simulate(seeds: Sequence[int], jobs: int) -> Tally:
    """Runs the seeds; Ctrl-C ends it early, and what was done is told."""
    tally = Tally()
    for result, cpu_s in many(run_seed, seeds, jobs):
        tally.add(result, cpu_s)
    return tally


def report(tally: Tally) -> None:
    """Prints what came of it, and writes `build/sim.json` and the story of each seed that broke a promise."""
    BUILD.mkdir(exist_ok=True)
    (BUILD / "sim.json").write_text(json.dumps(tally.as_json(), indent=1), encoding="utf-8")
    for seed, result in sorted(tally.breached.items()):
        story = BUILD / f"sim-{seed}.txt"
        story.write_text("\n".join(result.story) + "\n", encoding="utf-8")
        if len(tally.breached) <= STORIES_SHOWN_MAX:
            print("\n".join(result.story))
        shown = story.relative_to(BUILD.parent)
        print(f"seed {seed} breaks promises; its story is in {shown}. Replay: make sim SEEDS=1 FROM={seed}")
        print("\n".join(f"  {breach}" for breach in result.breaches[:5]))
    print(tally.coverage.table())
    coverage = tally.coverage
    print(f"coverage: {len(CELLS) - len(coverage.empty)} of {len(CELLS)} allowed cells (fault x state) met")
    for name, cells in (("empty", coverage.empty), ("not allowed, and met", coverage.forbidden)):
        if cells:
            print(f"{name}: {', '.join(' x '.join(cell) for cell in cells)}")
    print(tally.figures())
    print(f"{len(tally.breached)} seeds broke a promise")


def main() -> int:
    """0 when no promise was broken, and enough seeds left no allowed cell of the coverage table empty; else 1."""
    seeds, jobs = options(str(__doc__))
    tally = simulate(seeds, jobs)
    report(tally)
    uncovered = tally.coverage.empty and tally.seeds >= FULL_COVERAGE_SEEDS
    return int(bool(tally.breached or tally.coverage.forbidden or uncovered))


if __name__ == "__main__":
    sys.exit(main())

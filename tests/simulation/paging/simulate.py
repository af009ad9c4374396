"""`make sim-pages`: the notifiers through many seeds; the figures, the coverage table, and how to replay a breach."""
# ruff: noqa: T201 - a script that prints what came of it

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

from tests.simulation.many import many, options
from tests.simulation.paging.faults import KINDS
from tests.simulation.paging.run import CELLS, Result, run_seed
from tests.simulation.paging.watch import STATES

BUILD: Final = Path(__file__).parents[3] / "build"


def table(cells: Counter[tuple[str, str]]) -> str:
    """How many seeds met each state during each fault."""
    lines = [f"{'':15}" + "".join(f"{state:>13}" for state in STATES)]
    lines += [f"{kind:15}" + "".join(f"{cells[kind, state]:>13}" for state in STATES) for kind in KINDS]
    return "\n".join(lines)


def tell_of(breached: list[Result]) -> None:
    """The stories of the seeds that broke a promise, in files, and how to replay them."""
    for result in sorted(breached, key=lambda one: one.seed):
        story = BUILD / f"sim-pages-{result.seed}.txt"
        story.write_text("\n".join(result.story) + "\n", encoding="utf-8")
        if len(breached) == 1:
            print("\n".join(result.story))
        where = story.relative_to(BUILD.parent)
        print(f"seed {result.seed}; its story is in {where}. Replay: make sim-pages SEEDS=1 FROM={result.seed}")
        print("\n".join(f"  {breach}" for breach in result.breaches[:5]))


def main() -> int:
    """0 when no promise was broken, else 1."""
    seeds, jobs = options(str(__doc__))
    BUILD.mkdir(exist_ok=True)
    began_s = time.perf_counter()
    cells: Counter[tuple[str, str]] = Counter()
    breached: list[Result] = []
    done, pages, simulated_s, cpu_s = 0, 0, 0.0, 0.0
    for result, took_s in many(run_seed, seeds, jobs):
        done, pages, simulated_s, cpu_s = (
            done + 1,
            pages + result.pages,
            simulated_s + result.simulated_s,
            cpu_s + took_s,
        )
        cells.update(result.cells.keys())
        if result.breaches:
            breached.append(result)
    wall_s = time.perf_counter() - began_s
    tell_of(breached)
    empty = [f"{kind} x {state}" for kind, state in CELLS if not cells[kind, state]]
    answer = {
        "seeds": done,
        "breaches": sum(len(result.breaches) for result in breached),
        "simulated_s": round(simulated_s, 1),
        "wall_s": round(wall_s, 1),
        "cpu_s": round(cpu_s, 1),
        "pages": pages,
        "coverage": {f"{kind} x {state}": cells[kind, state] for kind, state in CELLS},
        "empty": empty,
        "breached": {str(result.seed): result.breaches for result in breached},
    }
    (BUILD / "sim-pages.json").write_text(json.dumps(answer, indent=1), encoding="utf-8")
    print(table(cells))
    print(f"coverage: {len(CELLS) - len(empty)} of {len(CELLS)} cells (fault x state of the region's pages) met")
    print(
        f"{done} seeds in {wall_s:.0f} s ({3600 * done / max(wall_s, 1e-9):.0f} an hour), "
        f"{simulated_s:.0f} s simulated, {pages} pages arrived ({pages / max(cpu_s, 1e-9):.0f} a CPU second)"
    )
    print(f"{len(breached)} seeds broke a promise")
    return int(bool(breached))


if __name__ == "__main__":
    sys.exit(main())

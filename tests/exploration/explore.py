"""`make explore`: searches the real core within the bounds, and each broken variant of it; writes build/explore.json.

    python tests/exploration/explore.py [--depth N] [--replay BOUND]

`--depth N` searches instead one request under N changes of every kind, for hours, and writes build/explore-depth.json.
`--replay` searches one bound again, by its number or a variant's name, and prints the way to each breach as a timeline.
"""

import argparse
import gc
import json
import multiprocessing
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.exploration.bounds import BOUNDS, Bound, long_bounds  # noqa: E402 - the script is started by its path
from tests.exploration.search import Search  # noqa: E402
from tests.exploration.timeline import describe, lines_of  # noqa: E402
from tests.exploration.variants import VARIANTS, broken  # noqa: E402

PROCESSES: Final = 2
TELL_EVERY_S: Final = 15.0


def main(arguments: list[str] | None = None) -> int:
    """Runs everything; the exit status is 1 when a promise is broken, or a variant is not caught."""
    parser = argparse.ArgumentParser(description="Search all that can happen to the real core, within bounds.")
    parser.add_argument("--depth", type=int, help="one request under so many changes of every kind")
    parser.add_argument("--replay", help="search this bound or variant alone, and print what breaks")
    given = parser.parse_args(arguments)
    whole = long_bounds(given.depth) if given.depth else whole_bounds()
    tasks = [(f"bound {number}", bound, "") for number, bound in enumerate(whole)]
    if not given.depth:
        tasks += [(name, variant.bound, name) for name, variant in VARIANTS.items()]
    if given.replay:
        tasks = [task for task in tasks if task[0] == given.replay]
        if not tasks:
            parser.error(f"no bound or variant is called {given.replay!r}")
    began_s = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(PROCESSES, maxtasksperchild=1) as pool:
        results = list(_shown(pool.imap_unordered(search, tasks, chunksize=1), len(tasks)))
    name = "explore-depth.json" if given.depth else "explore.json"
    return _report(results, seconds=time.monotonic() - began_s, file=None if given.replay else ROOT / "build" / name)


def whole_bounds() -> list[Bound]:
    """What is searched of the unbroken core: the bounds, and (first the largest) where the variants are caught."""
    return sorted({*BOUNDS, *(variant.bound for variant in VARIANTS.values())}, key=_size, reverse=True)


def _size(bound: Bound) -> tuple[Any, ...]:
    return bound.turns == 0, bound.changes, len(bound.natures), str(bound)


def search(task: tuple[str, Bound, str]) -> dict[str, Any]:
    """One search, in a process of its own."""
    name, bound, variant = task
    gc.disable()  # half the time otherwise; nearly nothing is in a circle, and this process ends with the search
    began_s = told_s = time.monotonic()

    def tell(running: Search) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= TELL_EVERY_S:
            told_s = time.monotonic()
            _say(f"  {name}: {running.states:,} states after {told_s - began_s:.0f} s")

    with broken(VARIANTS[variant] if variant else None):
        running = bound.search()
        running.run(tell)
        breaches = [{"checker": found.checker, "timeline": _timeline(running, found)} for found in running.breaches]
    return {
        "name": name,
        "variant": variant,
        "bound": str(bound),
        "states": running.states,
        "moves": running.moves,
        "rests": running.rests,
        "settling_states": running.settled,
        "core_steps": running.world.locals_computed,
        "complete": running.complete,
        "seconds": round(time.monotonic() - began_s, 1),
        "cpu_seconds": round(time.process_time(), 1),
        "breaches": breaches,
    }


def _timeline(running: Search, found: Any) -> list[str]:
    return [*lines_of(running.world, found.states, found.trace), *describe(running.world, found.states[-1])]


def _shown(results: Iterable[dict[str, Any]], count: int) -> Iterable[dict[str, Any]]:
    for number, result in enumerate(results, 1):
        found = ", ".join(breach["checker"] for breach in result["breaches"])
        verdict = f"caught by {found}" if result["variant"] and found else found or "no breach"
        reach = "" if result["complete"] or found else " (stopped: too many)"
        _say(
            f"[{number}/{count}] {result['variant'] or result['bound']}: {result['states']:,} states in "
            f"{result['seconds']} s{reach}: {verdict}",
        )
        yield result


def _report(results: list[dict[str, Any]], *, seconds: float, file: Path | None) -> int:
    whole = [result for result in results if not result["variant"]]
    variants = {r["variant"]: r["breaches"][0]["checker"] if r["breaches"] else None for r in results if r["variant"]}
    breaches = [result for result in whole if result["breaches"]]
    for result in breaches if file else results:
        for breach in result["breaches"]:
            _say("\n".join(["", f"{breach['checker']}: {result['bound']}", *breach["timeline"]]))
        if result["breaches"]:
            _say(f"replay: .venv/bin/python tests/exploration/explore.py --replay '{result['name']}'")
    uncaught = sorted(name for name, checker in variants.items() if checker is None)
    report = {
        "states": sum(result["states"] for result in whole),
        "breaches": sum(len(result["breaches"]) for result in whole),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(sum(result["cpu_seconds"] for result in results), 1),
        "bounds": [{key: r[key] for key in r if key not in ("name", "variant")} for r in whole],
        "variants": variants,
    }
    if file:
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(report, indent=1) + "\n")
    _say(
        f"\n{report['states']:,} states, {report['breaches']} breaches, "
        f"{len(variants) - len(uncaught)} of {len(variants)} variants caught, {seconds:.0f} s"
    )
    for name in uncaught:
        _say(f"not caught: {name}")
    return 1 if breaches or uncaught else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

"""Runs every benchmark of this folder, each in a process of its own, one after the other, and prints a table.

Every module here but those of `SHARED` is a benchmark: it publishes <out>/<name>.json. Exit status: 0 when each of them
ran, whether or not it reached its floor; 1 when one did not run, with what it said. A ratio says more than a figure: if
this machine is busy, it is busy for both sides.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
OUT: Final = ROOT / "build" / "bench"
SHARED: Final = {"bare", "creating", "item_queue", "measure", "paging", "real_servers", "run", "traffic"}
ON_SERVERS: Final = {"paging_rate", "real_rate"}
"""Those that start a Kafka broker and a Cassandra node: they need Java and Maven, and some ten seconds more."""
NAMES: Final = tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in SHARED))
RUN_S_MAX: Final = 900.0


def run(name: str, out: Path, *, quick: bool) -> str | None:
    """Runs one benchmark; returns what went wrong, None when it published its answer."""
    published = out / f"{name}.json"
    published.unlink(missing_ok=True)
    command = [sys.executable, "-m", f"benchmarks.{name}", "--out", str(out), *(["--quick"] if quick else [])]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S_MAX, check=False)
    except subprocess.TimeoutExpired:
        return f"did not end within {RUN_S_MAX:.0f} s"
    if done.returncode:
        return done.stderr or f"exit status {done.returncode}"
    return None if published.is_file() else "published nothing"


def row(name: str, out: Path) -> str:
    answer: dict[str, Any] = json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
    reached = "aim" if answer["aim_met"] else "floor" if answer["met"] else "MISSED"
    sign = "<=" if answer["better"] == "lower" else ">="
    bounds = f"{sign} {answer['floor']:.3g} / {answer['aim']:.3g}"
    return f"{name:18} {answer['ratio']:8.2f}  {bounds:>16}  {reached:7} {answer['ratio_of']}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs every benchmark, each in its own process.")
    parser.add_argument("--quick", action="store_true", help="small sizes: do the benchmarks still run?")
    parser.add_argument("--out", type=Path, default=OUT, help="where answers are published")
    parser.add_argument("--without-servers", action="store_true", help="leave out what needs Kafka and Cassandra")
    options = parser.parse_args()
    quick: bool = options.quick
    names = [name for name in NAMES if not (options.without_servers and name in ON_SERVERS)]
    out: Path = options.out.resolve()
    print(f"{'':18} {'ratio':>8}  {'floor / aim':>16}  reached ratio of")
    failed = False
    for name in names:
        trouble = run(name, out, quick=quick)
        failed = failed or trouble is not None
        print(row(name, out) if trouble is None else f"{name:18} did not run:\n{trouble}", flush=True)
    print(f"\nsizes, machine and all figures: {out}/<name>.json")
    if quick:
        print("small sizes: this tells whether the benchmarks run, and nothing of how fast anything is")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Mutation testing of the core: would the tests notice if the code were wrong?

mutmut changes one thing at a time in `service/tocsin/core` (an operator, a number, an argument, a string), and the
tests of `tests/unit/core` that reach the changed function are run. A mutant that none notices has *survived*: either a
test is missing, or the change changes nothing that matters, and then `survivors.toml` says why. A survivor that is
not in the table fails the run, and so does a row of the table that no survivor answers to. The score counts all
mutants that no test noticed, explained or not: a table of excuses must not grow into the place where tests should be.

`make mutate` goes on where the last run ended: what was killed stays so while its function is the same, all else is
tried. `FRESH=1` tries all of it; `ONLY='tocsin.core.book.*'` tries those alone, and anew; `ONLY=survivors` those that
survived. Hypothesis draws few examples, and the same ones each time (profile `mutation` of `tests/conftest.py`).
Writes `build/mutation.json`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import pytest

from tests.mutation.mutants import REPOSITORY, WRITTEN, Mutant, modules, mutants_of, reached_at_import
from tests.mutation.trials import SURVIVED, UNREACHED, Trials

RESULT: Final = REPOSITORY / "build" / "mutation.json"
ENDS: Final = WRITTEN / "ends.json"
"""How each mutant ended, so that a run can go on where another was broken off."""
SURVIVORS: Final = Path(__file__).with_name("survivors.toml")
SCORE_MIN: Final = 0.90

SLOW: Final = (
    "tests/unit/core/test_partition.py::test_a_hundred_thousand_messages_above_one_held_request_are_one_run",
    "tests/unit/core/test_progress.py::test_a_million_offsets_above_one_that_is_held_are_one_run_of_a_few_bytes",
    "tests/unit/core/test_partition_schedules.py",
    "tests/unit/core/paging/test_promise.py",
    "tests/unit/core/paging/test_storms.py::test_of_a_storm_the_first_page_goes_at_once_and_the_rest_once_a_pace_each_incident_once",
    "tests/unit/core/paging/test_storms.py::test_after_a_stall_of_half_an_hour_there_is_one_bundle_a_channel_with_what_is_open",
    "tests/unit/core/paging/test_storms.py::test_more_pairs_than_an_intent_covers_go_into_the_next_bundle",
    "tests/unit/core/paging/test_storms.py::test_a_user_with_ten_thousand_rules_costs_no_more_than_the_bound",
)
"""Left out: what they catch is caught by quicker ones, or is a matter of time."""
PYTEST: Final = (
    "--assert=plain",  # nobody reads why a mutant failed
    "--hypothesis-profile=mutation",
    "--capture=no",
    "--quiet",
    "-p",
    "no:cacheprovider",
    *(f"--deselect={test}" for test in SLOW),
)
SAID_EVERY_S: Final = 5.0
AT_IMPORT: Final = "(killed at import)"


class Ends:
    """How the mutants ended: kept in a file, and told while they come in."""

    def __init__(self) -> None:
        self._by_key: dict[str, str] = json.loads(ENDS.read_text()) if ENDS.exists() else {}
        self._said_s = self._start_s = time.monotonic()
        self._expected = 0
        self._told: Counter[bool] = Counter()

    def of(self, mutant: Mutant) -> str | None:
        """A test that failed, or a word in brackets; None when it was not tried as it now is."""
        return self._by_key.get(_key(mutant))

    def expect(self, count: int) -> None:
        """Says how many are to come."""
        self._expected = count

    def tell(self, mutant: Mutant, end: str) -> None:
        """Takes one in."""
        self._by_key[_key(mutant)] = end
        self._told[is_alive(end)] += 1
        if time.monotonic() - self._said_s > SAID_EVERY_S:
            self._said_s = time.monotonic()
            self.save()
            count, elapsed_s = self._told.total(), self._said_s - self._start_s
            left_s = elapsed_s / count * (self._expected - count)
            print(f"{count} of {self._expected} tried, {self._told[True]} survived, {left_s:.0f} s to go", flush=True)

    def save(self) -> None:
        """Writes all down."""
        ENDS.parent.mkdir(parents=True, exist_ok=True)
        ENDS.write_text(json.dumps(self._by_key, indent=0, sort_keys=True))


def _matches(mutant: Mutant, patterns: Sequence[str]) -> bool:
    return any(fnmatch(mutant.name, pattern) for pattern in patterns)


def _key(mutant: Mutant) -> str:
    return f"{mutant.name} {mutant.function_digest}"


def is_alive(end: str) -> bool:
    """Whether no test noticed the mutant."""
    return end in (SURVIVED, UNREACHED)


def main() -> int:
    """Tries mutants and judges what came of it; returns an exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", help="names of mutants, with wildcards; tried anew")
    parser.add_argument("--without", action="append", default=[], help="names, with wildcards; left out of it all")
    parser.add_argument("--children", type=int, default=2, help="processes at one time")
    parser.add_argument("--fresh", action="store_true", help="try also what was killed before")
    parser.add_argument("--judge", action="store_true", help="judge the results that are there; try nothing")
    given = parser.parse_args()
    start_s = time.monotonic()
    ends = Ends()
    everything = [mutant for module in modules() for mutant in mutants_of(module)]
    found = [mutant for mutant in everything if not _matches(mutant, given.without)]
    if given.only == [SURVIVORS.stem]:
        found = [mutant for mutant in found if is_alive(ends.of(mutant) or "")]
    elif given.only:
        found = [mutant for mutant in found if _matches(mutant, given.only)]
    if not given.judge:
        anew = given.fresh or bool(given.only)
        due = [mutant for mutant in found if anew or is_alive(ends.of(mutant) or SURVIVED)]
        due.sort(key=lambda mutant: ends.of(mutant) is not None)  # a run may be broken off: first what was never tried
        if not attempt(due, given.children, ends):
            return 1
    return judge(found, ends, complete=not (given.only or given.without), took_s=time.monotonic() - start_s)


def attempt(due: Sequence[Mutant], children: int, ends: Ends) -> bool:
    """Tries the mutants; returns whether the trials came to their end."""
    ends.expect(len(due))
    os.environ.pop("PYTEST_ADDOPTS", None)
    at_import = reached_at_import()
    trials = Trials(due, children, ends.tell)
    status = pytest.main([*PYTEST, "tests/unit/core"], plugins=[trials])
    ends.save()
    if status:
        print("the trials did not come to their end; pytest's words are above", file=sys.stderr)
        return False
    again = [mutant for mutant in due if mutant.function in at_import and is_alive(ends.of(mutant) or "")]
    files = [trials.files_reaching(mutant.module) for mutant in again]
    ends.expect(len(due) + len(again))
    with ThreadPoolExecutor(children) as pool:
        for mutant, is_killed in zip(again, pool.map(_is_killed_at_import, again, files), strict=True):
            if is_killed:
                ends.tell(mutant, AT_IMPORT)
    ends.save()
    return True


def _is_killed_at_import(mutant: Mutant, files: Sequence[str]) -> bool:
    """Tries a mutant of a function that ran while the core was imported, in a process of its own."""
    program = (
        "import sys; from tests.mutation.mutants import import_changed; import_changed(*sys.argv[1:3]); "
        "import pytest; sys.exit(pytest.main(sys.argv[3:]))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, mutant.module, mutant.form, *PYTEST, "-x", *files],
        cwd=REPOSITORY,
        check=False,
        capture_output=True,
    )
    # Anything but a pass is a kill: a mutant that cannot even be imported ends the collection.
    return ended.returncode != 0


# What came of it -----------------------------------------------------------------------------------------------------


def judge(found: Sequence[Mutant], ends: Ends, *, complete: bool, took_s: float) -> int:
    """Tells the score and what survived, writes it down, and returns 1 when something is wrong."""
    tried = [mutant for mutant in found if ends.of(mutant) is not None]
    survived = [mutant for mutant in tried if is_alive(ends.of(mutant) or "")]
    table = {(row["function"], row["was"], row["now"]) for row in read_table()}
    unexplained = [mutant for mutant in survived if mutant.change not in table]
    functions = {mutant.function for mutant in tried}
    alive = {mutant.change for mutant in survived}
    stale = [change for change in table - alive if complete or change[0] in functions]
    for mutant in unexplained:
        print(f"{ends.of(mutant)}: {mutant.name}\n  - {mutant.was}\n  + {mutant.now}".replace("\n", "\n  "))
    for function, was, now in stale:
        print(f"stale row of {SURVIVORS.name}: {function}\n  - {was}\n  + {now}")
    score = (len(tried) - len(survived)) / len(found) if found else 0.0
    told: dict[str, Any] = {
        "mutants": len(found),
        "tried": len(tried),
        "killed": len(tried) - len(survived),
        "survived": len(survived),
        "unreached": sum(ends.of(mutant) == UNREACHED for mutant in tried),
        "hang": sum(ends.of(mutant) == "(hangs)" for mutant in tried),
        "score": round(score, 4),
        "explained": len(survived) - len(unexplained),
        "unexplained": len(unexplained),
        "stale": len(stale),
        "took_s": round(took_s),
        "modules": _by_module(found, tried, survived),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(told, indent=2) + "\n")
    _print(told)
    return int(bool(unexplained or stale) or score < SCORE_MIN or len(tried) < len(found))


def _by_module(
    found: Sequence[Mutant], tried: Sequence[Mutant], survived: Sequence[Mutant]
) -> dict[str, dict[str, int]]:
    counts = [
        Counter(mutant.module.removeprefix("tocsin.core.") for mutant in some) for some in (found, tried, survived)
    ]
    every, at_all, alive = counts
    return {name: {"mutants": every[name], "tried": at_all[name], "survived": alive[name]} for name in sorted(every)}


def _print(told: dict[str, Any]) -> None:
    print(f"\n{'module':24} {'mutants':>8} {'tried':>8} {'killed':>8} {'survived':>8} {'score':>8}")
    for name, row in (told["modules"] | {"all": told}).items():
        killed = row["tried"] - row["survived"]
        score = f"{100 * killed / row['mutants']:.1f} %"
        print(f"{name:24} {row['mutants']:8} {row['tried']:8} {killed:8} {row['survived']:8} {score:>8}")
    print(f"{told['explained']} survivors are explained, {told['unexplained']} are not; {told['took_s']} s")


def read_table() -> list[dict[str, str]]:
    """The rows of the survivors' table."""
    rows: list[dict[str, str]] = tomllib.loads(SURVIVORS.read_text())["survivor"] if SURVIVORS.exists() else []
    return rows


if __name__ == "__main__":
    sys.exit(main())

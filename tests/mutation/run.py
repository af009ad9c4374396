"""Mutation testing of the core: would the tests notice if the code were wrong?

mutmut changes one thing at a time in a copy of `service/tocsin/core` (an operator, a number, an argument, a string) and
runs the tests of `tests/unit/core` that reach the changed function. A mutant that none notices has *survived*: either a
test is missing, or the change changes nothing that matters, and then `survivors.toml` says why. A survivor that is
not in the table fails the run, and so does a row of the table that no survivor answers to.

A mutant lives in a fork of a process that has imported the core already, so one in a function that runs at import, to
build a table, changes nothing there. Such survivors are tried again, each in a process of its own.

mutmut wants the code in `src` and works in place, so it gets a tree of its own, `build/mutation`, with nothing but the
package and these tests. Results are kept there by function: what has not changed is not tried again.

Run by `make mutate`; `ONLY='tocsin.core.book.*'` tries those alone, and anew; `ONLY=survivors` those that survived.
Hypothesis draws few examples, and the same ones each time (profile `mutation` of `tests/conftest.py`). Writes
`build/mutation.json`.
"""

import argparse
import ast
import difflib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final, NamedTuple

REPOSITORY: Final = Path(__file__).parents[2]
TREE: Final = REPOSITORY / "build" / "mutation"
RESULT: Final = REPOSITORY / "build" / "mutation.json"
SURVIVORS: Final = Path(__file__).with_name("survivors.toml")
SCORE_MIN: Final = 0.90
"""Before explanations: a table of excuses must not grow into the place where tests should be."""

COPIED: Final = ("tests/conftest.py", "tests/real_data.py", "tests/documents_made.py", "tests/unit/core")
SLOW: Final = (
    "tests/unit/core/test_partition.py::test_a_hundred_thousand_messages_above_one_held_request_are_one_run",
    "tests/unit/core/test_partition_schedules.py",
)
"""Left out: what they catch is caught by quicker ones, or is a matter of time."""
SETTINGS: Final = """\
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["src/tocsin/core/*"]
pytest_add_cli_args_test_selection = ["tests/unit/core"]
pytest_add_cli_args = {arguments}
use_git_change_detection = false

[tool.pytest.ini_options]
addopts = ["--import-mode=importlib"]
asyncio_mode = "auto"
pythonpath = ["."]
"""
SURVIVED: Final = 0
KILLED: Final = 1
UNTESTED: Final = (5, 33)
NOT_TRIED: Final = (None, 2)


class Mutant(NamedTuple):
    """One change: where, what the lines were, what they became, and how it ended."""

    name: str
    function: str
    was: str
    now: str
    exit_code: int | None

    @property
    def change(self) -> tuple[str, str, str]:
        """What it is known by in the table: numbers of mutants change with any edit above them."""
        return self.function, self.was, self.now

    @property
    def has_survived(self) -> bool:
        """Whether no test noticed it."""
        return self.exit_code == SURVIVED or self.exit_code in UNTESTED


def main() -> int:
    """Runs mutmut and judges what came of it; returns an exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", help="names of mutants, with wildcards; tried anew")
    parser.add_argument("--children", type=int, default=2, help="processes at one time")
    parser.add_argument("--judge", action="store_true", help="judge the results that are there; try nothing")
    given = parser.parse_args()
    only = given.only
    if only == [SURVIVORS.stem]:
        only = [mutant.name for mutant in mutants([]) if mutant.has_survived]
    if not given.judge:
        prepare()
        command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(given.children), *only]
        if subprocess.run(command, cwd=TREE, check=False).returncode:
            print("mutmut did not come to its end; its words are above", file=sys.stderr)
            return 1
        retry_at_import(only)
    return judge(list(mutants(only)))


def prepare() -> None:
    """Brings the tree to what the repository has; a file that is equal keeps its time, so its results stay."""
    _mirror(REPOSITORY / "service" / "tocsin", TREE / "src" / "tocsin")
    changed = [_mirror(REPOSITORY / name, TREE / name) for name in COPIED]
    if any(changed):
        # mutmut looks which functions a test reaches once, when the test is new; one that was changed may reach more.
        (TREE / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    deselected = [argument for test in SLOW for argument in ("--deselect", test)]
    arguments = ["--hypothesis-profile=mutation", "-p", "no:cacheprovider", *deselected]
    _write(TREE / "pyproject.toml", SETTINGS.format(arguments=json.dumps(arguments)).encode())
    shutil.rmtree(TREE / "mutants" / "tests", ignore_errors=True)


def _mirror(source: Path, target: Path) -> bool:
    """Makes a file or folder of Python files like another one; returns whether anything was changed."""
    if source.is_file():
        return _write(target, source.read_bytes())
    wanted = {path.relative_to(source) for path in source.rglob("*.py")}
    unwanted = [path for path in target.rglob("*.py") if path.relative_to(target) not in wanted]
    for path in unwanted:
        path.unlink()
    changed = [_write(target / name, (source / name).read_bytes()) for name in wanted]
    return any(changed) or bool(unwanted)


def _write(path: Path, content: bytes) -> bool:
    if path.exists() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return True


# Functions that run at import ----------------------------------------------------------------------------------------

RAN_AT_IMPORT: Final = """\
import importlib, pathlib, sys
ran = set()
def watch(frame, event, _):
    module = frame.f_globals.get("__name__", "")
    if event == "call" and module.startswith("tocsin.core"):
        ran.add(f"{module}.{frame.f_code.co_qualname}")
sys.setprofile(watch)
root = pathlib.Path(sys.argv[1])
for path in sorted((root / "tocsin" / "core").rglob("*.py")):
    importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))
sys.setprofile(None)
print("\\n".join(sorted(ran)))
"""


def retry_at_import(only: Sequence[str]) -> None:
    """Tries the survivors in functions that run at import again, and writes down how that ended."""
    source = TREE / "src"
    told = subprocess.run(
        [sys.executable, "-c", RAN_AT_IMPORT, source], env=_environment(source), check=True, capture_output=True
    )
    ran = set(told.stdout.decode().splitlines())
    for mutant in mutants(only):
        if mutant.has_survived and mutant.function in ran:
            module = mutant.function.rpartition(".")[0]
            if _is_killed_alone(mutant, _tests_of(module)):
                meta = TREE / "mutants" / "src" / f"{module.replace('.', '/')}.py.meta"
                content = json.loads(meta.read_bytes())
                content["exit_code_by_key"][mutant.name] = KILLED
                meta.write_text(json.dumps(content, indent=4))


def _tests_of(module: str) -> list[str]:
    """The files with tests that reach any function of a module."""
    stats = json.loads((TREE / "mutants" / "mutmut-stats.json").read_bytes())["tests_by_mangled_function_name"]
    found = {
        test.partition("::")[0] for name, tests in stats.items() if name.startswith(f"{module}.") for test in tests
    }
    return sorted(found - set(SLOW))


def _is_killed_alone(mutant: Mutant, tests: Sequence[str]) -> bool:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--hypothesis-profile=mutation", "-p", "no:cacheprovider"]
    deselected = [argument for test in SLOW for argument in ("--deselect", test)]
    environment = _environment(TREE / "mutants" / "src") | {"MUTANT_UNDER_TEST": mutant.name}
    ended = subprocess.run(
        [*command, *deselected, *tests], cwd=TREE / "mutants", env=environment, check=False, capture_output=True
    )
    # Anything but a pass is a kill: a mutant that cannot even be imported ends the collection.
    return ended.returncode != 0


def _environment(source: Path) -> dict[str, str]:
    return dict(os.environ) | {"PYTHONPATH": str(source)}


# What came of it -----------------------------------------------------------------------------------------------------


def mutants(only: Sequence[str]) -> Iterator[Mutant]:
    """All mutants, or those of these names, with the lines that they change."""
    root = TREE / "mutants" / "src"
    for meta in sorted(root.rglob("*.py.meta")):
        exit_codes: dict[str, int | None] = json.loads(meta.read_bytes())["exit_code_by_key"]
        if exit_codes:
            bodies = _functions(meta.with_suffix("").read_text())
            for name, exit_code in exit_codes.items():
                if not only or any(fnmatch(name, pattern) for pattern in only):
                    module, _, mangled = name.rpartition(".")
                    yield _mutant(name, module, mangled, bodies, exit_code)


def _functions(source: str) -> dict[str, list[str]]:
    """Name to lines of every function and method of a mutated module; names are unique, for mutmut mangles them."""
    lines = source.splitlines()
    nodes = ast.walk(ast.parse(source))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {node.name: lines[node.lineno : node.end_lineno] for node in functions if "__mutmut_" in node.name}


def _mutant(name: str, module: str, mangled: str, bodies: dict[str, list[str]], exit_code: int | None) -> Mutant:
    function, _, _ = mangled.partition("__mutmut_")
    shown = function.removeprefix("x_") if function.startswith("x_") else function[1:].strip("ǁ").replace("ǁ", ".")
    lines = difflib.unified_diff(bodies[f"{function}__mutmut_orig"], bodies[mangled], n=0, lineterm="")
    changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    was = "\n".join(line[1:].strip() for line in changed if line[0] == "-")
    now = "\n".join(line[1:].strip() for line in changed if line[0] == "+")
    return Mutant(name, f"{module}.{shown}", was, now, exit_code)


def judge(found: Sequence[Mutant]) -> int:
    """Tells the score and what survived, writes it down, and returns 1 when something is wrong."""
    tried = [mutant for mutant in found if mutant.exit_code not in NOT_TRIED]
    survived = [mutant for mutant in tried if mutant.has_survived]
    score = 1 - len(survived) / len(tried) if tried else 0.0
    table = {(row["function"], row["was"], row["now"]): row["reason"] for row in read_table()}
    unexplained = [mutant for mutant in survived if mutant.change not in table]
    functions = {mutant.function for mutant in tried}
    alive = {mutant.change for mutant in survived}
    stale = [change for change in table if change not in alive and (change[0] in functions or len(tried) == len(found))]
    for mutant in unexplained:
        print(f"survived: {mutant.name}\n  - {mutant.was}\n  + {mutant.now}".replace("\n", "\n  "))
    for function, was, now in stale:
        print(f"stale row of {SURVIVORS.name}: {function}\n  - {was}\n  + {now}")
    modules = Counter(mutant.function.split(".")[2] for mutant in survived)
    RESULT.parent.mkdir(exist_ok=True)
    told: dict[str, Any] = {
        "mutants": len(found),
        "tried": len(tried),
        "survived": len(survived),
        "untested": sum(mutant.exit_code in UNTESTED for mutant in tried),
        "score": round(score, 4),
        "unexplained": len(unexplained),
        "stale": len(stale),
        "survived_by_module": dict(modules.most_common()),
    }
    RESULT.write_text(json.dumps(told, indent=2) + "\n")
    print(json.dumps(told, indent=2))
    return int(bool(unexplained or stale) or score < SCORE_MIN or not tried)


def read_table() -> list[dict[str, str]]:
    """The rows of the survivors' table."""
    rows: list[dict[str, str]] = tomllib.loads(SURVIVORS.read_text())["survivor"] if SURVIVORS.exists() else []
    return rows


if __name__ == "__main__":
    sys.exit(main())

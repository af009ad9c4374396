"""The core imports only what computes and reads no clock: the world comes in as arguments."""

import ast
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "service" / "tocsin" / "core"

ALLOWED = {
    "bisect",
    "collections",
    "dataclasses",
    "datetime",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "json",
    "math",
    "msgspec",
    "operator",
    "re",
    "string",
    "struct",
    "tocsin.core",
    "typing",
    "urllib.parse",
}
CLOCK_READS = {"now", "utcnow", "today"}
# Ways to reach a module without an import statement, and the doors that need no import at all.
BUILTIN_DOORS = {"__import__", "breakpoint", "compile", "eval", "exec", "input", "open", "print"}


def allowed(module: str) -> bool:
    """Whether the module is on the list, or inside a package that is."""
    parts = module.split(".")
    return any(".".join(parts[:n]) in ALLOWED for n in range(1, len(parts) + 1))


def imported(node: ast.Import | ast.ImportFrom, package: str) -> list[str]:
    """The full names of the modules an import statement loads; `package` is where its file stands."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not node.level:
        base = node.module or ""
    else:
        parents = package.split(".")
        base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [node.module])])
    if base == "tocsin":  # `from tocsin import core`: the names are the modules
        return [f"{base}.{alias.name}" for alias in node.names]
    return [base]


def impurities(source: str, package: str = "tocsin.core") -> list[str]:
    """What in the source reaches outside, as `line N: what`; empty when it is pure."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import() | ast.ImportFrom():
                found += [(node.lineno, f"imports {m}") for m in imported(node, package) if not allowed(m)]
            case ast.Attribute(attr=attr) if attr in CLOCK_READS:
                found.append((node.lineno, f"reads the clock with {ast.unparse(node)}"))
            case ast.Call(func=ast.Name(id=name)) if name in BUILTIN_DOORS:
                found.append((node.lineno, f"calls {name}"))
            case _:
                pass
    return [f"line {line}: {what}" for line, what in sorted(found)]


def modules() -> list[Path]:
    return sorted(CORE.rglob("*.py"))


def test_there_is_a_core_to_look_at() -> None:
    assert CORE / "__init__.py" in modules()


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(CORE)))
def test_a_module_of_the_core_reaches_nothing_outside(path: Path) -> None:
    package = ".".join(["tocsin", "core", *path.relative_to(CORE).parts[:-1]])

    assert impurities(path.read_text(encoding="utf-8"), package) == []


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("import time", "line 1: imports time"),
        ("import math\nimport os.path", "line 2: imports os.path"),
        ("from random import randbytes", "line 1: imports random"),
        ("def late():\n    import sqlite3", "line 2: imports sqlite3"),
        ("from tocsin.engines import log", "line 1: imports tocsin.engines"),
        ("from tocsin import engines", "line 1: imports tocsin.engines"),
        ("import tocsin", "line 1: imports tocsin"),
        ("from ..engines import log", "line 1: imports tocsin.engines"),
        ("from .. import engines", "line 1: imports tocsin.engines"),
        ("import collections_extra", "line 1: imports collections_extra"),
        (
            "import datetime\nat = datetime.datetime.now(datetime.UTC)",
            "line 2: reads the clock with datetime.datetime.now",
        ),
        (
            "from datetime import datetime as d\nat = d.utcnow()",
            "line 2: reads the clock with d.utcnow",
        ),
        (
            "from datetime import date\nclock = date.today",
            "line 2: reads the clock with date.today",
        ),
        ("__import__('time')", "line 1: calls __import__"),
        ("open('x')", "line 1: calls open"),
    ],
)
def test_a_reach_outside_is_found_and_named(source: str, complaint: str) -> None:
    assert impurities(source) == [complaint]


@pytest.mark.parametrize(
    "source",
    [
        "from collections.abc import Mapping",
        "from tocsin.core import ids",
        "from tocsin import core",
        "from . import ids",
        "from .ids import mint",
        "from datetime import UTC, datetime\nat = datetime.fromtimestamp(0, UTC)",
    ],
)
def test_computing_is_no_reach_outside(source: str) -> None:
    assert impurities(source) == []

"""Mutants: the core with one thing changed, as mutmut's operators change it.

mutmut writes a module anew with every changed form of each function beside the function. Of that text only the code
objects are used: a mutant is *put on* by giving the function of the real module the code of its changed form, so
everything that has imported it meets the change, everything else is the real code at its real speed, and nothing is
copied or installed.

A function that ran while the core was imported, to build a table, has done its work by then. Its mutants are put on
before: the whole module is read as mutmut wrote it, in a process of its own (`import_changed`).
"""

import ast
import difflib
import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, ClassVar, Final, NamedTuple

from mutmut.mutation.file_mutation import mutate_file_contents

REPOSITORY: Final = Path(__file__).parents[2]
SOURCE: Final = REPOSITORY / "service"
WRITTEN: Final = REPOSITORY / "build" / "mutation"
"""What mutmut wrote, by module and digest of the source: it takes ten seconds to write the core."""

PUT_ON: Final = "MUTANT_UNDER_TEST"
"""The environment variable by which a module that mutmut wrote is told which mutant it is."""


class Mutant(NamedTuple):
    """One change: of which function, the number mutmut gives it, what the lines were and what they became."""

    module: str
    mangled: str
    number: int
    was: str
    now: str
    function_digest: str

    @property
    def function(self) -> str:
        """The function's name as it is written."""
        owner, _, name = self.mangled.removeprefix("x").strip("ǁ").rpartition("ǁ")
        return f"{self.module}.{owner}.{name}" if owner else f"{self.module}.{name.removeprefix('_')}"

    @property
    def form(self) -> str:
        """What mutmut calls the changed function."""
        return f"{self.mangled}__mutmut_{self.number}"

    @property
    def name(self) -> str:
        """What it is called on a command line."""
        return f"{self.function}:{self.number}"

    @property
    def change(self) -> tuple[str, str, str]:
        """What it is known by in the table: numbers of mutants change with any edit above them."""
        return self.function, self.was, self.now


def modules() -> list[str]:
    """The names of the core's modules."""
    paths = sorted((SOURCE / "tocsin" / "core").rglob("*.py"))
    names = (".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in paths)
    return [name for name in names if not name.endswith(".__init__")]


def mutants_of(module: str) -> Iterator[Mutant]:
    """All mutants of a module."""
    bodies = _bodies(_written(module).read_text())
    for changed, lines in bodies.items():
        mangled, _, number = changed.partition("__mutmut_")
        if number == "orig":
            continue
        original = bodies[f"{mangled}__mutmut_orig"]
        diff = list(difflib.unified_diff(original, lines, n=0, lineterm=""))[2:]
        was = "\n".join(line[1:].strip() for line in diff if line[0] == "-")
        now = "\n".join(line[1:].strip() for line in diff if line[0] == "+")
        digest = hashlib.sha256("\n".join(original).encode()).hexdigest()[:16]
        yield Mutant(module, mangled, int(number), was, now, digest)


def _bodies(source: str) -> dict[str, list[str]]:
    """Name to lines of every function and method of a mutated module; names are unique, for mutmut mangles them."""
    lines = source.splitlines()
    nodes = ast.walk(ast.parse(source))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {node.name: _lines(node, lines) for node in functions if "__mutmut_" in node.name}


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> list[str]:
    """A function with a name that all its forms share, so that a difference is one of substance."""
    head = lines[node.lineno - 1].replace(node.name, "", 1)
    return [head, *lines[node.lineno : node.end_lineno]]


def _written(module: str) -> Path:
    """Where the module stands as mutmut wrote it; written if it is not there."""
    path = _source(module)
    content = path.read_text()
    written = WRITTEN / f"{module}.{hashlib.sha256(content.encode()).hexdigest()[:16]}.py"
    if not written.exists():
        WRITTEN.mkdir(parents=True, exist_ok=True)
        for old in WRITTEN.glob(f"{module}.????????????????.py"):
            old.unlink()
        written.write_text(mutate_file_contents(str(path), content).code)
    return written


def _source(module: str) -> Path:
    return SOURCE.joinpath(*module.split(".")).with_suffix(".py")


# Putting a mutant on -------------------------------------------------------------------------------------------------


def put_on(mutant: Mutant) -> None:
    """Changes the imported core; for the rest of this process's life."""
    forms = prepared(mutant.module)
    original = forms[f"{mutant.mangled}__mutmut_orig"]
    changed = forms[mutant.form]
    target = _function(mutant)
    target.__code__ = changed.__code__
    if repr(changed.__defaults__) != repr(original.__defaults__):
        target.__defaults__ = changed.__defaults__
    if repr(changed.__kwdefaults__) != repr(original.__kwdefaults__):
        target.__kwdefaults__ = changed.__kwdefaults__


@cache
def prepared(module: str) -> dict[str, FunctionType]:
    """Name to function of every form that mutmut wrote of a module's functions. It takes a second, and lasts: a process
    that forks to try mutants calls this first.
    """
    written = ModuleType(module)
    exec(_code(module), vars(written))  # our own module, as mutmut wrote it
    tables = [value for name, value in vars(written).items() if name.startswith("mutants_")]
    forms = [getattr(form, "__func__", form) for table in tables for form in table.values()]
    return {form.__name__: form for form in forms}


def _code(module: str) -> CodeType:
    path = _written(module)
    return compile(path.read_text(), path, "exec", dont_inherit=True)


def _function(mutant: Mutant) -> FunctionType:
    found: Any = importlib.import_module(mutant.module)
    for name in mutant.function.removeprefix(f"{mutant.module}.").split("."):
        found = inspect.getattr_static(found, name)
    found = getattr(found, "__func__", found)
    if not isinstance(found, FunctionType):
        raise TypeError(f"{mutant.function} is no plain function but {found!r}: no mutant of it can be put on")
    return found


class _Changed(SourceFileLoader):
    """Loads a module as mutmut wrote it."""

    def get_code(self, fullname: str) -> CodeType:
        return _code(fullname)


class _Finder(MetaPathFinder):
    """Finds one module, to be loaded as mutmut wrote it."""

    def __init__(self, module: str) -> None:
        self._module = module

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        path = str(_source(self._module))
        if fullname != self._module:
            return None
        return spec_from_file_location(fullname, path, loader=_Changed(fullname, path))


def import_changed(module: str, form: str) -> None:
    """Has a module imported as one of its mutants; for a process that has not imported the core yet."""
    sys.meta_path.insert(0, _Finder(module))
    os.environ[PUT_ON] = f"{module}.{form}"


# What a run reaches --------------------------------------------------------------------------------------------------


class Reached:
    """Notes which functions of the core are called while it watches."""

    _names: ClassVar[dict[int, tuple[CodeType, str]]] = {}
    """By identity, for to hash a code object takes long; each is held, so that its identity stays its own."""

    def __init__(self) -> None:
        self._functions: set[str] = set()

    def start(self) -> None:
        """Begins to watch."""
        sys.setprofile(self._note)

    def stop(self) -> frozenset[str]:
        """Ends the watch and returns the functions, by module and name."""
        sys.setprofile(None)
        return frozenset(self._functions - {""})

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            code = frame.f_code
            if id(code) not in self._names:
                module = frame.f_globals.get("__name__", "")
                outermost, _, _ = code.co_qualname.partition(".<locals>")
                self._names[id(code)] = (code, f"{module}.{outermost}" if module.startswith("tocsin.core.") else "")
            self._functions.add(self._names[id(code)][1])


def reached_at_import() -> frozenset[str]:
    """Imports the core, and returns the functions that this calls."""
    reached = Reached()
    reached.start()
    for module in modules():
        importlib.import_module(module)
    return reached.stop()

"""What all configuration has in common: faults that are named, and YAML that hides no slip.

Configuration is written by people, so it is wrong in ways that people are wrong: a misspelt field, a line copied and
not changed, a value of another kind. Whatever reads configuration collects *all* faults, each with the place it is in
and what to write instead, and raises them as one `ConfigError`.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml


class Problem(NamedTuple):
    """One fault of the configuration: the file or variable it is in, the field (empty: the whole), what is wrong."""

    where: str
    field: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.field}: {self.what}" if self.field else f"{self.where}: {self.what}"


class ConfigError(Exception):
    """The configuration cannot be used. `problems` has every fault that was found, in reading order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(map(str, self.problems)))


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known one that was probably meant, else all that are known."""
    known = sorted(known)
    if close := difflib.get_close_matches(name, known, n=1):
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""


def parse_yaml(text: str | bytes, where: str) -> Any:
    """The value that a YAML text holds; raises ConfigError, with line and column, when it is none."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (derived from SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError([Problem(where, "", f"{place}{error.problem}")]) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError([Problem(where, "", f"is not YAML that can be read: {error}")]) from error


def load_yaml(path: Path) -> dict[Any, Any]:
    """The mapping that a YAML file holds; raises ConfigError when it cannot be read or holds something else."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError([Problem(str(path), "", f"cannot be read: {error.strerror}")]) from error
    data = parse_yaml(text, str(path))
    if not isinstance(data, dict):
        raise ConfigError([Problem(str(path), "", "must hold a mapping of fields to values")])
    return data


class _Loader(yaml.SafeLoader):
    """YAML in which a key that stands twice is a fault: the parser's own rule, the last one counts, hides a slip."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 (as the base class)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                problem = f"the key {key.value!r} stands twice"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)

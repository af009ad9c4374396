"""Taking over the region files of a deployed region, as `terraform output -json region_files` prints them.

A folder of region files holds only what fits together, so what comes in is judged with what is there, in a folder of
its own, before the first file is written. Text that a program wrote on one line is spelt as YAML: people read the
difference before they agree to it.
"""

import difflib
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from tocsin.config import ConfigError, Problem, parse_yaml
from tocsin.topology import load_topology

BYTES_MAX: Final = 1 << 20
"""Of what is taken over: a region file has a few KiB."""
_HOW: Final = "give the output of `terraform output -json region_files` in terraform/region"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")
_SUFFIXES: Final = (".yaml", ".yml")


class Imported(NamedTuple):
    """A region file as it is to be, and as it is: None where there is none."""

    path: Path
    old: str | None
    new: str

    def diff(self) -> str:
        """What changes in the file, as a unified diff; empty when nothing does."""
        before = "/dev/null" if self.old is None else str(self.path)
        lines = difflib.unified_diff(
            (self.old or "").splitlines(), self.new.splitlines(), before, str(self.path), lineterm=""
        )
        return "\n".join(lines)

    def write(self) -> None:
        """Puts the file in its place at once, whole; raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # No region file by its suffix, so that whoever reads the folder meanwhile does not see it.
        begun = self.path.with_name(f".{self.path.name}.new")
        begun.write_text(self.new, encoding="utf-8")
        begun.replace(self.path)


def plan(text: bytes, where: str, directory: Path, overrides: Mapping[str, Any] | None) -> list[Imported]:
    """What is to be in the folder for each region of the text, in order of names; nothing is written.

    Raises ConfigError for text that is no such output, and for what does not fit together with the files that are
    there: with the paths that they have, or will have, in `directory`.
    """
    files = [
        Imported(path := _path(directory, name), _read(path), new) for name, new in sorted(_parse(text, where).items())
    ]
    _require_fit(files, directory, overrides)
    return files


def _parse(text: bytes, where: str) -> dict[str, str]:
    """Region to the text of its file."""
    if len(text) > BYTES_MAX:
        raise ConfigError([Problem(where, "", f"is larger than {BYTES_MAX:,} bytes: these are no region files")])
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError([Problem(where, "", f"is not JSON ({error}): {_HOW}")]) from error
    if not isinstance(found, dict) or not found or not all(isinstance(one, str) for one in found.values()):
        raise ConfigError([Problem(where, "", f"does not map names of regions to the text of their files: {_HOW}")])
    return {name: _spell(name, content, where) for name, content in found.items()}


def _spell(name: str, content: str, where: str) -> str:
    if not _NAME.match(name):
        raise ConfigError([Problem(where, name, "cannot name a region file: letters, digits, - and _ can")])
    data = parse_yaml(content, f"{where}: {name}")
    if not isinstance(data, dict):
        raise ConfigError([Problem(where, name, "must hold a mapping of fields to values")])
    if data.get("name") != name:
        raise ConfigError([Problem(where, f"{name}.name", f"is {data.get('name')!r}, but stands under {name!r}")])
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)


def _path(directory: Path, name: str) -> Path:
    """The file of that name which is there, else the one that will be."""
    paths = [directory / f"{name}{suffix}" for suffix in _SUFFIXES]
    return next((path for path in paths if path.exists()), paths[0])


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None


def _require_fit(files: Sequence[Imported], directory: Path, overrides: Mapping[str, Any] | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        trial = Path(name)
        for path in directory.glob("*"):
            if path.suffix in _SUFFIXES:
                (trial / path.name).write_bytes(path.read_bytes())
        for file in files:
            (trial / file.path.name).write_text(file.new, encoding="utf-8")
        try:
            load_topology(trial, overrides)
        except ConfigError as error:
            raise ConfigError(
                Problem(*(part.replace(str(trial), str(directory)) for part in problem)) for problem in error.problems
            ) from None

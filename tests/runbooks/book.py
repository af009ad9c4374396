"""A runbook as data: its front matter, its sections, and what it tells people to type.

A block of commands is fenced as `console`; lines that begin with `$ ` are commands, the rest is what they answer, with
`...` for what was left out. `console change` is a block that changes something. `console when=STATE` shows how the
answer looks while something is wrong; the states are those of `live.py`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.unit.ops.alerts.made import ROOT

FOLDER = ROOT / "runbooks"
INDEX = "README.md"
LINES_MAX = 120
SECTIONS = [
    "Meaning",
    "Impact",
    "First look",
    "Diagnosis",
    "Mitigation",
    "Verification",
    "Escalation",
    "Afterwards",
]
_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_FENCE = re.compile(r"^```([^\s`]*)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`((?:tocsin|systemctl) [^`\n]+)`")


@dataclass(frozen=True)
class Command:
    """One command, and what it is shown to answer."""

    text: str
    sample: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """A fenced block of commands."""

    language: str
    changes: bool
    when: str
    commands: tuple[Command, ...]
    line: int
    section: str


@dataclass(frozen=True)
class Book:
    """One file."""

    name: str
    text: str

    @property
    def front(self) -> dict[str, Any]:
        """The front matter; empty when there is none."""
        found = _FRONT.match(self.text)
        return dict(yaml.safe_load(found[1])) if found else {}

    @property
    def sections(self) -> list[str]:
        """The headings, in order."""
        return re.findall(r"^## (.+)$", _FENCE.sub("", self.text), re.MULTILINE)

    @property
    def spans(self) -> list[str]:
        """The commands that stand within sentences."""
        return _SPAN.findall(_FENCE.sub("", self.text))

    @property
    def blocks(self) -> list[Block]:
        """The fenced blocks, in order."""
        return [self._block(found) for found in _FENCE.finditer(self.text)]

    def _block(self, found: re.Match[str]) -> Block:
        words = found[2].split()
        above = re.findall(r"^## (.+)$", self.text[: found.start()], re.MULTILINE)
        return Block(
            language=found[1],
            changes="change" in words,
            when=next((word.removeprefix("when=") for word in words if word.startswith("when=")), ""),
            commands=tuple(_commands(found[3].splitlines())),
            line=self.text.count("\n", 0, found.start()) + 1,
            section=above[-1] if above else "",
        )


def _commands(lines: list[str]) -> Iterator[Command]:
    text, sample = "", list[str]()
    for line in lines:
        if line.startswith("$ "):
            if text:
                yield Command(text, tuple(sample))
            text, sample = line[2:], []
        else:
            sample.append(line)
    if text:
        yield Command(text, tuple(sample))


def books(folder: Path = FOLDER) -> list[Book]:
    """All runbooks, the index too."""
    return [Book(path.name, path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.md"))]

"""The journal of what is injected: written down, with what undoes it, before it is done.

    {"begin": "store-down", "target": "embedded", "at": ..., "place": {...}}
    {"fault": 0, "func": "stop_store", "undo": {"func": "start_store", "arguments": {"region": "b"}}}
    {"healed": 0}
    {"end": "held"}

One JSON object a line, each on the disk before the deed. A runner holds the file by a lock that ends with its process,
so who finds it unlocked and without an end knows that its runner was killed, and what to undo. A fault that was written
down may not have been injected any more: undoing what is whole does nothing.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from tocsin.engines.errors import Misconfigured, Owned

FILE: Final = "journal.jsonl"


@dataclass(frozen=True, slots=True)
class Undoing:
    """What mends one fault: an action and its arguments."""

    func: str
    arguments: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.func}({', '.join(f'{name}: {value}' for name, value in self.arguments.items())})"


@dataclass(slots=True)
class Left:
    """What a journal says of the latest drill in it."""

    drill: str = ""
    target: str = ""
    place: Mapping[str, Any] = field(default_factory=dict)
    """What a healer needs to find the target again."""
    open: dict[int, Undoing] = field(default_factory=dict)
    """Faults that were written down and not healed, by number."""
    ended: bool = True


class Journal:
    """A journal that this process holds, so that no other drill runs."""

    def __init__(self, file: BinaryIO, left: Left) -> None:
        self.left = left
        self._file = file
        self._next = max(left.open, default=-1) + 1

    @classmethod
    @contextmanager
    def held(cls, folder: Path) -> Iterator["Journal"]:
        """The journal of a folder; raises `Owned`, naming the process, while another drill runs there."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / FILE).open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Owned(
                    f"another drill is running ({folder / FILE} is held): wait for its end, or end it"
                ) from None
            journal = cls(file, read(folder))
            journal.end_line()
            yield journal

    def end_line(self) -> None:
        """Ends a line that was cut off in writing, so that the next one stands by itself."""
        self._file.seek(0)
        if not self._file.read().endswith(b"\n"):
            self._file.write(b"\n")

    def refuse_if_left(self) -> None:
        """Raises `Misconfigured` when a drill was killed and its faults may still be there."""
        if self.left.open:
            faults = ", ".join(map(str, self.left.open.values()))
            raise Misconfigured(
                f"the drill {self.left.drill} was killed and left faults behind ({faults}): run "
                "`tocsin drill heal` first"
            )

    def begin(self, drill: str, target: str, place: Mapping[str, Any], at: str) -> None:
        """A drill begins; what was told of earlier ones goes."""
        self._file.truncate(0)
        self._next = 0
        self.left = Left(drill, target, place, ended=False)
        self._write({"begin": drill, "target": target, "at": at, "place": dict(place), "pid": os.getpid()})

    def inject(self, func: str, undo: Undoing) -> int:
        """A fault is about to be injected; returns its number."""
        number = self._next
        self._next += 1
        self.left.open[number] = undo
        self._write({"fault": number, "func": func, "undo": {"func": undo.func, "arguments": dict(undo.arguments)}})
        return number

    def healed(self, undo: Undoing) -> None:
        """What this undoes is undone."""
        for number in [number for number, one in self.left.open.items() if one == undo]:
            del self.left.open[number]
            self._write({"healed": number})

    def end(self, how: str) -> None:
        """The drill ended, with nothing left behind."""
        self.left.ended = True
        self._write({"end": how})

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def read(folder: Path) -> Left:
    """What the journal of a folder says; nothing when there is none. A line that was cut off in writing is skipped:
    what it would have told had not been done.
    """
    left = Left()
    path = folder / FILE
    for raw in path.read_bytes().splitlines() if path.exists() else ():
        try:
            line = json.loads(raw)
        except ValueError:
            continue
        match line:
            case {"begin": str(drill), "target": str(target), "place": dict(place)}:
                left = Left(drill, target, place, ended=False)
            case {"fault": int(number), "undo": {"func": str(func), "arguments": dict(arguments)}}:
                left.open[number] = Undoing(func, arguments)
            case {"healed": int(number)}:
                left.open.pop(number, None)
            case {"end": str()}:
                left.ended = True
    return left

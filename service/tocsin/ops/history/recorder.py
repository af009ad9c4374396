"""The recorder: writes a history, line by line, as things happen.

A line is on its way to the disk before the client goes on, so that what a killed test had recorded can still be judged.
The order of the lines is the order of events: that is what the checker goes by, not the clock.
"""

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from tocsin.ops.history.format import FORMAT, Call, Fail, Header, Info, Invoke, KeptRow, Line, Ok, Part, Row


class Recorder:
    """Writes one history. Thread-safe; of one process, because the order of its lines is the order of events."""

    def __init__(self, out: BinaryIO, regions: Iterable[str], about: str = "") -> None:
        """`regions`: those of which a final read is due; `about`: what was done, for people."""
        self._out = out
        self._writing = threading.Lock()
        self._ops = 0
        self._write(Header(FORMAT, tuple(regions), about))

    @classmethod
    def open(cls, path: Path, regions: Iterable[str], about: str = "") -> "Recorder":
        """A recorder to a new file; one that is there is overwritten."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return cls(path.open("wb"), regions, about)

    # What clients do ---------------------------------------------------------------------------------------------

    def invoke(self, call: Call, process: str, region: str, *, request: str = "", final: bool = False) -> int:
        """An operation begins; returns its number. `process`: who does it, in a word."""
        with self._writing:
            op = self._ops
            self._ops += 1
            self._put(Invoke(op, _now_us(), process, region, call, request, final))
        return op

    def found(
        self,
        op: int,
        *,
        entries: Iterable[Row] = (),
        kept: Iterable[KeptRow] = (),
        dropped: Iterable[str] = (),
    ) -> None:
        """A part of what a scan found."""
        self._write(Part(op, tuple(entries), tuple(kept), tuple(dropped)))

    def ok(
        self,
        op: int,
        *,
        request: str = "",
        found: bool = False,
        pending: bool = False,
        complete_until_us: int | None = None,
        drained: Iterable[str] = (),
    ) -> None:
        """It was done. A send gives the printed `request` key; a get, what was answered; both reads, how complete the
        region says it is and for which `drained` regions that does not speak.
        """
        self._write(Ok(op, _now_us(), request, found, pending, complete_until_us, tuple(drained)))

    def fail(self, op: int, reason: str) -> None:
        """It was certainly not done: refused."""
        self._write(Fail(op, _now_us(), reason))

    def info(self, op: int, reason: str) -> None:
        """Nobody knows: a time-out, a 503, a broken connection."""
        self._write(Info(op, _now_us(), reason))

    # The file ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Ends the file. What has not ended until now counts as indeterminate."""
        self._out.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def _write(self, line: Line) -> None:
        with self._writing:
            self._put(line)

    def _put(self, line: Line) -> None:
        self._out.write(msgspec.json.encode(line) + b"\n")
        self._out.flush()


def _now_us() -> int:
    return time.time_ns() // 1000

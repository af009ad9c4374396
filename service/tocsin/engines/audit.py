"""The audit trail: who was refused, and who changed what, as lines of JSON in one file a region.

Theory
------
A trail that can be flooded is none: whoever tries keys by the thousand would push out the line that matters, and fill
the disk. So refusals of one kind are bounded a minute and process, and the next line that is written counts those left
out; changes are always written. The file is turned over at a size, and so many old ones are kept.

All processes of a region write one file, under a lock, a line at a time. A trail that cannot be written stops nobody:
a page must not wait for bookkeeping. The line then goes to the log, which says why.
"""

import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from tocsin.core.rates import Rates
from tocsin.telemetry import redacted

FILE: Final = "audit.log"
BYTES_MAX: Final = 10_000_000
"""At this size the file is turned over."""
FILES_MAX: Final = 5
"""Files that are kept, the one in use included."""
REFUSALS_PER_MIN_MAX: Final = 60
"""Of each kind of refusal so many lines are written in a minute by one process."""
_log = logging.getLogger(__name__)


class Deed(StrEnum):
    """What a line is about."""

    UNAUTHENTICATED = "unauthenticated"
    """No valid token: 401."""
    DENIED = "denied"
    """A valid token that is not good for this: 403."""
    UNKNOWN_ROUTING_KEY = "unknown_routing_key"
    """An event with a key that nobody has, or has no longer."""
    ACT = "act"
    """A person did something to an incident, or tried to."""
    DIRECTORY = "directory"
    """Somebody changed a service or a user, or tried to."""
    SAID = "said"
    """A person said a word about requests or a region in the ledger, which has it too."""
    BUDGET_RELEASED = "budget_released"
    """A person let a region go on that had spent its budget."""
    SECRET_SHOWN = "secret_shown"  # noqa: S105 (a word)
    """Somebody was shown the secret that a webhook's receiver checks signatures by."""
    TOKEN_CREATED = "token_created"  # noqa: S105 (a word)
    TOKEN_ROTATED = "token_rotated"  # noqa: S105
    TOKEN_REVOKED = "token_revoked"  # noqa: S105


class AuditTrail:
    """The trail in the file at `path`, made when the first line is written."""

    def __init__(
        self, path: Path, clock_us: Callable[[], int], *, bytes_max: int = BYTES_MAX, files_max: int = FILES_MAX
    ) -> None:
        self._path = path
        self._clock_us = clock_us
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._rates = Rates()
        self._left_out: dict[Deed, int] = {}

    def refused(self, deed: Deed, **fields: Any) -> None:
        """Writes a refusal, unless there were too many of its kind in the last minute; those are counted."""
        if self._rates.take(deed, REFUSALS_PER_MIN_MAX, self._clock_us() / 1e6):
            self._left_out[deed] = self._left_out.get(deed, 0) + 1
            return
        if left_out := self._left_out.pop(deed, 0):
            fields["left_out"] = left_out
        self.changed(deed, **fields)

    def changed(self, deed: Deed, **fields: Any) -> None:
        """Writes a line. Fields that are named like secrets are shown without their value, as in logs."""
        line = {"at_us": self._clock_us(), "action": deed, **redacted(fields)}
        try:
            self._append(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        except OSError as error:
            _log.error("the audit trail %s takes no lines: %s", self._path, error, extra={**line, "action": "audit"})

    def _append(self, line: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_name(self._path.name + ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._path.exists() and self._path.stat().st_size + len(line) > self._bytes_max:
                self._turn_over()
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(handle, "ab") as file:
                file.write(line)

    def _turn_over(self) -> None:
        for number in range(self._files_max - 1, 0, -1):
            younger = _numbered(self._path, number - 1)
            if younger.exists():
                younger.replace(_numbered(self._path, number))


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a trail, the latest first; what is no line of ours is passed over."""
    number = 0
    while (file := _numbered(path, number)).exists():
        for raw in reversed(file.read_bytes().splitlines()):
            try:
                line = json.loads(raw)
            except (ValueError, RecursionError):
                continue
            if isinstance(line, dict):
                yield line
        number += 1


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}") if number else path

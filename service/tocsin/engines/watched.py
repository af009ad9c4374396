"""A value that is read from a small file, and read again when the file changes.

A file that people edit is broken now and then. The last good value stays in force meanwhile, the fault is logged once
and can be asked for (`problems`), so that a typo neither stops a role nor goes unnoticed.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from tocsin.config import ConfigError, Problem

CHECK_EVERY_S: Final = 0.5
"""How often, at most, the file is looked at: the longest time that a process acts by what the file said before."""
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Watched(Generic[T]):
    """The value of a file. `parse` raises ConfigError; `missing` is the value while there is no file, None a fault."""

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes], T],
        *,
        missing: T | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self._problem: ConfigError | None = None
        self._parse = parse
        self._missing = missing
        self._monotonic = monotonic
        self._look_at = float("-inf")
        self._seen: tuple[int, int, int] | None = None
        self._value: T | None = None

    def get(self) -> T:
        """The value; raises ConfigError while no good one was ever there."""
        self._look_if_it_is_time()
        if self._value is None:
            raise self._problem or ConfigError([Problem(str(self.path), "", "holds nothing")])
        return self._value

    @property
    def problems(self) -> list[str]:
        """What is wrong with the file as it is now, empty when it is good."""
        self._look_if_it_is_time()
        return [str(self._problem)] if self._problem else []

    def look_again(self) -> None:
        """Makes the next `get` look at the file whatever the time."""
        self._look_at = float("-inf")

    def _look_if_it_is_time(self) -> None:
        now = self._monotonic()
        if now >= self._look_at:
            self._look_at = now + CHECK_EVERY_S
            self._look()

    def _look(self) -> None:
        try:
            found = self.path.stat()
            seen = (found.st_mtime_ns, found.st_ino, found.st_size)
            if seen == self._seen:
                return
            self._seen = seen
            self._value, self._problem = self._parse(self.path.read_bytes()), None
        except FileNotFoundError:
            self._seen = None
            if self._missing is None:
                self._complain(ConfigError([Problem(str(self.path), "", "there is no such file")]))
            else:
                self._value, self._problem = self._missing, None
        except OSError as error:
            self._complain(ConfigError([Problem(str(self.path), "", f"cannot be read: {error.strerror}")]))
        except ConfigError as error:
            self._complain(error)

    def _complain(self, problem: ConfigError) -> None:
        if str(problem) != str(self._problem):
            what = "; what it said before stays in force" if self._value is not None else ""
            _log.warning("%s%s", problem, what, extra={"action": "file_unusable"})
        self._problem = problem

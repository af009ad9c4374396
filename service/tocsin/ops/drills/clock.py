"""The clock that drills go by: passed in, so that a drill of minutes is tested in milliseconds."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Unix time, and waiting."""

    def now_s(self) -> float:
        """Unix time in seconds."""

    async def sleep(self, seconds: float) -> None:
        """Waits."""


class SystemClock:
    """This machine's. Steps of its Unix time while a drill runs do not stretch what the drill measures."""

    def __init__(self) -> None:
        self._offset_s = time.time() - time.monotonic()

    def now_s(self) -> float:
        """As `Clock` says."""
        return self._offset_s + time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """As `Clock` says."""
        await asyncio.sleep(seconds)


def utc(at_s: float) -> str:
    """A moment as reports have it."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

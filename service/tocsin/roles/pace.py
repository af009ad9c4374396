"""Pace: how fast the records of a partition number come, how fast they are done, and when a backlog will be gone.

From looks at the log and the progress, some time apart. What comes shows always. What *could* be done shows only while
there is enough to do: the rate of such a stretch is the capacity, and stays the last known one after it. A stretch in
which nothing was done tells that of itself and leaves nothing behind: a halt is no measure of what comes after it.
"""

import math
from collections import deque
from typing import Final, NamedTuple

WINDOW_S: Final = 30.0
"""Rates are means over so long."""
STRETCH_S_MIN: Final = 3.0
"""Over less than this no rate is told."""
BUSY_S: Final = 1.0
"""Records that have waited for so long are more than what came just now: there is enough to do."""


class _Look(NamedTuple):
    at_s: float
    end: int
    done: int


class Pace:
    """What looks at one partition number tell, all its sources together. Rates are records a second."""

    def __init__(self) -> None:
        self._looks: deque[_Look] = deque()
        self._busy: deque[_Look] = deque()
        self._capacity: float | None = None
        self._behind = 0

    def look(self, at_s: float, *, end: int, done: int, behind: int, lag_s: float) -> None:
        """Takes in a look: the log's end, what is done of it, what is not, and how old the oldest of that is.

        `at_s` is of a monotonic clock.
        """
        look = _Look(at_s, end, done)
        self._behind = behind
        _keep(self._looks, look)
        if lag_s >= BUSY_S:
            _keep(self._busy, look)
        elif self._busy:
            self._capacity = self._busy_per_s or self._capacity
            self._busy.clear()

    @property
    def arrival_per_s(self) -> float | None:
        """How many come; None: not known yet."""
        return _rate(self._looks, "end")

    @property
    def capacity_per_s(self) -> float | None:
        """How many are done when there is enough to do; None: there never was, as far as this process knows."""
        now_per_s = self._busy_per_s
        return self._capacity if now_per_s is None else now_per_s

    @property
    def recover_s(self) -> float | None:
        """Until the backlog is gone, if as many come as now; infinite: it grows, or stands. None: not known."""
        if not self._busy:
            return 0.0
        arrival, capacity = self.arrival_per_s, self.capacity_per_s
        if arrival is None or capacity is None:
            return None
        return self._behind / (capacity - arrival) if capacity > arrival else math.inf

    @property
    def _busy_per_s(self) -> float | None:
        return _rate(self._busy, "done")


def _keep(looks: deque[_Look], look: _Look) -> None:
    looks.append(look)
    while look.at_s - looks[0].at_s > WINDOW_S:
        looks.popleft()


def _rate(looks: deque[_Look], of: str) -> float | None:
    if not looks or looks[-1].at_s - looks[0].at_s < STRETCH_S_MIN:
        return None
    return float(getattr(looks[-1], of) - getattr(looks[0], of)) / (looks[-1].at_s - looks[0].at_s)

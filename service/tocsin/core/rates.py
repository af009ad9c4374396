"""Rates: how many events of one service are taken in a minute, so that one that is out of hand leaves the others be.

Each service has a window of its own, so no service can use up what another may have. The window slides: in no sixty
seconds, wherever they begin, more events are taken than the limit. It counts by whole seconds, since exact times would
cost memory in proportion to the limit; the second that is only half over counts as if it were within.

What is refused does not count: who sends at twice the limit gets half through. A window that holds nothing is dropped,
so there are never more of them than services that sent something in the last two minutes. What has no service counts
under one name for all.
"""

from collections import deque
from collections.abc import Hashable
from typing import Final

WINDOW_S: Final = 60
EVENTS_PER_MIN_MAX: Final = 6_000
"""The limit of a service that sets none, and of all events without a service together."""


class Rates:
    """The events taken of each service. Times are seconds of one clock that never goes back."""

    def __init__(self) -> None:
        self._windows: dict[Hashable, _Window] = {}
        self._swept_s = 0

    def __len__(self) -> int:
        """How many services are remembered."""
        return len(self._windows)

    def take(self, service: Hashable, per_min_max: int, now_s: float) -> int:
        """Counts one event and returns 0, or does not count it and returns the seconds after which one has room."""
        second = int(now_s // 1)
        self._sweep(second)
        window = self._windows.setdefault(service, _Window())
        window.forget(second)
        wait_s = window.wait_s(per_min_max, second)
        if wait_s == 0:
            window.count(second)
        return wait_s

    def left(self, service: Hashable, per_min_max: int, now_s: float) -> tuple[int, int]:
        """How many events there is room for, and the seconds after which all of the limit is free again."""
        second = int(now_s // 1)
        window = self._windows.get(service)
        if window is None:
            return per_min_max, 0
        window.forget(second)
        return max(0, per_min_max - window.taken), window.free_s(second)

    def _sweep(self, second: int) -> None:
        if second - self._swept_s <= WINDOW_S:
            return
        self._swept_s = second
        for service, window in list(self._windows.items()):
            window.forget(second)
            if window.taken == 0:
                del self._windows[service]


class _Window:
    """How many events were taken in each of the last seconds; at most 61 of them are remembered."""

    __slots__ = ("_counts", "taken")

    def __init__(self) -> None:
        self._counts: deque[tuple[int, int]] = deque()
        self.taken = 0

    def forget(self, second: int) -> None:
        """Forgets the seconds that are wholly out of the window."""
        while self._counts and self._counts[0][0] < second - WINDOW_S:
            self.taken -= self._counts.popleft()[1]

    def wait_s(self, limit: int, second: int) -> int:
        """How long until there is room for one more: until enough of the oldest seconds are out of the window."""
        too_many = self.taken + 1 - limit
        if too_many <= 0:
            return 0
        for counted, taken in self._counts:
            too_many -= taken
            if too_many <= 0:
                return counted + WINDOW_S + 1 - second
        return WINDOW_S + 1  # a limit of none at all

    def free_s(self, second: int) -> int:
        """How long until the last of what was counted is out of the window."""
        return self._counts[-1][0] + WINDOW_S + 1 - second if self._counts else 0

    def count(self, second: int) -> None:
        """Counts one event."""
        taken = self._counts.pop()[1] if self._counts and self._counts[-1][0] == second else 0
        self._counts.append((second, taken + 1))
        self.taken += 1

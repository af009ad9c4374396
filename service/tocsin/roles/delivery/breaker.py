"""What keeps a provider from being called in vain, or too often: a circuit breaker and a rate, with the time passed in.

CLOSED ----so many failures in a row----> OPEN ----after a pause----> one probe ----taken----> CLOSED
^------------failed-----------/        (the pause doubles)
"""

from typing import Final

FAILURES_MAX: Final = 5
PAUSE_FIRST_S: Final = 2.0
PAUSE_S_MAX: Final = 30.0


class Breaker:
    """The circuit breaker of one target (Nygard, Release It!)."""

    __slots__ = ("_failures", "_open_until_s", "_pause_s", "_probing")

    def __init__(self) -> None:
        self._failures = 0
        self._open_until_s = 0.0
        self._pause_s = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether the target has failed so often that it is only probed."""
        return self._failures >= FAILURES_MAX

    def opens_in_s(self, now_s: float) -> float:
        """0: it may be called now. Else after so long it may be asked again."""
        if not self.is_open:
            return 0.0
        if self._probing:
            return max(self._open_until_s - now_s, PAUSE_FIRST_S)
        return max(self._open_until_s - now_s, 0.0)

    def begin(self) -> None:
        """A call begins."""
        self._probing = self.is_open

    def succeed(self) -> None:
        """The target answered as one that is well does, be it with a refusal of this one message."""
        self._failures = 0
        self._pause_s = 0.0
        self._probing = False

    def fail(self, now_s: float) -> None:
        """The target did not do its work. The pause doubles when a probe failed, not with each call that was under way
        when it opened.
        """
        lengthens = self._probing or not self.is_open
        self._failures += 1
        self._probing = False
        if self.is_open and lengthens:
            self._pause_s = min(max(2 * self._pause_s, PAUSE_FIRST_S), PAUSE_S_MAX)
            self._open_until_s = now_s + self._pause_s


class Rate:
    """A token bucket: `per_s` calls a second, and after a pause as many at once, or one."""

    __slots__ = ("_at_s", "_per_s", "_tokens", "_tokens_max")

    def __init__(self, per_s: float, now_s: float) -> None:
        self._per_s = per_s
        self._tokens = self._tokens_max = max(per_s, 1.0)
        self._at_s = now_s

    def wait_s(self, now_s: float) -> float:
        """Takes a token and returns 0, or returns how long it takes until there is one."""
        self._tokens = min(self._tokens_max, self._tokens + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self._per_s

"""A timer for a million moments: buckets of equal time, a heap of the buckets' numbers, and no entry ever removed.

Theory
------
A flat wheel: what is to wake at a moment is put into the bucket of that moment; only bucket numbers are ordered, and
there are few of them. Most pages of a rule that waits are cancelled by an acknowledgement, so cancelling must cost
nothing: an item says itself in which slot it now waits, and an entry found in any other is stale and skipped. After
Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (1987); buckets in a heap as in Kafka's purgatory.

A moment that is far off goes into a coarse bucket before it and from there into a fine one, so that a million rules
spread over a day are some ten thousand buckets. Nothing wakes early, and nothing more than a tick late.
"""

from heapq import heappop, heappush
from typing import Final, Generic, Protocol, TypeVar

TICK_US: Final = 20_000
"""The width of a bucket: a twelfth of the 250 ms in which a page is to be handed over."""
FAR_TICKS: Final = 1_024
"""What is farther off than this (20 s) goes into a coarse bucket first."""
COARSE_TICKS: Final = 64
NOWHERE: Final = -1


class Timed(Protocol):
    """What can wait: when it wakes (Unix microseconds) and in which slot it waits, `NOWHERE` if in none."""

    wake_us: int
    slot: int


T = TypeVar("T", bound=Timed)


class Wheel(Generic[T]):
    """What waits for its moment."""

    __slots__ = ("_buckets", "_numbers", "_waiting")

    def __init__(self) -> None:
        """An empty one."""
        self._buckets: dict[int, list[T]] = {}
        self._numbers: list[int] = []
        self._waiting = 0

    def __len__(self) -> int:
        """How many wait."""
        return self._waiting

    def put(self, item: T, wake_us: int, now_us: int) -> None:
        """Let it wake then, and not at the moment it waited for before."""
        item.wake_us = wake_us
        slot = -(-wake_us // TICK_US)
        if slot - now_us // TICK_US > FAR_TICKS:
            slot -= slot % COARSE_TICKS
        if slot == item.slot:
            return
        self._waiting += item.slot == NOWHERE
        item.slot = slot
        bucket = self._buckets.get(slot)
        if bucket is None:
            self._buckets[slot] = [item]
            heappush(self._numbers, slot)
        else:
            bucket.append(item)

    def remove(self, item: T) -> None:
        """Let it not wake."""
        self._waiting -= item.slot != NOWHERE
        item.slot = NOWHERE

    def wakes_us(self) -> int | None:
        """When to look again: at or before the first moment that anything waits for. None: nothing waits."""
        return self._numbers[0] * TICK_US if self._numbers else None

    def expire(self, now_us: int) -> list[T]:
        """What wakes now; it waits no longer."""
        awake: list[T] = []
        while self._numbers and self._numbers[0] * TICK_US <= now_us:
            slot = heappop(self._numbers)
            for item in self._buckets.pop(slot):
                if item.slot != slot:
                    continue
                self.remove(item)
                if item.wake_us <= now_us:
                    awake.append(item)
                else:
                    self.put(item, item.wake_us, now_us)
        return awake

"""A timer for a million moments: buckets of equal time, a heap of the buckets' numbers, and no entry ever removed.

Theory
------
A flat wheel: what is to wake at a moment is put into the bucket of that moment; only bucket numbers are ordered, and
there are few of them. Most pages of a rule that waits are cancelled by an acknowledgement, so cancelling must cost
nothing: an item says itself in which slot it now waits, and an entry found in any other is stale and skipped. After
Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (1987); buckets in a heap as in Kafka's purgatory.

A moment that is far off goes into a coarse bucket before it, so that a million rules spread over a day are some
seventy thousand buckets. What wakes from it wakes early: whoever it is looks again and waits anew. A moment that is
near wakes nothing early, and nothing more than a tick late.
"""

from heapq import heappop, heappush
from typing import Final, Generic, Protocol, TypeVar

TICK_US: Final = 20_000
"""The width of a bucket: a twelfth of the 250 ms in which a page is to be handed over."""
FAR_TICKS: Final = 1_024
"""What is farther off than this (20 s) goes into a coarse bucket."""
COARSE_TICKS: Final = 64
NOWHERE: Final = -1


class Timed(Protocol):
    """What can wait, and in which slot it waits: `NOWHERE` if in none."""

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

    def put(self, item: T, at_us: int, now_us: int) -> None:
        """Let it wake then (Unix microseconds), and not at the moment it waited for before."""
        self._put(item, _slot(at_us, now_us))

    def hasten(self, item: T, at_us: int, now_us: int) -> None:
        """Let it wake then, unless it wakes before."""
        slot = _slot(at_us, now_us)
        if item.slot == NOWHERE or slot < item.slot:
            self._put(item, slot)

    def _put(self, item: T, slot: int) -> None:
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
                if item.slot == slot:
                    self.remove(item)
                    awake.append(item)
        return awake


def _slot(at_us: int, now_us: int) -> int:
    """The bucket of a moment: never one before now, so that what wakes waits for no bucket that is gone."""
    slot = max(-(-at_us // TICK_US), 0)
    return slot - slot % COARSE_TICKS if slot - now_us // TICK_US > FAR_TICKS else slot

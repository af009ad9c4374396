"""Lanes: the order of events under each dedup key.

Events of one key are sent one after the other, in the order in which they were handed in; those of different keys do
not wait for each other. A lane exists while something waits in it.
"""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from tocsin.client.errors import Refused
from tocsin.client.regions import Answer
from tocsin.client.spool import Damaged, Kept


@dataclass(eq=False, slots=True)
class Waiting:
    """An event on its way."""

    id: str
    dedup_key: str
    number: int
    body: bytes | None = None
    """None: it is on disk alone."""
    kept: Kept | None = None
    is_watched: bool = False
    """Whether its caller still waits to hear what became of it."""
    outcome: Answer | Refused | Damaged | None = None


@dataclass(eq=False, slots=True)
class Lane:
    """The events of one key. Whoever sends from it holds the lock."""

    queue: deque[Waiting] = field(default_factory=deque)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def head(self) -> Waiting | None:
        """The event whose turn it is."""
        try:
            return self.queue[0]
        except IndexError:  # not looked at first: between two looks it may leave
            return None


class Lanes:
    """All lanes. For several threads."""

    def __init__(self, found: Iterable[Kept]) -> None:
        """`found`: what waited on disk, in order."""
        self._lock = threading.Lock()
        self._lanes: dict[str, Lane] = {}
        self._count = 0
        for kept in found:
            self.join(Waiting(kept.id, kept.dedup_key, kept.number, kept=kept))

    def __len__(self) -> int:
        return self._count

    def join(self, waiting: Waiting) -> Lane:
        """Puts an event behind those of its key."""
        with self._lock:
            lane = self._lanes.setdefault(waiting.dedup_key, Lane())
            lane.queue.append(waiting)
            self._count += 1
            return lane

    def leave(self, waiting: Waiting) -> None:
        """Takes an event out, wherever it stands; it may have left already."""
        with self._lock:
            lane = self._lanes.get(waiting.dedup_key)
            if lane is None or waiting not in lane.queue:
                return
            lane.queue.remove(waiting)
            self._count -= 1
            if not lane.queue:
                del self._lanes[waiting.dedup_key]

    def in_order(self) -> list[Lane]:
        """The lanes, the one whose head was handed in first in front."""
        with self._lock:
            return sorted(self._lanes.values(), key=lambda lane: lane.queue[0].number)

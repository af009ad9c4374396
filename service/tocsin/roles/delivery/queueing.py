"""The queue before a provider: high urgency first, and among services turn by turn.

Theory
------
A service that has a thousand pages to send must not delay another's first. So each service has a line of its own, in
order of due, and the lines are served in turn; the urgent ones before all others.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from typing import Generic, TypeVar

from tocsin.core.paging.effects import Bundle
from tocsin.core.paging.people import Urgency

T = TypeVar("T")


class PageQueue(Generic[T]):
    """Pages that wait. Not bounded by itself: who fills it counts over all queues."""

    def __init__(self, bundle_of: Callable[[T], Bundle]) -> None:
        self._bundle_of = bundle_of
        self._urgent: OrderedDict[str, list[tuple[int, int, T]]] = OrderedDict()
        self._other: OrderedDict[str, list[tuple[int, int, T]]] = OrderedDict()
        self._numbers = count()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, page: T) -> None:
        """Adds a page to its service's line."""
        bundle = self._bundle_of(page)
        lines = self._urgent if bundle.intent.channel.urgency == Urgency.HIGH else self._other
        line = lines.setdefault(bundle.items[0].assignment.service, [])
        heapq.heappush(line, (bundle.intent.due_us, next(self._numbers), page))
        self._size += 1

    def take(self) -> T | None:
        """The next page: of the service whose turn it is the one that was due first. None: nobody waits."""
        for lines in (self._urgent, self._other):
            if lines:
                service, line = next(iter(lines.items()))
                _, _, page = heapq.heappop(line)
                if line:
                    lines.move_to_end(service)
                else:
                    del lines[service]
                self._size -= 1
                return page
        return None

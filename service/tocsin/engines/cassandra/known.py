"""What this process has written for good, and need not write again: a bounded memory of keys."""

from collections.abc import Hashable, Iterable
from itertools import islice
from typing import Final

KNOWN_MAX: Final = 50_000


class Known:
    """Keys of rows that were acknowledged and never change. What is forgotten is written once more, to no effect."""

    def __init__(self, at_most: int = KNOWN_MAX) -> None:
        self._at_most = at_most
        self._keys: dict[Hashable, None] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._keys

    def add(self, keys: Iterable[Hashable]) -> None:
        """Remembers these; forgets those that were remembered first when there are too many."""
        self._keys.update(dict.fromkeys(keys))
        for key in list(islice(self._keys, max(0, len(self._keys) - self._at_most))):
            del self._keys[key]

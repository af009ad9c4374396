"""Shares: a bounded number of places, handed out so that nobody who asks for few waits for one who wants all.

Theory
------
A fixed share each would leave most places empty, since most services are silent; first come, first served would let
one noisy service have them all. So a service may hold up to `GREED` times what is *free* at the moment (the dynamic
thresholds by which switches share their packet memory: Choudhury and Hahne, 1998). One greedy service stops at 4/5 of
the places, two at 4/9 each, n at 4/(4n+1): however many there are, they leave a share free, and who holds nothing gets
in while there is any place. Nobody is put out again; the places of the greedy come free as their work ends, and then
others have the right to them first.
"""

from collections.abc import Hashable
from typing import Final

GREED: Final = 4


class Shares:
    """Who holds how many of the places."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._held: dict[Hashable, int] = {}
        self.held = 0
        """Places that are taken."""

    def enter(self, who: Hashable) -> bool:
        """Takes a place, unless there is none or they hold their share already. True has to be followed by `leave`."""
        mine = self._held.get(who, 0)
        if mine >= GREED * self._free:
            return False
        self._held[who] = mine + 1
        self._free -= 1
        self.held += 1
        return True

    def leave(self, who: Hashable) -> None:
        """Gives a place back. Raises KeyError when they hold none."""
        mine = self._held[who]
        if mine == 1:
            del self._held[who]
        else:
            self._held[who] = mine - 1
        self._free += 1
        self.held -= 1

"""The agenda: which channels are to be looked at, now and later.

A channel is looked at when something about it changed, when its timer wakes, or when the order of the regions changed
while it left its moment to a region before ours. Looking is harmless: what there is to do is worked out anew each time.
Urgent channels are looked at first, in the order in which they came.
"""

from collections.abc import Iterable
from itertools import islice

from tocsin.core.paging.channel import Channel
from tocsin.core.paging.people import Urgency
from tocsin.core.paging.wheel import Wheel


class Agenda:
    """The channels of a partition, by when they are to be looked at."""

    __slots__ = ("_high", "_low", "_timers", "_waiting")

    def __init__(self) -> None:
        """Nothing is to be done."""
        self._high: dict[Channel, None] = {}
        self._low: dict[Channel, None] = {}
        self._timers: Wheel[Channel] = Wheel()
        self._waiting: dict[Channel, None] = {}  # a dict has an order: the same inputs come to the same pages

    @property
    def ready(self) -> int:
        """How many are to be looked at now."""
        return len(self._high) + len(self._low)

    @property
    def timers(self) -> int:
        """How many wake later."""
        return len(self._timers)

    @property
    def waiting(self) -> int:
        """How many leave their moment to a region before ours."""
        return len(self._waiting)

    def look_at(self, channel: Channel) -> None:
        """Look at it in this step."""
        (self._high if channel.urgency == Urgency.HIGH else self._low)[channel] = None

    def by(self, channel: Channel, at_us: int, now_us: int) -> None:
        """Look at it then, or before if it wakes earlier."""
        if at_us <= now_us:
            self.look_at(channel)
        else:
            self._timers.hasten(channel, at_us, now_us)

    def at(self, channel: Channel, at_us: int | None, now_us: int, *, waiting: bool = False) -> None:
        """It was looked at: the next time is then, and not before. None: when something changes. `waiting`: or when
        the order of the regions does.
        """
        if at_us is None:
            self._timers.remove(channel)
        else:
            self._timers.put(channel, at_us, now_us)
        if waiting:
            self._waiting[channel] = None
        else:
            self._waiting.pop(channel, None)

    def stir(self) -> None:
        """The order of the regions is another: look at those that leave their moment to others."""
        for channel in self._waiting:
            self.look_at(channel)

    def take(self, now_us: int, most: int) -> Iterable[Channel]:
        """What is to be looked at now, at most so many; the rest stays for the next step."""
        for channel in self._timers.expire(now_us):
            self.look_at(channel)
        taken: list[Channel] = []
        for these in (self._high, self._low):
            some = list(islice(these, most - len(taken)))
            for channel in some:
                del these[channel]
            if not these:
                these.clear()  # a dict that was large once stays large
            taken += some
        return taken

    def wakes_us(self) -> int | None:
        """When to look again; 0: at once, None: when something changes."""
        return 0 if self.ready else self._timers.wakes_us()

"""Places: which region sends first, and who stands behind it. No lease and no arbiter: an order all can work out.

Theory
------
The order of a user partition is a rule, not an agreement: the regions that live and call themselves fit, by name,
rotated by the partition number so that all work; then those that live and are not fit. Place n sends n times the
backstop after the channel's moment. Regions that hear each other work out one order; those that do not are each first
in their own, which costs a duplicate and never a page.

A region lives while its pulses are read. How long none was read is told by a *listening clock*, which runs only while
this process listens: one that slept or lags behind in its reading has not heard its peers, and that is no silence of
theirs.

Who steps in before the others have heard of it races them. So a region that starts, becomes fit, or had its log refuse
says at once that it is fit, and counts itself among the unfit for a little while yet.
"""

from collections.abc import Iterable
from typing import Final

from tocsin.core.paging.feedback import Pulse
from tocsin.core.paging.limits import PagingLimits

LISTENED_S_MAX: Final = 1.0
"""So much of the time between two ticks counts as listened, however long it was."""


class _Peer:
    """What was heard of another region."""

    __slots__ = ("fit", "heard_s", "pulse")

    def __init__(self, heard_s: float) -> None:
        self.heard_s = heard_s
        self.pulse = (-1, -1)
        self.fit = True


class Places:
    """The order of the regions in one user partition, as it looks from here."""

    __slots__ = ("_fit", "_limits", "_listened_s", "_mono_s", "_peers", "_region", "_rotated", "_steps_in_s", "order")

    def __init__(self, region: str, partition: int, regions: Iterable[str], limits: PagingLimits) -> None:
        """Each peer counts as just heard and fit: who starts must not race those that it has not listened to yet."""
        names = sorted({region, *regions})
        turn = partition % len(names)
        self._region = region
        self._rotated = names[turn:] + names[:turn]
        self._limits = limits
        self._peers = {name: _Peer(0.0) for name in names if name != region}
        self._listened_s = 0.0
        self._mono_s: float | None = None
        self._fit = True
        self._steps_in_s = 0.0
        self._sort()

    def start(self) -> None:
        """All was read to the end: what is silent from now on is silent."""
        for peer in self._peers.values():
            peer.heard_s = self._listened_s
        self.step_back()

    def step_back(self) -> None:
        """Stand behind the fit ones for a while: they do not know of us yet."""
        self._steps_in_s = self._listened_s + self._limits.step_in_s
        self._sort()

    def hear(self, pulse: Pulse) -> None:
        """A pulse was read. A repeat, or one that was overtaken, says nothing: no dead region is kept alive by it."""
        peer = self._peers.get(pulse.region)
        if peer is None or (pulse.epoch, pulse.n) <= peer.pulse:
            return
        peer.pulse = (pulse.epoch, pulse.n)
        peer.heard_s = self._listened_s
        peer.fit = pulse.fit

    def listen(self, mono_s: float, *, fit: bool, lag_s: float) -> bool:
        """Time has passed. `fit` is what this region says of itself. True: the order is another now."""
        since_s = 0.0 if self._mono_s is None else mono_s - self._mono_s
        self._mono_s = mono_s
        if lag_s < self._limits.silence_s:
            self._listened_s += min(max(since_s, 0.0), LISTENED_S_MAX)
        before = self.order
        was_fit, self._fit = self._fit, fit and lag_s < self._limits.backstop_s
        if self._fit and not was_fit:
            self.step_back()
        self._sort()
        return self.order != before

    @property
    def is_fit(self) -> bool:
        """Whether this region calls itself fit to send."""
        return self._fit

    def silent(self, region: str) -> bool:
        """Whether nothing was read of a region for the limit; one that is none of ours is silent, oneself never."""
        if region == self._region:
            return False
        peer = self._peers.get(region)
        return peer is None or self._listened_s - peer.heard_s > self._limits.silence_s

    def place(self, last: str = "") -> int:
        """Our own place, from 0. `last` is the region whose intent lapsed: it goes behind all others."""
        if last not in self.order:
            return self.order.index(self._region)
        return [*(name for name in self.order if name != last), last].index(self._region)

    def _sort(self) -> None:
        live = [name for name in self._rotated if not self.silent(name)]
        fit = {name for name in live if name != self._region and self._peers[name].fit}
        if self._fit and self._listened_s >= self._steps_in_s:
            fit.add(self._region)
        self.order = (*(name for name in live if name in fit), *(name for name in live if name not in fit))

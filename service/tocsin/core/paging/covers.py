r"""Covers: which (incident, rule) pairs of a channel need no page any more, told from the intents and their ends alone.

Theory
------
What is kept is a set of intents, each with its fate; what a pair needs is worked out from it. So order and repeats
change nothing, and whatever region said an intent, it counts the same.

    IN PROGRESS --delivered--> DELIVERED     for good, whatever is heard later
        |  \--failed, unknown--> LAPSED ------delivered after all------> DELIVERED
        \----no end in time, or its region silent----> LAPSED

A pair is covered while an intent of it is in progress, and for good when one was delivered. When all have lapsed it is
due again: the first time from the moment of the lapse, later ones a pace after one another, up to `tries_max` in all.
"""

from collections.abc import Container, Iterator

from tocsin.core.paging.feedback import End, Intent, IntentId, Outcome
from tocsin.core.paging.limits import PagingLimits, us

_RANK = {Outcome.UNKNOWN: 1, Outcome.FAILED: 2, Outcome.DELIVERED: 3}


class Flight:
    """An intent and what became of it. Times are Unix microseconds, 0: has not happened.

    `deadline_us`: it covers no longer without an end. `own`: our region said it. `logged`: it was read from the
    log; `said`: its end was.
    """

    __slots__ = ("alone", "deadline_us", "end", "intent", "lapsed_us", "logged", "own", "said")

    def __init__(self, intent: Intent, deadline_us: int, *, own: bool) -> None:
        """Just decided or read."""
        self.intent = intent
        self.deadline_us = deadline_us
        self.own = own
        self.end: End | None = None
        self.lapsed_us = 0
        self.logged = False
        self.said = False
        self.alone = (self,)

    @property
    def is_delivered(self) -> bool:
        """Whether the provider is known to have taken it."""
        return self.end is not None and self.end.outcome is Outcome.DELIVERED

    @property
    def in_progress(self) -> bool:
        """Whether it covers because its end may still come."""
        return self.end is None and not self.lapsed_us

    def finish(self, end: End, now_us: int) -> bool:
        """Its end is known; of several the best known counts. False: that changes nothing."""
        if end.outcome is not Outcome.DELIVERED:
            self.lapse(min(end.at_us, now_us))
        if self.end is not None and not is_better(end, self.end):
            return False
        self.end = end
        return True

    def lapse(self, at_us: int) -> None:
        """It covers no longer, from then on."""
        self.lapsed_us = min(at_us, self.lapsed_us) if self.lapsed_us else max(at_us, 1)


def is_better(end: End, than: End) -> bool:
    """Whether an end tells more than another: delivered, then failed, then unknown."""
    return _RANK[end.outcome] > _RANK[than.outcome]


class Covers:
    """The intents of one channel."""

    __slots__ = ("_pairs", "flights")

    def __init__(self) -> None:
        """None yet."""
        self.flights: dict[IntentId, Flight] = {}
        self._pairs: dict[bytes, tuple[Flight, ...]] = {}

    def add(self, flight: Flight) -> None:
        """An intent that was not known yet."""
        self.flights[flight.intent.id] = flight
        for pair in flight.intent.pairs:
            others = self._pairs.get(pair)
            if others is None:
                self._pairs[pair] = flight.alone
            elif flight not in others:
                self._pairs[pair] = (*others, flight)

    def remove(self, id: IntentId) -> None:
        """Forget an intent: it never was, or nobody asks any more."""
        flight = self.flights.pop(id)
        for pair in flight.intent.pairs:
            others = tuple(other for other in self._pairs.get(pair, ()) if other is not flight)
            if others:
                self._pairs[pair] = others
            else:
                self._pairs.pop(pair, None)

    def of(self, pair: bytes) -> tuple[Flight, ...]:
        """The intents that named a pair."""
        return self._pairs.get(pair, ())

    def in_progress(self) -> Iterator[Flight]:
        """The intents whose end may still come."""
        return (flight for flight in self.flights.values() if flight.in_progress)

    def unsaid(self) -> bool:
        """Whether the log still misses the end of an intent of ours."""
        return any(flight.own and not flight.said for flight in self.flights.values())

    def forget(self, before_us: int, needed: Container[bytes]) -> None:
        """Forget intents of before then, unless a pair of theirs is still needed."""
        for id, flight in list(self.flights.items()):
            if flight.intent.at_us < before_us and not any(pair in needed for pair in flight.intent.pairs):
                self.remove(id)

    def busy_until_us(self) -> int:
        """Before this an intent is in progress, unless its end comes sooner."""
        return max((flight.deadline_us for flight in self.in_progress()), default=0)

    def held_until_us(self, limits: PagingLimits, by_us: int | None = None) -> int:
        """Before this the channel is silent: an intent is in progress, or the last page was less than a pace ago.

        `by_us`: as far as intents that were decided by then tell.

        A page that took longer than the pace held the channel to its end: from there the places count, or the regions
        behind would all be due the moment they hear of it. An intent that lapsed is no page: it bothered nobody that we
        know of, so it does not pace.
        """
        until_us = 0
        for flight in self.flights.values():
            if by_us is not None and flight.intent.at_us > by_us:
                continue
            if flight.in_progress:
                until_us = max(until_us, flight.deadline_us)
            elif flight.end is not None and flight.is_delivered:
                until_us = max(until_us, flight.intent.at_us + us(limits.pace_s), flight.end.at_us)
        return until_us


def again_us(flights: tuple[Flight, ...], limits: PagingLimits) -> int | None:
    """When a pair that these intents named is due again; None: covered, or tried often enough."""
    if len(flights) >= limits.tries_max:
        return None
    latest_us = 0
    for flight in flights:
        if flight.in_progress or flight.is_delivered:
            return None
        latest_us = max(latest_us, flight.lapsed_us)
    return latest_us + us((len(flights) - 1) * limits.pace_s)

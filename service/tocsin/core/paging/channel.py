"""The user channel: when it wants to page next, and what the page is about.

Theory
------
Nothing is queued. What is pending is worked out: every open incident of the urgency, times every rule that uses the
method, less the pairs that are covered. A change of rules, an acknowledgement, the other region's page: each changes
what is worked out, and there is no queue to mend.

The channel's *moment* is the latest of: the earliest due of a pair that is not covered; the last page plus the pace;
the end of the page in progress. Then one bundle takes all that is due or will be within the look-ahead, and names
what else is open and was told before.

Every page that is decided when a pair has been due for a backstop takes the pair along, if who decides knows of it. So
a later page without it was decided by a region that does not know of it, and that region's pages must not put the pair
off for ever: it is *passed over*, and its places count from when it could have been sent first (`start_us`).

    due     1  2        3
            |--|--------|-------------->
    page    1  .  pace  2,3 (1 is named)      2 waited out the pace, 3 was near enough to be pulled forward
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from tocsin.core.paging.concern import Concern
from tocsin.core.paging.covers import Covers, again_us
from tocsin.core.paging.feedback import COVERS_MAX
from tocsin.core.paging.limits import PagingLimits, us
from tocsin.core.paging.wheel import NOWHERE

Ways = tuple[tuple[str, int], ...]
"""The rules that lead to a channel: (id, delay in microseconds)."""


class Channel(msgspec.Struct, eq=False, gc=False):
    """One user's one method at one urgency. `covers` is None until its first intent. `refused_us`: when the log last
    refused an intent of ours, or 0.
    """

    user: str
    method: str
    urgency: str
    slot: int = NOWHERE
    covers: Covers | None = None
    refused_us: int = 0

    def covering(self) -> Covers:
        """Its intents, to add to."""
        if self.covers is None:
            self.covers = Covers()
        return self.covers


class Moment(NamedTuple):
    """When a channel wants to page. `due_us`: the earliest due of its pairs; `last`: the region that tried before in
    vain and goes last, or empty; `start_us`: when it wanted to before pages that passed its first pair over; `busy_us`:
    before this a page is in progress, unless its end comes sooner.
    """

    at_us: int
    due_us: int
    last: str
    start_us: int
    busy_us: int

    def page_us(self, place: int, limits: PagingLimits) -> int:
        """When the region at this place pages."""
        backstop_us = us(limits.backstop_s)
        passed_over_us = max(self.start_us + max(place, 1) * backstop_us, self.busy_us)
        return min(self.at_us + place * backstop_us, passed_over_us)

    def why(self, place: int) -> str:
        """What made the moment, in a word."""
        if place:
            return "backstop"
        if self.last:
            return "again"
        return "paced" if self.at_us > self.due_us else "due"


class Pending(NamedTuple):
    """A pair that needs a page: when it is due, the incident, the rule, and the region that tried it last, in vain."""

    due_us: int
    concern: Concern
    rule: str
    last: str

    @property
    def pair(self) -> bytes:
        """Its name."""
        return self.concern.pair(self.rule)


def pending(channel: Channel, concerns: Iterable[Concern], ways: Ways, limits: PagingLimits) -> Iterator[Pending]:
    """The pairs of a channel that are not covered. Where no intent is known no name is worked out."""
    covers = channel.covers
    for concern in concerns:
        if not concern.is_open or concern.urgency != channel.urgency:
            continue
        for rule, delay_us in ways:
            due_us = concern.due_us(delay_us)
            last = ""
            if covers is not None:
                flights = covers.of(concern.pair(rule))
                if flights:
                    again = again_us(flights, limits)
                    if again is None:
                        continue
                    due_us = max(due_us, again)
                    last = max(flights, key=lambda flight: (flight.intent.at_us, flight.intent.id)).intent.id.region
            yield Pending(due_us, concern, rule, last)


def moment(
    channel: Channel, concerns: Iterable[Concern], ways: Ways, limits: PagingLimits, now_us: int
) -> Moment | None:
    """When the channel wants to page; None: nothing is pending.

    Who goes last is told by the pair that was due first among those that are due again: the region of its latest
    intent. Regions may notice a lapse at different times, but read the same intents.
    """
    earliest_us = None
    again: tuple[int, str] | None = None
    for due_us, _, _, last in pending(channel, concerns, ways, limits):
        if earliest_us is None or due_us < earliest_us:
            earliest_us = due_us
        if last and due_us <= now_us and (again is None or (due_us, last) < again):
            again = (due_us, last)
    if earliest_us is None:
        return None
    held_us = channel.covers.held_until_us(limits) if channel.covers is not None else 0
    busy_us = channel.covers.busy_until_us() if channel.covers is not None else 0
    start_us = _start_us(channel, earliest_us, limits)
    return Moment(max(earliest_us, held_us), earliest_us, again[1] if again is not None else "", start_us, busy_us)


def _start_us(channel: Channel, due_us: int, limits: PagingLimits) -> int:
    """When a pair that is due then could be sent first, had no page passed it over."""
    if channel.covers is None:
        return due_us
    return max(due_us, channel.covers.held_until_us(limits, due_us + us(limits.backstop_s)))


def bundle(
    channel: Channel,
    concerns: Iterable[Concern],
    ways: Ways,
    limits: PagingLimits,
    now_us: int,
    *,
    passed_over: int = 0,
) -> list[Pending]:
    """What a page sent now is about: due, or due within the look-ahead; the most urgent first, within the limit.

    `passed_over`: only what was passed over, as the region at this place tells (1 and above); the rest is left to
    those who page meanwhile.
    """
    horizon_us = now_us + us(limits.look_ahead_s)
    found = [one for one in pending(channel, concerns, ways, limits) if one.due_us <= horizon_us]
    if passed_over:
        latest_us = now_us - passed_over * us(limits.backstop_s)
        found = [one for one in found if _start_us(channel, one.due_us, limits) <= latest_us]
    found.sort(key=lambda one: (one.due_us, one.pair))
    return found[:COVERS_MAX]


def told_before(channel: Channel, concerns: Iterable[Concern], ways: Ways) -> Iterator[Concern]:
    """The open incidents that an earlier page of this channel was about."""
    covers = channel.covers
    if covers is None:
        return
    for concern in concerns:
        if concern.is_open and concern.urgency == channel.urgency and any(covers.of(concern.pair(r)) for r, _ in ways):
            yield concern


def ends_us(channel: Channel) -> int | None:
    """When the first of the intents in progress is overdue, to be looked at then; None: there is none."""
    if channel.covers is None:
        return None
    return min((flight.deadline_us for flight in channel.covers.in_progress()), default=None)

"""The load of a drill: a steady trickle at all regions by turns, as clients send it that know both.

A client that gets no answer sends the same event, under the same dedup key, to the next region: a 503 or a broken
connection is no 'not recorded', and one incident comes of it whatever was recorded twice. What nobody took within
`GIVE_UP_S` is given up, and counts as refused service.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from tocsin.ops.demo.player import Accepted, Event, Player

ALERT_EVERY: Final = 8
"""One event in so many pages people."""
GIVE_UP_S: Final = 30.0
UNDER_WAY_MAX: Final = 64
"""Events on their way at one time; above that the trickle waits."""


class Alert(NamedTuple):
    """An alert that was accepted: the incident's printed id, and when (Unix microseconds)."""

    incident: str
    accepted_us: int


class Trickle:
    """Sends until it is stopped."""

    def __init__(
        self,
        player: Player,
        regions: Sequence[str],
        make: Callable[[int, bool], Event],
        accepted: Callable[[Accepted], None],
        events_per_s: float,
    ) -> None:
        """`make`: the event of a number, and whether it is to page people; `accepted` hears of each that does."""
        self.given_up = 0
        self._player = player
        self._regions = regions
        self._make = make
        self._accepted = accepted
        self._pause_s = 1.0 / events_per_s
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Sends until `stop`, and returns when nothing is on its way."""
        lanes = asyncio.Semaphore(UNDER_WAY_MAX)
        async with asyncio.TaskGroup() as group:
            for number in itertools.count():
                await lanes.acquire()
                task = group.create_task(self._send(number))
                task.add_done_callback(lambda _: lanes.release())
                try:
                    async with asyncio.timeout(self._pause_s):
                        await self._stopping.wait()
                except TimeoutError:
                    continue
                return

    def stop(self) -> None:
        """Sends nothing new."""
        self._stopping.set()

    async def _send(self, number: int) -> None:
        is_alert = number % ALERT_EVERY == 0
        event = self._make(number, is_alert)
        deadline_s = time.monotonic() + GIVE_UP_S
        for place in itertools.count(number // ALERT_EVERY if is_alert else number):
            attempt = await self._player.attempt(event, self._regions[place % len(self._regions)])
            if attempt.accepted is not None and is_alert:
                self._accepted(attempt.accepted)
            if attempt.again_s is None:
                return
            if time.monotonic() > deadline_s:
                self.given_up += 1
                return
            await asyncio.sleep(attempt.again_s)

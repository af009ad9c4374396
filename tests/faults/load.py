"""Load: events into both regions' intakes, at a steady rate or as fast as they go, and reads that watch for them.

Every send and read is in a history. Three events belong to one alert (trigger, acknowledge, resolve) and come in at
both regions, so folds are tried too: whatever order they arrive in, both regions must fold to the same incident.
Nobody is paged of them: the end of a page is an entry too, and would come after the quiet, between two final reads.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import httpx2

from tests.faults.rig import Rig, now_us
from tocsin.ops.demo.player import LANES, Event, Player, open_client
from tocsin.ops.demo.witness import witness
from tocsin.ops.history import Recorder
from tocsin.ops.premises import DEMO_SERVICE

ACTIONS: Final = ("trigger", "acknowledge", "resolve")
IN_FLIGHT_MAX: Final = 32
"""Events of one region on their way at one time: one that answers nothing must not take up the other's room."""
BURST_S: Final = 8.0
WARM_S: Final = 4.0
PER_S_MAX: Final = 300.0
"""The most that is played: more would only make the comparison of all rows longer."""


@dataclass
class Load:
    """Events of one name, from a number on."""

    rig: Rig
    player: Player
    name: str
    sent: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def event(self, number: int) -> Event:
        keys = [key for service, key in self.rig.local.routing_keys.items() if service != DEMO_SERVICE]
        alert = number // len(ACTIONS)
        return {
            "routing_key": keys[alert % len(keys)],
            "event_action": ACTIONS[number % len(ACTIONS)],
            "dedup_key": f"{self.name}/{alert}",
            "payload": {"summary": f"{self.name}: event {number}", "source": "faults", "severity": "warning"},
        }

    async def at_rate(self, per_s: float) -> None:
        """Sends so many a second until `ended`, each region's share apart; what is late is not caught up with."""
        regions = self.rig.topology.names
        async with asyncio.TaskGroup() as group:
            for place, region in enumerate(regions):
                group.create_task(self._feed(region, place, len(regions), per_s, group))

    async def _feed(self, region: str, place: int, step: int, per_s: float, group: asyncio.TaskGroup) -> None:
        room = asyncio.Semaphore(IN_FLIGHT_MAX)
        due_s = time.monotonic()
        number = place
        while not self.ended.is_set():
            await room.acquire()
            sending = group.create_task(self.player.send(self.event(number), region))
            sending.add_done_callback(lambda _: room.release())
            number, self.sent = number + step, self.sent + 1
            due_s = max(due_s + step / per_s, time.monotonic())
            await asyncio.sleep(due_s - time.monotonic())

    async def burst(self, seconds: float) -> None:
        """Sends as fast as answers come."""
        deadline = time.monotonic() + seconds

        async def lane() -> None:
            while time.monotonic() < deadline:
                number, self.sent = self.sent, self.sent + 1
                await self.player.send(self.event(number), self.rig.topology.names[number % 2])

        await asyncio.gather(*(lane() for _ in range(LANES)))


async def sustained_per_s(rig: Rig, player: Player) -> float:
    """What this machine takes in, stores and mirrors now, once all is warm: events a second, from the first one sent
    until all of them are applied in both regions.
    """
    load = Load(rig, player, "burst")
    await load.burst(WARM_S)
    await rig.applied(now_us())
    began_s, before = time.monotonic(), len(player.accepted)
    await load.burst(BURST_S)
    await rig.applied(now_us())
    return (len(player.accepted) - before) / (time.monotonic() - began_s)


@asynccontextmanager
async def company(rig: Rig, recorder: Recorder) -> AsyncIterator[tuple[Player, httpx2.AsyncClient]]:
    """Who sends, and a witness of each region for as long as it lasts."""
    async with open_client(rig.ca_file) as client:
        player = Player(client, {name: rig.local.intake_url(name) for name in rig.topology.names}, recorder)
        witnesses = [
            asyncio.create_task(witness(rig.local, player, client, recorder, name)) for name in rig.topology.names
        ]
        try:
            yield player, client
        finally:
            for task in witnesses:
                task.cancel()
            for ended in await asyncio.gather(*witnesses, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended

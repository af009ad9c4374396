"""A target in memory, and a clock that jumps: whole drills in milliseconds.

Two regions in which roles, stores and mirrors are up or not. What users see follows from that as it does in the real
thing: an alert is paged by whoever can, and later when the region that received it cannot.
"""

import asyncio
import heapq
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tocsin.engines.errors import Unavailable
from tocsin.ops.alerts.evaluation import Series
from tocsin.ops.drills.target import Account, Pages, Requests, Spoiling

REGIONS = ("a", "b")
ROLES = ("intake", "creator", "querier", "notifier")


class JumpingClock:
    """Time that passes when all who are awake have nothing left to do: whoever sleeps least is woken next."""

    def __init__(self) -> None:
        self.at_s = 1_700_000_000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._jumping: asyncio.Task[None] | None = None

    def now_s(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.at_s + seconds, next(self._numbers), waking))
        if self._jumping is None or self._jumping.done():
            self._jumping = asyncio.create_task(self._jump())
        await waking

    async def _jump(self) -> None:
        while self._sleepers:
            for _ in range(50):  # whoever is awake goes on first
                await asyncio.sleep(0)
            at_s, _, waking = heapq.heappop(self._sleepers)
            self.at_s = max(self.at_s, at_s)
            if not waking.done():
                waking.set_result(None)


class MemoryTarget:
    """As `target.Target` says, within what the drills of these tests ask."""

    name = "memory"
    regions: Sequence[str] = REGIONS
    identity: Mapping[str, Any] = {"regions": list(REGIONS)}

    def __init__(self, clock: JumpingClock) -> None:
        self.clock = clock
        self.done: list[str] = []
        """Every deed, in order."""
        self.down: set[tuple[str, str]] = set()
        """Roles, and stores as (region, "store")."""
        self.cut: set[tuple[str, str]] = set()
        self.is_deaf_to_faults = False
        """What is done to it changes nothing: a fault that does not bite."""
        self.stays_down = False
        """Mending changes nothing."""
        self.refuses_to_mend = False
        self.overdue = 0
        self.pages_after_s: float | None = 1.0
        self.unfinished_s = 0.0
        self.mended_s = clock.at_s
        self.harm: list[str] = []
        self.unknown: list[str] = []
        self.settled = False

    # A drill on it -----------------------------------------------------------------------------------------------

    async def begin(self, drill: str, events_per_s: float) -> None:
        self.done.append(f"begin {drill} {events_per_s:g}")

    async def settle(self) -> None:
        self.settled = True

    async def unfinished(self) -> str:
        return "something is missing" if self.clock.at_s < self.mended_s + self.unfinished_s else ""

    async def account(self, *, page_s: float) -> Account:
        return Account(
            Requests(accepted=3), Pages(due=1, sent=1), self.pages_after_s, self.unknown, self.harm, [(0.0, 1.0)]
        )

    # Breaking it -------------------------------------------------------------------------------------------------

    def _break(self, what: str, *places: tuple[str, str]) -> None:
        self.done.append(what)
        if not self.is_deaf_to_faults:
            self.down |= set(places)

    def _mend(self, what: str, *places: tuple[str, str]) -> None:
        if self.refuses_to_mend:
            raise Unavailable(f"cannot {what}")
        self.done.append(what)
        self.mended_s = self.clock.at_s
        if not self.stays_down:
            self.down -= set(places)

    async def kill_role(self, region: str, role: str, *, hold: bool) -> None:
        self._break(f"kill {region} {role}", (region, role))

    async def start_role(self, region: str, role: str) -> None:
        self._mend(f"start {region} {role}", (region, role))

    async def kill_region(self, region: str) -> None:
        self._break(f"kill {region}", *((region, role) for role in ROLES))

    async def start_region(self, region: str) -> None:
        self._mend(f"start {region}", *((region, role) for role in ROLES))

    async def stop_store(self, region: str) -> None:
        self._break(f"stop store {region}", (region, "querier"), (region, "creator"))

    async def start_store(self, region: str) -> None:
        self._mend(f"start store {region}", (region, "querier"), (region, "creator"))

    async def cut_mirror(self, source: str, target: str) -> None:
        self.cut.add((source, target))

    async def slow_mirror(self, source: str, target: str, delay_s: float) -> None:
        raise Unavailable(f"nobody can slow the mirror from {source} to {target} by {delay_s} s here")

    async def heal_mirror(self, source: str, target: str) -> None:
        self.cut.discard((source, target))

    async def spoil(self, region: str, how: Spoiling) -> None:
        self._break(f"spoil {region} {how}", (region, how))

    async def mend(self, region: str, how: Spoiling) -> None:
        self._mend(f"mend {region} {how}", (region, how))

    async def refuse_pages(self, region: str) -> None:
        self._break(f"refuse pages {region}", (region, "provider"))

    async def take_pages(self, region: str) -> None:
        self._mend(f"take pages {region}", (region, "provider"))

    # Sending to it -----------------------------------------------------------------------------------------------

    async def send(self, region: str, *, spoilt: bool, count: int) -> None:
        self.done.append(f"send {region} {count}")
        await self.clock.sleep(count / 100)

    async def append_rubbish(self, region: str) -> None:
        self.done.append(f"rubbish {region}")

    async def append_newer(self, region: str) -> None:
        self.done.append(f"newer {region}")

    async def drop_newer(self) -> None:
        self.done.append("drop newer")

    async def forget_unread(self, region: str) -> None:
        self.done.append(f"forget what {region} has not read")

    async def refill_log(self, region: str) -> None:
        self.done.append(f"refill {region}")

    async def skew_clock(self, region: str, ahead_s: float) -> None:
        self._break(f"skew {region} by {ahead_s}", (region, "clock"))

    async def set_clock(self, region: str) -> None:
        self._mend(f"set clock {region}", (region, "clock"))

    async def put_responder(self, *, reachable: bool) -> None:
        self.done.append(f"put responder {reachable}")

    async def by_hand(self, command: str) -> None:
        self.done.append(f"tocsin {command}")

    # Looking at it -----------------------------------------------------------------------------------------------

    async def pause(self, seconds: float) -> None:
        await self.clock.sleep(seconds)

    async def unready(self, region: str) -> Mapping[str, Sequence[str]]:
        return {role: ["it is down"] for role in ROLES if (region, role) in self.down}

    async def metric(self, region: str, role: str, name: str) -> float | None:
        return None

    async def scrape(self, names: Collection[str]) -> Sequence[Series]:
        ill = {region: float((region, "querier") in self.down) for region in REGIONS}
        return [
            Series("tocsin_region_state", {"region": region, "state": "ill"}, value)
            for region, value in ill.items()
            if "tocsin_region_state" in names
        ]

    async def starts(self, region: str, role: str) -> int:
        return int((region, role) in self.down)

    async def status_of_intake(self, region: str) -> int | None:
        return None if (region, "intake") in self.down else 202

    async def stored_after_s(self, at: str, read: str, within_s: float) -> float | None:
        down = {(at, "intake"), (read, "querier")} & self.down
        return None if down else 0.1

    async def paged_after_s(self, at: str, within_s: float) -> float | None:
        down = all((region, "notifier") in self.down for region in REGIONS)
        return None if down else self.pages_after_s

    async def open_requests(self, region: str) -> int:
        return 0

    async def kept(self, region: str, stage: str) -> int:
        return 0

    async def decided(self, region: str, verdict: str) -> int:
        return 0

    async def budget_spent(self, region: str) -> bool:
        return False

    async def records_behind(self, region: str) -> int:
        return 0

    async def removed_unread(self, region: str) -> int:
        return 0

    async def lost_unnamed(self, region: str) -> int:
        return 0

    async def copied(self, source: str, target: str) -> int:
        return 0 if (source, target) in self.cut else int(self.clock.at_s)

    async def pages_sent(self, region: str) -> int:
        return 1

    async def pages_refused(self, region: str) -> int:
        return 0

    async def pages_overdue(self, after_s: float) -> int:
        return self.overdue

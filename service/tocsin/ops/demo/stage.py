"""The stage: what a scenario can do to the running regions, and how it sees what they decided.

What was decided is read where the regions wrote it: in the kept rows of each region's store, past the fault switch.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from itertools import groupby
from typing import Final

import httpx2

from tocsin.core.ids import parse_printed
from tocsin.core.kept import Kept
from tocsin.core.limits import Limits
from tocsin.engines.errors import EngineError
from tocsin.engines.faults import CHECK_EVERY_S, Fault, FaultSwitch, Rule
from tocsin.engines.store import Store
from tocsin.ops.demo.ground import Ground
from tocsin.ops.demo.pages import Pages
from tocsin.ops.demo.player import LANES, Accepted, Event, Player
from tocsin.ops.supervisor import LocalSet

POLL_S: Final = 0.1
NOTICE_S: Final = 4 * CHECK_EVERY_S
"""After this every process acts by the rules that were set."""
BAD_SERVICE: Final = "legacy-monitor"
"""The service of every bad request: the budget counts services, and one bad service is no bad release."""
BURST: Final = 300


class Deviation(Exception):
    """What a scenario expected did not come about in time."""


class Stage:
    """One scenario's stage."""

    def __init__(
        self,
        name: str,
        local: LocalSet,
        player: Player,
        stores: Mapping[str, Store],
        switch: FaultSwitch,
        ground: Ground,
        limits: Limits,
        pages: Pages,
    ) -> None:
        self.name = name
        self.requests: dict[str, str] = {}
        """Region that the fault is aimed at, or empty for all: printed key of the scenario's bad request."""
        self._local = local
        self._player = player
        self._stores = stores
        self._switch = switch
        self._mirrors = ground.mirrors
        self._wait_s_max = ground.wait_s_max
        self._limits = limits
        self.pages = pages
        self._neighbours: list[Accepted] = []
        self._numbers = itertools.count()

    # What can be done -------------------------------------------------------------------------------------------

    def fault(self, rule: Rule) -> None:
        """Sets a rule of the fault switch."""
        self._switch.set_rule(rule)

    def refuse(self, region: str, *, of: str = "") -> None:
        """The region's store refuses the scenario's request (`of`: the one of that name, when there are several)."""
        key = self._dedup_key(of)
        self.fault(
            Rule(id=f"refuse-{region}", region=region, port="store", kind=Fault.REFUSE, op="write", dedup_key=key)
        )

    def time_out(self, region: str) -> None:
        """The region's store gives no answer for the scenario's request."""
        key = self._dedup_key("")
        self.fault(Rule(id=f"slow-{region}", region=region, port="store", kind=Fault.TIMEOUT, dedup_key=key))

    def crash(self, region: str) -> None:
        """Whoever writes the scenario's request in the region dies of it."""
        key = self._dedup_key("")
        self.fault(Rule(id=f"crash-{region}", region=region, port="store", kind=Fault.CRASH, op="write", dedup_key=key))

    async def cut_mirror(self, source: str, target: str) -> None:
        """Nothing that enters at `source` reaches `target` any more."""
        await self._mirrors.cut(source, target)

    async def heal_mirror(self, source: str, target: str) -> None:
        """Ends that cut, and no other fault."""
        await self._mirrors.heal(source, target)

    async def heal(self) -> None:
        """Ends all faults."""
        self._switch.clear_all()
        await self._mirrors.heal_all()

    async def send(self, region: str, *, of: str = "", first: bool = False) -> None:
        """Sends the scenario's request to a region, among good neighbours of every service, or before them."""
        await self.notice()
        good = self._good_events(region, of)
        place = 0 if first else len(good) // 2
        for event in good[:place]:
            await self._send_good(event, region)
        event = self._event(BAD_SERVICE, self._dedup_key(of), "the request in question")
        accepted = await self._player.send(event, region)
        if accepted is None:
            raise Deviation(f"intake of region {region} refused the request: {self._player.refused[-1][1]}")
        self.requests[of] = accepted.request
        for event in good[place:]:
            await self._send_good(event, region)

    async def alert(self, region: str, count: int, *, scene: set[str] | None = None, of: str | None = None) -> None:
        """Sends triggers of the service that pages people, and notes what is due by them; with `of` the scenario's
        request itself is one of them.
        """
        keys = [f"{self.name}/page-{next(self._numbers)}" for _ in range(count)]
        for dedup_key in keys if of is None else [self._dedup_key(of), *keys[1:]]:
            event = self._event_of(self.pages.routing_key, dedup_key, "somebody is to be told")
            accepted = await self._player.send(event, region)
            if accepted is None:
                raise Deviation(f"intake of region {region} refused an alert: {self._player.refused[-1][1]}")
            self.pages.expect(accepted.request, scene=scene)
            if dedup_key not in keys:
                self.requests[of or ""] = accepted.request
            else:
                self._neighbours.append(accepted)

    async def kill_region(self, region: str) -> None:
        """Ends every process of a region with kill -9, and keeps them down."""
        await self._local.kill_region(region)

    async def start_region(self, region: str) -> None:
        """Starts the processes of a region again."""
        await self._local.start_region(region)

    async def burst_and_kill(self, region: str, role: str) -> None:
        """Sends a burst of good requests and kills a role with kill -9 while it is being worked off."""
        services = [*self._local.routing_keys]
        events = [
            self._event(services[number % len(services)], f"{self.name}/{number}", "one of a burst")
            for number in range(BURST)
        ]
        async with asyncio.TaskGroup() as group:
            lanes = asyncio.Semaphore(LANES)
            halfway = asyncio.Event()

            async def send(number: int, event: Event) -> None:
                async with lanes:
                    await self._send_good(event, region)
                if number == BURST // 2:
                    halfway.set()

            for number, event in enumerate(events):
                group.create_task(send(number, event))
            await halfway.wait()
            await self._local.kill(region, role)
        await self.neighbours_stored()

    async def notice(self) -> None:
        """Waits until every process acts by the faults that were set."""
        await asyncio.sleep(NOTICE_S)

    async def pause_past_grace(self) -> None:
        """Lets the grace pass, and a heartbeat that says so."""
        await asyncio.sleep(self._limits.grace_s + self._limits.standing_every_s)

    async def pause_past_hearing(self) -> None:
        """Lets pass the time after which a peer that does not hear us is known to be deaf."""
        await asyncio.sleep(self._limits.ask_limit_s + self._limits.standing_every_s)

    async def pause_past_unfit(self) -> None:
        """Lets the time pass in which a region that was behind a moment ago stands back from paging."""
        paging = self.pages.limits
        await asyncio.sleep(2 * (paging.silence_s + paging.step_in_s + paging.pulse_every_s))

    # What can be seen -------------------------------------------------------------------------------------------

    async def until(self, **verdicts: str) -> None:
        """Waits until each of the regions' latest verdict on the scenario's request is this one."""

        async def reached() -> str:
            missing = []
            for region, verdict in verdicts.items():
                decided = await self.verdicts(region)
                if not decided or decided[-1] != verdict:
                    missing.append(f"region {region} is at {' '.join(decided) or 'no verdict'}, not {verdict}")
            return "; ".join(missing)

        await self._wait(reached)

    async def verdicts(self, region: str) -> list[str]:
        """The verdicts that a region gave on the scenario's requests, in order, repeats merged."""
        decisions = []
        for request in self.requests.values():
            kept = await self.kept(region, request)
            if kept is not None:
                decisions += [(decision.at_us, decision.verdict) for decision in kept.decisions]
        return [verdict for verdict, _ in groupby(verdict for _, verdict in sorted(decisions))]

    async def kept(self, region: str, request: str) -> Kept | None:
        """A region's kept row of a request."""
        temporal_id, digest = parse_printed(request)
        for kept in await self._stores[region].find_kept(temporal_id):
            if kept.key.digest.startswith(digest):
                return kept
        return None

    async def neighbours_stored(self) -> None:
        """Waits until every good request that this scenario sent is stored in every region."""
        await self._all_stored([accepted.request for accepted in self._neighbours])

    async def stored(self) -> None:
        """Waits until the scenario's request itself is stored in every region."""
        await self._all_stored(list(self.requests.values()))

    async def _all_stored(self, requests: list[str]) -> None:
        waiting = [(region, request) for region in self._stores for request in requests]

        async def reached() -> str:
            while waiting:
                region, request = waiting[-1]
                temporal_id, digest = parse_printed(request)
                found = await self._stores[region].find_entries(temporal_id)
                if not any(entry.key.digest.startswith(digest) for entry in found):
                    return f"region {region} has not stored {request}"
                waiting.pop()
            return ""

        await self._wait(reached)

    async def paged(self) -> None:
        """Waits until everything has come that people are to be told by now."""

        async def reached() -> str:
            missing = self.pages.missing()
            shown = ", ".join(f"{one.user} of {one.incident}" for one in missing[:3])
            return f"{len(missing)} are not told yet: {shown}" if missing else ""

        await self._wait(reached)

    async def ready(self, region: str, role: str) -> None:
        """Waits until a role reports that it is ready."""
        await self._wait(lambda: self._readiness(region, role, wanted=True))

    async def not_ready(self, region: str, role: str) -> None:
        """Waits until a role reports that it is not."""
        await self._wait(lambda: self._readiness(region, role, wanted=False))

    async def _readiness(self, region: str, role: str, *, wanted: bool) -> str:
        async with httpx2.AsyncClient(timeout=5.0) as client:
            try:
                answer = await client.get(f"{self._local.admin_url(region, role)}/health/ready")
            except httpx2.TransportError as error:
                return f"{role} of region {region} does not answer: {error}"
        is_ready = answer.status_code == httpx2.codes.OK
        return "" if is_ready is wanted else f"{role} of region {region} says {answer.text}"

    async def _wait(self, reached: Callable[[], Awaitable[str]]) -> None:
        deadline = time.monotonic() + self._wait_s_max
        while True:
            try:
                missing = await reached()
            except EngineError as error:
                missing = str(error)
            if not missing:
                return
            if time.monotonic() > deadline:
                raise Deviation(f"after {self._wait_s_max:.0f} s: {missing}")
            await asyncio.sleep(POLL_S)

    # Events -----------------------------------------------------------------------------------------------------

    def _dedup_key(self, of: str) -> str:
        return f"{self.name}/bad{'-' * bool(of)}{of}"

    def _good_events(self, region: str, of: str) -> list[Event]:
        return [
            self._event(service, f"{self.name}/good-{region}{of}-{number}", "a good neighbour")
            for number, service in enumerate(self._local.routing_keys)
        ]

    async def _send_good(self, event: Event, region: str) -> None:
        accepted = await self._player.send(event, region)
        if accepted is not None:
            self._neighbours.append(accepted)

    def _event(self, service: str, dedup_key: str, text: str) -> Event:
        return self._event_of(self._local.routing_keys[service], dedup_key, text)

    def _event_of(self, routing_key: str, dedup_key: str, text: str) -> Event:
        return {
            "routing_key": routing_key,
            "event_action": "trigger",
            "dedup_key": dedup_key,
            "payload": {"summary": f"{self.name}: {text}", "source": "demo", "severity": "warning"},
        }


def matches(expected: str, verdicts: list[str]) -> bool:
    """Whether the verdicts are those expected: words in order, `?` after one that may be skipped, `-` for none."""
    words = [] if expected == "-" else expected.split()
    reachable = {0}
    for verdict in verdicts:
        following = set()
        for place in reachable:
            for ahead in range(place, len(words)):
                if words[ahead].rstrip("?") == verdict:
                    following.add(ahead + 1)
                if not words[ahead].endswith("?"):
                    break
        reachable = following
    return any(all(word.endswith("?") for word in words[place:]) for place in reachable)

"""The cells: every part of the engines and the roles, broken in every way; and what must show while it lasts.

| | kill -9, dead for 8 s and more | SIGSTOP for 20 s | network cut for 12 s |
|---|---|---|---|
| broker of a | x | x | x (ci) |
| Cassandra node of b | x | x (ci) | x |
| MirrorMaker from a to b | x (ci) | x | x |
| creator of b, mid-set | x (ci) | x | x, all roles of b from their broker and node |

What must show is said once for each part, because it follows from what is away and not from how it went away:

- *The log of a region* is away: its intake answers that it does not know, the other's takes events; both regions serve,
  and the reads of both say that they are incomplete, since nothing of that log reaches either.
- *The store of a region* is away: after the grace the region is ill, which it tells its peer in the ledger, and its
  querier is not ready; its intake takes events, the peer serves.
- *A mirror* is away: both serve; reads where it leads to say that they are incomplete.
- *A creator* is away: as with a mirror, for that region; another start goes on from saved progress.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import httpx2

from tests.faults.load import Load
from tests.faults.rig import MARGIN_US, SETTLE_S, Rig, Unseen, until
from tocsin.ops.demo.player import Player
from tocsin.ops.history import Call, Recorder

A: Final = "a"
B: Final = "b"
TRIES_MAX: Final = 50
"""How often a creator is stopped until it has something in hand."""
STILL_US: Final = 3_000_000
"""Ticks come each second and are applied in another: what is not so far past the fault stands still."""


class Fault(StrEnum):
    KILL = "kill"
    STOP = "stop"
    CUT = "cut"


LASTS_S: Final = {Fault.KILL: 8.0, Fault.STOP: 20.0, Fault.CUT: 12.0}


@dataclass
class Scene:
    """One cell under way."""

    rig: Rig
    player: Player
    client: httpx2.AsyncClient
    recorder: Recorder
    load: Load
    injected_us: int = 0
    evidence: dict[str, Any] = field(default_factory=dict)
    """What is told of the cell beside its verdict."""

    async def serves(self, *regions: str) -> None:
        for region in regions:
            await self.rig.shows(region, "querier", ready=True)

    async def takes(self, region: str) -> None:
        """Waits until the intake of a region takes an event."""

        async def look() -> bool:
            return await self._send(region) is True

        await until(f"intake of region {region} takes events", look)

    async def takes_not(self, region: str) -> None:
        """Waits until the intake of a region answers 503."""

        async def look() -> bool:
            return await self._send(region) is False

        await until(f"intake of region {region} answers 503", look)

    async def says_incomplete(self, region: str) -> None:
        """Waits until what a region says of its reads is: pending, and complete to the fault at most."""
        token = {"Authorization": f"Token token={self.rig.local.token}"}
        url = f"{self.rig.local.query_url(region)}/incidents?limit=1"

        async def look() -> bool:
            answer = await self.client.get(url, headers=token)
            said = answer.headers["tocsin-complete-until"]
            complete_us = 0 if said == "unknown" else int(datetime.fromisoformat(said).timestamp() * 1e6)
            stands = complete_us + MARGIN_US <= self.injected_us + STILL_US
            return stands and answer.headers["tocsin-pending"] == "true"

        await until(f"reads of region {region} say that they are incomplete", look)

    async def _send(self, region: str) -> bool | None:
        """Whether the intake takes an event; None when it does not answer."""
        self.load.sent += 1
        op = self.recorder.invoke(Call.SEND, "probe", region)
        event = self.load.event(0) | {"dedup_key": f"{self.load.name}/probe-{op}", "event_action": "trigger"}
        try:
            answer = await self.client.post(f"{self.rig.local.intake_url(region)}/v2/enqueue", json=event)
        except httpx2.TransportError as error:
            self.recorder.info(op, str(error))
            return None
        if answer.status_code == httpx2.codes.ACCEPTED:
            self.recorder.ok(op, request=answer.json()["request"])
            return True
        self.recorder.info(op, f"{answer.status_code}")
        return False if answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE else None


Sign = Callable[[Scene], Awaitable[None]]


async def log_away(scene: Scene) -> None:
    await scene.takes_not(A)
    await scene.takes(B)
    await scene.serves(A, B)


async def store_away(scene: Scene) -> None:
    await scene.rig.shows(B, "querier", ready=False)
    await scene.rig.says_ill(B, scene.injected_us)
    await scene.takes(B)
    await scene.serves(A)


async def mirror_away(scene: Scene) -> None:
    await scene.serves(A, B)


async def creator_away(scene: Scene) -> None:
    await scene.serves(A, B)


async def creator_restarts(scene: Scene) -> None:
    """The peer serves, and a new process goes on once the claims of the dead one have lapsed."""
    await scene.serves(A, B)
    await scene.rig.shows(B, "creator", ready=True)


async def region_cut_off(scene: Scene) -> None:
    await scene.takes_not(B)
    await scene.rig.shows(B, "querier", ready=False)
    await scene.serves(A)


@dataclass(frozen=True)
class Cell:
    """A part, how it breaks, and what must show: `sign` soon, and when it ends what `incomplete` regions say."""

    part: str
    fault: Fault
    sign: Sign
    incomplete: tuple[str, ...]
    servers: tuple[str, ...]
    """Empty for a creator; names of paths where it is cut."""
    ci: bool = False

    @property
    def name(self) -> str:
        return f"{self.part}-{self.fault}"

    @property
    def is_creator(self) -> bool:
        return self.part == "creator"

    async def inject(self, scene: Scene) -> None:
        control = scene.rig.control
        if self.is_creator and self.fault is not Fault.CUT:
            await _stop_mid_set(scene)
            if self.fault is Fault.KILL:
                await scene.rig.local.kill(B, "creator")
            return
        for server in self.servers:
            match self.fault:
                case Fault.KILL:
                    await control.kill(server)
                case Fault.STOP:
                    await control.pause(server)
                case Fault.CUT:
                    await control.cut(server)

    async def heal(self, scene: Scene) -> None:
        """Returns once what was broken works."""
        control = scene.rig.control
        if self.is_creator and self.fault is Fault.STOP:
            scene.rig.signal_creator(B, signal.SIGCONT)
        for server in self.servers:
            match self.fault:
                case Fault.KILL:
                    await control.start(server)
                case Fault.STOP:
                    await control.resume(server)
                case Fault.CUT:
                    await control.heal(server)


async def _stop_mid_set(scene: Scene) -> None:
    """Stops the creator of b where it has stored what its saved progress does not know."""
    rig = scene.rig
    for _ in range(TRIES_MAX):
        rig.signal_creator(B, signal.SIGSTOP)
        await asyncio.sleep(SETTLE_S)
        if in_hand := await rig.stored_not_saved(B):
            scene.evidence["written_again"] = len(in_hand)
            return
        rig.signal_creator(B, signal.SIGCONT)
        await asyncio.sleep(SETTLE_S)
    raise Unseen(f"inconclusive: in {TRIES_MAX} tries the creator was never found with something in hand")


BROKEN: Final = ("broker-b", "cassandra-b")
CELLS: Final = (
    *(Cell("broker", fault, log_away, (A, B), ("broker-a",), fault is Fault.CUT) for fault in Fault),
    *(Cell("cassandra", fault, store_away, (), ("cassandra-b",), fault is Fault.STOP) for fault in Fault),
    *(Cell("mirror", fault, mirror_away, (B,), ("mirror-a-b",), fault is Fault.KILL) for fault in Fault),
    Cell("creator", Fault.KILL, creator_restarts, (), (), ci=True),
    Cell("creator", Fault.STOP, creator_away, (B,), ()),
    Cell("creator", Fault.CUT, region_cut_off, (A,), BROKEN),
)

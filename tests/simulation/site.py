"""One region: its log, its database, and the processes that run there, started again whenever they end.

The processes run the real roles: creators (with their owners, replica and writer), an intake that mints and ticks, and
a querier that says how far the region is complete.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from tests.simulation.children import SimChild
from tests.simulation.log import Records, SimLog
from tests.simulation.loop import PROCESS, Process, VirtualLoop
from tests.simulation.network import Server, Surrounding
from tests.simulation.releases import GOOD, Release, ReleasedProcess
from tests.simulation.rows import Rows
from tests.simulation.store import Database, SimStore
from tocsin.core.ids import Parent
from tocsin.core.statements import Replica
from tocsin.engines.errors import EngineError
from tocsin.roles.creator import Creator
from tocsin.roles.freshness import FreshnessReader
from tocsin.roles.minting import Mint
from tocsin.roles.services import topics_made
from tocsin.roles.ticks import Ticker
from tocsin.roles.trial import Trials
from tocsin.telemetry import Identity, Meters
from tocsin.topology import Region, Topology

STACK: Final = "blue"
RESTART_S: Final = (0.2, 2.0)
HELD_S_MAX: Final = 4.0
"""A process that a request holds is found not to be live, and killed, after so long."""
HEARS_S_MAX: Final = 1.0
"""A process that lost its claims while it hung acts as their owner for so long at most."""
TRIAL_S_MAX: Final = 8.0
"""Shorter than in production, and still longer than any call of a store takes here."""
Role = Callable[[ReleasedProcess, asyncio.Event], Coroutine[Any, Any, None]]


class Site:
    """A region and what runs there."""

    def __init__(
        self,
        region: Region,
        topology: Topology,
        loop: VirtualLoop,
        around: Surrounding,
        chance: random.Random,
        told: Callable[[str, str], None],
        *,
        session_s: float,
    ) -> None:
        """`told` hears what happens here, `(region, text)`."""
        self.name = region.name
        self.region = region
        self.records = Records(region.name, lambda: around.now_s, session_s=session_s)
        self.log = Server(f"{region.name}.log", around)
        self.database = Database(Rows(f"database-{region.name}-1"), Server(f"{region.name}.store", around))
        self.peer_logs: dict[str, SimLog] = {}
        """The peers' own logs, as this region's intake reaches them."""
        self.release: Release = GOOD
        self.skew_s = 0.0
        self.lost = False
        """The whole region is away."""
        self.wanted: set[str] = set()
        """The processes that are to run."""
        self.running: dict[str, tuple[ReleasedProcess, asyncio.Event]] = {}
        self.creators: dict[str, Creator] = {}
        self.mint: Mint | None = None
        self.freshness: FreshnessReader | None = None
        self._topology = topology
        self._loop = loop
        self._around = around
        self._chance = chance
        self._told = told
        self._meters = Meters(Identity(region.name, STACK, "simulation"))
        self._roles: dict[str, Role] = {
            "creator-1": self._creator,
            "creator-2": self._creator,
            "intake": self._intake,
            "querier": self._querier,
        }

    @property
    def rows(self) -> Rows:
        """What its database holds."""
        return self.database.rows

    # Processes ----------------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Starts a process and keeps it running."""
        self.wanted.add(name)
        if name in self.running or self.lost:
            return
        process = ReleasedProcess(f"{self.name}/{name}", self.name, self._loop, self.release)
        process.skew_s = self.skew_s
        stopping = asyncio.Event()
        self.running[name] = process, stopping
        process.at_death.append(lambda: self._died(name, process))
        self._loop.spawn(process, self._live(name, process, stopping))

    def process(self, name: str) -> ReleasedProcess | None:
        """A process, None while it does not run."""
        running = self.running.get(name)
        return running[0] if running else None

    def stop(self, name: str, *, wanted: bool = False) -> None:
        """Has a process stop in good order; `wanted`: and start again."""
        if not wanted:
            self.wanted.discard(name)
        if name in self.running:
            self.running[name][1].set()

    def kill(self, name: str, steps: int = 0) -> None:
        """Ends a process before it has taken so many more steps."""
        process = self.process(name)
        if process is not None:
            process.kill_at = process.steps + steps
            if steps == 0:
                process.die()

    def set_skew(self, skew_s: float) -> None:
        """Sets the clocks of its hosts."""
        self.skew_s = skew_s
        for process, _ in self.running.values():
            process.skew_s = skew_s

    def hang(self, name: str, seconds: float) -> None:
        """A process takes no step for a time. Where claims are sessions, it loses them meanwhile."""
        process = self.process(name)
        if process is None or process.hung:
            return
        process.hang()
        if 0 < self.records.session_s < seconds:
            self._around.later(self.records.session_s, self.records.forget, process)
        self._around.later(seconds, self._wake, process)

    def _wake(self, process: ReleasedProcess) -> None:
        self.records.woke(process, self._chance.uniform(0.0, HEARS_S_MAX))
        self._loop.wake(process)

    async def _live(self, name: str, process: ReleasedProcess, stopping: asyncio.Event) -> None:
        try:
            await self._roles[name](process, stopping)
        except EngineError as error:
            self._told(self.name, f"{name} ends: {error}")
            process.die()
        except Exception as error:  # noqa: BLE001 - whatever it is: a process that ends of it is started again
            self._loop.faults.append({"message": f"{process.name} ends", "exception": error})
            process.die()
        else:
            self._told(self.name, f"{name} has stopped")
            process.die()

    def _died(self, name: str, process: ReleasedProcess) -> None:
        self.running.pop(name, None)
        self.creators.pop(name, None)
        self._around.trace.add(f"{self._around.now_s:.6f} {process.name} dies at step {process.steps}")
        self._around.later(self.records.session_s, self.records.forget, process)
        self._around.later(self._chance.uniform(*RESTART_S), self._again, name)

    def _again(self, name: str) -> None:
        if name in self.wanted:
            self.start(name)

    # Roles --------------------------------------------------------------------------------------------------------

    async def _creator(self, process: ReleasedProcess, stopping: asyncio.Event) -> None:
        log = SimLog(self.records, self.log)
        replica = Replica(self.name, STACK)
        creator = Creator(log, self._store(process), self._topology, replica, self._trials(process), self._meters)
        self.creators[process.name.partition("/")[2]] = creator
        if await topics_made(log, self.region, stopping):
            await creator.run(stopping)

    async def _intake(self, _process: ReleasedProcess, stopping: asyncio.Event) -> None:
        log = SimLog(self.records, self.log)
        if not await topics_made(log, self.region, stopping):
            return
        clock_us, monotonic = _clock_us, self._loop.time
        topic, partitions = self.region.requests, self.region.partitions
        ticker = Ticker(log, topic, partitions, self.name, clock_us=clock_us, monotonic=monotonic)
        self.mint = Mint(
            self.name, topic, partitions, log, clock_us, self._chance.randbytes, self.peer_logs, monotonic=monotonic
        )
        await ticker.run(stopping)

    async def _querier(self, process: ReleasedProcess, stopping: asyncio.Event) -> None:
        self.freshness = FreshnessReader(
            self._store(process),
            partitions=self.region.partitions,
            regions=self._topology.names,
            monotonic=self._loop.time,
        )
        await stopping.wait()

    def _trials(self, process: ReleasedProcess) -> Trials:
        return Trials([process.name], trial_s_max=TRIAL_S_MAX)

    def _store(self, process: ReleasedProcess) -> SimStore:
        return SimStore(self.database, lambda parent: self._meet(process, parent))

    def _meet(self, process: ReleasedProcess, parent: Parent) -> bool:
        """A process is about to write an entry of this parent: whether that is its end, or holds it."""
        if process.release.is_killed_by(parent):
            self._told(self.name, f"{process.name} is killed by {parent}")
            process.die()
            return True
        if process.release.is_held_by(parent):
            self._told(self.name, f"{process.name} is held by {parent}")
            process.hang()
            if process in (running for running, _ in self.running.values()):
                self._around.later(HELD_S_MAX, process.die)
            return True
        return False

    async def start_child(self, *command: str, **_: Any) -> SimChild:
        """The child that tries what is suspect, for the creator that asks."""
        parent = PROCESS.get()
        if not isinstance(parent, ReleasedProcess):
            raise TypeError("only a creator starts children")
        child = ReleasedProcess(f"{command[0]}/child", self.name, self._loop, parent.release)
        return SimChild(self._loop, child, self._store(child), parent)


def _clock_us() -> int:
    return time.time_ns() // 1000


def child_starter(sites: Mapping[str, Site]) -> Callable[..., Coroutine[Any, Any, SimChild]]:
    """What stands for `asyncio.create_subprocess_exec`."""

    async def start(*command: str, **streams: Any) -> SimChild:
        process = PROCESS.get()
        if not isinstance(process, Process):
            raise TypeError("only a process starts children")
        return await sites[process.region].start_child(*command, **streams)

    return start

"""One region as its notifiers see it: the log, the database, providers, and the real notifier processes.

Creators and the mirrors of requests are left out: what they come to, assignments that are late or early in a region and
what it says of its own fitness, the world writes itself (`world.py`).
"""

import asyncio
import random
from collections.abc import Callable
from typing import Final

from tests.simulation.log import Records, SimLog
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.network import Server, Surrounding
from tests.simulation.paging.outside import Outside, SimProvider
from tests.simulation.rows import Rows
from tests.simulation.store import Database, SimStore
from tocsin.core.paging.people import MethodKind
from tocsin.engines.directory import FileDirectory
from tocsin.engines.errors import EngineError
from tocsin.engines.topics import make_topics
from tocsin.roles.delivery.carrier import Terms
from tocsin.roles.delivery.deliveries import Deliveries, Means
from tocsin.roles.delivery.wording import Wording
from tocsin.roles.notifier import Notifier
from tocsin.telemetry import Identity, Meters
from tocsin.topology import Region, Topology

STACK: Final = "blue"
NOTIFIERS: Final = ("notifier-1", "notifier-2")
RESTART_S: Final = (0.2, 2.0)
HEARS_S_MAX: Final = 1.0
"""A process that lost its claims while it hung acts as their owner for so long at most."""
TERMS: Final = Terms(tries_max=3, call_s_max=3.0, retry_first_s=0.3, retry_s_max=2.0)
QUEUE_MAX: Final = 1_000
WORDING: Final = Wording()


class PagingSite:
    """A region's notifiers and what they stand on."""

    def __init__(
        self,
        region: Region,
        topology: Topology,
        loop: VirtualLoop,
        around: Surrounding,
        chance: random.Random,
        tell: Callable[[str, str], None],
        outside: Outside,
        directory: FileDirectory,
        *,
        session_s: float,
    ) -> None:
        """`directory`: the file of the region; people come by the topic."""
        self.name = region.name
        self.region = region
        self.records = Records(region.name, lambda: around.now_s, session_s=session_s)
        self.log = Server(f"{region.name}.log", around)
        self.database = Database(Rows(f"database-{region.name}"), Server(f"{region.name}.store", around))
        self.providers = {
            kind: Server(f"{region.name}.{kind}", around) for kind in (MethodKind.EMAIL, MethodKind.WEBHOOK)
        }
        self.skew_s = 0.0
        self.lost = False
        self.running: dict[str, tuple[Process, asyncio.Event]] = {}
        self.wanted: set[str] = set()
        self._topology = topology
        self._loop = loop
        self._around = around
        self._chance = chance
        self._tell = tell
        self._outside = outside
        self._directory = directory

    async def open(self) -> None:
        """Makes the topics."""
        await make_topics(SimLog(self.records, self.log), self.region)

    @property
    def log_answers(self) -> bool:
        """Whether the log answers anybody."""
        return not (self.lost or any(ailment.is_dead for ailment in self.log.ailments))

    # Processes ----------------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Starts a notifier and keeps it running."""
        self.wanted.add(name)
        if name in self.running or self.lost:
            return
        process = Process(f"{self.name}/{name}", self.name, self._loop)
        process.skew_s = self.skew_s
        stopping = asyncio.Event()
        self.running[name] = process, stopping
        process.at_death.append(lambda: self._died(name, process))
        self._loop.spawn(process, self._live(name, process, stopping))

    def stop(self, name: str, *, again: bool = False) -> None:
        """Has a notifier stop in good order; `again`: and start once more."""
        if not again:
            self.wanted.discard(name)
        if name in self.running:
            self.running[name][1].set()

    def kill(self, name: str, steps: int = 0) -> None:
        """Ends a process before it has taken so many more steps."""
        if name in self.running:
            process, _ = self.running[name]
            process.kill_at = process.steps + steps
            if steps == 0:
                process.die()

    def hang(self, name: str, seconds: float) -> None:
        """A process takes no step for a time; where claims are sessions, it loses them meanwhile."""
        if name not in self.running or self.running[name][0].hung:
            return
        process, _ = self.running[name]
        process.hang()
        if 0 < self.records.session_s < seconds:
            self._around.later(self.records.session_s, self.records.forget, process)
        self._around.later(seconds, self._wake, process)

    def set_skew(self, skew_s: float) -> None:
        """Sets the clocks of its hosts."""
        self.skew_s = skew_s
        for process, _ in self.running.values():
            process.skew_s = skew_s

    def _wake(self, process: Process) -> None:
        self.records.woke(process, self._chance.uniform(0.0, HEARS_S_MAX))
        self._loop.wake(process)

    async def _live(self, name: str, process: Process, stopping: asyncio.Event) -> None:
        try:
            await self._notifier(stopping)
        except EngineError as error:
            self._tell(self.name, f"{name} ends: {error}")
        except Exception as error:  # noqa: BLE001 - whatever it is: a process that ends of it is started again
            self._loop.faults.append({"message": f"{process.name} ends", "exception": error})
        process.die()

    async def _notifier(self, stopping: asyncio.Event) -> None:
        """As `paging_service` puts one together."""
        meters = Meters(Identity(self.name, STACK, "notifier"))
        means = {
            kind.value: Means(SimProvider(self.name, kind, server, self._outside), TERMS)
            for kind, server in self.providers.items()
        }
        limits = self.region.paging
        deliveries = Deliveries(means, WORDING.render, meters, end_s_max=limits.end_s_max, queue_max=QUEUE_MAX)
        log, store = SimLog(self.records, self.log), SimStore(self.database)
        notifier = Notifier(log, store, self._topology, self.region, STACK, self._directory, deliveries, meters)
        carrying = asyncio.create_task(deliveries.run())
        await notifier.run(stopping)
        carrying.cancel()

    def _died(self, name: str, process: Process) -> None:
        self.running.pop(name, None)
        self._around.trace.add(f"{self._around.now_s:.6f} {process.name} dies at step {process.steps}")
        self._around.later(self.records.session_s, self.records.forget, process)
        self._around.later(self._chance.uniform(*RESTART_S), self._again, name)

    def _again(self, name: str) -> None:
        if name in self.wanted:
            self.start(name)

"""Two whole regions of the embedded engines in one process: logs, stores, mirrors both ways, and creators.

Everything is opened as the role processes open it, from region files and `TOCSIN_*` variables, so real processes can be
started on the same data. What a test looks at, it looks at through engines of its own that no fault hits.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from tests.requests_made import PARTITIONS
from tocsin.core.documents import STATUS_PREFIX, PartitionStatus
from tocsin.core.ids import RequestKey, partition_of
from tocsin.core.kept import Kept, Stage
from tocsin.core.requests import Record, Request, encode_request
from tocsin.core.statements import Replica, Statement, encode_statement
from tocsin.engines.embedded.entry_table import JournalRow
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.mirror import Mirror
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.errors import EngineError
from tocsin.engines.faults import CHECK_EVERY_S, Fault, FaultSwitch, Rule
from tocsin.engines.opening import open_log, open_mirrored_log, open_store
from tocsin.engines.topics import make_topics
from tocsin.roles.creator import Creator
from tocsin.roles.trial import Trials
from tocsin.settings import Settings
from tocsin.telemetry import Identity, Meters
from tocsin.topology import LEDGER, REQUESTS, Region

ROOT = Path(__file__).parents[1]
STACK = "blue"
LIMITS = {
    "grace_s": 0.6,
    "answer_deadline_s": 4,
    "ask_limit_s": 2,
    "standing_every_s": 0.2,
    "flush_every_s": 0.1,
    "retry_first_s": 0.05,
    "retry_max_s": 0.2,
    "aside_retry_first_s": 0.1,
    "aside_retry_max_s": 0.3,
    "set_records_max": 100,
}
"""So fast that a test need not wait, so slow that a busy machine does not decide."""
QUIET_S = 20.0
"""How long anything may take."""


def set_environment(monkeypatch: pytest.MonkeyPatch, place: Path, **limits: float) -> None:
    """What role processes, in this process or another, read."""
    variables = {
        "TOCSIN_DATA_DIR": place,
        "TOCSIN_REGIONS_DIR": ROOT / "regions" / "local",
        "TOCSIN_FAULTS_FILE": "faults.json",
        "TOCSIN_JOURNAL": "true",
        "TOCSIN_REGION__PARTITIONS": PARTITIONS,
        "TOCSIN_REGION__LIMITS": json.dumps(LIMITS | limits),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    (place / "directory.yaml").write_text("services: []\n", encoding="utf-8")


async def until(holds: Callable[[], Awaitable[Any]], what: str = "what was expected") -> None:
    """Returns once it holds; fails, naming it, when it does not within `QUIET_S`."""
    try:
        async with asyncio.timeout(QUIET_S):
            while not await holds():  # noqa: ASYNC110 - what is waited for is in files
                await asyncio.sleep(0.03)
    except TimeoutError:
        pytest.fail(f"{what} did not come about within {QUIET_S:.0f} s")


class Running:
    """A creator at work in this process."""

    def __init__(self, creator: Creator, engines: Sequence[Any], meters: Meters) -> None:
        self.creator = creator
        self.meters = meters
        self._engines = engines
        self._stopping = asyncio.Event()
        self.task = asyncio.create_task(creator.run(self._stopping))

    @property
    def owned(self) -> list[int]:
        """The partition numbers that it owns."""
        return sorted(self.creator._owners)

    async def stop(self) -> None:
        """Stops it in good order; raises what ended it before."""
        self._stopping.set()
        try:
            async with asyncio.timeout(QUIET_S):
                await self.task
        finally:
            await self.close()

    async def abort(self) -> None:
        """Ends it as a kill would, but for the process."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.close()

    async def close(self) -> None:
        """Frees its engines, and so its claims."""
        for engine in self._engines:
            await engine.close()


class Site:
    """One region: where its data are, and what runs there."""

    def __init__(self, region: Region, settings: Settings) -> None:
        self.region = region
        self.name = region.name
        self.log = EmbeddedLog(settings.path(region.files["log.path"]))
        self.store = EmbeddedStore(settings.path(region.files[f"stacks.{STACK}.path"]))
        self._settings = settings
        self._topology = settings.topology()
        self._mirrors: list[asyncio.Task[None]] = []
        self._opened: list[EmbeddedLog] = []
        self.running: list[Running] = []

    def start(self, partitions: Sequence[int] | None = None) -> Running:
        """Starts a creator, with engines of its own as a process has them."""
        log = open_log(self.region, self._settings)
        store = open_store(self.region, STACK, self._settings)
        replica, meters = Replica(self.name, STACK), Meters(Identity(self.name, STACK, "creator"))
        creator = Creator(log, store, self._topology, replica, Trials(self._trial()), meters, partitions=partitions)
        self.running.append(Running(creator, (log, store), meters))
        return self.running[-1]

    def _trial(self) -> list[str]:
        place = ("--region", self.name, "--stack", STACK, "--regions-dir", str(self._settings.regions_dir))
        return [sys.executable, "-m", "tocsin", "run", "trial", "--parent", str(os.getpid()), *place]

    def mirror(self) -> None:
        """Starts the mirrors of each peer's topics into this region."""
        for peer in self.region.peers:
            source = open_mirrored_log(self._topology.region(peer.name), self._settings, by=self.region)
            mirror = Mirror(source, self.log, (REQUESTS, LEDGER), peer.mirror_prefix, self.region.partitions)
            self._mirrors.append(asyncio.create_task(mirror.run()))

    async def stop(self) -> None:
        """Stops all creators here in good order."""
        running, self.running = self.running, []
        await asyncio.gather(*(one.stop() for one in running))

    async def close(self) -> None:
        """Ends all that runs here, whatever became of it."""
        for one in self.running:
            await one.abort()
        for task in self._mirrors:
            task.cancel()
        await asyncio.gather(*self._mirrors, return_exceptions=True)
        await self.log.close()
        await self.store.close()

    # What is put in ---------------------------------------------------------------------------------------------

    async def send(self, *requests: Request) -> None:
        """Appends requests to this region's log, as its intake does."""
        sets: dict[int, list[Record]] = defaultdict(list)
        for one in requests:
            sets[partition_of(one.key.parent, PARTITIONS)].append(encode_request(one))
        for partition, records in sets.items():
            await self.log.append(REQUESTS, partition, records)

    async def say(self, statement: Statement, partition: int) -> None:
        """Appends a person's word to this region's ledger."""
        await self.log.append(LEDGER, partition, [Record(*encode_statement(statement))])

    # What is looked at ------------------------------------------------------------------------------------------

    async def has(self, requests: Sequence[Request]) -> bool:
        """Whether all of these are stored. The last ones are looked for first: who waits for all looks at few."""
        for one in reversed(requests):
            if await self.store.entry(one.key) is None:
                return False
        return True

    async def kept(self, key: RequestKey) -> Kept | None:
        """The kept row of a request."""
        return await self.store.kept(key)

    async def is_kept(self, key: RequestKey, stage: Stage) -> bool:
        """Whether a request is kept in this stage."""
        kept = await self.store.kept(key)
        return kept is not None and kept.stage is stage

    async def statuses(self) -> dict[int, PartitionStatus]:
        """Partition number to how it is, as written down for queries."""
        written = [PartitionStatus.decode(document.value) for document in await self.store.documents(STATUS_PREFIX)]
        return {status.partition: status for status in written}

    async def is_halted(self) -> bool:
        """Whether queries are told that this region is halted."""
        return any(status.halted for status in (await self.statuses()).values())

    async def journal(self) -> list[JournalRow]:
        """The store's own log of writes."""
        return await self.store.journal_rows()

    async def verdicts(self, key: RequestKey) -> list[str]:
        """The rows of the table that decided on a request, in order, repeats merged."""
        kept = await self.store.kept(key)
        rows = [decision.row for decision in kept.decisions] if kept else []
        return [row for index, row in enumerate(rows) if index == 0 or row != rows[index - 1]]


class TwoRegions:
    """Regions a and b, and the fault switch between a test and both."""

    def __init__(self, place: Path) -> None:
        settings = Settings.load()
        self.settings = settings
        self.switch = FaultSwitch(place / "faults.json")
        self.a, self.b = (Site(region, settings) for region in settings.topology().regions)

    @property
    def both(self) -> tuple[Site, Site]:
        """Both regions."""
        return self.a, self.b

    async def make_topics(self) -> None:
        """Makes all topics, so that neither mirror has to wait for the other region's."""
        for site in self.both:
            await make_topics(site.log, site.region)

    async def start(self) -> Self:
        """Mirrors both ways and a creator in each region, at work."""
        await self.make_topics()
        for site in self.both:
            site.mirror()
            site.start()
        await self.ready()
        return self

    async def ready(self) -> None:
        """Returns once every creator is ready."""

        async def all_are() -> bool:
            running = [one for site in self.both for one in site.running]
            for one in running:
                if one.task.done():
                    await one.task
            return not any(one.creator.unready for one in running)

        await until(all_are, "readiness of all creators")

    async def stop(self) -> None:
        """Stops all creators in good order."""
        await asyncio.gather(self.a.stop(), self.b.stop())

    async def close(self) -> None:
        """Ends everything."""
        for site in self.both:
            await site.close()

    async def breaks(self, region: str, kind: Fault, dedup_key: str = "", **more: Any) -> str:
        """Breaks the store of a region for requests of a dedup key, or at all; returns the rule's id once it acts."""
        rule = Rule(
            id=f"{region}-{kind}-{dedup_key or 'all'}",
            region=region,
            port="store",
            kind=kind,
            dedup_key=dedup_key,
            **more,
        )
        self.switch.set_rule(rule)
        await asyncio.sleep(2 * CHECK_EVERY_S)
        return rule.id

    async def both_have(self, *requests: Request) -> None:
        """Returns once both regions hold all of these."""

        async def both_do() -> bool:
            return await self.a.has(requests) and await self.b.has(requests)

        await until(both_do, f"{len(requests)} requests stored in both regions")

    async def kept_in_both(self, key: RequestKey, stage: Stage) -> None:
        """Returns once both regions keep it in this stage."""

        async def both_do() -> bool:
            return await self.a.is_kept(key, stage) and await self.b.is_kept(key, stage)

        await until(both_do, f"{key.printed} {stage} in both regions")


@contextlib.asynccontextmanager
async def two_regions(place: Path) -> AsyncIterator[TwoRegions]:
    """Two regions of which nothing runs yet; whatever runs at the end is ended."""
    regions = TwoRegions(place)
    try:
        yield regions
    finally:
        await regions.close()


async def fails(task: asyncio.Task[None]) -> EngineError:
    """What ended a creator that must not go on."""
    async with asyncio.timeout(QUIET_S):
        with pytest.raises(EngineError) as caught:
            await task
    return caught.value

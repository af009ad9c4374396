"""What the benchmarks of paging share: people with one method each, incidents of theirs, a notifier, and who takes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from benchmarks.measure import batches
from tocsin.core.directory import DirectoryRecord, encode_directory, name_of
from tocsin.core.ids import Parent, RequestKey, digest
from tocsin.core.paging.assignments import Assignment, encode_assignment, user_partition
from tocsin.core.paging.effects import Bundle, Ended
from tocsin.core.paging.feedback import IntentId, Outcome
from tocsin.core.paging.people import Method, MethodKind, Person, Rule
from tocsin.core.requests import Record
from tocsin.engines.directory import FileDirectory
from tocsin.engines.log import Log
from tocsin.engines.store import Store
from tocsin.engines.topics import make_topics
from tocsin.roles.notifier import Notifier
from tocsin.telemetry import Identity, Meters
from tocsin.topology import ASSIGNMENTS, DIRECTORY, Region, Topology

PARTITIONS: Final = 4
WAIT_S_MAX: Final = 300.0


class Taken:
    """Who takes everything at once, and knows when."""

    def __init__(self, of: str = "") -> None:
        """`of`: how the names of users begin whose pages count."""
        self._of = of
        self.at_us: list[int] = []
        self.lags_s: list[float] = []

    def take(self, due_us: int) -> None:
        """One page that was due then."""
        now_us = time.time_ns() // 1000
        self.at_us.append(now_us)
        self.lags_s.append((now_us - due_us) / 1e6)

    def hand_over(self, bundle: Bundle, wanted: Callable[[IntentId], bool], ended: Callable[[Ended], None]) -> None:
        """As stage two. What an earlier part left without an end is handed over again, and not counted."""
        assert wanted(bundle.intent.id)
        if bundle.person.id.startswith(self._of):
            self.take(bundle.items[0].assignment.since_us)
        ended(Ended(bundle.intent.id, Outcome.DELIVERED, bundle.method.id, ""))

    async def until(self, count: int) -> None:
        """Returns when so many were taken."""
        async with asyncio.timeout(WAIT_S_MAX):
            while len(self.at_us) < count:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)

    @property
    def per_s(self) -> float:
        """Pages a second, from the first to the last."""
        return (len(self.at_us) - 1) / (max(self.at_us) - min(self.at_us)) * 1e6


class Paging:
    """One region's engines, and what a notifier of it is to do."""

    def __init__(self, log: Log, store: Store, region: Region, folder: Path) -> None:
        self._log = log
        self._store = store
        self._region = region
        file = folder / "directory.yaml"
        file.write_text("services: []\n", encoding="utf-8")
        self._directory = FileDirectory(file)

    async def hire(self, users: Sequence[str]) -> None:
        """Puts people into the directory's topic."""
        await make_topics(self._log, self._region)
        records = [DirectoryRecord(name_of(one), 1, "a", one) for one in map(_person, users)]
        await self._append(DIRECTORY, [(one.name.id, Record(*encode_directory(one))) for one in records])

    async def assign(self, users: Sequence[str], due_us: Callable[[int], int], what: str) -> None:
        """An incident for each user."""
        found = [_assignment(user, number, due_us(number), what) for number, user in enumerate(users)]
        await self._append(ASSIGNMENTS, [(one.user, Record(*encode_assignment(one))) for one in found])

    async def _append(self, topic: str, records: Sequence[tuple[str, Record]]) -> None:
        for number in range(PARTITIONS):
            mine = [record for user, record in records if user_partition(user, PARTITIONS) == number]
            for some in batches(mine):
                await self._log.append(topic, number, some)

    @asynccontextmanager
    async def notifier(self, taken: Taken) -> AsyncIterator[Notifier]:
        """A notifier at work, stopped in good order at the end: what it has in hand is said and kept."""
        meters = Meters(Identity("a", "blue", "notifier"))
        notifier = Notifier(
            self._log, self._store, Topology((self._region,)), self._region, "blue", self._directory, taken, meters
        )
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:  # a notifier that fails ends the measurement
            group.create_task(notifier.run(stopping))
            yield notifier
            stopping.set()


async def until_ready(notifier: Notifier) -> None:
    """Returns when it pages for every user partition."""
    async with asyncio.timeout(WAIT_S_MAX):
        while notifier.unready:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


def _person(user: str) -> Person:
    return Person(user, user, f"{user}@example.org", (Method("in", MethodKind.INBOX, user),), (Rule("now", "in"),))


def _assignment(user: str, number: int, since_us: int, what: str) -> Assignment:
    key = f"{what}/{number}"
    incident = RequestKey(Parent("bench", key), since_us // 1_000_000 << 32 | number, digest(key.encode()))
    return Assignment(user, incident, since_us, "triggered", "high", f"Disk {number}", "db", "bench", 1)

"""A notifier on embedded engines, and an inbox in place of stage two: for what the shell around a pager must hold."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tests.requests_made import request
from tocsin.core.documents import REGION_WORDS, PartitionStatus, RegionWords
from tocsin.core.paging.assignments import Assignment, encode_assignment, user_partition
from tocsin.core.paging.effects import Bundle, Ended
from tocsin.core.paging.feedback import End, Feedback, Intent, IntentId, Outcome, Pulse, decode_feedback
from tocsin.core.requests import Record, Request, decode_record
from tocsin.engines.directory import FileDirectory
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.log import Log
from tocsin.engines.store import Document, Store
from tocsin.engines.topics import make_topics
from tocsin.roles.clock import now
from tocsin.roles.notifier import Notifier
from tocsin.settings import Settings
from tocsin.telemetry import Identity, Meters
from tocsin.topology import ASSIGNMENTS, FEEDBACK

USERS = ("ann", "ben", "eve")
DIRECTORY = "services: []\nusers:\n" + "".join(
    f"  - {{id: {user}, name: {user}, email: {user}@example.org, methods: [{{id: box, kind: inbox, address: {user}}}],"
    f" rules: [{{method: box}}]}}\n"
    for user in USERS
)
WAIT_S = 10.0


async def until(holds: Callable[[], Any], what: str) -> None:
    """Returns once it holds."""
    async with asyncio.timeout(WAIT_S):
        while True:
            value = holds()
            if isinstance(value, Awaitable):
                value = await value
            if value:
                return
            await asyncio.sleep(0.01)
    raise AssertionError(what)


class Inbox:
    """Takes what is handed over, if it is wanted, and says so; or holds it until it is let go."""

    def __init__(self) -> None:
        self.bundles: list[Bundle] = []
        self.holding = False
        self._held: list[tuple[Bundle, Callable[[Ended], None]]] = []

    def hand_over(self, bundle: Bundle, wanted: Callable[[IntentId], bool], ended: Callable[[Ended], None]) -> None:
        if not wanted(bundle.intent.id):
            ended(Ended(bundle.intent.id, Outcome.FAILED, "", "not wanted any more"))
            return
        self.bundles.append(bundle)
        if self.holding:
            self._held.append((bundle, ended))
        else:
            ended(Ended(bundle.intent.id, Outcome.DELIVERED, bundle.method.id, ""))

    @property
    def titles(self) -> list[tuple[str, str]]:
        """(user, title) of what was new in each bundle, in order."""
        return [(b.person.id, item.assignment.title) for b in self.bundles for item in b.items if item.is_new]


class Rig:
    """Region a's log and store, its creators as far as a notifier can tell, and notifiers that run in this process."""

    def __init__(self, place: Path) -> None:
        settings = Settings.load()
        self.topology = settings.topology()
        self.region = self.topology.region("a")
        self.log = EmbeddedLog(place / "log.db")
        self.store = EmbeddedStore(place / "store.db")
        self.directory = place / "directory.yaml"
        self.directory.write_text(DIRECTORY, encoding="utf-8")
        self.inbox = Inbox()
        self._place = place
        self._running: list[Running] = []

    async def open(self, **status: Any) -> "Rig":
        """Makes the topics, and writes down creators that are well."""
        await make_topics(self.log, self.region)
        await self.creators_are(**status)
        return self

    async def creators_are(self, *, drained: Sequence[str] = (), **changes: Any) -> None:
        """Writes down how the creators are."""
        at_us = now().unix_us
        well = PartitionStatus(
            partition=0,
            at_us=at_us + 3_600_000_000,
            epoch=1,
            phase="running",
            halted=(),
            ill=False,
            store_answers=True,
            lag_records=0,
            lag_s=0.0,
            held=0,
            set_aside=0,
            quarantined=0,
            incarnation=1,
        )
        for partition in range(self.region.partitions):
            status = replace(well, partition=partition, **changes)
            await self.store.put_document(Document(status.name, at_us, status.encode()))
        words = RegionWords(drained=tuple(drained))
        await self.store.put_document(Document(REGION_WORDS, at_us, words.encode()))

    def start_log(self) -> EmbeddedLog:
        """A log of its own, as a process has it."""
        return EmbeddedLog(self._place / "log.db")

    def start(self, *, store: Store | None = None, log: Log | None = None, inbox: Inbox | None = None) -> "Running":
        """A notifier with a log of its own, as a process has it."""
        running = Running(self, log or self.start_log(), store or self.store, inbox or self.inbox)
        self._running.append(running)
        return running

    async def close(self) -> None:
        """Ends all."""
        for running in self._running:
            await running.kill()
        await self.log.close()
        await self.store.close()

    # What is put in, and looked at ------------------------------------------------------------------------------

    async def assign(self, user: str, title: str, **changes: Any) -> Assignment:
        """Assigns an incident, as a creator does."""
        one = request(title)
        made = Assignment(
            user=user,
            incident=one.key,
            since_us=now().unix_us,
            status="triggered",
            urgency="high",
            title=title,
            source="db-7",
            service="checkout",
            version=1,
        )
        await self.put(made := replace(made, **changes))
        return made

    async def put(self, assignment: Assignment) -> None:
        """Appends an assignment."""
        number = user_partition(assignment.user, self.region.partitions)
        await self.log.append(ASSIGNMENTS, number, [Record(*encode_assignment(assignment))])

    async def heard(self) -> list[Feedback]:
        """What was said in this region's feedback, pulses left out."""
        said: list[Feedback] = []
        for partition in range(self.region.partitions):
            for record in await self._records(FEEDBACK, partition):
                one = decode_feedback(record.value)
                if one is not None and not isinstance(one, Pulse):
                    said.append(one)
        return said

    async def intents(self) -> list[Intent]:
        """The intents that were said."""
        return [one for one in await self.heard() if isinstance(one, Intent)]

    async def ends(self) -> list[End]:
        """The ends that were said."""
        return [one for one in await self.heard() if isinstance(one, End)]

    async def requests(self) -> list[Request]:
        """The requests of this region."""
        found = []
        for partition in range(self.region.partitions):
            contents = [decode_record(record) for record in await self._records(self.region.requests, partition)]
            found += [one for one in contents if isinstance(one, Request)]
        return found

    async def _records(self, topic: str, partition: int) -> list[Record]:
        fetched = await self.log.fetch(topic, partition, 0, records_max=10_000, bytes_max=1 << 26, wait_s=0)
        return [delivered.record for delivered in fetched.records]


class Running:
    """A notifier at work."""

    def __init__(self, rig: Rig, log: Log, store: Store, inbox: Inbox) -> None:
        self.log = log
        meters = Meters(Identity("a", "blue", "notifier"))
        directory = FileDirectory(rig.directory)
        self.notifier = Notifier(log, store, rig.topology, rig.region, "blue", directory, inbox, meters)
        self.meters = meters
        self._stopping = asyncio.Event()
        self.task = asyncio.create_task(self.notifier.run(self._stopping))

    async def ready(self) -> None:
        """Returns once it pages."""
        await until(lambda: self.task.done() or not self.notifier.unready, "readiness")
        if self.task.done():
            await self.task

    async def stop(self) -> None:
        """Ends it in good order."""
        self._stopping.set()
        async with asyncio.timeout(WAIT_S + 5):
            await self.task
        await self.log.close()

    async def kill(self) -> None:
        """Ends it as a kill would, but for the process."""
        self.task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self.task
        await self.log.close()

"""The directory of a region: what its file says, overlaid by what was applied in any region (`core/directory.py`).

It is whole in memory, so whoever asks it waits for nothing, and goes on being answered while the log is away: with what
was known last. Before all was read once it may lack what was applied long ago, and says so (`unready`); what came in
the meantime is answered by what is known. `DirectoryTail` is the part of it that the owner of one user partition needs.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tocsin.core.directory import (
    NAMES_MAX,
    Body,
    DirectoryRecord,
    Kind,
    Name,
    Records,
    Service,
    encode_directory,
    faults,
    name_of,
    next_us,
    of_file,
    unreachable,
)
from tocsin.core.paging.assignments import user_partition
from tocsin.core.paging.effects import PersonIs
from tocsin.core.paging.people import Person
from tocsin.core.requests import Record
from tocsin.engines.directory import FileDirectory, View
from tocsin.engines.directory_file import Content
from tocsin.engines.directory_topic import DirectoryTopic
from tocsin.engines.log import Log
from tocsin.topology import DIRECTORY, Region

ALARMS_MAX: Final = 100
"""Faults that are told of at one time."""
_log = logging.getLogger(__name__)


class LogDirectory:
    """A region's directory. `kinds`: what is held of it; an intake needs no users."""

    def __init__(
        self,
        log: Log,
        region: Region,
        file: Path,
        kinds: Collection[Kind] = frozenset(Kind),
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        """Raises ConfigError when the file cannot be used."""
        self._log = log
        self._region = region
        self._kinds = kinds
        self._clock_us = clock_us
        self._file = FileDirectory(file, clock_us)
        self._topic = DirectoryTopic(log, region, range(region.partitions), self._take)
        self._read = Records()
        self._overtaken: set[Name] = set()
        self._shown = self._file.content
        self._view = View(self.records().values())
        self.unreachable: int | None = None
        """How many responders nothing would reach as wanted; None: not known, or people are not read here."""
        self._is_told = False
        self._told: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Reads on until it is cancelled, and tells of what people should mend."""
        await self._topic.run(self._looked)

    async def _looked(self) -> None:
        self._tell_faults()
        if self._overtaken:
            await self.append([self._read.by_name[name] for name in sorted(self._overtaken)])

    async def look(self) -> None:
        """Reads all that there is now; raises `EngineError`. For those who do not `run` it."""
        await self._topic.look()

    def _take(self, record: DirectoryRecord) -> None:
        if record.name.kind not in self._kinds:
            return
        if self._read.take(record):
            self._view.put(self._read.by_name[record.name])
            self._is_told = False
        if record.region == self._region.name:
            self._note_overtaken(record)

    def _note_overtaken(self, record: DirectoryRecord) -> None:
        """Notes whether our topic ends, for a name, with a record that does not count.

        Two who write at one time in one region, neither seeing the other and with clocks apart, can append the lower
        record last; compaction would then take the one that counts. Whoever sees it says that one again.
        """
        counts = self._read.by_name.get(record.name)
        if counts is not None and counts.region == record.region and counts.order > record.order:
            self._overtaken.add(record.name)
        else:
            self._overtaken.discard(record.name)

    # What is asked -----------------------------------------------------------------------------------------------

    def _now(self) -> View:
        content = self._file.content
        if content is not self._shown:
            self._shown, self._view = content, View(self.records().values())
            self._is_told = False
        return self._view

    def records(self) -> dict[Name, DirectoryRecord]:
        """What counts of each name, delete marks too."""
        content = self._file.content
        of_the_file = [of_file(body) for body in content.bodies if name_of(body).kind in self._kinds]
        return {record.name: record for record in of_the_file} | self._read.by_name

    def service_of(self, routing_key: str) -> Service | None:
        """The service that a routing key belongs to."""
        return self._now().service_of(routing_key, self._clock_us())

    def service(self, id: str) -> Service | None:
        """The service of this id."""
        return self._now().service(id)

    def services(self) -> Sequence[Service]:
        """All services, by id."""
        return self._now().lists()[0]

    def user(self, id: str) -> Person | None:
        """The user of this id."""
        return self._now().user(id)

    def users(self) -> Sequence[Person]:
        """All users, by id."""
        return self._now().lists()[1]

    def user_of(self, email: str) -> Person | None:
        """The user of this address."""
        return self._now().user_of(email)

    @property
    def problems(self) -> list[str]:
        """Why the directory may not be up to date, empty when it is."""
        full = (
            [f"the directory holds {NAMES_MAX:,} names, and takes no more: delete some"] if self._read.is_full else []
        )
        return [*self.unready, *self._topic.problems, *full]

    @property
    def unready(self) -> list[str]:
        """Those of the problems for which clients should ask another region.

        A topic that was read once and cannot be read now is none: what was known is still good, and the other regions
        read their own copies of it no better if it is damaged.
        """
        unread = [] if self._topic.is_complete else ["the directory topic was not read to its end yet"]
        return [*self._file.unready, *unread]

    # Changes -----------------------------------------------------------------------------------------------------

    def changes(self, bodies: Iterable[Body], gone: Iterable[Name] = ()) -> list[DirectoryRecord]:
        """The records that say so from now on, over what is known here."""
        wanted: dict[Name, Body | None] = {name_of(body): body for body in bodies} | dict.fromkeys(gone)
        known, now_us, region = self.records(), self._clock_us(), self._region.name
        return [DirectoryRecord(name, next_us(known.get(name), now_us), region, body) for name, body in wanted.items()]

    async def append(self, records: Iterable[DirectoryRecord]) -> None:
        """Says these in this region's topic; the mirrors carry them on. Raises `EngineError`, InvalidRecord."""
        sets: dict[int, list[Record]] = defaultdict(list)
        for record in records:
            sets[user_partition(record.name.id, self._region.partitions)].append(Record(*encode_directory(record)))
        for partition, found in sets.items():
            await self._log.append(DIRECTORY, partition, found)
        self._topic.look_soon()

    async def put(self, bodies: Iterable[Body], gone: Iterable[Name] = ()) -> None:
        """See `Directory.put`."""
        records = self.changes(bodies, gone)
        await self.append(records)
        for record in records:
            self._take(record)  # the log has it, so it will be read here: whoever asks next need not wait for that

    def has(self, records: Iterable[DirectoryRecord]) -> bool:
        """Whether these, or what counts over them, were read here."""
        return all(
            (known := self._read.by_name.get(record.name)) is not None and known.order >= record.order
            for record in records
        )

    def _tell_faults(self) -> None:
        """Tells, once each, of responders who cannot be reached and of keys that two services claim."""
        self._now()
        if self._is_told or not set(Kind) <= set(self._kinds):
            return
        self._is_told = True
        services = self.services()
        self.unreachable = len({one.user for service in services for one in unreachable(service, self.user)})
        found = faults(services, self.user)[:ALARMS_MAX]
        for fault in found:
            if fault not in self._told:
                _log.warning("%s", fault, extra={"action": "responder_unreachable"})
        self._told = frozenset(found)


class DirectoryTail:
    """The users of one user partition, for its owner."""

    def __init__(self, log: Log, region: Region, partition: int, file: FileDirectory) -> None:
        """`file`: one for all tails of a process, since it is read whole."""
        self._file = file
        self._region = region
        self._partition = partition
        self._topic = DirectoryTopic(log, region, (partition,), self._take)
        self._read = Records()
        self._changed: set[Name] = set()
        self._content: Content | None = None
        self._of_file: Mapping[Name, DirectoryRecord] = {}

    @property
    def problems(self) -> list[str]:
        """What could not be read, empty when nothing is."""
        return [*self._file.problems, *self._topic.problems]

    async def changes(self) -> AsyncGenerator[list[PersonIs], None]:
        """What users are, until it is closed.

        The first list comes once the topic was read to its end, with every user that there is, and every one who was
        deleted; each later one has who changed. A log that is away is waited for.
        """
        looked = asyncio.Event()

        async def tell() -> None:
            looked.set()

        reading = asyncio.create_task(self._topic.run(tell))
        try:
            is_first = True
            while True:
                await _either(looked, reading)
                looked.clear()
                if (changed := self._drain()) or is_first:
                    is_first = False
                    yield changed
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def _take(self, record: DirectoryRecord) -> None:
        name = record.name
        if name.kind is Kind.USER and self._mine(name.id) and self._read.take(record):
            self._changed.add(name)

    def _mine(self, id: str) -> bool:
        return user_partition(id, self._region.partitions) == self._partition

    def _drain(self) -> list[PersonIs]:
        content = self._file.content
        if content is not self._content:
            before, self._content = self._of_file, content
            of_file_now = [of_file(user) for user in content.users if self._mine(user.id)]
            self._of_file = {record.name: record for record in of_file_now}
            names = {*before, *self._of_file} - {*self._read.by_name}
            self._changed |= {name for name in names if before.get(name) != self._of_file.get(name)}
        changed, self._changed = self._changed, set()
        return [PersonIs(name.id, self._person(name)) for name in sorted(changed)]

    def _person(self, name: Name) -> Person | None:
        record = self._read.by_name.get(name) or self._of_file.get(name)
        body = record.body if record else None
        assert body is None or isinstance(body, Person)  # noqa: S101 - by its name
        return body


async def _either(event: asyncio.Event, task: asyncio.Task[None]) -> None:
    """Returns once the event is set; raises what ended the task."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait((waiting, task), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if task.done():
        await task

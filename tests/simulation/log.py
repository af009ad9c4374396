"""A simulated log: topics with offsets, gaps by compaction, retention, long polls, claims with epochs.

`Records` are what the log of a region holds, whoever asks; `SimLog` is one process's connection, and the log port. A
claim belongs to a process. When that dies, the claim is free at once (a file lock) or after a session's time-out (a
group coordinator), whichever the run has drawn; where there are sessions, a process that hangs loses its claims too.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.simulation.loop import EPOCH_S, PROCESS, Process
from tests.simulation.network import Server
from tocsin.core.requests import Record
from tocsin.engines.errors import Misconfigured, OutOfRange, Owned, Refused, Unavailable
from tocsin.engines.log import Claim, Delivered, Fetched, Topic

RECORD_BYTES_MAX: Final = 1_000_000
ASKED_S_MAX: Final = 3.0
"""A process that asked for a claim so long ago does not wait for it any more."""


@dataclass
class Part:
    """One partition: a record an offset, None where compaction has taken it."""

    records: list[Record | None] = field(default_factory=list)
    start: int = 0
    """What is below it, retention has removed."""
    waiting: list["asyncio.Future[None]"] = field(default_factory=list)
    """Long polls."""

    @property
    def end(self) -> int:
        """One above the last."""
        return len(self.records)


class Records:
    """What a region's log holds."""

    def __init__(self, region: str, now_s: Callable[[], float], *, session_s: float) -> None:
        self.cluster = f"cluster-{region}"
        self.topics: dict[str, Topic] = {}
        self.parts: dict[tuple[str, int], Part] = {}
        self.session_s = session_s
        self.appended: list[Callable[[str, int, int, Sequence[Record]], None]] = []
        """Told of each append: topic, partition, first offset, records."""
        self._now_s = now_s
        self._claims: dict[tuple[str, int], tuple[Process, Claim]] = {}
        self._epochs: dict[tuple[str, int], int] = {}
        self._lost: dict[Claim, tuple[Process, float]] = {}
        """Claims that ended without a release: whose each was, and when that process hears of it."""
        self._asked: dict[Process, tuple[str, float]] = {}
        """Who was told that another owns what it wants, and when last."""
        self._committed: dict[tuple[str, str, int], int] = {}

    def ensure(self, name: str, partitions: int, *, compacted: bool, retention_s: float | None) -> Topic:
        there = self.topics.get(name)
        if there is None:
            there = self.topics[name] = Topic(name, f"{self.cluster}/{name}", partitions, compacted, retention_s)
            self.parts.update({(name, number): Part() for number in range(partitions)})
        if (there.partitions, there.compacted) != (partitions, compacted):
            raise Misconfigured(f"topic {name} is {there}")
        return there

    def part(self, topic: str, partition: int) -> Part:
        try:
            return self.parts[topic, partition]
        except KeyError:
            raise Misconfigured(f"no topic {topic} with a partition {partition}") from None

    def append(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        part = self.part(topic, partition)
        if any(len(record.value) > RECORD_BYTES_MAX for record in records):
            raise Refused("a record is over the size limit")
        first, now_ms = part.end, round((EPOCH_S + self._now_s()) * 1000)
        part.records += [one if one.timestamp_ms else one._replace(timestamp_ms=now_ms) for one in records]
        waiting, part.waiting = part.waiting, []
        for poll in waiting:
            if not poll.done():
                poll.set_result(None)
        for tell in self.appended:
            tell(topic, partition, first, records)
        return first

    def fetch(self, topic: str, partition: int, offset: int, records_max: int, bytes_max: int) -> Fetched:
        part = self.part(topic, partition)
        if offset > part.end:
            raise OutOfRange(f"{topic}/{partition} ends at {part.end}, and {offset} was asked for")
        delivered: list[Delivered] = []
        at, size = max(offset, part.start), 0
        while at < part.end and len(delivered) < records_max:
            record = part.records[at]
            if record is not None:
                size += len(record.value)
                if delivered and size > bytes_max:
                    break
                delivered.append(Delivered(at, record))
            at += 1
        return Fetched(tuple(delivered), at, part.start, part.end)

    def compact(self) -> None:
        """Of each key of compacted topics the last record remains."""
        for (name, _), part in self.parts.items():
            if self.topics[name].compacted:
                last = {record.key: at for at, record in enumerate(part.records) if record is not None}
                part.records = [
                    record if record is not None and last[record.key] == at else None
                    for at, record in enumerate(part.records)
                ]

    def truncate(self, topic: str, partition: int, start: int) -> None:
        """Retention removes what is below."""
        part = self.part(topic, partition)
        part.start = max(part.start, min(start, part.end))

    def woke(self, process: Process, hears_s: float) -> None:
        """The process takes steps again, and in a moment it hears what it lost."""
        for claim, (holder, _) in self._lost.items():
            if holder is process:
                self._lost[claim] = process, self._now_s() + hears_s

    # Claims -------------------------------------------------------------------------------------------------------

    def claim(self, group: str, partition: int, process: Process) -> Claim:
        holder = self._claims.get((group, partition))
        if holder is not None:
            self._asked[process] = group, self._now_s()
            raise Owned(f"partition {partition} of {group} is owned by {holder[0].name}")
        epoch = self._epochs[group, partition] = self._epochs.get((group, partition), 0) + 1
        claim = Claim(group, partition, epoch)
        self._claims[group, partition] = process, claim
        return claim

    def release(self, claim: Claim) -> None:
        if (holder := self._claims.get((claim.group, claim.partition))) and holder[1] == claim:
            del self._claims[claim.group, claim.partition]

    def give_up(self, group: str, partition: int, process: Process) -> None:
        """A process wants no claim of which it was not told."""
        if (holder := self._claims.get((group, partition))) and holder[0] is process:
            del self._claims[group, partition]

    def forget(self, process: Process) -> None:
        """The process is gone, or was silent for longer than a session: its claims are free."""
        for holder, claim in self._claims.values():
            if holder is process:
                self._lost[claim] = process, float("inf")  # until it speaks with the log again
        self._claims = {place: held for place, held in self._claims.items() if held[0] is not process}

    def holds(self, claim: Claim) -> bool:
        """Whether nobody else can have it, as far as its process can know: it hears of a loss a little late."""
        if (holder := self._claims.get((claim.group, claim.partition))) and holder[1] == claim:
            return True
        _, hears_s = self._lost.get(claim, (None, 0.0))
        return self._now_s() < hears_s

    def asked_back(self, claim: Claim) -> bool:
        """Whether a process that stands by should have it, because this one owns more than its share."""
        holder = self._claims.get((claim.group, claim.partition))
        if not self.session_s or holder is None or holder[1] != claim:
            return False
        waiting = {
            process
            for process, (group, at_s) in self._asked.items()
            if process.alive and not process.hung and group == claim.group and self._now_s() - at_s < ASKED_S_MAX
        }
        owned = [process for process, held in self._claims.values() if held.group == claim.group]
        return any(owned.count(holder[0]) > owned.count(other) + 1 for other in waiting)

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        self._committed[group, topic, partition] = offset

    def committed(self, group: str, topic: str, partition: int) -> int | None:
        return self._committed.get((group, topic, partition))


class SimLog:
    """The log port on a region's records, for one process."""

    def __init__(self, records: Records, server: Server) -> None:
        self._records = records
        self._server = server

    async def cluster(self) -> str:
        return await self._server.call("cluster", lambda: self._records.cluster)

    async def ensure_topic(
        self, name: str, partitions: int, *, compacted: bool = False, retention_s: float | None = None
    ) -> Topic:
        return await self._server.call(
            "ensure_topic",
            lambda: self._records.ensure(name, partitions, compacted=compacted, retention_s=retention_s),
        )

    async def topic(self, name: str) -> Topic | None:
        return await self._server.call("topic", lambda: self._records.topics.get(name))

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        return await self._server.call(
            f"append {topic}/{partition} {len(records)}",
            lambda: self._records.append(topic, partition, records),
        )

    async def fetch(
        self, topic: str, partition: int, offset: int, *, records_max: int, bytes_max: int, wait_s: float
    ) -> Fetched:
        part = self._records.part(topic, partition)
        if wait_s and offset == part.end:
            await self._poll(part, wait_s)
        op = f"fetch {topic}/{partition} {offset}"
        return await self._server.call(
            op, lambda: self._records.fetch(topic, partition, offset, records_max, bytes_max)
        )

    async def _poll(self, part: Part, wait_s: float) -> None:
        """Waits at the end of a partition; the wait itself is no call: what it finds, the fetch after it tells."""
        loop = self._server.around.loop
        poll: asyncio.Future[None] = loop.create_future()
        part.waiting.append(poll)
        timer = loop.call_later(wait_s, _end, poll, context=self._server.around.context)
        try:
            await poll
        finally:
            timer.cancel()

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        def act() -> tuple[int, int]:
            part = self._records.part(topic, partition)
            return part.start, part.end

        return await self._server.call("bounds", act)

    async def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        def act() -> int:
            part = self._records.part(topic, partition)
            found = (
                at
                for at, record in enumerate(part.records)
                if at >= part.start and record is not None and record.timestamp_ms >= timestamp_ms
            )
            return next(found, part.end)

        return await self._server.call("offset_at", act)

    async def claim(self, group: str, partition: int) -> Claim:
        process = PROCESS.get()
        if process is None:
            raise TypeError("only a process can own a partition number")

        def act() -> Claim:
            claim = self._records.claim(group, partition, process)
            if not process.alive:  # it died on the way: its session ends before it begins
                self._records.release(claim)
            return claim

        try:
            return await self._server.call(f"claim {group}/{partition}", act)
        except Unavailable:
            self._records.give_up(group, partition, process)  # an adapter keeps nothing that it did not hand out
            raise

    def holds(self, claim: Claim) -> bool:
        return self._records.holds(claim)

    def asked_back(self, claim: Claim) -> bool:
        return self._records.asked_back(claim)

    async def release(self, claim: Claim) -> None:
        await self._server.call(f"release {claim.partition}", lambda: self._records.release(claim))

    async def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        await self._server.call("commit", lambda: self._records.commit(group, topic, partition, offset))

    async def committed(self, group: str, topic: str, partition: int) -> int | None:
        return await self._server.call("committed", lambda: self._records.committed(group, topic, partition))

    async def close(self) -> None:
        process = PROCESS.get()
        if process is not None:
            self._records.forget(process)


def _end(poll: "asyncio.Future[None]") -> None:
    if not poll.done():
        poll.set_result(None)

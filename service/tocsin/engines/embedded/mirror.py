"""The mirror between two logs: what MirrorMaker does for Kafka, over nothing but the log port.

Theory
------
Each topic of the source is copied to one of the target named with a prefix: partition, key, value, headers and
timestamp are kept, offsets are the target's own. Copying is at least once: records are appended first, then the
position is committed in the target, so a mirror killed between the two copies one batch again. The position's group is
named after the source topic's *incarnation*, and it goes with the target topic: whichever of the two is made anew, the
copy starts from the beginning by itself.

Each partition of each topic is a flow of its own: one that is stuck hinders no other. Whatever goes wrong is waited out
with growing pauses and never given up; it is said in the log when it begins, changes and ends, not at each try. One
mirror a prefix is alive at a time (a claim in the target), because two would mix their copies, and compaction must not
find an older record above a newer one of its key. Faults are injected by wrapping the source; here is no code for them.
"""

import asyncio
import contextlib
import enum
import logging
import random
from collections.abc import Sequence
from typing import Final, NamedTuple

from tocsin.engines.errors import EngineError, Misconfigured, OutOfRange
from tocsin.engines.log import Claim, Fetched, Log

logger = logging.getLogger(__name__)

BATCH_RECORDS_MAX: Final = 500
BATCH_BYTES_MAX: Final = 4 * 1024 * 1024
FETCH_WAIT_S: Final = 1.0
"""How long a flow waits in one fetch, and so at most until it sees that the source topic was made anew."""
RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 2.0
"""The longest pause after a failure: what a healed cut is late at most."""


class _Result(enum.Enum):
    COPIED = enum.auto()
    IDLE = enum.auto()
    STUCK = enum.auto()


class _Place(NamedTuple):
    """Where a flow is: in which incarnations of the two topics, and the next offset of the source's."""

    source: str
    target: str
    position: int

    @property
    def group(self) -> str:
        return f"mirror.{self.source}"


class _Flow:
    """One partition of one topic. After any trouble the same step is done again: its place moves last."""

    def __init__(self, source: Log, target: Log, topic: str, prefix: str, partition: int, partitions: int) -> None:
        self.name = f"{topic}/{partition}"
        self.topic = topic
        self.partition = partition
        self.failures = 0
        self._source = source
        self._target = target
        self._copy = prefix + topic
        self._partitions = partitions
        self._place: _Place | None = None
        self._trouble: str | None = None

    async def step(self, wait_s: float) -> _Result:
        """One unit of work.

        1. Finds its place: the topic as it is in both logs, and the committed position.
        2. Fetches what the source has there, waiting at most `wait_s`.
        3. Appends it to the target.
        4. Commits the position.
        """
        try:
            place = self._place = await self._find_place(self._place)
            fetched = await self._fetch(place, wait_s)
            if fetched.records:
                records = [delivered.record for delivered in fetched.records]
                await self._target.append(self._copy, self.partition, records)
            if fetched.next_offset != place.position:
                await self._target.commit(place.group, self._copy, self.partition, fetched.next_offset)
                self._place = place._replace(position=fetched.next_offset)
        except EngineError as error:
            self.failures += 1
            self._say(f"{type(error).__name__}: {error}")
            return _Result.STUCK
        self.failures = 0
        self._say(None)
        return _Result.COPIED if fetched.records else _Result.IDLE

    async def lag_records(self) -> int | None:
        """How many records the source has that are not copied yet, None before the first step; raises `EngineError`."""
        if self._place is None:
            return None
        _, end = await self._source.bounds(self.topic, self.partition)
        return max(0, end - self._place.position)

    async def _find_place(self, known: _Place | None) -> _Place:
        source = await self._source.topic(self.topic)
        if source is None:
            raise Misconfigured(f"the source has no topic {self.topic} yet: waiting for it")
        if source.partitions != self._partitions:
            raise Misconfigured(
                f"topic {self.topic} has {source.partitions} partitions in the source and {self._partitions} in this "
                "region's settings: a partition keeps its number in every region, so the counts must be the same"
            )
        target = await self._target.topic(self._copy)
        if known and target and (known.source, known.target) == (source.incarnation, target.incarnation):
            return known
        target = await self._target.ensure_topic(
            self._copy, self._partitions, compacted=source.compacted, retention_s=source.retention_s
        )
        place = _Place(source.incarnation, target.incarnation, 0)
        committed = await self._target.committed(place.group, self._copy, self.partition)
        if committed is None:
            committed, _ = await self._source.bounds(self.topic, self.partition)
            await self._target.commit(place.group, self._copy, self.partition, committed)
            logger.info(
                "%s is mirrored from its start, offset %d", self.name, committed, extra={"action": "mirror_starts"}
            )
        return place._replace(position=committed)

    async def _fetch(self, place: _Place, wait_s: float) -> Fetched:
        try:
            fetched = await self._fetch_at(place.position, wait_s)
        except OutOfRange as error:
            start, _ = await self._source.bounds(self.topic, self.partition)
            logger.warning(
                "%s is mirrored again from offset %d: the source's log was set back (%s)",
                self.name, start, error, extra={"action": "mirror_restarts"},
            )  # fmt: skip
            return await self._fetch_at(start, 0)
        if fetched.log_start > place.position:
            logger.warning(
                "%s: retention of the source took offsets %d to %d before they were mirrored",
                self.name, place.position, fetched.log_start - 1, extra={"action": "mirror_gap"},
            )  # fmt: skip
        return fetched

    async def _fetch_at(self, offset: int, wait_s: float) -> Fetched:
        return await self._source.fetch(
            self.topic,
            self.partition,
            offset,
            records_max=BATCH_RECORDS_MAX,
            bytes_max=BATCH_BYTES_MAX,
            wait_s=wait_s,
        )

    def _say(self, trouble: str | None) -> None:
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble is None:
            logger.info("%s is mirrored again", self.name, extra={"action": "mirror_recovers"})
        else:
            logger.warning("%s is not mirrored: %s", self.name, trouble, extra={"action": "mirror_stuck"})


class Mirror:
    """Copies topics of a source log to a target log, under a prefix that says which region they are from."""

    def __init__(self, source: Log, target: Log, topics: Sequence[str], prefix: str, partitions: int) -> None:
        self._target = target
        self._group = f"mirror.{prefix}"
        self._claim: Claim | None = None
        self._flows = [
            _Flow(source, target, topic, prefix, partition, partitions)
            for topic in topics
            for partition in range(partitions)
        ]

    async def run(self) -> None:
        """Copies until it is cancelled."""
        try:
            await self._own()
            async with asyncio.TaskGroup() as group:
                for flow in self._flows:
                    group.create_task(_follow(flow), name=f"mirror {flow.name}")
        finally:
            if self._claim is not None:
                await self._target.release(self._claim)
                self._claim = None

    async def step(self) -> bool:
        """Copies at most one batch of each partition, without waiting; returns whether anything was copied.

        Raises `Owned` while another mirror with this prefix is alive; the claim stays until `run` or the target's log
        ends. Other trouble is logged, as in `run`.
        """
        if self._claim is None:
            self._claim = await self._target.claim(self._group, 0)
        results = [await flow.step(0) for flow in self._flows]
        return _Result.COPIED in results

    async def lags(self) -> dict[tuple[str, int], int]:
        """How many records of each (topic, partition) are not copied yet; what cannot be told now is left out."""
        lags = {}
        for flow in self._flows:
            with contextlib.suppress(EngineError):
                records = await flow.lag_records()
                if records is not None:
                    lags[flow.topic, flow.partition] = records
        return lags

    async def _own(self) -> None:
        failures = 0
        while self._claim is None:
            try:
                self._claim = await self._target.claim(self._group, 0)
            except EngineError as error:
                if failures == 0:
                    logger.warning("the mirror waits: %s", error, extra={"action": "mirror_waits"})
                failures += 1
                await asyncio.sleep(_pause_s(failures))


async def _follow(flow: _Flow) -> None:
    while True:
        if await flow.step(FETCH_WAIT_S) is _Result.STUCK:
            await asyncio.sleep(_pause_s(flow.failures))


def _pause_s(failures: int) -> float:
    """Doubles up to the longest pause, with jitter, so that flows that failed together do not try together."""
    longest = min(RETRY_MAX_S, RETRY_FIRST_S * 2 ** min(failures - 1, 16))
    return random.uniform(longest / 2, longest)  # noqa: S311 - jitter is no secret

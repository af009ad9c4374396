"""A feed: one partition of one topic, read from where its reader left off, a message set at a time, for ever.

Nothing is read ahead: the next set is fetched once the last one was taken, so what waits is bounded and a position is
never ahead of what was taken. What retention removed before it was read, or a log that is not the one we knew, is said:
then all that is there is read, because what is read twice changes nothing, and what is not read pages nobody.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from tocsin.core.documents import Position
from tocsin.core.requests import Record
from tocsin.engines.errors import EngineError, Misconfigured, OutOfRange
from tocsin.engines.log import Fetched, Log

RECORDS_MAX: Final = 1_000
BYTES_MAX: Final = 4 * 1024 * 1024
FETCH_WAIT_S: Final = 1.0
FETCH_S_MAX: Final = 10.0
PAUSE_S: Final = 0.5
_log = logging.getLogger(__name__)

Take = Callable[[Sequence[Record]], Awaitable[None]]


class Feed:
    """Reads on. `position` is where; it moves once what was read is taken."""

    def __init__(self, log: Log, topic: str, partition: int, known: Position | None, take: Take) -> None:
        """`known` is where the reader left off, if it ever read here."""
        self.topic = topic
        self.position: Position | None = None
        self.at_end = asyncio.Event()
        """Set once all was read that was there when this started."""
        self._log = log
        self._partition = partition
        self._known = known
        self._take = take
        self._behind_since_s: float | None = None
        self._heard_s = time.monotonic()

    def lag_s(self, now_s: float, mono_s: float) -> float:
        """The age of the oldest record not taken, or for how long the log has not answered, in seconds."""
        silent_s = mono_s - self._heard_s - FETCH_WAIT_S
        behind_s = 0.0 if self._behind_since_s is None else now_s - self._behind_since_s
        return max(0.0, silent_s, behind_s)

    async def run(self) -> None:
        """Reads until it is cancelled."""
        end: int | None = None
        while True:
            try:
                position = self.position or await self._start()
                if end is None:
                    _, end = await self._log.bounds(self.topic, self._partition)
                fetched = await self._fetch(position.offset)
            except OutOfRange as error:
                self._alarm("log_changed", f"{self._where} is not the log that was read: {error}; all of it is read")
                self._known, self.position, end = None, None, None
            except (EngineError, TimeoutError) as error:
                _log.warning("%s: %s", self._where, error, extra={"action": "feed_failed"})
                await asyncio.sleep(PAUSE_S)
            else:
                await self._taken(position, fetched)
                if self.position is not None and self.position.offset >= end:
                    self.at_end.set()

    @property
    def _where(self) -> str:
        return f"topic {self.topic}, partition {self._partition}"

    async def _start(self) -> Position:
        """Where to go on; raises `EngineError`."""
        topic, cluster = await self._log.topic(self.topic), await self._log.cluster()
        if topic is None:
            raise Misconfigured(f"topic {self.topic} does not exist")
        known = self._known
        if known is not None and (known.cluster, known.incarnation) != (cluster, topic.incarnation):
            self._alarm("log_changed", f"{self._where} was made anew; all of it is read")
            known = None
        if known is None:
            start, _ = await self._log.bounds(self.topic, self._partition)
            known = Position(cluster, topic.incarnation, start)
        self.position = known
        return known

    async def _fetch(self, offset: int) -> Fetched:
        # Nobody waits for what is new before all that is there was read.
        wait_s = FETCH_WAIT_S if self.at_end.is_set() else 0.0
        async with asyncio.timeout(FETCH_S_MAX):
            return await self._log.fetch(
                self.topic,
                self._partition,
                offset,
                records_max=RECORDS_MAX,
                bytes_max=BYTES_MAX,
                wait_s=wait_s,
            )

    async def _taken(self, position: Position, fetched: Fetched) -> None:
        self._heard_s = time.monotonic()
        if fetched.log_start > position.offset:
            lost = f"offsets {position.offset} to {fetched.log_start - 1} of {self._where}"
            self._alarm("lost_to_retention", f"retention removed {lost} before they were read: see who is paged by it")
        if fetched.records:
            await self._take([delivered.record for delivered in fetched.records])
        is_behind = fetched.records and fetched.next_offset < fetched.log_end
        self._behind_since_s = fetched.records[-1].record.timestamp_ms / 1e3 if is_behind else None
        self.position = Position(position.cluster, position.incarnation, fetched.next_offset)

    def _alarm(self, action: str, text: str) -> None:
        _log.error("%s", text, extra={"action": action, "partition": self._partition})

"""Reading the directory topics of a region: its own and the mirrored ones, from their start to their end, and on.

The topics are compacted, so nothing needs to be remembered of where we were. Changes are rare, and none is urgent by
the second: one look a second at all partitions, over one connection, costs less than a wait at each. A record that
cannot be read is said and passed over; what was known of its name stays in force.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NamedTuple

from tocsin.core.directory import DirectoryRecord, InvalidRecord, decode_directory
from tocsin.engines.errors import EngineError, Unavailable
from tocsin.engines.log import Log
from tocsin.topology import Region

LOOK_EVERY_S: Final = 1.0
READ_S_MAX: Final = 10.0
"""What one fetch may take."""
RECORDS_MAX: Final = 1_000
BYTES_MAX: Final = 1024 * 1024
UNREADABLE_MAX: Final = 1_000
"""So many unreadable records are told apart."""
_log = logging.getLogger(__name__)


class _Place(NamedTuple):
    topic: str
    partition: int


class DirectoryTopic:
    """The directory topics of some partitions. `take` gets each record that can be read, in log order."""

    def __init__(
        self, log: Log, region: Region, partitions: Iterable[int], take: Callable[[DirectoryRecord], None]
    ) -> None:
        self._log = log
        self._take = take
        numbers = tuple(partitions)
        self._offsets = {_Place(topic, n): 0 for topic in region.directory_topics.values() for n in numbers}
        self._behind = set(self._offsets)
        self._unreadable: dict[tuple[str, bytes | None], str] = {}
        self._failure: str | None = None
        self._look_soon = asyncio.Event()

    @property
    def is_complete(self) -> bool:
        """Whether all was read to an end at least once."""
        return not self._behind

    @property
    def problems(self) -> list[str]:
        """What could not be read, empty when nothing is."""
        problems = [f"the directory cannot be read on: {self._failure}"] if self._failure else []
        for (topic, key), why in list(self._unreadable.items())[:1]:
            more = f", and {len(self._unreadable) - 1} more" if len(self._unreadable) > 1 else ""
            problems.append(f"the record {(key or b'')[:80]!r} of topic {topic} cannot be read{more}: {why}")
        return problems

    async def look(self) -> None:
        """Reads all to the ends as they are now.

        Raises `EngineError` when something could not be read, after what can be read was.
        """
        failure: EngineError | None = None
        for place in self._offsets:
            try:
                await self._read_on(place)
            except Unavailable:
                raise  # so are the others
            except EngineError as error:
                failure = failure or error
                self._offsets[place] = 0  # if it comes back, it may be another one
        if failure is not None:
            raise failure

    async def run(self, looked: Callable[[], Awaitable[None]]) -> None:
        """Looks again and again until it is cancelled; calls `looked` after each look that the log answered.

        A part that is damaged for good is told and not waited for: it must not keep the rest from being used.
        """
        while True:
            self._look_soon.clear()
            failure = await self._look(looked)
            if failure is not None and str(failure) != self._failure:
                _log.warning("%s", failure, extra={"action": "directory_read_failed"})
            self._failure = None if failure is None else str(failure)
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._look_soon.wait()
            except TimeoutError:
                pass

    async def _look(self, looked: Callable[[], Awaitable[None]]) -> EngineError | None:
        failure: EngineError | None = None
        try:
            await self.look()
        except Unavailable as error:
            return error
        except EngineError as error:
            failure = error
        try:
            await looked()
        except EngineError as error:
            return failure or error
        return failure

    def look_soon(self) -> None:
        """Makes `run` look at once: something was written."""
        self._look_soon.set()

    async def _read_on(self, place: _Place) -> None:
        while True:
            try:
                async with asyncio.timeout(READ_S_MAX):
                    fetched = await self._log.fetch(
                        *place, self._offsets[place], records_max=RECORDS_MAX, bytes_max=BYTES_MAX, wait_s=0.0
                    )
            except TimeoutError as error:
                message = f"topic {place.topic}, partition {place.partition}: no answer within {READ_S_MAX:g} s"
                raise Unavailable(message) from error
            for _, record in fetched.records:
                self._read(place.topic, record.key, record.value)
            self._offsets[place] = fetched.next_offset
            if fetched.next_offset >= fetched.log_end:
                self._behind.discard(place)
                return

    def _read(self, topic: str, key: bytes | None, value: bytes) -> None:
        try:
            record = decode_directory(key, value)
        except InvalidRecord as error:
            if len(self._unreadable) < UNREADABLE_MAX:
                self._unreadable[topic, key] = str(error)
            about = {"action": "directory_unreadable", "topic": topic}
            _log.warning("a record of the directory cannot be read: %s", error, extra=about)
        else:
            self._unreadable.pop((topic, key), None)
            self._take(record)

"""The page scribe: what one user partition says. Intents behind the fence, ends until the log has them, pulses once.

All that waits goes at once: the more is to be said, the fewer writes of the fence and appends there are for each.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from tocsin.core.ids import partition_of
from tocsin.core.notices import requests_of
from tocsin.core.paging.effects import SayEnd
from tocsin.core.paging.feedback import Feedback, Intent, IntentId, Pulse, encode_feedback
from tocsin.core.requests import Record, encode_request
from tocsin.engines.errors import EngineError, Refused, Unavailable
from tocsin.engines.log import Log
from tocsin.roles.clock import now
from tocsin.roles.fence import Fence
from tocsin.topology import FEEDBACK, Region

APPEND_S_MAX: Final = 3.0
"""Below the mint-to-append limit, which holds for the entries that tell of pages as for all others."""
PULSE_S_MAX: Final = 2.0
PAUSE_S_MIN: Final = 0.05
PAUSE_S_MAX: Final = 2.0
BATCH_EVERY_S: Final = 0.05
"""Under load intents go in batches no closer than this: each costs a conditional write, which is dear."""
INTENTS_MAX: Final = 500
ENDS_MAX: Final = 200
"""What is said in one go."""
REFUSED_SHOWS_S: Final = 5.0
"""What was refused is decided anew within seconds: nothing refused for so long, and all is well or nothing is said."""
_log = logging.getLogger(__name__)


class PageScribe:
    """Says what a user partition's machine decides, in its region's `feedback` and `requests`."""

    def __init__(
        self, log: Log, region: Region, partition: int, fence: Fence, said: Callable[[Sequence[IntentId], bool], None]
    ) -> None:
        """`said` is told of intents that are on the log (True), or are not or may not be (False)."""
        self._log = log
        self._region = region
        self._partition = partition
        self._fence = fence
        self._said = said
        self._intents: list[Intent] = []
        self._ends: list[SayEnd] = []
        self._some_intents = asyncio.Event()
        self._some_ends = asyncio.Event()
        self._failing = False
        self._refused_s = float("-inf")
        self._pulsing: asyncio.Task[None] | None = None

    def say_intents(self, intents: Sequence[Intent]) -> None:
        """Has intents said; each is answered."""
        self._intents += intents
        self._some_intents.set()

    def say_end(self, end: SayEnd) -> None:
        """Has an end said, and before it an entry of each incident that the page was about."""
        self._ends.append(end)
        self._some_ends.set()

    def say_pulse(self, pulse: Pulse) -> None:
        """Says a pulse; one that the last has not made way for is left out, and the next says as much."""
        if self._pulsing is None or self._pulsing.done():
            self._pulsing = asyncio.create_task(self._pulse(pulse))

    @property
    def waiting(self) -> int:
        """How much is not said yet."""
        return len(self._intents) + len(self._ends)

    @property
    def is_failing(self) -> bool:
        """Whether what is to be said cannot be, at the moment."""
        return self._failing or now().mono_s - self._refused_s < REFUSED_SHOWS_S

    @property
    def idle(self) -> bool:
        """Whether there is nothing more to be done now: all is said, or the log is away."""
        return not self._intents and (not self._ends or self._failing)

    async def run(self) -> None:
        """Says what there is to say until it is cancelled; raises `ClaimLost`."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._run_intents())
                group.create_task(self._run_ends())
        finally:
            if self._pulsing is not None:
                self._pulsing.cancel()

    async def _run_intents(self) -> None:
        next_s = 0.0
        while True:
            await self._some_intents.wait()
            await asyncio.sleep(max(0.0, next_s - now().mono_s))
            next_s = now().mono_s + BATCH_EVERY_S
            batch = self._intents[:INTENTS_MAX]
            try:
                await self._fence.hold()
                await self._append(batch)
            except EngineError as error:
                _log.warning("intents not said: %s", error, extra={"action": "intents_refused"})
                self._refused_s = now().mono_s
                are_said = False
            else:
                self._refused_s = float("-inf")
                are_said = True
            del self._intents[: len(batch)]
            if not self._intents:
                self._some_intents.clear()
            self._said([intent.id for intent in batch], are_said)

    async def _run_ends(self) -> None:
        pause_s = PAUSE_S_MIN
        while True:
            await self._some_ends.wait()
            batch = self._ends[:ENDS_MAX]
            try:
                await self._tell_of(batch)
                await self._append([one.end for one in batch])
            except EngineError as error:
                if not self._failing:
                    _log.warning("ends not said: %s", error, extra={"action": "ends_not_said"})
                self._failing = True
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_S_MAX)
                continue
            pause_s, self._failing = PAUSE_S_MIN, False
            del self._ends[: len(batch)]
            if not self._ends:
                self._some_ends.clear()

    async def _pulse(self, pulse: Pulse) -> None:
        try:
            async with asyncio.timeout(PULSE_S_MAX):
                await self._log.append(FEEDBACK, self._partition, [Record(*encode_feedback(pulse))])
        except (EngineError, TimeoutError) as error:
            _log.debug("pulse not said: %s", error, extra={"action": "pulse_failed"})

    async def _append(self, said: Sequence[Feedback]) -> None:
        await self._put(FEEDBACK, self._partition, [Record(*encode_feedback(one)) for one in said])

    async def _tell_of(self, ends: Sequence[SayEnd]) -> None:
        """Appends the entries that tell of pages, to the requests of each incident's partition."""
        records: dict[int, list[Record]] = defaultdict(list)
        for one in ends:
            for request in requests_of(one.intent, one.end, one.items, now().unix_us):
                number = partition_of(request.key.parent, self._region.partitions)
                records[number].append(encode_request(request))
        puts = (self._put(self._region.requests, number, some) for number, some in records.items())
        for outcome in await asyncio.gather(*puts, return_exceptions=True):
            if isinstance(outcome, Refused):  # it will be refused again: that the page ended must not wait for it
                _log.error("pages are in no log entry: %s", outcome, extra={"action": "notice_refused"})
            elif outcome is not None:
                raise outcome

    async def _put(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        try:
            async with asyncio.timeout(APPEND_S_MAX):
                await self._log.append(topic, partition, records)
        except TimeoutError as error:
            message = f"topic {topic}, partition {partition}: no answer within {APPEND_S_MAX:g} s"
            raise Unavailable(message) from error

"""Ticks: intake's marks of time, one a second in each partition of `requests`.

A tick says that everything minted here before it, less the mint-to-append limit, stands below it in the log. That holds
however late the tick itself arrives, because it carries the time at which it was made. So a tick is never retried and
never queued: one that the log does not take within its time is dropped, and the next one says more.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from tocsin.core.requests import Tick, encode_tick
from tocsin.engines.errors import EngineError
from tocsin.engines.log import Log

EVERY_S: Final = 1.0
APPEND_S_MAX: Final = 2.0
"""So a tick is at most this much later than its second, and one ailing partition delays the others by no more."""
SILENT_S_MAX: Final = 5.0
"""A partition without a tick for so long makes intake say that it is not ready."""
_log = logging.getLogger(__name__)


class Ticker:
    """Puts ticks into all partitions of one topic."""

    def __init__(
        self,
        log: Log,
        topic: str,
        partitions: int,
        region: str,
        *,
        clock_us: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._log = log
        self._topic = topic
        self._region = region
        self._clock_us = clock_us
        self._monotonic = monotonic
        self._ticked_at = dict.fromkeys(range(partitions), monotonic())
        self._reasons: dict[int, str] = {}

    async def run(self, stopping: asyncio.Event) -> None:
        """Ticks until `stopping` is set."""
        while not stopping.is_set():
            began = self._monotonic()
            await self.tick()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, EVERY_S - (self._monotonic() - began))):
                    await stopping.wait()

    async def tick(self) -> None:
        """One tick in each partition; returns within `APPEND_S_MAX` and raises nothing of the log's."""
        await asyncio.gather(*map(self._tick, self._ticked_at))

    def unready(self) -> list[str]:
        """Which partitions had no tick for too long, and why."""
        since = self._monotonic() - SILENT_S_MAX
        silent = [partition for partition, at in self._ticked_at.items() if at < since]
        if not silent:
            return []
        why = self._reasons.get(silent[0], "the ticker does not run")
        return [f"no tick could be put into {len(silent)} partitions of {self._topic} (first: {silent[0]}): {why}"]

    async def _tick(self, partition: int) -> None:
        record = encode_tick(Tick(self._clock_us(), self._region))
        try:
            async with asyncio.timeout(APPEND_S_MAX):
                await self._log.append(self._topic, partition, [record])
        except (EngineError, TimeoutError) as error:
            reason = str(error) or f"no answer within {APPEND_S_MAX:g} s"
            if self._reasons.get(partition) != reason:
                extra = {"action": "tick_failed", "partition": partition}
                _log.warning("partition %d takes no tick: %s", partition, reason, extra=extra)
            self._reasons[partition] = reason
        else:
            self._ticked_at[partition] = self._monotonic()
            self._reasons.pop(partition, None)

"""The scribe: says a partition's statements in the region's own ledger, in order, until the ledger has them."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from tocsin.core.requests import Record
from tocsin.core.statements import Payload, Statement, encode_statement
from tocsin.engines.errors import EngineError, Refused
from tocsin.engines.log import Log

PAUSE_S_MIN: Final = 0.05
PAUSE_S_MAX: Final = 2.0
BATCH_MAX: Final = 200
_log = logging.getLogger(__name__)


class Scribe:
    """Appends to one ledger partition. What waits is bounded by the cases of the partition that hands it in."""

    def __init__(self, log: Log, topic: str, partition: int, done: Callable[[Sequence[Statement]], None]) -> None:
        """`done` is told of statements that are on the ledger, in the order in which they were said."""
        self._log = log
        self._topic = topic
        self._partition = partition
        self._done = done
        self._waiting: list[Statement] = []
        self._some = asyncio.Event()
        self._failing = False

    def say(self, statements: Sequence[Statement]) -> None:
        """Hands statements in; they are appended after all handed in before."""
        self._waiting.extend(statements)
        self._some.set()

    @property
    def waiting(self) -> int:
        """How many statements are not on the ledger yet."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether there is nothing more to be done now: all is said, or the ledger is away."""
        return not self._waiting or self._failing

    async def run(self) -> None:
        """Appends what is handed in, for ever: an append that fails is tried again, because nobody else says it."""
        pause_s = PAUSE_S_MIN
        while True:
            await self._some.wait()
            try:
                said = await self._append(self._waiting[:BATCH_MAX])
            except EngineError as error:
                if not self._failing:
                    _log.warning("ledger append failed: %s", error, extra={"action": "ledger_append_failed"})
                self._failing = True
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_S_MAX)
                continue
            pause_s, self._failing = PAUSE_S_MIN, False
            del self._waiting[: len(said)]
            if not self._waiting:
                self._some.clear()
            self._done(said)

    async def _append(self, batch: Sequence[Statement]) -> Sequence[Statement]:
        """Appends the batch, or its first statement when the log refuses it as a whole; returns what is dealt with.

        A record that fills the log's size limit does not fit in a payload any more. Then the `failed` goes without its
        payload, and peers try the request when the mirror brings it: nothing else may wait behind it for ever.
        """
        try:
            await self._log.append(self._topic, self._partition, [Record(*encode_statement(one)) for one in batch])
        except Refused as error:
            if len(batch) > 1:
                return await self._append(batch[:1])
            if not isinstance(batch[0], Payload):
                raise
            key = batch[0].key.printed
            _log.error("payload not in the ledger: %s", error, extra={"action": "payload_refused", "request": key})
        return batch

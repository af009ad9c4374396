"""The scribe: says a partition's statements in the region's own ledger, in order, until the ledger has them."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from tocsin.core.requests import Record
from tocsin.core.statements import Statement, encode_statement
from tocsin.engines.errors import EngineError
from tocsin.engines.log import Log

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

    def say(self, statements: Sequence[Statement]) -> None:
        """Hands statements in; they are appended after all handed in before."""
        self._waiting.extend(statements)
        self._some.set()

    async def run(self) -> None:
        """Appends what is handed in, for ever: an append that fails is tried again, because nobody else says it."""
        pause_s = 0.05
        while True:
            await self._some.wait()
            batch = self._waiting[:BATCH_MAX]
            records = [Record(*encode_statement(statement)) for statement in batch]
            try:
                await self._log.append(self._topic, self._partition, records)
            except EngineError as error:
                _log.warning("ledger append failed: %s", error, extra={"action": "ledger_append_failed"})
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_S_MAX)
                continue
            pause_s = 0.05
            del self._waiting[: len(batch)]
            if not self._waiting:
                self._some.clear()
            self._done(batch)

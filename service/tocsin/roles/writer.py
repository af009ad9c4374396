"""The writer: from requests to entries and folded incidents in the store, a set at a time.

Three steps: validate (by the code that intake used), store the entries, fold the parents that they belong to. A request
is acknowledged when its entry *and* the fold of its parent are. Folds of one partition are written one after the other,
each from a read that began after its own entries were stored, so the last one written holds all of them.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

import tenacity

from tocsin.core.entries import Entry
from tocsin.core.events import InvalidEvent, entry_of
from tocsin.core.failures import Failure, Kind
from tocsin.core.ids import Parent
from tocsin.core.incidents import Folding
from tocsin.core.requests import Request
from tocsin.engines.errors import EngineError, Refused
from tocsin.engines.store import Store

ATTEMPTS_MAX: Final = 3
RETRY_S_MAX: Final = 2.0
FOLDINGS_MAX: Final = 10_000
"""Folded parents kept in memory; the least recently used ones are folded anew from the store."""


class Writer:
    """Writes one partition number's requests. Only one process at a time does: the owner of the partition."""

    def __init__(self, store: Store, epoch: int) -> None:
        self._store = store
        self._version = epoch << 32
        self._foldings: OrderedDict[Parent, Folding] = OrderedDict()
        self._fold_lock = asyncio.Lock()

    async def write(self, requests: Sequence[Request]) -> dict[int, Failure]:
        """Stores the requests; returns the failures by index. Transient ones were retried, within bounds."""
        failures: dict[int, Failure] = {}
        entries: dict[int, Entry] = {}
        for index, request in enumerate(requests):
            try:
                entries[index] = entry_of(request)
            except InvalidEvent as error:
                failures[index] = Failure(Kind.REJECTED, f"invalid: {'; '.join(error.errors)}")
        failures |= await self._store_all(entries)
        stored = {index: entry for index, entry in entries.items() if index not in failures}
        unfolded = await self._fold(list(stored.values()))
        failures |= {
            index: unfolded[entry.key.parent] for index, entry in stored.items() if entry.key.parent in unfolded
        }
        return failures

    async def refold(self, parent: Parent) -> None:
        """Folds a parent anew from the store, after a mark on one of its entries; raises `EngineError`."""
        async with self._fold_lock:
            self._foldings.pop(parent, None)
            await self._fold_anew([parent])

    async def _store_all(self, entries: dict[int, Entry]) -> dict[int, Failure]:
        failures: dict[int, Failure] = {}
        waiting = list(entries)
        try:
            async for attempt in tenacity.AsyncRetrying(
                stop=tenacity.stop_after_attempt(ATTEMPTS_MAX) | tenacity.stop_after_delay(RETRY_S_MAX),
                wait=tenacity.wait_random_exponential(multiplier=0.05, max=0.5),
                retry=tenacity.retry_if_result(bool),
            ):
                with attempt:
                    outcome = await self._store.write([entries[index] for index in waiting])
                    failed = {waiting[place]: failure for place, failure in outcome.items()}
                    failures |= {i: failure for i, failure in failed.items() if failure.kind is not Kind.UNAVAILABLE}
                    away = {i: failure for i, failure in failed.items() if failure.kind is Kind.UNAVAILABLE}
                    waiting = list(away)
                attempt.retry_state.set_result(away)
        except tenacity.RetryError as error:
            failures |= error.last_attempt.result()
        return failures

    async def _fold(self, entries: Sequence[Entry]) -> dict[Parent, Failure]:
        """Folds the parents of these entries; returns why by parent where that failed."""
        if not entries:
            return {}
        async with self._fold_lock:
            anew = dict.fromkeys(entry.key.parent for entry in entries if not self._apply(entry))
            moved = dict.fromkeys(entry.key.parent for entry in entries if entry.key.parent not in anew)
            try:
                await self._put(moved)
                await self._fold_anew(list(anew))
            except EngineError as error:
                for parent in (*moved, *anew):
                    self._foldings.pop(parent, None)  # what is in memory may be ahead of the store
                kind = Kind.REJECTED if isinstance(error, Refused) else Kind.UNAVAILABLE
                return dict.fromkeys((*moved, *anew), Failure(kind, f"the incident could not be folded: {error}"))
        return {}

    def _apply(self, entry: Entry) -> bool:
        """Whether the entry could be folded on top of what is in memory."""
        folding = self._foldings.get(entry.key.parent)
        if folding is None or not folding.apply(entry):
            self._foldings.pop(entry.key.parent, None)
            return False
        self._foldings.move_to_end(entry.key.parent)
        return True

    async def _fold_anew(self, parents: Sequence[Parent]) -> None:
        entries = await self._store.entries_of(parents)
        for parent in parents:
            self._foldings[parent] = Folding.of(entries.get(parent, ()))
        await self._put(parents)
        while len(self._foldings) > FOLDINGS_MAX:
            self._foldings.popitem(last=False)

    async def _put(self, parents: Iterable[Parent]) -> None:
        puts = []
        for parent in parents:
            self._version += 1
            puts.append(self._store.put_incidents(parent, self._foldings[parent].incidents, self._version))
        await asyncio.gather(*puts)

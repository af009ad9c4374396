"""The writer: from requests to entries and folded incidents in the store, a set at a time.

Three steps: validate (by the code that intake used), store the entries, fold the parents that they belong to. A request
is acknowledged when its entry *and* the fold of its parent are. Folds of one partition are written one after the other,
each from a read that began after its own entries were stored, so the last one written holds all of them. A parent that
was folded from the store is written as a whole; on top of that, what later entries changed.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final

import tenacity
from msgspec.structs import replace

from tocsin.core.entries import Entry
from tocsin.core.events import InvalidEvent, entry_of
from tocsin.core.failures import Failure, Kind
from tocsin.core.ids import Parent
from tocsin.core.incidents import Folding, Status, fold
from tocsin.core.notices import NOTIFY
from tocsin.core.requests import TIME_US_MAX, Request
from tocsin.engines.errors import EngineError, Refused
from tocsin.engines.store import Store
from tocsin.roles.assigner import NOBODY, Assigner, Folded

ATTEMPTS_MAX: Final = 3
RETRY_S_MAX: Final = 2.0
FOLDINGS_MAX: Final = 10_000
"""Folded parents kept in memory; the least recently used ones are folded anew from the store."""


def validate(requests: Sequence[Request]) -> tuple[dict[int, Entry], dict[int, Failure]]:
    """The entries of the requests that are valid, and why the others are not, by index."""
    entries: dict[int, Entry] = {}
    failures: dict[int, Failure] = {}
    for index, request in enumerate(requests):
        try:
            entries[index] = entry_of(request)
        except InvalidEvent as error:
            failures[index] = Failure(Kind.REJECTED, f"invalid: {'; '.join(error.errors)}")
    return entries, failures


class Writer:
    """Writes one partition number's requests. Only one process at a time does: the owner of the partition."""

    def __init__(self, store: Store, epoch: int, assigner: Assigner = NOBODY) -> None:
        self._store = store
        self._assigner = assigner
        self._version = epoch << 32
        self._foldings: OrderedDict[Parent, Folding] = OrderedDict()
        self._marked: set[Parent] = set()
        self.collisions = 0
        """Entries seen whose id another one of their parent has; anew when a parent is read from the store again."""
        self._fold_lock = asyncio.Lock()

    @property
    def foldings(self) -> int:
        """How many parents are kept folded."""
        return len(self._foldings)

    async def write(self, requests: Sequence[Request]) -> dict[int, Failure]:
        """Stores the requests; returns the failures by index. Transient ones were retried, within bounds."""
        entries, failures = validate(requests)
        failures |= await self._store_all(entries)
        stored = {index: entry for index, entry in entries.items() if index not in failures}
        unfolded = await self._fold(list(stored.values()))
        failures |= {
            index: unfolded[entry.key.parent] for index, entry in stored.items() if entry.key.parent in unfolded
        }
        return failures

    async def refold(self, parent: Parent) -> None:
        """Folds a parent anew from the store, after a mark on one of its entries; raises `EngineError`.

        From then on it always is: whether an entry that comes now, or again, is marked, only the store knows.
        """
        self._marked.add(parent)
        async with self._fold_lock:
            failed = await self._end_gone(parent)
            self._foldings.pop(parent, None)
            failed = failed or await self._fold_anew([parent])
            failed = failed or await self._assign({parent: 0})
            for error in failed.values():
                self._foldings.pop(parent, None)
                raise error

    async def reassign(self, parents: Sequence[Parent]) -> None:
        """Has those told who are responsible by now for what is open of these parents; raises `EngineError`."""
        async with self._fold_lock:
            failed = await self._fold_anew(parents)
            failed |= await self._assign({parent: TIME_US_MAX for parent in parents if parent not in failed})
            self._forget()
            for parent, error in failed.items():
                self._foldings.pop(parent, None)
                raise error

    async def _end_gone(self, parent: Parent) -> dict[Parent, EngineError]:
        """Has those told who were responsible for what is no incident any more: its opening entry was dropped.

        Before it is put: afterwards nobody would know that there was one.
        """
        entries = await self._store.entries_of([parent])
        present = {incident.key for incident in fold(entries.get(parent, ()))}
        known = await self._store.incidents_of(parent)
        gone = [replace(one, status=Status.RESOLVED) for one in known if one.key not in present]
        self._version += 1
        return await self._assigner.assign({parent: Folded(gone, 0, self._version)}) if gone else {}

    async def _store_all(self, entries: dict[int, Entry]) -> dict[int, Failure]:
        """Stores the entries; what was UNAVAILABLE is tried again, alone, within bounds."""
        failures: dict[int, Failure] = {}
        waiting = list(entries)

        async def attempt() -> list[int]:
            nonlocal waiting
            outcome = await self._store.write([entries[index] for index in waiting])
            failed = {waiting[place]: failure for place, failure in outcome.items()}
            for index in waiting:
                failures.pop(index, None)
            failures.update(failed)
            waiting = [index for index, failure in failed.items() if failure.kind is Kind.UNAVAILABLE]
            return waiting

        await tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS_MAX) | tenacity.stop_after_delay(RETRY_S_MAX),
            wait=tenacity.wait_random_exponential(multiplier=0.05, max=0.5),
            retry=tenacity.retry_if_result(bool),
            retry_error_callback=_give_up,
        )(attempt)
        return failures

    async def _fold(self, entries: Sequence[Entry]) -> dict[Parent, Failure]:
        """Folds the parents of these entries; returns why by parent where that failed."""
        if not entries:
            return {}
        async with self._fold_lock:
            before = self._collisions(entries)
            anew = dict.fromkeys(entry.key.parent for entry in entries if not self._apply(entry))
            moved = dict.fromkeys(entry.key.parent for entry in entries if entry.key.parent not in anew)
            failed = await self._put_all({parent: self._put_changes(parent) for parent in moved})
            try:
                failed |= await self._fold_anew(list(anew))
            except EngineError as error:
                failed |= dict.fromkeys(anew, error)
            failed |= await self._assign(_changed_since(entry for entry in entries if entry.key.parent not in failed))
            self._forget()
            self.collisions += max(0, self._collisions(entries) - before)
            for parent in failed:
                self._foldings.pop(parent, None)  # what is in memory is ahead of the store
        return {parent: _unfolded(error) for parent, error in failed.items()}

    async def _assign(self, since_us: Mapping[Parent, int]) -> dict[Parent, EngineError]:
        """Has those told who are responsible for these parents, of what may have changed since."""
        folded = {p: Folded(self._foldings[p].incidents, at_us, self._version) for p, at_us in since_us.items()}
        return await self._assigner.assign(folded) if folded else {}

    def _apply(self, entry: Entry) -> bool:
        """Whether the entry could be folded on top of what is in memory."""
        folding = self._foldings.get(entry.key.parent)
        if folding is None or entry.key.parent in self._marked or not folding.apply(entry):
            self._foldings.pop(entry.key.parent, None)
            return False
        self._foldings.move_to_end(entry.key.parent)
        return True

    def _collisions(self, entries: Sequence[Entry]) -> int:
        """As many as are known of the parents of these entries."""
        known = (self._foldings.get(parent) for parent in {entry.key.parent for entry in entries})
        return sum(folding.collisions for folding in known if folding)

    async def _fold_anew(self, parents: Sequence[Parent]) -> dict[Parent, EngineError]:
        """Folds these parents from the store; returns which could not be put, raises when they cannot be read."""
        if not parents:
            return {}
        entries = await self._store.entries_of(parents)
        for parent in parents:
            self._foldings[parent] = Folding.of(entries.get(parent, ()))
        return await self._put_all({parent: self._put_whole(parent) for parent in parents})

    def _forget(self) -> None:
        while len(self._foldings) > FOLDINGS_MAX:
            self._foldings.popitem(last=False)

    async def _put_whole(self, parent: Parent) -> None:
        self._version += 1
        incidents = self._foldings[parent].changes()  # all of them: it was folded from the start
        await self._store.put_incidents(parent, incidents, self._version)

    async def _put_changes(self, parent: Parent) -> None:
        changed = self._foldings[parent].changes()
        if changed:  # a repeat changes nothing
            self._version += 1
            await self._store.update_incidents(parent, changed, self._version)

    async def _put_all(self, puts: dict[Parent, Coroutine[Any, Any, None]]) -> dict[Parent, EngineError]:
        """Writes folded parents in parallel; returns what befell those that failed: that of one is not another's."""
        outcomes = await asyncio.gather(*puts.values(), return_exceptions=True)
        failed = {}
        for parent, outcome in zip(puts, outcomes, strict=True):
            if isinstance(outcome, EngineError):
                failed[parent] = outcome
            elif outcome is not None:
                raise outcome  # a fault of ours
        return failed


def _changed_since(entries: Iterable[Entry]) -> dict[Parent, int]:
    """From when on these entries may have changed their parents' incidents.

    Also when they changed nothing: they may be those of which an earlier owner did not get as far as telling anybody.
    That somebody was told is nothing to tell anybody.
    """
    since_us: dict[Parent, int] = {}
    for entry in entries:
        if entry.action != NOTIFY:
            parent = entry.key.parent
            since_us[parent] = min(entry.received_us, since_us.get(parent, entry.received_us))
    return since_us


def _give_up(state: tenacity.RetryCallState) -> None:
    """Attempts have run out: the last failures stand."""


def _unfolded(error: EngineError) -> Failure:
    kind = Kind.REJECTED if isinstance(error, Refused) else Kind.UNAVAILABLE
    return Failure(kind, f"the incident could not be folded: {error}")

"""Scans: one store's rows in key order, a page at a time, also when some of them cannot be read.

A comparison walks all regions side by side, parent by parent, so it holds one page a region and the rows of one parent,
whatever the stores hold. A row that was damaged must be found and named, not end the walk: after a page that cannot be
read the rows are asked for in ever smaller steps.
"""

from collections import deque
from typing import Final

from tocsin.core.entries import Entry
from tocsin.core.ids import Parent, RequestKey
from tocsin.core.incidents import Incident
from tocsin.engines.store import Store

PAGE: Final = 200


class Damaged(Exception):
    """A row that is there cannot be read."""


class EntryScan:
    """The entries of a store, by parent. Raises `EngineError` when the store does not answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._page: deque[Entry] = deque()
        self._after: RequestKey | None = None
        self._ended = False
        self.damage: str | None = None
        """Why the scan ended early: a row whose key cannot be read hides all that come after it."""

    async def head(self) -> Parent | None:
        """The next parent that has entries, None at the end."""
        if not self._page and not self._ended:
            await self._fill()
        return self._page[0].key.parent if self._page else None

    async def take(self, parent: Parent) -> list[Entry]:
        """The entries of a parent, which must be the next or one before it."""
        taken: list[Entry] = []
        while await self.head() == parent:
            taken.append(self._page.popleft())
        return taken

    async def _fill(self) -> None:
        for limit in (PAGE, 1):
            try:
                page = await self._store.scan_entries(self._after, limit)
            except ValueError as error:
                where = f"after {self._after.printed} of {self._after.parent}" if self._after else "at the start"
                self.damage = f"the entry {where} cannot be read, so nothing behind it was compared: {error}"
                continue
            self.damage = None
            if page:
                self._after = page[-1].key
            self._page.extend(page)
            self._ended = len(page) < limit
            return
        self._ended = True


class IncidentScan:
    """The folded incidents of a store, by parent. Raises `EngineError` when the store does not answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._page: deque[tuple[Parent, list[Incident]]] = deque()
        self._after: Parent | None = None
        self._ended = False
        self.hidden: str | None = None
        """Why the next rows cannot be read; while it is set, parents are asked for one by one."""

    async def head(self) -> Parent | None:
        """The next parent that has incidents; None at the end, and while what comes next is hidden."""
        if not self._page and not self._ended and self.hidden is None:
            await self._fill()
        return self._page[0][0] if self._page else None

    async def take(self, parent: Parent) -> list[Incident]:
        """The incidents of a parent, which must be the next or one before it; raises `Damaged` when they are that."""
        if await self.head() == parent:
            return self._page.popleft()[1]
        if self.hidden is None or self._page:
            return []
        try:
            return await self._store.incidents_of(parent)
        except ValueError as error:
            self._after, self.hidden = parent, None
            raise Damaged(str(error)) from error

    async def _fill(self) -> None:
        for limit in (PAGE, 1):
            try:
                page = await self._store.scan_incidents(self._after, limit)
            except ValueError as error:
                self.hidden = str(error)
                continue
            self.hidden = None
            if page:
                self._after = page[-1][0]
            self._page.extend(page)
            self._ended = len(page) < limit
            return

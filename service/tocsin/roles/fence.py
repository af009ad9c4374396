"""The fence of one user partition: a document in the region's store that only the latest owner can still write.

Theory
------
A process that was stopped for a minute does not know that another owns its partition now. So before it says an intent
it writes the fence, on the condition that nobody wrote since it did so last: each version holds the owner's epoch, and
a later owner's is higher. Whoever cannot write sends nothing. What that does not stop is a provider's call that was
under way already.

The document's value is how far the inputs are in what is kept of the users. It is written after the users, so that
after a crash inputs are read again, to no effect, and none is passed over.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Final, TypeVar

from tocsin.core.documents import PagerPositions
from tocsin.core.paging.effects import UserRow
from tocsin.engines.errors import Unavailable
from tocsin.engines.log import Claim
from tocsin.engines.store import Document, Store
from tocsin.roles.claiming import ClaimLost

TRIES_MAX: Final = 3
"""So often an own write of which nothing was heard may be found to have been done after all."""
WRITE_S_MAX: Final = 5.0
T = TypeVar("T")


class Fence:
    """The fence of the owner with this claim."""

    def __init__(self, store: Store, claim: Claim) -> None:
        self.positions = PagerPositions(topics={})
        """As they were last kept."""
        self._store = store
        self._claim = claim
        self._name = PagerPositions.name(claim.partition)
        self._version = 0
        self._rows_version = claim.epoch << 32
        self._is_sure = False
        self._lock = asyncio.Lock()

    async def take(self) -> None:
        """Shuts earlier owners out, and reads the positions.

        Raises `ClaimLost` when a later owner did that before, ValueError when the document is damaged, `EngineError`.
        """
        async with self._lock:
            found = await self._store.document(self._name)
            if found:
                self.positions = PagerPositions.decode(found.value)
            await self._write(self.positions)

    async def hold(self) -> None:
        """Returns when no other owner came; raises `ClaimLost`, `EngineError`."""
        async with self._lock:
            await self._write(self.positions)

    async def keep(self, rows: Sequence[UserRow], positions: PagerPositions | None) -> None:
        """Keeps users, then the positions if they are up to them. One at a time. Raises `ClaimLost`, `EngineError`.

        Intents need not wait while users are written: a former owner that still writes some writes what it knew, under
        versions that are below all of the next one's.
        """
        if rows:
            self._rows_version += 1
            await self._within(self._store.keep_users(self._claim.partition, rows, self._rows_version))
        if positions is not None:
            async with self._lock:
                await self._write(positions)
                self.positions = positions

    async def _write(self, positions: PagerPositions) -> None:
        for _ in range(TRIES_MAX):
            if not self._is_sure:
                await self._look()
            self._is_sure = False  # until it is known that this was written
            version = max(self._version, self._claim.epoch << 32) + 1
            document = Document(self._name, version, positions.encode())
            if await self._within(self._store.put_document(document, after=self._version)):
                self._version, self._is_sure = version, True
                return
        raise Unavailable(f"the document {self._name} is written by nobody else, and cannot be written")

    async def _look(self) -> None:
        """Finds the version there: an earlier owner's, or ours, of which we do not know whether it was written."""
        found = await self._within(self._store.document(self._name))
        self._version = found.version if found else 0
        if self._version >> 32 > self._claim.epoch:
            raise ClaimLost

    async def _within(self, call: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(WRITE_S_MAX):
                return await call
        except TimeoutError as error:
            raise Unavailable(f"the store did not answer within {WRITE_S_MAX:g} s") from error

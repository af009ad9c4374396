"""Documents that creators keep in their store, as an operator reads them; the budget is released here, too."""

from typing import Final

from tocsin.core.budget import Budget
from tocsin.core.cases import BUDGET_ROW
from tocsin.core.documents import BUDGET, REGION_WORDS, STATUS_PREFIX, PartitionStatus, RegionWords
from tocsin.core.kept import Stage
from tocsin.engines.errors import Unavailable
from tocsin.engines.store import Document, Store

RELEASES_MAX: Final = 5


async def drained_regions(store: Store) -> tuple[str, ...]:
    """The regions that count as drained, by what this store's creators read in the ledgers.

    Raises `EngineError`, and ValueError for a damaged document.
    """
    document = await store.document(REGION_WORDS)
    return RegionWords.decode(document.value).drained if document else ()


async def statuses(store: Store) -> list[PartitionStatus]:
    """How each partition number was when its owner last wrote it down; raises `EngineError`, ValueError."""
    return [PartitionStatus.decode(document.value) for document in await store.documents(STATUS_PREFIX)]


async def budget(store: Store) -> Budget:
    """The replica's budget as it stands; raises `EngineError`, ValueError."""
    document = await store.document(BUDGET)
    return Budget.decode(document.value) if document else Budget()


async def release_budget(store: Store) -> Budget:
    """Makes the budget whole again, and lets pass what is held because it was spent; returns it as it was before.

    Raises `Unavailable` when creators go on counting faster than it can be written.
    """
    for _ in range(RELEASES_MAX):
        document = await store.document(BUDGET)
        if document is None:
            return Budget()
        before = Budget.decode(document.value)
        held = await store.kept_rows(stages=[Stage.HELD])
        services = {row.key.service for row in held if row.decisions and row.decisions[-1].row == BUDGET_ROW}
        whole = Document(BUDGET, document.version + 1, before.release(services).encode())
        if await store.put_document(whole, after=document.version):
            return before
    raise Unavailable("the budget changes all the time: creators count services in it. Nothing was released; try again")

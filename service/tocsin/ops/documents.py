"""Documents that creators keep in their store, as an operator reads them; the budget is released here, too."""

import json
from typing import Any, Final

from tocsin.core.budget import Budget
from tocsin.engines.errors import Unavailable
from tocsin.engines.store import Document, Store

BUDGET: Final = "budget"
REGION_WORDS: Final = "region-words"
STATUS: Final = "status/"
RELEASES_MAX: Final = 5


async def drained_regions(store: Store) -> list[str]:
    """The regions that count as drained, by what this store's creators read in the ledgers.

    Raises `EngineError`, and ValueError or LookupError for a damaged document.
    """
    document = await store.document(REGION_WORDS)
    return list(json.loads(document.value)["drained"]) if document else []


async def statuses(store: Store) -> list[dict[str, Any]]:
    """How each partition number was when its owner last wrote it down; raises `EngineError`, ValueError."""
    return [json.loads(document.value) for document in await store.documents(STATUS)]


async def budget(store: Store) -> Budget:
    """The replica's budget as it stands; raises `EngineError`, ValueError."""
    document = await store.document(BUDGET)
    return Budget.decode(document.value) if document else Budget()


def services_counted(budget: Budget) -> list[str]:
    """The services that a budget has counted, by name; records that nobody can decode count as one."""
    return [service or "(undecodable)" for service in budget.counted]


async def release_budget(store: Store) -> Budget:
    """Makes the budget whole again; returns it as it was before.

    Raises `Unavailable` when creators go on counting faster than it can be written.
    """
    for _ in range(RELEASES_MAX):
        document = await store.document(BUDGET)
        if document is None:
            return Budget()
        whole = Document(BUDGET, document.version + 1, Budget().encode())
        if await store.put_document(whole, after=document.version):
            return Budget.decode(document.value)
    raise Unavailable("the budget changes all the time: creators count services in it. Nothing was released; try again")

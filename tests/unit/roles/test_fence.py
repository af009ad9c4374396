"""The fence: only the latest owner can write, and it can whatever became of its own earlier writes."""

from typing import Any

import pytest

from tocsin.core.documents import PagerPositions, Position
from tocsin.core.paging.effects import UserRow
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.errors import Unavailable
from tocsin.engines.log import Claim
from tocsin.engines.store import Document
from tocsin.roles.claiming import ClaimLost
from tocsin.roles.fence import Fence

POSITIONS = PagerPositions(topics={"feedback": Position("cluster", "incarnation", 7)})


def claim(epoch: int) -> Claim:
    return Claim("notifier.blue", 3, epoch)


async def taken(store: Any, epoch: int) -> Fence:
    fence = Fence(store, claim(epoch))
    await fence.take()
    return fence


async def test_the_next_owner_finds_the_positions_and_shuts_the_former_one_out(store: EmbeddedStore) -> None:
    former = await taken(store, 1)
    await former.hold()
    await former.keep([], POSITIONS)
    later = await taken(store, 2)
    assert later.positions == POSITIONS
    for write in (former.hold(), former.keep([], PagerPositions(topics={}))):
        with pytest.raises(ClaimLost):
            await write
    with pytest.raises(ClaimLost):
        await taken(store, 1)
    await later.hold()
    document = await store.document(PagerPositions.name(3))
    assert document is not None
    assert PagerPositions.decode(document.value) == POSITIONS


async def test_users_of_a_former_owner_never_replace_the_next_one_s(store: EmbeddedStore) -> None:
    former, later = await taken(store, 1), await taken(store, 2)
    await later.keep([UserRow("ann", b"later")], None)
    await former.keep([UserRow("ann", b"former"), UserRow("ben", b"former")], None)
    assert sorted(await store.kept_users(3)) == [UserRow("ann", b"later"), UserRow("ben", b"former")]


class Unheard:
    """A store whose conditional writes are done, or not, and not answered, while it is told so."""

    def __init__(self, store: EmbeddedStore) -> None:
        self._store = store
        self.does: bool | None = None

    async def put_document(self, document: Document, *, after: int | None = None) -> bool:
        if self.does is None:
            return await self._store.put_document(document, after=after)
        if self.does:
            await self._store.put_document(document, after=after)
        raise Unavailable("no answer")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.parametrize("does", [True, False])
async def test_a_write_of_which_nothing_was_heard_shuts_nobody_out_but_others(
    store: EmbeddedStore, *, does: bool
) -> None:
    unheard = Unheard(store)
    fence = await taken(unheard, 1)
    unheard.does = does
    with pytest.raises(Unavailable):
        await fence.keep([], POSITIONS)
    unheard.does = None
    await fence.hold()
    await fence.keep([], POSITIONS)
    later = await taken(store, 2)
    assert later.positions == POSITIONS
    with pytest.raises(ClaimLost):
        await fence.hold()


async def test_after_a_taking_over_that_failed_half_way_the_same_owner_takes_over_again(store: EmbeddedStore) -> None:
    await taken(store, 1)
    again = await taken(store, 1)
    await again.hold()

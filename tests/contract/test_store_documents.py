"""Documents: small rows that are written by comparing versions, so that two writers cannot both succeed."""

import asyncio

import pytest

from tocsin.engines.store import Document, Store

FIRST = Document("budget/3", 1, b'{"spent": []}')
SECOND = Document("budget/3", 2, b"\x00\xff")


async def test_a_document_is_read_back(store: Store) -> None:
    assert await store.put_document(FIRST) is True

    assert await store.document("budget/3") == FIRST
    assert await store.document("budget/4") is None


async def test_a_higher_version_replaces_it(store: Store) -> None:
    await store.put_document(FIRST)

    assert await store.put_document(SECOND) is True

    assert await store.document("budget/3") == SECOND


@pytest.mark.parametrize("version", [1, 2])
async def test_a_version_that_is_not_above_the_one_there_is_not_written(store: Store, version: int) -> None:
    await store.put_document(SECOND)

    assert await store.put_document(Document("budget/3", version, b"late")) is False

    assert await store.document("budget/3") == SECOND


async def test_after_nothing_only_the_first_writer_succeeds(store: Store) -> None:
    assert await store.put_document(FIRST, after=0) is True
    assert await store.put_document(SECOND, after=0) is False

    assert await store.document("budget/3") == FIRST


@pytest.mark.parametrize("after", [1, 3])
async def test_after_another_version_than_the_one_there_is_not_written(store: Store, after: int) -> None:
    await store.put_document(SECOND)

    assert await store.put_document(Document("budget/3", 9, b"blind"), after=after) is False

    assert await store.document("budget/3") == SECOND


async def test_after_a_version_that_was_never_written_nothing_is_written(store: Store) -> None:
    assert await store.put_document(SECOND, after=1) is False

    assert await store.document("budget/3") is None


async def test_after_the_version_there_a_higher_one_is_written_and_the_same_is_not(store: Store) -> None:
    await store.put_document(FIRST)

    assert await store.put_document(Document("budget/3", 1, b"the same"), after=1) is False
    assert await store.put_document(Document("budget/3", 7, b"higher"), after=1) is True

    assert await store.document("budget/3") == Document("budget/3", 7, b"higher")


async def test_of_many_writers_at_once_after_one_version_exactly_one_succeeds(store: Store) -> None:
    await store.put_document(FIRST)
    attempts = [Document("budget/3", 2, b"%d" % n) for n in range(8)]

    written = await asyncio.gather(*(store.put_document(attempt, after=1) for attempt in attempts))

    assert written.count(True) == 1
    assert await store.document("budget/3") == attempts[written.index(True)]


async def test_documents_are_listed_by_prefix_and_name(store: Store) -> None:
    names = ["budget/10", "budget/2", "budget_2", "budgets", "Budget/2", "status/1", "бюджет/1", "бюджет/2", "%"]
    for name in names:
        await store.put_document(Document(name, 1, name.encode()))

    assert [found.name for found in await store.documents("budget/")] == ["budget/10", "budget/2"]
    assert [found.name for found in await store.documents("бюджет/")] == ["бюджет/1", "бюджет/2"]
    assert [found.name for found in await store.documents("%")] == ["%"]
    assert [found.name for found in await store.documents("")] == sorted(names)
    assert await store.documents("nothing") == []

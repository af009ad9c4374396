"""What concerns a replica as a whole: probes that are shared, care that waits for nothing for long."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import pytest_asyncio

from tests.two_regions import until
from tocsin.core.documents import BUDGET
from tocsin.core.effects import Input, StoreAnswers
from tocsin.core.limits import Limits
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.errors import Unavailable
from tocsin.engines.store import Document
from tocsin.roles import replica as replica_module
from tocsin.roles.owner import Owner
from tocsin.roles.replica import ReplicaCare


class AilingStore(EmbeddedStore):
    """The real store, but for what a test breaks."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.pings = 0
        self.away = False
        self.documents_hang = False

    async def ping(self) -> None:
        self.pings += 1
        away = self.away
        await asyncio.sleep(0.02)
        if away:
            raise Unavailable("away")
        await super().ping()

    async def document(self, name: str) -> Document | None:
        if self.documents_hang:
            await asyncio.sleep(3600)
        return await super().document(name)


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[AilingStore]:
    opened = AilingStore(tmp_path / "outcomes.db")
    yield opened
    await opened.close()


@pytest.fixture
def care(store: AilingStore) -> ReplicaCare:
    return ReplicaCare(store, Limits(), "a", {})


async def test_probes_that_are_asked_for_at_one_time_are_one(care: ReplicaCare, store: AilingStore) -> None:
    assert await asyncio.gather(*(care.probe() for _ in range(500))) == [True] * 500
    assert store.pings == 1


async def test_a_probe_under_way_does_not_answer_who_asks_after_it_began(care: ReplicaCare, store: AilingStore) -> None:
    early = asyncio.create_task(care.probe())
    await asyncio.sleep(0.01)
    store.away = True
    late = [asyncio.create_task(care.probe()) for _ in range(100)]
    assert await early
    assert await asyncio.gather(*late) == [False] * 100
    assert store.pings == 2
    assert not care.answers


async def test_what_a_store_acknowledges_while_it_is_probed_is_an_answer_too(store: AilingStore) -> None:
    class Working:
        measured = SimpleNamespace(stored=7)

        def tell(self, event: Input) -> None:
            told.append(event)

    told: list[Input] = []
    owner = Working()
    care = ReplicaCare(store, Limits(), "a", {0: cast("Owner", owner)})
    store.away = True
    probe = asyncio.create_task(care.probe())
    await asyncio.sleep(0.01)
    owner.measured.stored += 1

    assert await probe
    assert not await care.probe()
    assert told == [StoreAnswers(answers=False)]


async def test_who_gives_up_on_a_probe_takes_it_from_nobody(care: ReplicaCare, store: AilingStore) -> None:
    impatient, patient = asyncio.create_task(care.probe()), asyncio.create_task(care.probe())
    await asyncio.sleep(0.005)
    impatient.cancel()
    assert await patient
    assert store.pings == 1


async def test_a_store_that_hangs_on_one_thing_is_probed_on(
    care: ReplicaCare, store: AilingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_module, "CARE_S_MAX", 0.05)
    monkeypatch.setattr(replica_module, "PACE_S", 0.02)
    store.documents_hang = True
    task = asyncio.create_task(care.run())

    async def probed() -> bool:
        return store.pings >= 3

    await until(probed, "three probes")
    care.count("checkout")
    store.documents_hang = False

    async def counted() -> bool:
        return await store.document(BUDGET) is not None and care.budget.counted == ("checkout",)

    await until(counted, "the count")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

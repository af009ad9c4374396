"""The simulated store is held to the contract of the port, by the suite that all its adapters are held to."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

# ruff: noqa: F403 - the tests of the suite are run here once more, with the fixtures below
from tests.contract.store_adapters import StoreAdapter
from tests.contract.test_store_documents import *
from tests.contract.test_store_entries import *
from tests.contract.test_store_incidents import *
from tests.contract.test_store_kept import *
from tests.contract.test_store_lists import *
from tests.contract.test_store_marks import *
from tests.contract.test_store_progress import *
from tests.contract.test_store_scans import *
from tests.simulation.ailments import Dead
from tests.simulation.network import Server, Surrounding
from tests.simulation.rows import Rows
from tests.simulation.store import BODY_BYTES_MAX, Database, SimStore
from tocsin.engines.store import Store


@pytest.fixture
def store_adapter(tmp_path: Path) -> StoreAdapter:
    databases: dict[Path, Database] = {}

    def opened(place: Path) -> Store:
        if place not in databases:
            around = Surrounding(asyncio.get_running_loop(), random.Random(str(place)))
            databases[place] = Database(Rows(str(place)), Server("store", around))
        return SimStore(databases[place])

    def take_away(place: Path) -> None:
        databases[place].server.ailments.append(Dead(0.0))

    return StoreAdapter("simulated", opened, take_away, BODY_BYTES_MAX)


@pytest_asyncio.fixture
async def store(store_adapter: StoreAdapter, store_place: Path) -> AsyncIterator[Store]:
    yield store_adapter.open(store_place)


@pytest.fixture
def store_place(tmp_path: Path) -> Path:
    return tmp_path / "outcomes.db"

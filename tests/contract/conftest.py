"""Logs and stores for the contract suites: each test runs over every adapter, and may open instances and processes."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.contract.log_adapters import ADAPTERS, LogAdapter
from tests.contract.store_adapters import ADAPTERS as STORE_ADAPTERS
from tests.contract.store_adapters import StoreAdapter
from tocsin.engines.log import Log
from tocsin.engines.store import Store

Child = asyncio.subprocess.Process
Named = Callable[[str], str]
StartChild = Callable[..., Awaitable[Child]]


@pytest.fixture(params=sorted(ADAPTERS))
def log_adapter(request: pytest.FixtureRequest, tmp_path: Path) -> LogAdapter:
    return ADAPTERS[request.param](tmp_path)


@pytest_asyncio.fixture
async def open_log(log_adapter: LogAdapter) -> AsyncIterator[Callable[[], Log]]:
    """Opens further instances on the log of the test, and closes them after it."""
    opened: list[Log] = []

    def open_one() -> Log:
        opened.append(log_adapter.open())
        return opened[-1]

    yield open_one
    for log in opened:
        await log.close()


@pytest.fixture
def named(log_adapter: LogAdapter) -> Named:
    """Names of topics and groups that no other test uses."""
    return log_adapter.named


@pytest.fixture
def group(named: Named) -> str:
    return named("creators")


@pytest.fixture
def log(open_log: Callable[[], Log]) -> Log:
    return open_log()


@pytest_asyncio.fixture
async def topic(log: Log, named: Named) -> str:
    """A topic of two partitions that keeps everything."""
    await log.ensure_topic(named("requests"), 2)
    return named("requests")


@pytest_asyncio.fixture
async def start_child(log_adapter: LogAdapter) -> AsyncIterator[StartChild]:
    """Starts `log_child` on the log of the test; what still runs after the test is killed."""
    children: list[Child] = []

    async def start(*arguments: object) -> Child:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.contract.log_child", log_adapter.name, str(log_adapter.place), *map(str, arguments)),
            cwd=Path(__file__).parents[2],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        children.append(child)
        return child

    yield start
    for child in children:
        if child.returncode is None:
            child.kill()
        await child.communicate()


@pytest.fixture(params=STORE_ADAPTERS, ids=str)
def store_adapter(request: pytest.FixtureRequest) -> StoreAdapter:
    adapter = request.param
    assert isinstance(adapter, StoreAdapter)
    return adapter


@pytest.fixture
def store_place(store_adapter: StoreAdapter, tmp_path: Path) -> Path:
    """A place at which nothing was stored yet."""
    store_adapter.prepare(tmp_path / "outcomes")
    return tmp_path / "outcomes"


@pytest_asyncio.fixture
async def store(store_adapter: StoreAdapter, store_place: Path) -> AsyncIterator[Store]:
    """An empty store, closed after the test."""
    store = store_adapter.open(store_place)
    yield store
    await store.close()

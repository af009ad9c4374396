"""Two regions' stores, in files that a test may also change by hand."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tocsin.engines.embedded.store import EmbeddedStore


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    return {name: tmp_path / name / "blue.sqlite" for name in ("a", "b")}


@pytest_asyncio.fixture
async def stores(paths: dict[str, Path]) -> AsyncIterator[dict[str, EmbeddedStore]]:
    stores = {name: EmbeddedStore(path) for name, path in paths.items()}
    for store in stores.values():
        await store.identity()
    yield stores
    for store in stores.values():
        await store.close()

"""What tests of commands share: one way to run them, as a user types them."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.unit.cli.premises import Premises
from tests.unit.cli.served import Served, publish
from tocsin.cli.main import app

Run = Callable[..., Result]
LOCAL = Path(__file__).parents[3] / "regions" / "local"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs `tocsin` with these words on the local regions, while nothing else is up."""
    monkeypatch.setenv("TOCSIN_REGIONS_DIR", str(LOCAL))
    monkeypatch.setenv("TOCSIN_UP_FILE", str(tmp_path / "up.json"))
    monkeypatch.setenv("NO_COLOR", "1")
    return lambda *words: CliRunner().invoke(app, list(words), prog_name="tocsin")


@pytest.fixture
def premises(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Premises:
    """The data directory that commands of this test use; empty until `make` is called."""
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    return Premises(tmp_path / "data")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., list[Served]]]:
    """Starts regions of these names, and publishes them as `tocsin up` does."""
    with contextlib.ExitStack() as stack:

        def start(*names: str, is_read: bool = True) -> list[Served]:
            regions = []
            for name in names:
                regions.append(Served(name, tmp_path / f"region-{name}", is_read=is_read))
                stack.callback(regions[-1].close)
            publish(tmp_path / "up.json", *regions)
            return regions

        yield start

"""What tests of `tocsin up` share: one that runs in a data directory of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

REPOSITORY = Path(__file__).parents[2]
START_S_MAX = 30.0
T = TypeVar("T")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return os.environ | {"TOCSIN_DATA_DIR": str(tmp_path / "data"), "TOCSIN_UP_FILE": str(tmp_path / "up.json")}


@pytest.fixture
def up(env: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Is being started; what it tells is in the file `out`."""
    with (tmp_path / "out").open("w") as out:
        running = subprocess.Popen(
            [sys.executable, "-m", "tocsin", "up"], cwd=REPOSITORY, env=env, stdout=out, stderr=out, text=True
        )
    yield running
    if running.poll() is None:
        running.kill()
    running.wait()


def until(what: str, look: Callable[[], T | None], within_s: float) -> T:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"{what}: not within {within_s:.0f} s")

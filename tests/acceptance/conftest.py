"""What tests of `tocsin up` share: one that runs in a data directory of its own."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import pytest

REPOSITORY = Path(__file__).parents[2]
START_S_MAX = 30.0
T = TypeVar("T")


def environment(folder: Path) -> dict[str, str]:
    """Of commands that keep all they write in a folder."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    return inherited | {"TOCSIN_DATA_DIR": str(folder / "data"), "TOCSIN_UP_FILE": str(folder / "up.json")}


@contextlib.contextmanager
def running_up(env: Mapping[str, str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """`tocsin up` as it is being started; what it tells is in the file `out`."""
    with (folder / "out").open("w") as out:
        running = subprocess.Popen(
            [sys.executable, "-m", "tocsin", "up"], cwd=REPOSITORY, env=env, stdout=out, stderr=out, text=True
        )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.wait()


def until_ready(up: subprocess.Popen[str], env: Mapping[str, str], folder: Path) -> None:
    up_file = Path(env["TOCSIN_UP_FILE"])
    until("all is ready", lambda: up_file.exists() or up.poll() is not None, START_S_MAX)
    assert up.poll() is None, (folder / "out").read_text()


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path)


@pytest.fixture
def up(env: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with running_up(env, tmp_path) as running:
        yield running


def tocsin(env: Mapping[str, str], *words: str) -> str:
    """What a command says on stdout; it must succeed."""
    ended = subprocess.run(
        [sys.executable, "-m", "tocsin", *words],
        cwd=REPOSITORY,
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def children_of(parent: int) -> dict[int, list[str]]:
    """Pid to command line, of all that the process started and that these started."""
    found: dict[int, list[str]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, above = stat.read_text().rpartition(")")[2].split()[:2]
            words = stat.with_name("cmdline").read_bytes().decode().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(above) == parent and state != "Z":
            pid = int(stat.parent.name)
            found |= {pid: words} | children_of(pid)
    return found


def until(what: str, look: Callable[[], T | None], within_s: float) -> T:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"{what}: not within {within_s:.0f} s")

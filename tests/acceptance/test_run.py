"""`tocsin run` when it cannot start: one clear message, status 1, and nothing else hindered."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.roles.process import bind

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory with a directory of services, which every role but the mirror looks into."""
    (tmp_path / "directory.yaml").write_text("services: []\n", encoding="utf-8")
    return tmp_path


def fail(data_dir: Path, *words: str, status: int = 1) -> str:
    """Runs a role that must end by itself; returns what it told on stderr."""
    ended = subprocess.run(
        [sys.executable, "-m", "tocsin", "run", *words],
        cwd=REPOSITORY,
        env=os.environ | {"TOCSIN_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == status, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_a_region_that_there_is_not(data_dir: Path) -> None:
    assert "error: region: no region 'c'" in fail(data_dir, "creator", "--region", "c")


def test_a_stack_that_there_is_not(data_dir: Path) -> None:
    assert "region 'a' has no stack 'bleu'; did you mean 'blue'?" in fail(
        data_dir, "creator", "--region", "a", "--stack", "bleu"
    )


def test_a_port_that_is_taken(data_dir: Path) -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        told = fail(data_dir, "mirror", "--region", "a", "--admin-port", str(port))
    assert f"error: cannot listen on 127.0.0.1, port {port}: " in told


def test_a_store_of_a_newer_format(data_dir: Path) -> None:
    path = data_dir / "a" / "blue.sqlite"
    asyncio.run(make(EmbeddedStore(path)))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    for role in ("creator", "querier"):
        assert "of format 99, and this release knows formats up to" in fail(data_dir, role, "--region", "a")


def test_a_log_with_another_partition_count(data_dir: Path) -> None:
    asyncio.run(make_topic(data_dir / "a" / "log.sqlite", partitions=2))
    told = fail(data_dir, "creator", "--region", "a")
    assert "error: topic requests has 2 partitions" in told
    assert "asked for were 4" in told


@pytest.fixture
def owner(data_dir: Path) -> Iterator[int]:
    """Holds partition 2 of region a, in this process."""

    async def claim() -> EmbeddedLog:
        log = EmbeddedLog(data_dir / "a" / "log.sqlite")
        await log.claim("creator.blue", 2)
        return log

    with asyncio.Runner() as runner:
        log = runner.run(claim())
        yield os.getpid()
        runner.run(log.close())


def test_a_partition_that_another_process_owns(data_dir: Path, owner: int) -> None:
    told = fail(data_dir, "creator", "--region", "a", "--partitions", "0,2")
    assert f"partition 2 of group creator.blue is owned by process {owner}" in told


def test_a_partition_that_there_is_not(data_dir: Path) -> None:
    told = fail(data_dir, "creator", "--region", "a", "--partitions", "0,7")
    assert "region a has partitions 0 to 3, so not [7]" in told


def test_partitions_that_are_no_numbers_or_of_another_role(data_dir: Path) -> None:
    assert "0,x" in fail(data_dir, "creator", "--region", "a", "--partitions", "0,x", status=2)
    assert "only a creator" in fail(data_dir, "mirror", "--region", "a", "--partitions", "0", status=2)


def test_a_directory_of_services_that_is_missing(data_dir: Path) -> None:
    (data_dir / "directory.yaml").unlink()
    for role in ("intake", "creator", "notifier"):
        assert "directory.yaml: there is no such file" in fail(data_dir, role, "--region", "a")


async def make(store: EmbeddedStore) -> None:
    await store.identity()
    await store.close()


async def make_topic(path: Path, *, partitions: int) -> None:
    log = EmbeddedLog(path)
    await log.ensure_topic("requests", partitions)
    await log.close()

"""A set has one owner, its folder says who and where, and a path to its socket is never too long."""

import asyncio
import os
from pathlib import Path

import pytest

from tocsin.engines.errors import Misconfigured, Owned, Unavailable
from tocsin.ops.local.control import LocalControl
from tocsin.ops.local.folder import SetFolder


def test_one_owner_at_a_time(tmp_path: Path) -> None:
    folder = SetFolder(tmp_path / "trial")
    assert folder.owner() is None

    with folder.held():
        assert folder.owner() == os.getpid()
        with (
            pytest.raises(Owned, match=f"process {os.getpid()} runs the set 'trial' already"),
            SetFolder(folder.path).held(),
        ):
            pass
        with pytest.raises(Owned):
            folder.remove()
    assert folder.owner() is None

    folder.remove()
    assert not folder.path.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(Misconfigured, match="cannot be written to"), SetFolder(tmp_path / "file" / "set").held():
        pass


@pytest.mark.parametrize("name", ["..", "", "a/../..", "../docs", "/etc", "A", "x" * 33, "-x"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Misconfigured, match="no name for a set of servers"):
        SetFolder.named(name, tmp_path)


def test_a_folder_of_something_else_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()

    with pytest.raises(Misconfigured, match="nothing was removed"):
        SetFolder(tmp_path / "docs").remove()
    assert (tmp_path / "docs").is_dir()


def test_what_is_published_can_be_read_until_it_is_withdrawn(tmp_path: Path) -> None:
    folder = SetFolder(tmp_path / "trial")
    folder.path.mkdir()
    assert folder.published() is None

    folder.publish({"state": "ready"})
    assert folder.published() == {"state": "ready"}

    folder.unpublish()
    assert folder.published() is None


async def test_a_socket_deep_in_the_file_system_is_reached(tmp_path: Path) -> None:
    folder = SetFolder(tmp_path / ("deep" * 40) / "set")
    folder.path.mkdir(parents=True)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b'{"done": {"name": "set"}}\n')
        writer.close()

    with folder.socket() as path:
        server = await asyncio.start_unix_server(serve, path)
    assert await LocalControl(folder.path).status() == {"name": "set"}
    server.close()


async def test_a_set_that_does_not_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"no servers run in .*trial: start them"):
        await LocalControl(tmp_path / "trial").status()

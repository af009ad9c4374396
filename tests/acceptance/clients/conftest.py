"""One set of regions for all clients."""

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.clients.alertmanager import Alertmanager
from tests.acceptance.clients.needed import missing, skip_if
from tests.acceptance.clients.pdjs import Pdjs
from tests.acceptance.clients.regions import Regions
from tests.acceptance.conftest import environment, running_up, until_ready

STOP_S_MAX = 20.0


@pytest.fixture(scope="package")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Regions]:
    skip_if("" if Path("/proc/self/stat").exists() else "processes are looked up in /proc, which this system has not")
    folder = tmp_path_factory.mktemp("regions")
    env = environment(folder)
    with running_up(env, folder) as up:
        until_ready(up, env, folder)
        with closing(Regions(up, env)) as regions:
            yield regions
        up.send_signal(signal.SIGINT)
        assert up.wait(STOP_S_MAX) == 0, (folder / "out").read_text()


@pytest.fixture
def alertmanager(regions: Regions, tmp_path: Path) -> Iterator[Alertmanager]:
    skip_if(missing("alertmanager"))
    with Alertmanager(regions, tmp_path) as running:
        yield running


@pytest.fixture
def pdjs(regions: Regions) -> Iterator[Pdjs]:
    skip_if(missing("pdjs"))
    with Pdjs(regions.ca_file) as running:
        yield running


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """A line a request would hide what failed."""
    caplog.set_level("WARNING", logger="httpx2")
    caplog.set_level("WARNING", logger="urllib3")

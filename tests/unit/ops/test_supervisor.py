"""Children that are kept running, and what a set of local regions starts with."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from pydantic import SecretStr

from tocsin.config import ConfigError
from tocsin.engines.directory import FileDirectory
from tocsin.engines.errors import Misconfigured, Owned, Unavailable
from tocsin.engines.tokens import TokenFile
from tocsin.ops import child as child_module
from tocsin.ops.child import Child
from tocsin.ops.premises import SERVICES, alone, make_directories, own_token
from tocsin.ops.supervisor import LocalSet, environment
from tocsin.settings import Settings
from tocsin.topology import Topology, load_topology

REGIONS = Path(__file__).parents[3] / "regions" / "local"

SAY_WHERE = """
import json, os, time
port = os.environ.get("TOCSIN_ADMIN_PORT", "4711")
print(json.dumps({"url": None, "admin_url": f"http://127.0.0.1:{port}"}), flush=True)
"""
STAYS = SAY_WHERE + "time.sleep(60)"
DIES_AT_ONCE = "import sys; sys.exit('error: the port is taken')"
IS_DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + STAYS


@asynccontextmanager
async def kept(code: str, folder: Path) -> AsyncIterator[tuple[Child, list[str]]]:
    told: list[str] = []
    child = Child("creator of region a", [sys.executable, "-c", code], {}, folder / "child.log", told.append)
    child.start()
    try:
        yield child, told
    finally:
        await child.stop()


async def until(reached: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not reached():  # noqa: ASYNC110 (another process sets no event of ours)
            await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# One child -----------------------------------------------------------------------------------------------------------


async def test_a_child_that_is_killed_is_started_again_where_its_clients_know_it(tmp_path: Path) -> None:
    async with kept(SAY_WHERE.replace("4711", "4712") + "time.sleep(60)", tmp_path) as (child, told):
        await child.listens()
        first = child.pid
        await child.kill()
        await child.listens()
        assert child.pid != first
        assert (child.admin_url, child.starts) == ("http://127.0.0.1:4712", 2)
        assert f"(process {first}) was ended by SIGKILL; it is started again" in told[0]


async def test_a_child_that_does_not_come_up_with_its_ports_takes_free_ones(tmp_path: Path) -> None:
    code = "import os, sys; os.environ.get('TOCSIN_ADMIN_PORT') and sys.exit('error: taken')\n" + STAYS
    async with kept(code, tmp_path) as (child, told):
        await child.listens()
        await child.kill()
        await child.listens()
        assert child.starts == 3
        assert "before it listened: error: taken" in told[1]


async def test_a_child_that_keeps_dying_is_started_at_growing_pauses_and_its_last_words_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "PAUSE_FIRST_S", 0.01)
    async with kept(DIES_AT_ONCE, tmp_path) as (_, told):
        await until(lambda: len(told) >= 5)
    pauses = [float(text.partition("started again in ")[2].split()[0]) for text in told[:5]]
    assert pauses == sorted(pauses)
    assert pauses[-1] > pauses[0]
    assert "ended with status 1 before it listened: error: the port is taken" in told[0]


async def test_a_child_that_is_held_down_stays_down_until_it_is_started(tmp_path: Path) -> None:
    async with kept(STAYS, tmp_path) as (child, told), httpx2.AsyncClient() as client:
        await child.listens()
        await child.kill(hold=True)
        await asyncio.sleep(2 * child_module.PAUSE_FIRST_S)
        assert (child.pid, child.starts, told) == (None, 1, [])
        assert await child.unready(client) == ["it is stopped"]
        child.start()
        await child.listens()
        assert child.starts == 2


async def test_a_stop_ends_the_process_and_can_be_repeated(tmp_path: Path) -> None:
    async with kept(STAYS, tmp_path) as (child, told):
        await child.listens()
        pid = child.pid
        assert pid is not None
        await child.stop()
        assert not is_running(pid)
        await child.stop()
        assert told == []


async def test_a_stop_right_after_the_start_leaves_nothing_running(tmp_path: Path) -> None:
    async with kept(STAYS, tmp_path) as (child, _):
        await asyncio.sleep(0)
        await child.stop()
        assert child.pid is None


async def test_a_child_that_does_not_heed_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "STOP_S_MAX", 0.2)
    async with kept(IS_DEAF, tmp_path) as (child, told):
        await child.listens()
        pid = child.pid
        assert pid is not None
        await child.stop()
        assert not is_running(pid)
        assert "did not end within" in told[0]


async def test_ctrl_c_at_the_terminal_does_not_reach_a_child(tmp_path: Path) -> None:
    async with kept(STAYS, tmp_path) as (child, _):
        await child.listens()
        assert child.pid is not None
        assert os.getsid(child.pid) != os.getsid(0)
        assert os.getpgid(child.pid) == child.pid


async def test_who_waits_for_a_child_that_never_listens_is_told_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "LISTEN_S_MAX", 1.0)
    async with kept(DIES_AT_ONCE, tmp_path) as (child, _):
        with pytest.raises(Unavailable, match=r"creator of region a does not listen .*the port is taken.*child\.log"):
            await child.listens()


async def test_a_log_that_grew_too_large_is_set_aside_while_the_child_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "LOG_BYTES_MAX", 1_000)
    monkeypatch.setattr(child_module, "LOG_LOOK_S", 0.05)
    code = SAY_WHERE + "import sys\nwhile True: print('x' * 99, file=sys.stderr, flush=True); time.sleep(0.01)"
    async with kept(code, tmp_path):
        aside = tmp_path / "child.log.1"
        await until(aside.exists)
        before = aside.stat().st_mtime_ns
        await until(lambda: aside.stat().st_mtime_ns > before)  # it writes on, and again too much


# What a child is told ------------------------------------------------------------------------------------------------


def test_a_child_reads_the_settings_and_overrides_of_its_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = {"partitions": 2, "limits": {"grace_s": 2.5}}
    given = Settings.load(data_dir=tmp_path, journal=True, regions_dir=REGIONS, faults_file=Path("faults.json"))
    given = given.model_copy(update={"metrics_token": SecretStr("s3cret"), "trace_ratio": 0.5})
    settings = given.model_copy(update={"overrides": overrides})
    for name in [name for name in os.environ if name.startswith("TOCSIN_")]:
        monkeypatch.delenv(name)
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings.load() == settings


def test_the_environment_of_one_process_does_not_leak_into_all(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.load(regions_dir=REGIONS)
    monkeypatch.setenv("TOCSIN_REGION__PARTITIONS", "9")
    monkeypatch.setenv("TOCSIN_LOG_LEVEL", "DEBUG")
    env = environment(settings)
    assert "TOCSIN_REGION__PARTITIONS" not in env
    assert env["TOCSIN_LOG_LEVEL"] == "INFO"
    assert env["PATH"] == os.environ["PATH"]


def test_secrets_of_commands_are_not_handed_to_the_roles() -> None:
    settings = Settings.load(regions_dir=REGIONS, token=SecretStr("t"), routing_key=SecretStr("r"))
    assert not {"TOCSIN_TOKEN", "TOCSIN_ROUTING_KEY"} & environment(settings).keys()


def test_settings_of_one_process_are_refused_where_several_are_started() -> None:
    with pytest.raises(ConfigError) as refused:
        LocalSet(Settings.load(regions_dir=REGIONS, port=8000, region="a"))
    assert [problem.where for problem in refused.value.problems] == ["TOCSIN_REGION", "TOCSIN_PORT"]


# Premises ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(regions_dir=REGIONS, data_dir=tmp_path)


@pytest.fixture
def topology() -> Topology:
    return load_topology(REGIONS)


def test_a_second_supervisor_is_told_who_the_first_is(tmp_path: Path) -> None:
    refused = pytest.raises(Owned, match=rf"process {os.getpid()} runs the regions of .*TOCSIN_DATA_DIR")
    with alone(tmp_path), refused, alone(tmp_path):
        pass
    with alone(tmp_path):  # free again
        pass


def test_a_data_directory_that_cannot_be_made_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match=r"file/data cannot be written to .*TOCSIN_DATA_DIR"):
        alone(tmp_path / "file" / "data").__enter__()


def test_the_first_start_makes_services_with_keys_of_their_own(settings: Settings, topology: Topology) -> None:
    keys = make_directories(settings, topology)
    assert list(keys) == list(SERVICES)
    assert len(set(keys.values())) == len(SERVICES) >= 6
    assert {len(key) for key in keys.values()} == {32}
    directory = FileDirectory(settings.path(topology.regions[0].directory))
    assert [service.id for key in keys.values() if (service := directory.service_of(key))] == list(SERVICES)
    assert settings.path(topology.regions[0].directory).stat().st_mode & 0o077 == 0
    assert make_directories(settings, topology) == keys


def test_regions_with_files_of_their_own_get_the_same_services(settings: Settings) -> None:
    topology = load_topology(REGIONS)
    first, second = topology.regions
    apart = Topology((first, second.model_copy(update={"directory": Path("b/services.yaml")})))
    keys = make_directories(settings, apart)
    read = yaml.safe_load(settings.path(Path("b/services.yaml")).read_text())
    assert {service["id"]: service["routing_keys"][0] for service in read["services"]} == keys


def test_a_directory_that_somebody_broke_is_refused_and_left_as_it_is(settings: Settings, topology: Topology) -> None:
    path = settings.path(topology.regions[0].directory)
    path.write_text("services:\n- id: demo\n  name: Demo\n  routing_keys: [short]\n")
    with pytest.raises(ConfigError, match="32 printable"):
        make_directories(settings, topology)
    assert "short" in path.read_text()


def test_the_token_is_good_until_the_end_and_no_longer(settings: Settings) -> None:
    tokens = TokenFile(settings.path(settings.token_file))
    with own_token(settings) as text:
        assert tokens.check(text, 1) is not None
    tokens = TokenFile(settings.path(settings.token_file))
    assert tokens.check(text, 1) is None


def test_the_token_of_a_supervisor_that_was_killed_ends_with_the_next_start(settings: Settings) -> None:
    abandoned = own_token(settings)
    lost = abandoned.__enter__()
    with own_token(settings):
        assert TokenFile(settings.path(settings.token_file)).check(lost, 1) is None


async def test_a_set_that_cannot_start_says_why_and_leaves_nothing(settings: Settings, topology: Topology) -> None:
    settings.path(topology.regions[0].directory).write_text("services: 3\n")
    local = LocalSet(settings)
    with pytest.raises(ConfigError):
        await local.start()
    assert {child.pid for child in local.processes.values()} == {None}
    with alone(settings.data_dir):  # and the data directory is free again
        pass


async def test_a_fresh_set_removes_what_earlier_runs_left_but_nothing_of_one_at_work(settings: Settings) -> None:
    left, outside = settings.data_dir / "a" / "blue.sqlite", settings.data_dir.with_name("outside")
    for folder in (left.parent, outside):
        folder.mkdir()
    left.write_text("rows")
    (outside / "kept").touch()
    (settings.data_dir / "link").symlink_to(outside)
    local = LocalSet(settings, fresh=True)
    local.processes.clear()  # it is the place that matters here
    with alone(settings.data_dir):
        with pytest.raises(Owned, match=rf"process {os.getpid()} runs"):
            await local.start()
        assert left.read_text() == "rows"
    await local.launch()
    assert not left.exists()
    assert not (settings.data_dir / "link").exists()
    assert (outside / "kept").exists()
    await local.stop()

"""The synthetic page on two live regions: it comes, the switch outside is called; paging breaks, and the calls end."""

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.acceptance.conftest import REPOSITORY, environment, tocsin
from tocsin.ops.supervisor import LocalSet
from tocsin.settings import Settings

SEEN_S_MAX = 60.0
EVERY_S = 1.0
PAGING = {"pace_s": 0.5, "look_ahead_s": 0.05, "backstop_s": 1.0, "silence_s": 2.0, "keep_every_s": 0.2}
PING = "/ping/8e8b0a52-9b0e-4d0c-9a0e-3c1b3a1a4c11"


class Outside:
    """A dead-man's switch as a service outside: it counts the calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        outside = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outside.calls.append(self.path)
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"OK")

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{PING}"

    async def called(self, times: int) -> None:
        """Returns once it was called so many times more."""
        wanted = len(self.calls) + times
        async with asyncio.timeout(SEEN_S_MAX):
            while len(self.calls) < wanted:  # noqa: ASYNC110 - other processes set no event
                await asyncio.sleep(0.05)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def outside() -> Iterator[Outside]:
    found = Outside()
    yield found
    found.close()


@pytest.fixture
def env(tmp_path: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Of two regions with fixed ports; region a watches itself."""
    regions = tmp_path / "regions"
    shutil.copytree(REPOSITORY / "regions" / "local", regions)
    ports = _free_ports(3)
    for name, intake in (("a", ports[0]), ("b", ports[1])):
        path = regions / f"{name}.yaml"
        region: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        region["intake"]["port"] = intake
        region["paging"] = PAGING
        region["delivery"] = {
            "webhooks": {"ca_file": "authority/ca.pem", "private_allowed": [f"127.0.0.1:{ports[2]}"]},
        }
        if name == "a":
            region["synthetic"] = {
                "port": ports[2],
                "tls": "local",
                "every_s": EVERY_S,
                "routing_key_file": "synthetic.key",
                "ping_url_file": "ping.url",
            }
        path.write_text(yaml.safe_dump(region), encoding="utf-8")
    data = tmp_path / "data"
    data.mkdir()
    (data / "ping.url").write_text(outside.url + "\n", encoding="utf-8")
    env = environment(tmp_path) | {"TOCSIN_REGIONS_DIR": str(regions)}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return env


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest_asyncio.fixture
async def local(env: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[LocalSet]:
    caplog.set_level("WARNING", logger="httpx2")  # a line a request would hide what failed
    part = str(tmp_path / "synthetic-a.yaml")
    assert "next: tocsin directory apply" in tocsin(env, "synthetic", "init", "--region", "a", "--out", part)
    settings = Settings.load()
    content = yaml.safe_load(Path(part).read_text(encoding="utf-8"))  # noqa: ASYNC240 - nothing else runs yet
    settings.path(settings.topology().region("a").directory).write_text(yaml.safe_dump(content), encoding="utf-8")
    found = LocalSet(settings)
    await found.start()
    try:
        settings.up_file.write_text(json.dumps(found.published), encoding="utf-8")
        yield found
    finally:
        await found.stop()


async def test_the_switch_is_called_while_pages_come_and_not_when_the_notifiers_are_gone(
    local: LocalSet, outside: Outside, env: dict[str, str]
) -> None:
    await outside.called(2)
    assert set(outside.calls) == {PING}
    metrics = await asyncio.to_thread(_metrics, f"{local.admin_url('a', 'synthetic')}/metrics")
    assert 0 <= metrics["tocsin_synthetic_age_seconds"] < SEEN_S_MAX
    pages = json.loads(await asyncio.to_thread(tocsin, env, "pages", "ls", "--json"))
    assert {(page["user"], page["outcome"]) for page in pages} == {("tocsin-synthetic-a", "delivered")}

    await local.kill("a", "notifier", hold=True)
    await outside.called(2)  # the other region's sends it

    await local.kill("b", "notifier", hold=True)
    await asyncio.sleep(5 * EVERY_S)  # what was on its way has come
    before = len(outside.calls)
    await asyncio.sleep(5 * EVERY_S)
    assert len(outside.calls) == before

    local.processes["a", "notifier"].start()
    await outside.called(2)
    log = Settings.load().path(Path("logs/a-synthetic.log")).read_text(encoding="utf-8")
    assert PING not in log


def _metrics(url: str) -> dict[str, float]:
    import urllib.request  # noqa: PLC0415

    with urllib.request.urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {line.partition("{")[0]: float(line.split()[-1]) for line in lines if line and not line.startswith("#")}


def test_without_its_service_it_refuses_and_names_the_command_that_adds_it(env: dict[str, str], tmp_path: Path) -> None:
    tocsin(env, "synthetic", "init", "--region", "a", "--out", str(tmp_path / "part.yaml"))
    (tmp_path / "data" / "directory.yaml").write_text("services: []\n", encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "tocsin", "run", "synthetic", "--region", "a"],
        cwd=REPOSITORY,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "the directory has no service tocsin-synthetic-a" in ended.stderr
    assert "tocsin synthetic init --region a" in ended.stderr
    key = (tmp_path / "data" / "synthetic.key").read_text(encoding="utf-8").strip()
    assert key not in ended.stderr

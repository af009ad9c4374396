"""`tocsin up` for real: both regions, an event in at one side and out at the other, a kill, and a clean end."""

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.acceptance.conftest import REPOSITORY, START_S_MAX, children_of, until, until_ready

SEEN_S_MAX = 15.0
STOP_S_MAX = 20.0


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


class Client:
    """A client of both regions."""

    def __init__(self, published: dict[str, Any]) -> None:
        self._regions = {region["name"]: region for region in published["regions"]}
        self._key = published["routing_key"]
        (ca_file,) = {region["ca_file"] for region in published["regions"]}
        self.http = httpx2.Client(
            headers={"Authorization": f"Token token={published['token']}"},
            timeout=10,
            verify=ssl.create_default_context(cafile=ca_file),
        )

    def send(self, region: str, dedup_key: str) -> str:
        event = {
            "routing_key": self._key,
            "event_action": "trigger",
            "dedup_key": dedup_key,
            "payload": {"summary": f"{dedup_key} is down", "source": "test", "severity": "critical"},
        }
        answer = self.http.post(f"{self._regions[region]['intake_url']}/v2/enqueue", json=event)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def read(self, region: str, id: str) -> dict[str, Any] | None:
        answer = self.http.get(f"{self._regions[region]['query_url']}/incidents/{id}")
        assert answer.status_code in {200, 202}, answer.text
        assert "Tocsin-Complete-Until" in answer.headers
        return dict(answer.json()["incident"]) if answer.status_code == 200 else None

    def until_seen(self, region: str, id: str) -> dict[str, Any]:
        return until(f"{id} in region {region}", lambda: self.read(region, id), SEEN_S_MAX)


@pytest.fixture
def connect(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[Path], Client]]:
    """Makes clients of what is published."""
    caplog.set_level("WARNING", logger="httpx2")  # a line a request would hide what failed
    with contextlib.ExitStack() as stack:

        def make(up_file: Path) -> Client:
            client = Client(json.loads(up_file.read_bytes()))
            stack.enter_context(client.http)
            return client

        yield make


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_events_cross_regions_survive_a_kill_and_nothing_outlives_ctrl_c(
    up: subprocess.Popen[str], connect: Callable[[Path], Client], env: dict[str, str], tmp_path: Path
) -> None:
    until_ready(up, env, tmp_path)
    up_file = Path(env["TOCSIN_UP_FILE"])
    assert up_file.stat().st_mode & 0o077 == 0
    client = connect(up_file)

    first = client.send("a", "db-1")
    incident = client.until_seen("b", first)
    assert incident["incident_key"] == "db-1"

    roles = {(words[4], words[6]): pid for pid, words in children_of(up.pid).items() if words[2:4] == ["tocsin", "run"]}
    assert len(roles) == 10
    os.kill(roles["creator", "b"], signal.SIGKILL)
    sent = [client.send(region, f"db-{number}") for number, region in enumerate("ab" * 10, 2)]
    for region in "ab":
        for id in sent:
            client.until_seen(region, id)

    second = subprocess.run(
        [sys.executable, "-m", "tocsin", "up"], cwd=REPOSITORY, env=env, capture_output=True, timeout=20, check=False
    )
    assert second.returncode == 1
    assert f"process {up.pid} runs the regions of".encode() in second.stderr

    everyone = children_of(up.pid)
    up.send_signal(signal.SIGINT)
    assert up.wait(STOP_S_MAX) == 0, (tmp_path / "out").read_text()
    assert [words for pid, words in everyone.items() if is_running(pid)] == []
    assert not up_file.exists()
    told = (tmp_path / "out").read_text()
    assert "creator of region b (process" in told
    assert "was ended by SIGKILL; it is started again" in told


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help exists on Linux alone")
def test_nothing_outlives_a_supervisor_that_is_killed(up: subprocess.Popen[str]) -> None:
    def started() -> dict[int, list[str]] | None:
        children = children_of(up.pid)
        return children if len(children) >= 10 else None

    everyone = until("all are started", started, START_S_MAX)  # some have not even asked yet to end with it
    up.kill()
    up.wait()
    until("all are gone", lambda: not any(is_running(pid) for pid in everyone), START_S_MAX)

"""Drills as an operator runs them, on two real regions: they hold, they notice a defect, and a killed one is healed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
CHAOS = REPOSITORY / "chaos"
RUN_S_MAX = 150
pytestmark = pytest.mark.timeout(RUN_S_MAX + 30)


def environment(**more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    return inherited | {"TOCSIN_REGIONS_DIR": str(REPOSITORY / "regions" / "local")} | more


def drills(place: Path, *names: str, change: Callable[[dict[str, Any]], None] = lambda _: None) -> Path:
    """A folder with these of our drills, changed."""
    folder = place / "chaos"
    folder.mkdir()
    for name in names:
        content = yaml.safe_load((CHAOS / f"{name}.yaml").read_text())
        change(content)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


def tocsin(place: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tocsin", "drill", *words],
        cwd=place,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=RUN_S_MAX,
        check=False,
    )


def report(place: Path, name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((place / "build" / "drills" / name / "report.json").read_text())
    return told


def left_running(place: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").resolve() == place.resolve():
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def test_drills_hold_and_their_reports_tell_what_users_saw(tmp_path: Path) -> None:
    drills(tmp_path, "notifier-killed", "poison-request")
    ran = tocsin(tmp_path, "run", "--all", "--target", "embedded", "--yes")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for name in ("notifier-killed", "poison-request"):
        told = report(tmp_path, name)
        assert (told["verdict"], told["row"], told["because"]) == ("held", "held", [])
        assert told["requests"]["accepted"] > 0
        assert told["requests"]["lost"] == told["requests"]["diverged"] == told["requests"]["late"] == 0
        assert told["pages"]["due"] > 0
        assert told["pages"]["lost"] == 0
        assert all(reading["held"] for reading in told["evidence"])
        assert told["identity"]["faults_by"].startswith("stores and mirrors through the fault switch")
        assert told["runbook"] in (tmp_path / "build" / "drills" / name / "report.html").read_text()
    assert left_running(tmp_path) == []


def test_a_notifier_that_never_steps_in_for_its_peer_is_found(tmp_path: Path) -> None:
    """It waits for five minutes, in its place as for the silence."""

    def be_quick(drill: dict[str, Any]) -> None:
        for probe in drill["method"]:
            if probe["provider"]["func"] == "paged_after_s":
                probe["provider"]["arguments"]["within_s"] = 12.0

    drills(tmp_path, "notifier-killed", change=be_quick)
    waits = {"TOCSIN_REGION__PAGING__BACKSTOP_S": "300", "TOCSIN_REGION__PAGING__SILENCE_S": "300"}
    ran = tocsin(tmp_path, "run", "notifier-killed", "--yes", **waits)
    told = report(tmp_path, "notifier-killed")
    assert (ran.returncode, told["verdict"]) == (1, "deviated"), ran.stdout + ran.stderr
    assert not all(reading["held"] for reading in told["during"])


def test_what_a_killed_runner_left_broken_is_refused_then_healed(tmp_path: Path) -> None:
    drills(tmp_path, "store-down", change=lambda drill: drill["method"][0].update(pauses={"after": 300}))
    with (tmp_path / "out").open("w") as out:
        running = subprocess.Popen(
            [sys.executable, "-m", "tocsin", "drill", "run", "store-down", "--yes"],
            cwd=tmp_path,
            env=environment(),
            stdout=out,
            stderr=out,
        )
    try:
        until(lambda: "evidence" in (tmp_path / "out").read_text() or running.poll() is not None)
        assert running.poll() is None, (tmp_path / "out").read_text()
        faults = tmp_path / "build" / "drills" / ".work" / "data" / "faults.json"
        assert "store-b" in faults.read_text()
        second = tocsin(tmp_path, "heal")
        assert second.returncode == 1
        assert "another drill is running" in second.stderr
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    until(lambda: left_running(tmp_path) == [])
    refused = tocsin(tmp_path, "run", "store-down", "--yes")
    assert refused.returncode == 1
    assert "start_store(region: b)" in refused.stderr
    assert "tocsin drill heal" in refused.stderr
    healed = tocsin(tmp_path, "heal")
    assert healed.returncode == 0, healed.stderr
    assert "start_store(region: b): done" in healed.stdout
    assert not faults.exists()
    assert "no drill left anything behind" in tocsin(tmp_path, "heal").stdout


def test_ctrl_c_heals_reports_and_leaves_nothing_running(tmp_path: Path) -> None:
    drills(tmp_path, "store-down", change=lambda drill: drill["method"][0].update(pauses={"after": 300}))
    with (tmp_path / "out").open("w") as out:
        running = subprocess.Popen(
            [sys.executable, "-m", "tocsin", "drill", "run", "store-down", "--yes"],
            cwd=tmp_path,
            env=environment(),
            stdout=out,
            stderr=out,
        )
    until(lambda: "evidence" in (tmp_path / "out").read_text() or running.poll() is not None)
    running.send_signal(signal.SIGINT)
    assert running.wait(60) == 3, (tmp_path / "out").read_text()
    told = report(tmp_path, "store-down")
    assert (told["verdict"], told["row"]) == ("inconclusive", "interrupted")
    assert "start_store(region: b)" in [moment["text"] for moment in told["timeline"] if moment["kind"] == "heal"]
    until(lambda: left_running(tmp_path) == [])
    assert "no drill left anything behind" in tocsin(tmp_path, "heal").stdout


def test_a_deployed_region_is_not_broken_unless_it_is_typed_out(tmp_path: Path) -> None:
    drills(tmp_path, "store-down")
    refused = tocsin(tmp_path, "run", "store-down", "--target", "deployed", "--yes")
    assert refused.returncode == 1
    assert "type it out with --region; known: a, b" in refused.stderr


def until(reached: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < deadline_s
        time.sleep(0.2)

"""Drills as an operator runs them, on two real regions: they hold, and a killed one is healed."""

import contextlib
import signal
from pathlib import Path

import pytest

from tests.acceptance.drilling import RUN_S_MAX, begun, drills, report, tocsin, until

pytestmark = pytest.mark.timeout(RUN_S_MAX + 30)


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
    (quarantined,) = report(tmp_path, "poison-request")["alerts"]
    assert (quarantined["alert"], quarantined["in_words"]) == ("TocsinRequestsQuarantined", "true while it lasted")
    assert left_running(tmp_path) == []


def test_what_a_killed_runner_left_broken_is_refused_then_healed(tmp_path: Path) -> None:
    drills(tmp_path, "store-down", change=lambda drill: drill["method"][0].update(pauses={"after": 300}))
    running = begun(tmp_path, "run", "store-down", "--yes")
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
    running = begun(tmp_path, "run", "store-down", "--yes")
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

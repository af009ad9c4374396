"""The demo as a newcomer runs it, on 1,155 real alerts with real payloads, and what it leaves to look at."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.real_data import alerts, webhook_payloads
from tocsin.core.verdict import TABLE
from tocsin.ops.demo.stage import matches

REPOSITORY = Path(__file__).parents[2]
DEMO_S_MAX = 180
pytestmark = pytest.mark.timeout(DEMO_S_MAX + 30)


def real_events() -> list[dict[str, Any]]:
    """Every alert triggered, with a recorded payload as its details, then every one resolved."""
    payloads = webhook_payloads()
    triggers, ends = [], []
    for number, alert in enumerate(alerts()):
        key = {"dedup_key": f"{alert['service']}/{number}"}
        payload = {
            "summary": alert["description"] or alert["name"],
            "source": alert["exporter"] or alert["service"],
            "severity": alert["severity"],
            "component": alert["name"],
            "group": alert["group"],
            "custom_details": payloads[number % len(payloads)],
        }
        triggers.append(key | {"event_action": "trigger", "payload": payload})
        ends.append(key | {"event_action": "resolve"})
    return triggers + ends


def environment() -> dict[str, str]:
    return os.environ | {"TOCSIN_REGIONS_DIR": str(REPOSITORY / "regions" / "local")}


def tocsin(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tocsin", *words],
        cwd=place,
        env=environment() | {"TOCSIN_DATA_DIR": "build/demo"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo has run, once for all tests here."""
    place = tmp_path_factory.mktemp("demo")
    events = place / "events.jsonl"
    events.write_text("".join(json.dumps(event) + "\n" for event in real_events()))
    with (place / "out").open("w") as out:
        ran = subprocess.run(
            [sys.executable, "-m", "tocsin", "demo", "--events", str(events)],
            cwd=place,
            env=environment(),
            stdout=out,
            stderr=out,
            timeout=DEMO_S_MAX,
            check=False,
        )
    assert ran.returncode == 0, (place / "out").read_text()[-8000:]
    return place


@pytest.fixture(scope="module")
def result(stage: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((stage / "build" / "demo.json").read_text())
    return told


def test_all_real_alerts_are_accepted_and_stored_in_both_regions_without_a_difference(result: dict[str, Any]) -> None:
    assert (result["engine"], result["store"]) == ("embedded", "sqlite")
    assert (result["played"], result["refused"], result["differences"]) == (2310, 0, 0)
    for region in result["regions"].values():
        assert region["stored"] + region["quarantined"] == result["accepted"]
        assert region["set_aside"] == region["held"] == 0


def test_its_history_is_valid_and_a_request_struck_from_a_read_is_named(stage: Path, result: dict[str, Any]) -> None:
    assert (result["history"]["verdict"], result["history"]["anomalies"]) == ("valid", {})
    assert result["history"]["calls"]["get"]["ok"] > 0
    path = stage / "build" / "demo" / "history.jsonl"
    judged = json.loads(tocsin(stage, "history", "check", "--json", str(path)).stdout)
    assert (judged["verdict"], judged["acknowledged"]) == ("valid", result["accepted"])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    struck = next(line for line in reversed(lines) if line.get("entries"))["entries"].pop()
    changed = path.with_name("changed.jsonl")
    changed.write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = tocsin(stage, "history", "check", str(changed))
    assert told.returncode == 1
    assert f"skipped: {struck[0]} in b" in told.stdout or f"lost: {struck[0]} in b" in told.stdout


def test_every_scenario_ended_as_the_table_says(result: dict[str, Any]) -> None:
    assert len(result["scenarios"]) == 15
    for scenario in result["scenarios"]:
        assert scenario["ok"], scenario
        for region, expected in scenario["expected"].items():
            assert matches(expected, scenario["verdicts"][region])
    assert result["regions"]["a"]["quarantined"] == result["regions"]["b"]["quarantined"] == 3
    assert result["regions"]["b"]["halts"] >= 3


def test_every_scenarios_request_is_explained_in_words(stage: Path, result: dict[str, Any]) -> None:
    why = {row.name: row.why for row in TABLE}
    for scenario in result["scenarios"]:
        for request in scenario["requests"]:
            told = tocsin(stage, "ledger", "explain", request)
            assert told.returncode == 0, told.stderr
            decided = {row for steps in scenario["decisions"].values() for _, row, _ in steps}
            assert not decided or any(row in told.stdout and why.get(row, "") in told.stdout for row in decided)


def test_a_byte_changed_by_hand_is_found_and_named(stage: Path, tmp_path: Path) -> None:
    shutil.copytree(stage / "build", tmp_path / "build")
    assert tocsin(tmp_path, "verify", "--all").returncode == 0
    with sqlite3.connect(tmp_path / "build" / "demo" / "b" / "blue.sqlite") as connection:
        row, body = connection.execute("SELECT rowid, body FROM entries WHERE length(body) > 200 LIMIT 1").fetchone()
        changed = bytes([*body[:50], body[50] ^ 1, *body[51:]])
        connection.execute("UPDATE entries SET body = ? WHERE rowid = ?", (changed, row))
    connection.close()
    told = tocsin(tmp_path, "verify", "--all", "--json")
    assert told.returncode == 1
    differences = json.loads(told.stdout)["differences"]
    assert [(each["region"], each["kind"], each["field"]) for each in differences][:1] == [("b", "entry", "body")]


def test_ctrl_c_leaves_nothing_running(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out:
        running = subprocess.Popen(
            [sys.executable, "-m", "tocsin", "demo"], cwd=tmp_path, env=environment(), stdout=out, stderr=out
        )
    deadline = time.monotonic() + 30
    while "playing" not in (tmp_path / "out").read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 130
    time.sleep(0.5)
    left = [path for path in Path("/proc").glob("[0-9]*/cwd") if _is_at(path, tmp_path)]
    assert left == []


def _is_at(link: Path, place: Path) -> bool:
    try:
        return link.resolve() == place.resolve()
    except OSError:
        return False

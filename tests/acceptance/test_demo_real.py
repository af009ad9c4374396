"""The demo on Kafka, MirrorMaker 2 and Cassandra: what it leaves is what the embedded engines leave."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.servers import require_servers
from tocsin.ops.demo.scenarios import SCENARIOS
from tocsin.ops.demo.stage import matches

REPOSITORY = Path(__file__).parents[2]
DEMO_S_MAX = 480
pytestmark = pytest.mark.timeout(DEMO_S_MAX + 60)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo has run on real servers, once for all tests here."""
    require_servers()
    place = tmp_path_factory.mktemp("real")
    with (place / "out").open("w") as out:
        ran = subprocess.run(
            [sys.executable, "-m", "tocsin", "demo", "--engine", "real"],
            cwd=place,
            env=os.environ | {"TOCSIN_REGIONS_DIR": str(REPOSITORY / "regions" / "local")},
            stdout=out,
            stderr=out,
            timeout=DEMO_S_MAX,
            check=False,
        )
    assert ran.returncode == 0, (place / "out").read_text()[-8000:]
    return place


def test_every_row_is_the_same_in_both_regions(place: Path) -> None:
    told: dict[str, Any] = json.loads((place / "build" / "demo.json").read_text())
    assert (told["engine"], told["store"]) == ("real", "cassandra")
    assert (told["refused"], told["differences"], told["history"]["verdict"]) == (0, 0, "valid")
    for region in told["regions"].values():
        assert region["stored"] + region["quarantined"] == told["accepted"]
        assert region["set_aside"] == region["held"] == 0


def test_every_scenario_ended_as_the_table_says(place: Path) -> None:
    told: dict[str, Any] = json.loads((place / "build" / "demo.json").read_text())
    assert [scenario["name"] for scenario in told["scenarios"]] == [scenario.name for scenario in SCENARIOS]
    for scenario in told["scenarios"]:
        for region, expected in scenario["expected"].items():
            assert matches(expected, scenario["verdicts"][region]), scenario


def test_no_server_is_left_running(place: Path) -> None:
    published = place / "build" / "servers" / "demo" / "set.json"
    assert not published.exists()
    mine = str(place)
    left = [
        process.name
        for process in Path("/proc").glob("[0-9]*")
        if (line := process / "cmdline").exists() and mine in line.read_text(errors="replace")
    ]
    assert left == []

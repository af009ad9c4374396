"""The benchmarks still run, and publish what their README says. Nothing here asserts how fast anything is."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import servers

ROOT = Path(__file__).parents[2]
NAMES = [
    "bookkeeping",
    "intake_rate",
    "paging_core",
    "paging_embedded",
    "progress_map",
    "read_latency",
    "store_rate",
    "verdict_latency",
]
ON_SERVERS = ["paging_rate", "real_rate"]
SHARED = {"bare", "creating", "item_queue", "measure", "paging", "real_servers", "run", "traffic"}
FIELDS = {
    "question": str,
    "ours": dict,
    "peers": dict,
    "ratio": float,
    "ratio_of": str,
    "better": str,
    "floor": float,
    "aim": float,
    "met": bool,
    "aim_met": bool,
    "quick": bool,
    "sizes": dict,
    "details": dict,
    "machine": dict,
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What one quick run of everything published that needs no servers."""
    folder = tmp_path_factory.mktemp("bench")
    run("benchmarks/run.py", "--without-servers", out=folder, within_s=100)
    return {name: answer_of(name, folder) for name in NAMES}


@pytest.fixture(scope="module")
def answers_on_servers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What one quick run on Kafka and Cassandra published."""
    servers.require_servers()
    folder = tmp_path_factory.mktemp("bench")
    for name in ON_SERVERS:
        run("-m", f"benchmarks.{name}", out=folder, within_s=220)
    return {name: answer_of(name, folder) for name in ON_SERVERS}


@pytest.fixture(params=[*NAMES, *ON_SERVERS])
def answer(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One answer after the other."""
    fixture = "answers_on_servers" if request.param in ON_SERVERS else "answers"
    answers: dict[str, dict[str, Any]] = request.getfixturevalue(fixture)
    return answers[request.param]


def run(*what: str, out: Path, within_s: float) -> None:
    command = [sys.executable, *what, "--quick", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=within_s, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def answer_of(name: str, folder: Path) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return answer


def test_every_script_of_the_folder_is_asked_here() -> None:
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}

    assert scripts - SHARED == {*NAMES, *ON_SERVERS}


@pytest.mark.timeout(240)  # it starts a process for each benchmark, beside whatever else this machine does
def test_an_answer_has_the_fields_that_documents_and_checks_rely_on(answer: dict[str, Any]) -> None:
    assert {field: type(answer[field]) for field in FIELDS} == FIELDS
    assert answer["question"].endswith("?")
    assert answer["peers"], "a ratio is against something"
    figures = [*answer["ours"].values(), *(figure for peer in answer["peers"].values() for figure in peer.values())]
    assert figures
    assert all(math.isfinite(figure) and figure >= 0 for figure in figures)


def test_what_was_met_follows_from_the_figures(answer: dict[str, Any]) -> None:
    sign = {"lower": -1, "higher": 1}[answer["better"]]

    assert answer["met"] == (sign * answer["ratio"] >= sign * answer["floor"])
    assert answer["aim_met"] == (sign * answer["ratio"] >= sign * answer["aim"])
    assert sign * answer["aim"] >= sign * answer["floor"], "an aim that is easier than the floor is none"

"""The benchmarks still run, and publish what their README says. Nothing here asserts how fast anything is."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ["bookkeeping", "intake_rate", "progress_map", "read_latency", "store_rate", "verdict_latency"]
SHARED = {"bare", "measure", "run", "traffic"}
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
    """What one quick run of everything published."""
    folder = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "benchmarks/run.py", "--quick", "--out", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in NAMES}


def test_every_script_of_the_folder_is_asked_here() -> None:
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}

    assert scripts - SHARED == set(NAMES)


@pytest.mark.timeout(120)  # it starts a process for each benchmark, beside whatever else this machine does
@pytest.mark.parametrize("name", NAMES)
def test_an_answer_has_the_fields_that_documents_and_checks_rely_on(
    name: str, answers: dict[str, dict[str, Any]]
) -> None:
    answer = answers[name]

    assert {field: type(answer[field]) for field in FIELDS} == FIELDS
    assert answer["question"].endswith("?")
    assert answer["peers"], "a ratio is against something"
    figures = [*answer["ours"].values(), *(figure for peer in answer["peers"].values() for figure in peer.values())]
    assert figures
    assert all(math.isfinite(figure) and figure >= 0 for figure in figures)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_met_follows_from_the_figures(name: str, answers: dict[str, dict[str, Any]]) -> None:
    answer = answers[name]
    sign = {"lower": -1, "higher": 1}[answer["better"]]

    assert answer["met"] == (sign * answer["ratio"] >= sign * answer["floor"])
    assert answer["aim_met"] == (sign * answer["ratio"] >= sign * answer["aim"])
    assert sign * answer["aim"] >= sign * answer["floor"], "an aim that is easier than the floor is none"

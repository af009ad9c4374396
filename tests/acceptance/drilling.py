"""Drills as an operator runs them, each in a folder of its own."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tocsin.ops.alerts.files import CATALOGUE

REPOSITORY = Path(__file__).parents[2]
CHAOS = REPOSITORY / "chaos"
RUN_S_MAX = 240
"""On a busy machine; half a minute to a minute on one that is not."""


def environment(**more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    return inherited | {"TOCSIN_REGIONS_DIR": str(REPOSITORY / "regions" / "local")} | more


def drills(place: Path, *names: str, change: Callable[[dict[str, Any]], None] = lambda _: None) -> Path:
    """A folder with these of our drills, changed, and the catalogue of alerts where they look for it."""
    (place / CATALOGUE.parent).mkdir(parents=True)
    shutil.copy(REPOSITORY / CATALOGUE, place / CATALOGUE)
    folder = place / "chaos"
    folder.mkdir()
    for name in names:
        content = yaml.safe_load((CHAOS / f"{name}.yaml").read_text())
        change(content)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


def be_quick(drill: dict[str, Any]) -> None:
    """What takes longer than this will not come: nobody waits for it as long as a busy machine might need."""
    for probe in (*drill["steady-state-hypothesis"]["probes"], *drill["method"]):
        if probe["provider"]["func"] in ("paged_after_s", "stored_after_s"):
            probe["provider"]["arguments"]["within_s"] = 12.0


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


def begun(place: Path, *words: str) -> subprocess.Popen[str]:
    """The same, under way; what it says goes to the file `out` of the folder."""
    with (place / "out").open("w") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "tocsin", "drill", *words],
            cwd=place,
            env=environment(),
            stdout=out,
            stderr=out,
            text=True,
        )


def report(place: Path, name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((place / "build" / "drills" / name / "report.json").read_text())
    return told


def until(reached: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not reached():
        assert time.monotonic() < deadline_s
        time.sleep(0.1)

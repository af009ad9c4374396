"""`tocsin drill`: the drills are listed and shown; nothing is broken by a slip of the fingers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Run = Callable[..., Result]
CHAOS = str(Path(__file__).parents[3] / "chaos")


def test_drills_are_listed_with_what_breaks_and_what_to_read(run: Run) -> None:
    rows = json.loads(run("drill", "ls", "--json", "--drills-dir", CHAOS).stdout)
    found = {row["name"]: row for row in rows}
    assert found["store-down"]["runbook"] == "TocsinRegionIll"
    assert "TocsinRegionIll" in found["store-down"]["alerts"]
    assert "store-down" in run("drill", "ls", "--drills-dir", CHAOS).stdout


def test_a_drill_is_shown_with_what_it_does_and_how_it_heals(run: Run) -> None:
    shown = run("drill", "show", "store-down", "--drills-dir", CHAOS).stdout
    for part in ("steady state:", "stop_store(region: b)", "evidence:", "start_store(region: b)", "limits: detect_s"):
        assert part in shown
    as_json = json.loads(run("drill", "show", "store-down", "--drills-dir", CHAOS, "--json").stdout)
    assert as_json["name"] == "store-down"


def test_a_drill_that_there_is_not_is_named_with_the_nearest(run: Run) -> None:
    result = run("drill", "show", "store-dwon", "--drills-dir", CHAOS)
    assert result.exit_code == 1
    assert "there is no drill 'store-dwon'; did you mean 'store-down'?" in result.stderr


@pytest.mark.parametrize("words", [(), ("store-down", "--all")], ids=["neither", "both"])
def test_one_drill_is_run_or_all_of_them(run: Run, words: tuple[str, ...]) -> None:
    result = run("drill", "run", *words, "--drills-dir", CHAOS, "--yes")
    assert result.exit_code == 2
    assert "give the name of a drill, or --all" in result.stderr


def test_nothing_is_broken_without_a_yes(run: Run) -> None:
    result = run("drill", "run", "store-down", "--drills-dir", CHAOS)
    assert result.exit_code == 2
    assert "nothing was done" in result.stderr


def test_a_deployed_region_is_refused(run: Run) -> None:
    by_habit = run("drill", "run", "store-down", "--target", "deployed", "--drills-dir", CHAOS, "--yes")
    assert (by_habit.exit_code, "type it out with --region" in by_habit.stderr) == (1, True)
    alone = run("drill", "run", "store-down", "--target", "deployed", "--region", "a", "--drills-dir", CHAOS, "--yes")
    assert alone.exit_code == 1


def test_where_no_drill_was_killed_there_is_nothing_to_heal(run: Run, tmp_path: Path) -> None:
    result = run("drill", "heal", "--out", str(tmp_path))
    assert (result.exit_code, result.stdout.strip()) == (0, "no drill left anything behind")

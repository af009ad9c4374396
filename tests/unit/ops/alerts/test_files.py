"""What is generated: it is what the catalogue says now, and a change of the catalogue changes it."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.unit.ops.alerts.made import ALERTS, LEVELS, ROOT, catalogue, changed
from tocsin.ops.alerts.catalogue import load_catalogue
from tocsin.ops.alerts.files import DASHBOARDS, INDEX, PROOFS, RULES, generated, stale, write


def test_the_files_are_what_the_catalogue_says_now() -> None:
    assert stale(generated(catalogue()), ROOT) == [], "run `make alerts`"


def test_every_file_says_in_its_beginning_that_it_is_generated() -> None:
    for path, text in generated(catalogue()).items():
        first = "".join(text.splitlines()[:2])
        assert "Generated from deploy/alerts/catalogue.yaml by `make alerts`: edit that." in first, path


def test_only_what_is_stale_is_written_and_a_dashboard_that_nobody_wants_is_removed(tmp_path: Path) -> None:
    files = generated(catalogue())
    for path in files:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    old = DASHBOARDS / "tocsin-old.json"
    (tmp_path / old).write_text("{}", encoding="utf-8")
    (tmp_path / RULES).write_text("groups: []\n", encoding="utf-8")

    assert sorted(stale(files, tmp_path)) == sorted(write(files, tmp_path)) == sorted([RULES, old])
    assert stale(files, tmp_path) == []
    assert not (tmp_path / old).exists()


@pytest.mark.parametrize(
    ("way", "value", "file", "shows"),
    [
        ((ALERTS, "TocsinRegionHalted", "any_of", 0, "above"), 7, RULES, "(tocsin_creator_halted) > 7"),
        ((ALERTS, "TocsinRegionHalted", "any_of", 0, "above"), 7, PROOFS, "tocsin_creator_halted"),
        ((ALERTS, "TocsinRegionHalted", "symptoms"), ["It stands still"], INDEX, "| It stands still | [TocsinRegionH"),
        ((LEVELS, "time-to-stored", "objective_percent"), 99, RULES, "failure_ratio:rate1h > 0.144"),
        ((LEVELS, "time-to-stored", "within_s"), 10, RULES, 'le=~"10(\\\\.0)?"'),
        ((ALERTS, "TocsinRegionHalted", "any_of", 0, "above"), 7, DASHBOARDS / "tocsin-region.json", '"value": 7'),
    ],
)
def test_a_change_of_the_catalogue_is_seen_in(
    tmp_path: Path, way: tuple[str | int, ...], value: object, file: Path, shows: str
) -> None:
    before, after = generated(catalogue()), generated(load_catalogue(changed(tmp_path, *way, value=value)))

    assert before[file] != after[file]
    assert shows in after[file]


def test_an_alert_on_a_promise_pages_when_it_burns_fast_and_opens_a_ticket_when_it_burns_slowly() -> None:
    rules = yaml.safe_load(generated(catalogue())[RULES])
    found = {
        rule["labels"]["severity"]: rule["expr"]
        for group in rules["groups"]
        for rule in group["rules"]
        if rule.get("alert") == "TocsinIntakeFailing"
    }

    assert found.keys() == {"page", "ticket"}
    for burn in ("ratio:rate1h > 0.0144", "ratio:rate5m > 0.0144", "ratio:rate6h > 0.006", "ratio:rate30m > 0.006"):
        assert burn in found["page"]
    for burn in ("ratio:rate3d > 0.001", "ratio:rate6h > 0.001"):
        assert burn in found["ticket"]


def test_an_alert_that_is_a_ticket_wakes_nobody_however_fast_it_burns() -> None:
    rules = yaml.safe_load(generated(catalogue())[RULES])
    severities = [
        rule["labels"]["severity"]
        for group in rules["groups"]
        for rule in group["rules"]
        if rule.get("alert") == "TocsinVisibleLate"
    ]

    assert severities == ["ticket"]


def test_what_is_watched_from_outside_is_a_group_of_its_own() -> None:
    rules = yaml.safe_load(generated(catalogue())[RULES])
    outside = next(group for group in rules["groups"] if group["name"] == "tocsin-outside")

    assert [rule["alert"] for rule in outside["rules"]] == ["TocsinSyntheticPageMissing"]


def test_there_is_a_dashboard_a_reader_whose_panels_draw_the_limits_of_alerts() -> None:
    files = generated(catalogue())
    boards = {path.stem: json.loads(text) for path, text in files.items() if path.suffix == ".json"}
    lag = next(panel for panel in boards["tocsin-region"]["panels"] if panel["title"] == "Time to recover")

    assert set(boards) == {"tocsin-region", "tocsin-paging", "tocsin-engines"}
    assert [step["value"] for step in lag["fieldConfig"]["defaults"]["thresholds"]["steps"]] == [None, 1800]
    for board in boards.values():
        ids = [panel["id"] for panel in board["panels"]]
        assert ids == list(range(1, len(ids) + 1))
        assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in board["panels"])

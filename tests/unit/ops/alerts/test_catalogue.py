"""The catalogue: every fault is named by its field, and what is written in it can be measured."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.ops.alerts.made import ALERTS, LEVELS, catalogue, changed
from tocsin.config import ConfigError
from tocsin.ops.alerts.catalogue import Severity, load_catalogue

HALTED, STORED = (ALERTS, "TocsinRegionHalted"), (LEVELS, "time-to-stored")
CONDITION = (*HALTED, "any_of", 0)


def test_a_page_needs_a_person_at_night_and_most_of_what_may_go_wrong_does_not_stop_with_tickets() -> None:
    severities = {alert.name: alert.severity for alert in catalogue().alerts}

    assert severities["TocsinRegionHalted"] is Severity.PAGE
    assert severities["TocsinRequestsQuarantined"] is Severity.TICKET
    assert set(severities.values()) == set(Severity)


def test_an_alert_s_runbook_has_the_alert_s_name() -> None:
    assert catalogue().alerts[0].runbook == f"runbooks/{catalogue().alerts[0].name}.md"


@pytest.mark.parametrize(
    ("way", "value", "field", "what"),
    [
        ((*CONDITION, "metric"), "tocsin.creator.halt", ".any_of[0].metric", "did you mean 'tocsin.creator.halted'"),
        ((*CONDITION, "share_of"), "tocsin.bound.man", ".any_of[0].share_of", "did you mean 'tocsin.bound.max'"),
        ((*CONDITION, "of"), "increase", ".any_of[0].of", "increase of a gauge; expected max, min, sum"),
        ((*CONDITION, "of"), "average", ".any_of[0].of", "average"),
        ((*CONDITION, "below"), 3, ".any_of[0].above", "exactly one of above and below"),
        ((*CONDITION, "over_s"), 0, ".any_of[0].over_s", "some seconds"),
        ((*CONDITION, "abuve"), 3, ".any_of[0]", "abuve"),
        ((*HALTED, "severity"), "wake", ".severity", "wake"),
        ((*HALTED, "name"), "RegionHalted", ".name", "expected Tocsin and words in capitals"),
        ((*HALTED, "name"), "TocsinRegionIll", "alerts", "stands 2 times"),
        ((*HALTED, "drills"), [], ".drills", "is empty"),
        ((*HALTED, "drills"), ["Store Down"], ".drills", "small letters"),
        ((*HALTED, "for_s"), -1, ".for_s", "0 to 3600"),
        ((*HALTED, "for_s"), "1m", ".for_s", "int"),
        ((*HALTED, "any_of"), [], ".any_of", "exactly one of service_level and any_of"),
        ((*STORED, "metric"), "tocsin.creator.stored", ".metric", "no histogram"),
        ((*STORED, "within_s"), 7, ".within_s", "7 is no edge of a bucket of tocsin.creator.stored_time"),
        ((*STORED, "objective_percent"), 100, ".objective_percent", "less than 100"),
        ((*STORED, "good_label"), "status", ".within_s", "exactly one of within_s and good_label"),
        ((ALERTS, "TocsinStoredLate", "service_level"), "time-to-store", ".service_level", "did you mean"),
        ((ALERTS, "TocsinStoredLate", "service_level"), "time-to-visible", "service_levels", "'time-to-stored' has no"),
        (("dashboards", "tocsin-paging", "panels", 0, "service_level"), "x", ".panels[0].service_level", "no service"),
        (("dashboards", "tocsin-paging", "panels", 1, "queries"), [], ".panels[1].queries", "exactly one"),
        (("dashboards", "tocsin-paging", "uid"), "Paging!", ".uid", "small letters"),
    ],
)
def test_a_fault_is_named_by_its_field(tmp_path: Path, way: tuple[Any, ...], value: Any, field: str, what: str) -> None:
    path = changed(tmp_path, *way, value=value)

    with pytest.raises(ConfigError) as caught:
        load_catalogue(path)

    assert any(field in problem.field and what in problem.what for problem in caught.value.problems), str(caught.value)


def test_what_a_rate_or_a_quantile_would_tell_is_a_service_level(tmp_path: Path) -> None:
    slow = {"metric": "tocsin.notifier.late_time", "of": "quantile", "above": 30}

    with pytest.raises(ConfigError, match="is a service level"):
        load_catalogue(changed(tmp_path, *HALTED, "any_of", value=[slow]))


def test_conditions_of_one_alert_must_tell_the_same_things_apart(tmp_path: Path) -> None:
    metric = {"metric": "tocsin.creator.halted", "of": "sum", "above": 0}

    with pytest.raises(ConfigError, match="the same `by`"):
        load_catalogue(changed(tmp_path, *HALTED, "any_of", value=[metric, metric | {"by": ["role"]}]))

"""What Terraform makes alarms of on AWS, held against the catalogue: nothing is left out without a word."""

import json
import re
from typing import Final

import msgspec
import yaml

from tests.unit.ops.alerts.made import ROOT, catalogue
from tocsin.ops.alerts.catalogue import SCRAPED, Alert, Condition, Of

OBSERVE: Final = ROOT / "terraform/modules/observe"


def _alerts_of_table(title: str) -> set[str]:
    """The alerts in the first column of the README's table under a heading."""
    section = (OBSERVE / "README.md").read_text(encoding="utf-8").partition(f"## {title}")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `(Tocsin\w+)` \|", section, re.MULTILINE))


def _is_other_there(condition: Condition) -> bool:
    return condition.metric == SCRAPED or (condition.of is Of.SUM and condition.above != 0)


def test_alerts_that_are_no_alarms_on_aws_are_listed_with_their_reason() -> None:
    unwatched = {alert.name for alert in catalogue().alerts if alert.service_level or alert.outside}

    assert _alerts_of_table("Alerts of the catalogue that are no alarms here") == unwatched


def test_alarms_that_are_not_quite_their_alerts_are_listed() -> None:
    listed = _alerts_of_table("Alarms that are not quite their alerts")

    assert {alert.name for alert in catalogue().alerts if any(map(_is_other_there, alert.any_of))} <= listed
    assert listed <= {alert.name for alert in catalogue().alerts}


def test_every_alarm_from_outside_links_a_runbook_that_is_there() -> None:
    alarms = yaml.safe_load((OBSERVE / "alarms.yaml").read_text(encoding="utf-8"))

    assert alarms
    assert [name for name, alarm in alarms.items() if not (ROOT / f"runbooks/{alarm['runbook']}.md").is_file()] == []


def test_terraform_takes_what_is_left_out_for_the_same_as_we_do() -> None:
    text = (OBSERVE / "variables.tf").read_text(encoding="utf-8")
    theirs = dict(re.findall(r"^ +(\w+) += optional\(.+, (.+)\)$", text, re.MULTILINE))
    fields = {field.name: field for kind in (Alert, Condition) for field in msgspec.structs.fields(kind)}
    ours = {
        name: field.default_factory() if field.default is msgspec.NODEFAULT else field.default
        for name, field in fields.items()
        if not field.required
    }

    assert len(theirs) > 5
    assert {name: json.loads(value) for name, value in theirs.items()} == {
        name: json.loads(json.dumps(ours[name])) for name in theirs
    }


def test_a_fault_of_aws_has_the_name_of_the_drill_that_it_stands_for_or_is_said_to_stand_for_none() -> None:
    readme = (OBSERVE / "README.md").read_text(encoding="utf-8").partition("## Drills")[2].partition("\n<!--")[0]
    rows = re.findall(r"^\| ((?:`[a-z-]+` ?)+)\|.*\| (.+) \|$", readme, re.MULTILINE)
    named = {name: stands_for != "none" for names, stands_for in rows for name in re.findall(r"`([a-z-]+)`", names)}

    assert named
    assert {name: (ROOT / f"chaos/{name}.yaml").is_file() for name in named} == named

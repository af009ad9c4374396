"""What Prometheus and Alertmanager think of what we wrote for them: their own tools judge it."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.unit.ops.alerts.made import ALERTS, ROOT, catalogue, changed
from tocsin.ops.alerts.catalogue import SCRAPED, Severity, load_catalogue
from tocsin.ops.alerts.files import DASHBOARDS, FOLDER, PROOFS, RULES, generated
from tocsin.telemetry import Counter, Gauge, Histogram, prometheus_name

ROUTING = ROOT / FOLDER / "routing.yaml"
SCRAPING = ROOT / FOLDER / "prometheus.yaml"
RECEIVERS = {Severity.PAGE: "pager", Severity.TICKET: "tickets"}
NAME = re.compile(r"\b((?:region:)?tocsin_[a-z_]+(?::[a-z0-9_]+)?|up)\b(?!=)")
OUTSIDE_LABELS = re.compile(r"\{[^}]*\}|\[[^]]*\]|by \([^)]*\)")


@pytest.fixture
def promtool() -> str:
    return _tool("promtool", "prometheus")


@pytest.fixture
def amtool() -> str:
    return _tool("amtool", "prometheus-alertmanager")


def _tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        why = f"{name} is not installed; `make client-deps` installs Debian's {package}"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
    return found


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)


def expressions() -> dict[str, str]:
    """Where it stands to expression, of all rules and panels."""
    rules = yaml.safe_load((ROOT / RULES).read_text(encoding="utf-8"))
    found = {
        f"{rule.get('alert', rule.get('record'))} {rule.get('labels', '')}": rule["expr"]
        for group in rules["groups"]
        for rule in group["rules"]
    }
    for path in sorted((ROOT / DASHBOARDS).glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                found[f"{path.stem}, {panel['title']}, {target['refId']}"] = target["expr"]
    return found


def test_the_rules_are_accepted(promtool: str) -> None:
    checked = run(promtool, "check", "rules", RULES)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "SUCCESS" in checked.stdout


@pytest.mark.timeout(180)
def test_every_alert_fires_on_what_it_is_about_and_not_before(promtool: str) -> None:
    tested = run(promtool, "test", "rules", PROOFS)

    assert tested.returncode == 0, tested.stdout + tested.stderr
    proven = {
        look["alertname"]
        for test in yaml.safe_load((ROOT / PROOFS).read_text(encoding="utf-8"))["tests"]
        for look in test["alert_rule_test"]
        if look["exp_alerts"]
    }
    assert proven == {alert.name for alert in catalogue().alerts}


def test_a_rule_that_can_not_fire_any_more_fails_its_test(promtool: str, tmp_path: Path) -> None:
    """The proof of the proofs: the rules of a wrong limit against the tests of the right one."""
    tests = yaml.safe_load(generated(catalogue())[PROOFS])
    tests["tests"] = [test for test in tests["tests"] if test["name"].startswith("TocsinRegionHalted")]
    wrong = load_catalogue(changed(tmp_path, ALERTS, "TocsinRegionHalted", "any_of", 0, "above", value=9))
    (tmp_path / RULES.name).write_text(generated(wrong)[RULES], encoding="utf-8")
    (tmp_path / PROOFS.name).write_text(yaml.safe_dump(tests), encoding="utf-8")

    tested = run(promtool, "test", "rules", PROOFS.name, cwd=tmp_path)

    assert tested.returncode != 0
    assert "TocsinRegionHalted" in tested.stdout + tested.stderr


def test_every_expression_of_a_panel_is_one_that_prometheus_parses(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(expressions().values())]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")

    checked = run(promtool, "check", "rules", file)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(rules)} rules found" in checked.stdout


def test_expressions_name_only_metrics_that_the_code_shows_or_the_rules_record() -> None:
    shown = {prometheus_name(metric) for kind in (Counter, Gauge) for metric in kind} | {SCRAPED}
    shown |= {f"{prometheus_name(metric)}_{part}" for metric in Histogram for part in ("bucket", "count", "sum")}
    rules = yaml.safe_load((ROOT / RULES).read_text(encoding="utf-8"))
    shown |= {rule["record"] for group in rules["groups"] for rule in group["rules"] if "record" in rule}
    named = {
        (where, name) for where, expr in expressions().items() for name in NAME.findall(OUTSIDE_LABELS.sub("", expr))
    }

    assert len({name for _, name in named}) > 30, "the names were found at all"
    assert [pair for pair in sorted(named) if pair[1] not in shown] == []


def test_prometheus_accepts_what_it_is_to_read_and_it_says_what_alerts_go_by(promtool: str) -> None:
    checked = run(promtool, "check", "config", "--syntax-only", SCRAPING)
    scraping = yaml.safe_load(SCRAPING.read_text(encoding="utf-8"))
    (job,) = scraping["scrape_configs"]

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert scraping["rule_files"] == [RULES.name]
    for alert in catalogue().alerts:
        for condition in alert.any_of:
            if condition.metric == SCRAPED:
                assert condition.where == {"job": (job["job_name"],)}
                assert all(set(condition.by) <= set(targets["labels"]) for targets in job["static_configs"])


def test_alertmanager_accepts_who_is_told(amtool: str) -> None:
    checked = run(amtool, "check-config", ROUTING)

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("severity", Severity)
def test_every_alert_reaches_whom_its_severity_says(amtool: str, severity: Severity) -> None:
    rules = yaml.safe_load((ROOT / RULES).read_text(encoding="utf-8"))
    chosen = [
        rule
        for group in rules["groups"]
        for rule in group["rules"]
        if rule.get("labels", {}).get("severity") == severity
    ]

    assert chosen
    for rule in chosen:
        labels = [f"{label}={value}" for label, value in {"alertname": rule["alert"], **rule["labels"]}.items()]
        routed = run(amtool, "config", "routes", "test", f"--config.file={ROUTING}", *labels, "region=a")
        assert routed.stdout.split() == [RECEIVERS[severity]], rule["alert"]


def test_what_one_page_says_already_is_named_rightly() -> None:
    """An inhibition of an alert that was renamed would silently inhibit nothing."""
    names = {alert.name for alert in catalogue().alerts}

    assert set(re.findall(r"Tocsin\w+", "".join(re.findall(r"alertname .*'", ROUTING.read_text())))) <= names

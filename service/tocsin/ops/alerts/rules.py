"""The file of rules: for each service level what is recorded, and each alert with where its runbook is."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from tocsin.ops.alerts.burn import burning, recordings
from tocsin.ops.alerts.catalogue import Alert, Catalogue, Severity
from tocsin.ops.alerts.promql import either

EVERY_S: Final = 60
"""How often rules are looked at."""


class Rule(NamedTuple):
    """One alerting rule: of a burn that pages and one that does not there are two, under one name."""

    alert: Alert
    severity: Severity
    expr: str

    @property
    def labels(self) -> dict[str, str]:
        """What routes it."""
        return {"severity": str(self.severity), "owner": self.alert.owner}

    @property
    def annotations(self) -> dict[str, str]:
        """What is read by whoever it reaches."""
        return {"summary": self.alert.summary, "meaning": self.alert.meaning, "runbook": self.alert.runbook}


def rules_of(catalogue: Catalogue, alert: Alert) -> Iterator[Rule]:
    """The rules of one alert."""
    if alert.service_level:
        for severity, expr in burning(alert, catalogue.level(alert.service_level)):
            yield Rule(alert, severity, expr)
    else:
        yield Rule(alert, alert.severity, either(alert.any_of))


def rules_file(catalogue: Catalogue) -> dict[str, Any]:
    """The rules as Prometheus reads them."""
    groups = [
        {"name": f"tocsin-level-{level.name}", "interval": f"{EVERY_S}s", "rules": list(recordings(level))}
        for level in catalogue.service_levels
    ]
    for name, outside in (("tocsin-alerts", False), ("tocsin-outside", True)):
        chosen = [alert for alert in catalogue.alerts if alert.outside is outside]
        if chosen:
            rules = [_written(rule) for alert in chosen for rule in rules_of(catalogue, alert)]
            groups.append({"name": name, "interval": f"{EVERY_S}s", "rules": rules})
    return {"groups": groups}


def _written(rule: Rule) -> dict[str, Any]:
    held = {"for": f"{rule.alert.for_s}s"} if rule.alert.for_s else {}
    return {
        "alert": rule.alert.name,
        "expr": rule.expr,
        **held,
        "labels": rule.labels,
        "annotations": rule.annotations,
    }

"""A dashboard a reader, as Grafana keeps them. Ids are those of the catalogue, so that links to them last.

Where an alert looks at what a panel draws, its limit is a line in the panel: who was paged sees how far beyond it is.
"""

from collections.abc import Iterator
from typing import Any, Final

from tocsin.ops.alerts.burn import BURNS, recorded
from tocsin.ops.alerts.catalogue import Catalogue, Condition, Dashboard, Panel, Query
from tocsin.ops.alerts.promql import span, value

GENERATED: Final = "Generated from deploy/alerts/catalogue.yaml by `make alerts`: edit that."
SCHEMA_VERSION: Final = 38
"""Of the JSON model: Grafana 10 and later read it."""
_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 3
_UNITS: Final = {"s": "s", "count": "short", "per second": "reqps", "share": "percentunit", "yes or no": "bool_yes_no"}
_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}


def dashboard_file(catalogue: Catalogue, dashboard: Dashboard) -> dict[str, Any]:
    """One dashboard."""
    return {
        "description": f"{GENERATED} For {dashboard.reader}.",
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["tocsin"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "refresh": "1m",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "utc",
        "templating": {
            "list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": [_panel(catalogue, panel, number) for number, panel in enumerate(dashboard.panels)],
    }


def _panel(catalogue: Catalogue, panel: Panel, number: int) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS)
    limits = sorted(set(_limits(catalogue, panel)))
    drawn = {
        "mode": "absolute",
        "steps": [{"color": "green", "value": None}, *({"color": "red", "value": limit} for limit in limits)],
    }
    custom = {"thresholdsStyle": {"mode": "line" if limits else "off"}}
    unit = "none" if panel.service_level else _UNITS[panel.unit]
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "thresholds": drawn, "custom": custom}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": _SOURCE, "expr": expr, "legendFormat": legend}
            for place, (expr, legend) in enumerate(_targets(catalogue, panel))
        ],
    }


def _targets(catalogue: Catalogue, panel: Panel) -> Iterator[tuple[str, str]]:
    """Expression and legend of each line of a panel."""
    if panel.service_level:
        level = catalogue.level(panel.service_level)
        for burn in BURNS:
            expr = f"{recorded(level, 'failure_ratio', burn.long_s)} / {level.budget:g}"
            yield expr, f"{{{{region}}}}, over {span(burn.long_s)}"
    for query in panel.queries:
        legend = ", ".join(f"{{{{{label}}}}}" for label in query.by)
        yield value(query), f"{legend}: {_which(query)}" if len(panel.queries) > 1 else legend


def _which(query: Query) -> str:
    chosen = " ".join(value for values in query.where.values() for value in values)
    return chosen or query.metric.rpartition(".")[2].replace("_", " ")


def _limits(catalogue: Catalogue, panel: Panel) -> Iterator[float]:
    if panel.service_level:
        yield from (burn.rate for burn in BURNS)
        return
    for alert in catalogue.alerts:
        for condition in alert.any_of:
            if any(_draws(query, condition) for query in panel.queries):
                yield from (limit for limit in (condition.above, condition.below) if limit is not None)


def _draws(query: Query, condition: Condition) -> bool:
    """Whether the line of a query is what a condition looks at."""
    return all(getattr(query, field) == getattr(condition, field) for field in ("metric", "of", "where", "share_of"))

"""promtool's unit tests of the rules: that each alert fires on what it is about, says what it should, and rests else.

A rule that parses may still never fire: a label that nothing has, a comparison the wrong way round. So each condition
meets series just beyond its limit and series at it. Service levels live through the stories that burn rates are chosen
for: an outage and its end, a slow loss that nobody is to be woken for, and a few failures in the quiet of the night.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tocsin.ops.alerts.burn import BURNS
from tocsin.ops.alerts.catalogue import METRICS, Alert, Catalogue, Condition, Of, ServiceLevel, Severity
from tocsin.ops.alerts.promql import series
from tocsin.ops.alerts.rules import EVERY_S, Rule, rules_of
from tocsin.telemetry import prometheus_name

_MINUTE_S: Final = 60
_LABEL: Final = re.compile(r"{{ \$labels\.(\w+) }}")
_LASTS_MIN: Final = 90
"""How long the series of a condition go on."""
_PER_MIN: Final = 1_000
"""Requests a minute in the stories of service levels."""
_PART: Final = 100.0
"""What a share is a share of."""
_EXAMPLES: Final = {"region": "a", "partition": "0", "role": "creator", "peer": "b", "bound": "held", "source": "b"}


def proofs_file(catalogue: Catalogue, rules: str) -> dict[str, Any]:
    """The tests as promtool reads them; `rules` is the name of the file of rules beside them."""
    tests = [test for alert in catalogue.alerts for test in _tests(catalogue, alert)]
    return {"rule_files": [rules], "evaluation_interval": f"{EVERY_S}s", "tests": tests}


def _tests(catalogue: Catalogue, alert: Alert) -> Iterator[dict[str, Any]]:
    rules = list(rules_of(catalogue, alert))
    if alert.service_level:
        yield from _stories(rules, catalogue.level(alert.service_level))
        return
    for condition in alert.any_of:
        yield from _of_condition(rules[0], condition)


# Conditions ------------------------------------------------------------------------------------------------------


def _of_condition(rule: Rule, condition: Condition) -> Iterator[dict[str, Any]]:
    fires_min = rule.alert.for_s // _MINUTE_S + 10
    told = [_told(rule, _labels(condition, condition.by))]
    looks = [(fires_min, told)]
    if rule.alert.for_s >= 2 * _MINUTE_S:
        looks.insert(0, (rule.alert.for_s // _MINUTE_S - 1, []))
    what = f"{rule.alert.name}, {condition.metric}"
    yield _test(f"{what}: beyond the limit", _series(condition, beyond=True), rule.alert, looks)
    settled_min = fires_min + condition.over_s // _MINUTE_S
    yield _test(f"{what}: at the limit", _series(condition, beyond=False), rule.alert, [(settled_min, [])])
    if condition.or_missing:
        labels = {label: values[0] for label, values in condition.where.items() if len(values) == 1}
        yield _test(f"{what}: missing", [], rule.alert, [(fires_min, [_told(rule, labels)])])


def _series(condition: Condition, *, beyond: bool) -> list[dict[str, str]]:
    limit, towards = (condition.above, 1) if condition.above is not None else (condition.below, -1)
    assert limit is not None, "the catalogue was checked"  # noqa: S101 - for the reader and the type checker
    labels = _labels(condition, (*condition.by, "partition"))
    found = _named(condition.metric, labels)
    if condition.of is Of.INCREASE:
        return [{"series": found, "values": f"_x4 {limit + 1:g}x{_LASTS_MIN}" if beyond else f"7x{_LASTS_MIN}"}]
    if condition.share_of:
        used = (limit + towards * 0.05 * beyond) * _PART
        whole = _named(condition.share_of, labels)
        return [
            {"series": found, "values": f"{used:g}x{_LASTS_MIN}"},
            {"series": whole, "values": f"{_PART:g}x{_LASTS_MIN}"},
        ]
    value = limit + towards * max(1.0, abs(limit) / 10) * beyond
    return [{"series": found, "values": f"{value:g}x{_LASTS_MIN}"}]


def _labels(condition: Condition, names: Sequence[str]) -> dict[str, str]:
    where = {label: values[0] for label, values in condition.where.items()}
    return {name: where.get(name, _EXAMPLES[name]) for name in names} | (where if "partition" in names else {})


def _named(metric: str, labels: Mapping[str, str]) -> str:
    return series(metric, {label: (value,) for label, value in labels.items()})


# Service levels --------------------------------------------------------------------------------------------------


def _stories(rules: Sequence[Rule], level: ServiceLevel) -> Iterator[dict[str, Any]]:
    alert, told = rules[0].alert, {rule.severity: _told(rule, {"region": "a"}) for rule in rules}
    all_told, ticket = list(told.values()), [told[Severity.TICKET]]
    quiet_min, out_min, after_min = 30, 20, BURNS[1].short_s // _MINUTE_S + 10
    yield _test(
        f"{alert.name}: all fails for {out_min} minutes, then all is well again",
        _measured(level, [(quiet_min, _PER_MIN, 0.0), (out_min, _PER_MIN, 1.0), (after_min, _PER_MIN, 0.0)]),
        alert,
        [(quiet_min, []), (quiet_min + out_min, all_told), (quiet_min + out_min + after_min, ticket)],
    )
    slow_min = 60
    yield _test(
        f"{alert.name}: the budget goes three times as fast as it may, and nobody is woken",
        _measured(level, [(slow_min, _PER_MIN, 3 * level.budget)]),
        alert,
        [(slow_min, ticket)],
    )
    few = (level.failures_min - 1) / 10
    yield _test(
        f"{alert.name}: {level.failures_min - 1} failures in the quiet of the night",
        _measured(level, [(30, 1, 0.0), (10, 1, few), (20, 1, 0.0)]),
        alert,
        [(40, []), (60, [])],
    )


def _measured(level: ServiceLevel, phases: Sequence[tuple[int, float, float]]) -> list[dict[str, str]]:
    """The series of a histogram that lived through phases: minutes, requests a minute, share of failures."""
    where = {label: values[0] for label, values in level.where.items()} | {"region": "a"}
    name = prometheus_name(METRICS[level.metric])
    good = [(minutes, rate * (1 - share)) for minutes, rate, share in phases]
    bad = [(minutes, rate * share) for minutes, rate, share in phases]
    every = [(minutes, rate) for minutes, rate, _ in phases]
    if level.within_s is not None:
        return [
            {"series": _written(f"{name}_bucket", where | {"le": f"{level.within_s:.1f}"}), "values": _risen(good)},
            {"series": _written(f"{name}_count", where), "values": _risen(every)},
        ]
    label, (is_good, *_) = level.good_label, level.good_values
    return [
        {"series": _written(f"{name}_count", where | {label: is_good}), "values": _risen(good)},
        {"series": _written(f"{name}_count", where | {label: "neither"}), "values": _risen(bad)},
    ]


def _risen(phases: Sequence[tuple[int, float]]) -> str:
    """A counter's values, minute by minute."""
    parts, at = [], 0.0
    for minutes, per_min in phases:
        parts.append(f"{at:g}+{per_min:g}x{minutes - 1}")
        at += per_min * minutes
    return " ".join(parts)


def _written(name: str, labels: Mapping[str, str]) -> str:
    matched = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{matched}}}"


# As promtool reads it --------------------------------------------------------------------------------------------


def _told(rule: Rule, labels: Mapping[str, str]) -> dict[str, Any]:
    told = {name: _LABEL.sub(lambda found: labels.get(found[1], ""), text) for name, text in rule.annotations.items()}
    return {"exp_labels": {**labels, **rule.labels}, "exp_annotations": told}


def _test(
    name: str, given: list[dict[str, str]], alert: Alert, looks: Sequence[tuple[int, list[dict[str, Any]]]]
) -> dict[str, Any]:
    return {
        "name": name,
        "interval": f"{_MINUTE_S}s",
        "input_series": given,
        "alert_rule_test": [
            {"eval_time": f"{minute}m", "alertname": alert.name, "exp_alerts": told} for minute, told in looks
        ],
    }

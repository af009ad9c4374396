"""Conditions of the catalogue held against what roles show, without a Prometheus between.

For drills, whose faults last for seconds: how long a condition must hold (`for_s`) is not waited for, and an increase
is counted from a first look. A rate of burning says something over minutes and hours only; it is not evaluated here.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from tocsin.ops.alerts.catalogue import METRICS, SCRAPED, Condition, Of
from tocsin.telemetry import prometheus_name


class Series(NamedTuple):
    """One figure, by its name in Prometheus."""

    name: str
    labels: Mapping[str, str]
    value: float


def names(conditions: Iterable[Condition]) -> frozenset[str]:
    """The names in Prometheus of all that these conditions ask for."""
    asked = {metric for one in conditions for metric in (one.metric, one.share_of) if metric}
    return frozenset(_name(metric) for metric in asked)


def parsed(text: str, wanted: Collection[str]) -> Iterator[Series]:
    """The series of these names in what a role answered to a scrape; raises ValueError when it is no such text."""
    lines = [line for line in text.splitlines() if line.partition("{")[0].partition(" ")[0] in wanted]
    for family in text_string_to_metric_families("\n".join([*lines, ""])):
        for sample in family.samples:
            yield Series(sample.name, sample.labels, sample.value)


def values(condition: Condition, now: Sequence[Series], first: Sequence[Series]) -> dict[tuple[str, ...], float]:
    """The number of a condition for each set of its labels `by`; an increase is since `first`.

    A counter that is lower than it was is that of a process which began anew: it counts from 0.
    """
    found = {_labels(one): one for one in now if _counts(condition, condition.metric, one)}
    if condition.of is Of.INCREASE:
        earlier = {_labels(one): one.value for one in first if _counts(condition, condition.metric, one)}
        grown = {key: one.value - earlier.get(key, 0.0) for key, one in found.items()}
        found = {key: one if grown[key] < 0 else one._replace(value=grown[key]) for key, one in found.items()}
    if condition.share_of:
        whole = {_labels(one): one.value for one in now if _counts(condition, condition.share_of, one)}
        found = {key: one._replace(value=one.value / whole[key]) for key, one in found.items() if whole.get(key)}
    groups: dict[tuple[str, ...], list[float]] = {}
    for one in found.values():
        groups.setdefault(tuple(one.labels.get(label, "") for label in condition.by), []).append(one.value)
    fold = {Of.MAX: max, Of.MIN: min}.get(condition.of, sum)
    return {key: float(fold(each)) for key, each in groups.items()}


def worst(condition: Condition, found: Collection[float]) -> float | None:
    """That of some values which is nearest to the limit, or furthest beyond it; None when there are none."""
    return (max if condition.above is not None else min)(found, default=None)


def is_beyond(condition: Condition, value: float | None) -> bool:
    """Whether a value is one that the condition calls bad; None, no value, is so where something must be there."""
    if value is None:
        return condition.or_missing
    if condition.above is not None:
        return value > condition.above
    return condition.below is not None and value < condition.below


def _counts(condition: Condition, metric: str, one: Series) -> bool:
    return one.name == _name(metric) and all(one.labels.get(label) in few for label, few in condition.where.items())


def _labels(one: Series) -> frozenset[tuple[str, str]]:
    return frozenset(one.labels.items())


def _name(metric: str) -> str:
    return SCRAPED if metric == SCRAPED else prometheus_name(METRICS[metric])

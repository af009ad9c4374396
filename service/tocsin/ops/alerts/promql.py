"""A query of the catalogue as an expression of Prometheus.

What counts is never compared with what it was when the process began: a series that did not exist before its first
event counts as one that was 0 (Prometheus' `increase` alone does not see a counter's first step).
"""

from collections.abc import Mapping, Sequence
from typing import Final

from tocsin.ops.alerts.catalogue import METRICS, SCRAPED, Condition, Of, Query
from tocsin.telemetry import prometheus_name

_SPANS: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def span(seconds: int) -> str:
    """A span of time as Prometheus writes it, in the largest unit that fits: `5m`."""
    return next(f"{seconds // length}{unit}" for unit, length in _SPANS if seconds % length == 0)


def series(metric: str, where: Mapping[str, Sequence[str]], *, suffix: str = "", **more: str) -> str:
    """The series of a metric whose labels have one of the values; `more` are matchers as they stand: `=~"5.."`."""
    name = SCRAPED if metric == SCRAPED else prometheus_name(METRICS[metric])
    matchers = [f"{label}{_matcher(values)}" for label, values in where.items()]
    matchers += [f"{label}{matcher}" for label, matcher in more.items()]
    return f"{name}{suffix}" + (f"{{{','.join(matchers)}}}" if matchers else "")


def at_most(edge: float) -> str:
    """The matcher of a histogram's bucket. Some write its edge as 5, some as 5.0, so both are taken."""
    digits = f"{edge:g}".replace(".", "\\\\.")
    return f'=~"{digits}(\\\\.0)?"' if edge == int(edge) else f'="{edge:g}"'


def value(query: Query) -> str:
    """The expression of its number."""
    found, by = series(query.metric, query.where), by_labels(query.by)
    window = span(query.over_s)
    match query.of:
        case Of.RATE:
            return f"sum{by} (rate({found}[{window}]))"
        case Of.INCREASE:
            return f"sum{by} (({found} unless {found} offset {window}) or increase({found}[{window}]))"
        case Of.QUANTILE:
            buckets = series(query.metric, query.where, suffix="_bucket")
            return (
                f"histogram_quantile({query.quantile:g}, sum{by_labels((*query.by, 'le'))} (rate({buckets}[{window}])))"
            )
    if query.share_of:
        found = f"{found} / {series(query.share_of, query.where)}"
    return f"{query.of}{by} ({found})"


def breach(condition: Condition) -> str:
    """The expression that has a series for each set of labels where the condition holds."""
    compared = f"> {condition.above:g}" if condition.above is not None else f"< {condition.below:g}"
    held = f"{value(condition)} {compared}"
    return f"{held} or absent({series(condition.metric, condition.where)})" if condition.or_missing else held


def either(conditions: Sequence[Condition]) -> str:
    """The expression of an alert with several conditions: one series for each set of labels, whichever holds."""
    return "\nor\n".join(breach(condition) for condition in conditions)


def by_labels(names: Sequence[str]) -> str:
    """The clause that keeps these labels."""
    return f" by ({', '.join(names)})" if names else ""


def _matcher(values: Sequence[str]) -> str:
    return f'="{values[0]}"' if len(values) == 1 else f'=~"{"|".join(values)}"'

"""Service levels as recording rules and burn-rate alerts.

The budget of a service level is the share that may be bad, 0.1 % for an objective of 99.9 %. The *burn rate* is how
many times faster than evenly it is spent: at 1, all of it within the window of the objective. Each alert looks at two
windows at once: the long one so that what is told matters, the short one so that it ends soon after the trouble does.

Source: The Site Reliability Workbook (Google, 2018), chapter 5 "Alerting on SLOs", section 6 "Multiwindow,
Multi-Burn-Rate Alerts", whose windows and rates these are: 2 % of a 30-day budget in an hour, 5 % in six, 10 % in three
days. To it is added a least number of failures, for what the chapter tells under "Low-Traffic Services".
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from tocsin.ops.alerts.catalogue import Alert, ServiceLevel, Severity
from tocsin.ops.alerts.promql import at_most, series, span


class Burn(NamedTuple):
    """When it is told: at this rate over both windows."""

    rate: float
    long_s: int
    short_s: int
    severity: Severity


BURNS: Final = (
    Burn(14.4, 3_600, 300, Severity.PAGE),
    Burn(6.0, 21_600, 1_800, Severity.PAGE),
    Burn(1.0, 259_200, 21_600, Severity.TICKET),
)
WINDOWS_S: Final = tuple(sorted({window for burn in BURNS for window in (burn.long_s, burn.short_s)}))
_BY: Final = "sum by (region)"


def recorded(level: ServiceLevel, what: str, window_s: int) -> str:
    """The name of a recorded series: of the `failures` or `failure_ratio` of a level, over a window."""
    return f"region:tocsin_{level.name.replace('-', '_')}_{what}:rate{span(window_s)}"


def recordings(level: ServiceLevel) -> Iterator[dict[str, Any]]:
    """The recording rules of a level: for each window the failures a second, and their share of all."""
    for window_s in WINDOWS_S:
        failures, total = (
            _failures(level, window_s),
            _rate(series(level.metric, level.where, suffix="_count"), window_s),
        )
        yield {"record": recorded(level, "failures", window_s), "expr": failures}
        yield {
            "record": recorded(level, "failure_ratio", window_s),
            "expr": f"{recorded(level, 'failures', window_s)}\n/\n{total}",
        }


def burning(alert: Alert, level: ServiceLevel) -> Iterator[tuple[Severity, str]]:
    """The severity and the expression of each burn of an alert; those of one severity are joined.

    An alert that is a ticket has no burn that pages.
    """
    for severity in Severity:
        burns = [burn for burn in BURNS if _severity(alert, burn) is severity]
        if burns:
            yield severity, "\nor\n".join(_burn(level, burn) for burn in burns)


def _severity(alert: Alert, burn: Burn) -> Severity:
    return Severity.TICKET if Severity.TICKET in (alert.severity, burn.severity) else Severity.PAGE


def _burn(level: ServiceLevel, burn: Burn) -> str:
    limit = f"{burn.rate * level.budget:.6g}"
    return (
        f"({recorded(level, 'failure_ratio', burn.long_s)} > {limit}\n"
        f"  and {recorded(level, 'failure_ratio', burn.short_s)} > {limit}\n"
        f"  and {recorded(level, 'failures', burn.long_s)} * {burn.long_s} >= {level.failures_min})"
    )


def _failures(level: ServiceLevel, window_s: int) -> str:
    """How many a second were bad. Where none was, it is 0, and not nothing."""
    total = _rate(series(level.metric, level.where, suffix="_count"), window_s)
    if level.within_s is not None:
        good = series(level.metric, level.where, suffix="_bucket", le=at_most(level.within_s))
        return f"{total}\n- {_rate(good, window_s)}"
    bad_values = f'!~"{"|".join(level.good_values)}"'
    bad = series(level.metric, level.where, suffix="_count", **{level.good_label: bad_values})
    return f"{_rate(bad, window_s)}\nor 0 * {total}"


def _rate(found: str, window_s: int) -> str:
    return f"{_BY} (rate({found}[{span(window_s)}]))"

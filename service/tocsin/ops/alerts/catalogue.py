"""The catalogue: service levels, alerts and dashboards as data. Reading it names every fault by its field.

A query says which metric, of which of its series, and how these become one number for each set of `by`. It has no
syntax of its own, so it can only say what every system that watches can answer.
"""

import re
from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

import msgspec

from tocsin.config import ConfigError, Problem, load_yaml, nearest
from tocsin.telemetry import Counter, Gauge, Histogram

SCRAPED: Final = "up"
"""The one metric that no process of ours shows: the scraper's own, 1 when it could read a process's metrics."""
METRICS: Final = {member.value.name: member for kind in (Counter, Gauge, Histogram) for member in kind}
"""Metric to what it is in the code."""
FOR_S_MAX: Final = 3_600
_NAME: Final = re.compile(r"Tocsin[A-Z][A-Za-z]{2,40}\Z")
_SLUG: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")


class Severity(StrEnum):
    """Whom an alert reaches."""

    PAGE = "page"
    """Somebody is woken: it needs a person now."""
    TICKET = "ticket"
    """It needs a person on a working day."""


class Of(StrEnum):
    """How the series of a metric become one number."""

    MAX = "max"
    MIN = "min"
    SUM = "sum"
    RATE = "rate"
    """Of a counter: how many a second, summed."""
    INCREASE = "increase"
    """Of a counter: how many more than `over_s` ago, summed."""
    QUANTILE = "quantile"
    """Of a histogram: the value below which the share `quantile` of what was measured lies."""


_COUNTED: Final = frozenset({Of.RATE, Of.INCREASE})


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a typo in the file does not get past."""


class Query(Strict, frozen=True):
    """A number for each set of the labels `by`.

    `where` names labels and the values that count; `over_s` is the window of a rate, increase or quantile. With
    `share_of`, the number is a share of that other metric, compared series by series.
    """

    metric: str
    of: Of
    by: tuple[str, ...] = ("region",)
    where: dict[str, tuple[str, ...]] = {}
    over_s: int = 300
    quantile: float = 0.99
    share_of: str = ""

    def faults(self) -> Iterator[tuple[str, str]]:
        """What is wrong with it: field and fault."""
        for field, name in (("metric", self.metric), ("share_of", self.share_of)):
            if name and name not in METRICS and name != SCRAPED:
                yield field, f"no metric {name!r}{nearest(name, METRICS)}"
        kind = type(METRICS.get(self.metric, Gauge.USED))
        fits = {Counter: _COUNTED, Gauge: {Of.MAX, Of.MIN, Of.SUM}, Histogram: {Of.QUANTILE}}[kind]
        if self.of not in fits:
            yield "of", f"{self.of} of a {kind.__name__.lower()}; expected {', '.join(sorted(fits))}"
        if self.over_s <= 0:
            yield "over_s", f"{self.over_s}: expected some seconds"
        if not 0 < self.quantile < 1:
            yield "quantile", f"{self.quantile}: expected a share between 0 and 1"


class Condition(Query, frozen=True):
    """A query, and beyond which value it is bad: `above` it, or `below` it. Strictly: at the value all is well.

    With `or_missing`, having no such metric at all is bad too: for what must always be there.
    """

    above: float | None = None
    below: float | None = None
    or_missing: bool = False

    def faults(self) -> Iterator[tuple[str, str]]:
        """As a query's; and exactly one limit must be given."""
        yield from super().faults()
        if self.of in (Of.RATE, Of.QUANTILE):
            yield "of", f"{self.of}: no condition for an alert; what it would tell is a service level"
        if (self.above is None) == (self.below is None):
            yield "above", "exactly one of above and below must be given"


class ServiceLevel(Strict, frozen=True):
    """A promise in numbers: of what a histogram measured within `window_days`, so many percent were good.

    What counts at all is said by `where`; good is what was measured as at most `within_s`, or whose label `good_label`
    has one of `good_values`. Fewer bad ones than `failures_min` in the window of an alert wake nobody: of a handful of
    requests at night one slow one would be a breach.
    """

    name: str
    title: str
    promise: str
    objective_percent: float
    window_days: int
    metric: str
    where: dict[str, tuple[str, ...]] = {}
    within_s: float | None = None
    good_label: str = ""
    good_values: tuple[str, ...] = ()
    failures_min: int = 10

    @property
    def budget(self) -> float:
        """The share that may be bad."""
        return round(1 - self.objective_percent / 100, 9)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What is wrong with it: field and fault."""
        if not _SLUG.match(self.name):
            yield "name", f"{self.name!r}: expected words of small letters, joined by hyphens"
        if not 0 < self.objective_percent < 100:  # noqa: PLR2004 - per cent
            yield "objective_percent", f"{self.objective_percent}: expected more than 0 and less than 100"
        if self.window_days <= 0:
            yield "window_days", f"{self.window_days}: expected some days"
        histograms = {member.value.name: member.value for member in Histogram}
        if self.metric not in histograms:
            yield "metric", f"no histogram {self.metric!r}{nearest(self.metric, histograms)}"
        elif self.within_s is not None and self.within_s not in histograms[self.metric].edges:
            bounds = ", ".join(f"{bound:g}" for bound in histograms[self.metric].edges)
            yield "within_s", f"{self.within_s:g} is no edge of a bucket of {self.metric}; those are {bounds}"
        if (self.within_s is None) == (not self.good_label):
            yield "within_s", "exactly one of within_s and good_label must be given"
        if bool(self.good_label) != bool(self.good_values):
            yield "good_values", "good_label and good_values go together"


class Alert(Strict, frozen=True):
    """What somebody is told, why, and where to read on.

    It fires on a service level that burns, or when one of `any_of` held for `for_s`. `symptoms` are how somebody who
    has no alert before them would put it: the index of runbooks is made of them. `outside` ones must be watched from
    outside of what they watch.
    """

    name: str
    severity: Severity
    owner: str
    summary: str
    meaning: str
    symptoms: tuple[str, ...]
    drills: tuple[str, ...]
    service_level: str = ""
    any_of: tuple[Condition, ...] = ()
    for_s: int = 0
    outside: bool = False

    @property
    def runbook(self) -> str:
        """Its runbook, from the root of the repository."""
        return f"runbooks/{self.name}.md"

    def faults(self) -> Iterator[tuple[str, str]]:
        """What is wrong with it: field and fault."""
        if not _NAME.match(self.name):
            yield "name", f"{self.name!r}: expected Tocsin and words in capitals, as TocsinPeerSilent"
        for field in ("owner", "summary", "meaning", "symptoms", "drills"):
            if not getattr(self, field):
                yield field, "is empty"
        for drill in self.drills:
            if not _SLUG.match(drill):
                yield "drills", f"{drill!r}: expected words of small letters, joined by hyphens"
        if bool(self.service_level) == bool(self.any_of):
            yield "any_of", "exactly one of service_level and any_of must be given"
        if not 0 <= self.for_s <= FOR_S_MAX:
            yield "for_s", f"{self.for_s}: expected 0 to {FOR_S_MAX} seconds"
        for index, condition in enumerate(self.any_of):
            yield from ((f"any_of[{index}].{field}", what) for field, what in condition.faults())
        if len({condition.by for condition in self.any_of}) > 1:
            yield "any_of", "all conditions must have the same `by`: they are one alert"


class Panel(Strict, frozen=True):
    """One picture: queries, or how fast a service level burns. Alerts on the same metric draw their limits into it."""

    title: str
    about: str
    queries: tuple[Query, ...] = ()
    service_level: str = ""
    unit: Literal["s", "count", "per second", "share", "yes or no"] = "count"

    def faults(self) -> Iterator[tuple[str, str]]:
        """What is wrong with it: field and fault."""
        if bool(self.queries) == bool(self.service_level):
            yield "queries", "exactly one of queries and service_level must be given"
        for index, query in enumerate(self.queries):
            yield from ((f"queries[{index}].{field}", what) for field, what in query.faults())


class Dashboard(Strict, frozen=True):
    """What one kind of reader looks at."""

    uid: str
    title: str
    reader: str
    panels: tuple[Panel, ...]

    def faults(self) -> Iterator[tuple[str, str]]:
        """What is wrong with it: field and fault."""
        if not _SLUG.match(self.uid):
            yield "uid", f"{self.uid!r}: expected words of small letters, joined by hyphens"
        for index, panel in enumerate(self.panels):
            yield from ((f"panels[{index}].{field}", what) for field, what in panel.faults())


class Catalogue(Strict, frozen=True):
    """All of it."""

    service_levels: tuple[ServiceLevel, ...]
    alerts: tuple[Alert, ...]
    dashboards: tuple[Dashboard, ...]

    def level(self, name: str) -> ServiceLevel:
        """The service level of a name that the catalogue uses."""
        return next(level for level in self.service_levels if level.name == name)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What is wrong with it: field and fault."""
        for section in ("service_levels", "alerts", "dashboards"):
            for index, item in enumerate(getattr(self, section)):
                yield from ((f"{section}[{index}].{field}", what) for field, what in item.faults())
        yield from _twice("service_levels", (level.name for level in self.service_levels))
        yield from _twice("alerts", (alert.name for alert in self.alerts))
        yield from _twice("dashboards", (dashboard.uid for dashboard in self.dashboards))
        known = {level.name for level in self.service_levels}
        used = [(f"alerts[{index}]", alert.service_level) for index, alert in enumerate(self.alerts)]
        used += [
            (f"dashboards[{index}].panels[{place}]", panel.service_level)
            for index, dashboard in enumerate(self.dashboards)
            for place, panel in enumerate(dashboard.panels)
        ]
        for where, name in used:
            if name and name not in known:
                yield f"{where}.service_level", f"no service level {name!r}{nearest(name, known)}"
        for name in sorted(known - {alert.service_level for alert in self.alerts}):
            yield "service_levels", f"{name!r} has no alert: a promise whose breach nobody is told of"


def load_catalogue(path: Path) -> Catalogue:
    """The catalogue of a file; raises ConfigError with the faults that it has, each by its field."""
    data = load_yaml(path)
    try:
        catalogue = msgspec.convert(data, Catalogue)
    except msgspec.ValidationError as error:
        what, _, field = str(error).partition(" - at `$.")
        raise ConfigError([Problem(str(path), field.rstrip("`"), what)]) from error
    if faults := [Problem(str(path), field, what) for field, what in catalogue.faults()]:
        raise ConfigError(faults)
    return catalogue


def _twice(section: str, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name, times in Tally(names).items():
        if times > 1:
            yield section, f"{name!r} stands {times} times"

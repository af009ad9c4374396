"""Would anybody have been called? Whether the alerts that a drill names become true while its fault lasts.

They are held against the same figures, and by the same thresholds, as Prometheus would: the catalogue's. Two things are
left out, and the report says so: how long a condition must hold (a drill's fault is over before), and service levels,
whose burning shows over minutes and hours. So this is told, and decides nothing: a fault of seconds makes no silence
of a minute.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tocsin.ops.alerts.catalogue import Alert, Condition, load_catalogue
from tocsin.ops.alerts.evaluation import Series, is_beyond, names, values, worst

LOOK_EVERY_S: Final = 2.0


@dataclass(slots=True)
class Seen:
    """What was seen of one alert. `why`: why it was not judged, empty when it was."""

    alert: str
    why: str = ""
    true_before: bool = False
    """Its condition held before the fault, so that it says nothing of it."""
    true_after_s: float | None = None
    """Since the first look, until its condition held; None when it never did."""
    metric: str = ""
    limit: str = ""
    worst: float | None = None
    """The value that came nearest to the limit, or went furthest beyond it."""

    @property
    def in_words(self) -> str:
        """Whether it would have called somebody."""
        if self.why:
            return f"not judged: {self.why}"
        if self.true_before:
            return "true before the fault already"
        return "true while it lasted" if self.true_after_s is not None else "never true while it lasted"


class Watch:
    """Looks at the alerts of one drill, from before its fault until it is healed."""

    def __init__(self, alerts: Iterable[str], catalogue: Path) -> None:
        """Raises ConfigError when there is a catalogue, and it is wrong."""
        known = {alert.name: alert for alert in load_catalogue(catalogue).alerts} if catalogue.is_file() else {}
        self.seen = [Seen(name, why=_unjudged(known.get(name), catalogue)) for name in alerts]
        self._conditions = {one.alert: known[one.alert].any_of for one in self.seen if not one.why}
        self._first: Sequence[Series] = ()
        self._first_s: float | None = None

    @property
    def names(self) -> frozenset[str]:
        """Of the series that `look` needs, in Prometheus."""
        return names(condition for conditions in self._conditions.values() for condition in conditions)

    def look(self, now: Sequence[Series], at_s: float) -> None:
        """A look at all of them; the first one is before the fault."""
        is_first = self._first_s is None
        if is_first:
            self._first, self._first_s = now, at_s
        for one in self.seen:
            for condition in self._conditions.get(one.alert, ()):
                value = worst(condition, values(condition, now, self._first).values())
                beyond = is_beyond(condition, value)
                if is_first:
                    one.true_before |= beyond
                elif beyond and one.true_after_s is None:
                    one.true_after_s = round(at_s - (self._first_s or at_s), 1)
                    _put(one, condition, value)
                    continue
                _take(one, condition, value)


def _unjudged(alert: Alert | None, catalogue: Path) -> str:
    if not catalogue.is_file():
        return f"there is no {catalogue}"
    if alert is None:
        return f"{catalogue} has no alert of this name"
    if alert.outside:
        return "it is watched from outside"
    return "it is about a service level, and burns for minutes at least" if alert.service_level else ""


def _take(one: Seen, condition: Condition, value: float | None) -> None:
    """Keeps the worst value: of the condition that made the alert true, else of the first that had one."""
    limit = _limit(condition)
    if one.worst is None and one.true_after_s is None:
        _put(one, condition, value)
    elif (one.metric, one.limit) == (condition.metric, limit) and value is not None and one.worst is not None:
        one.worst = worst(condition, (one.worst, value))


def _put(one: Seen, condition: Condition, value: float | None) -> None:
    one.metric, one.limit, one.worst = condition.metric, _limit(condition), value


def _limit(condition: Condition) -> str:
    return f"above {condition.above:g}" if condition.above is not None else f"below {condition.below:g}"

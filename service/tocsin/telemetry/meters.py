"""One process's metrics.

Theory
------
Who watches a count looks at its increase, and a series that begins at one has none. So whoever counts what somebody may
be paged for begins it at nothing (`add(..., 0)`, `observe(..., ())`), once for each of the labels that are known.

Counts and times are added up as things happen, a message set at a time. What is so at the moment is read when somebody
asks, so it costs nothing before, and it is never older than the answer.

The figures are kept here, in OpenTelemetry's model, and not by its SDK: that takes no more than one time a call, where
a set of messages has thousands, and reads gauges on a thread of its own, where what they show lives on the event loop.
`prometheus.py` and `otlp.py` say the same figures in their formats.
"""

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from tocsin.telemetry.logs import Identity
from tocsin.telemetry.names import Bound, Counter, Gauge, Histogram

Labels = tuple[tuple[str, str], ...]
Metric = Counter | Gauge | Histogram


class Reading(NamedTuple):
    """What a gauge shows of one series."""

    gauge: Gauge
    value: float
    labels: Mapping[str, str]


class Spread(NamedTuple):
    """How long things took: so many in each bucket (the last one is above all edges), and all together in seconds."""

    counts: tuple[int, ...]
    sum_s: float

    @property
    def total(self) -> int:
        """How many there were."""
        return sum(self.counts)


class Family(NamedTuple):
    """What there is of one metric: its series, by their labels."""

    metric: Metric
    series: Mapping[Labels, float | Spread]


def bound(what: Bound, used: float, at_most: float | None, **labels: str) -> Iterator[Reading]:
    """How near a bound is."""
    labels["bound"] = what
    yield Reading(Gauge.USED, used, labels)
    if at_most is not None:
        yield Reading(Gauge.MAX, at_most, labels)


class Meters:
    """One process's metrics. Labels come from small fixed sets (a partition, a kind), never from what clients send.

    To be used on one thread, that of the event loop.
    """

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.began_ns = time.time_ns()
        """Since when there is counted."""
        self._counts: dict[Counter, dict[Labels, int]] = {counter: defaultdict(int) for counter in Counter}
        self._timings: dict[Histogram, dict[Labels, _Timing]] = {histogram: {} for histogram in Histogram}
        self._watched: list[Callable[[], Iterable[Reading]]] = []

    def add(self, counter: Counter, amount: int = 1, **labels: str) -> None:
        """Counts so many more; 0 has the series begin."""
        self._counts[counter][_labels(labels)] += amount

    def observe(self, histogram: Histogram, took_s: Iterable[float], **labels: str) -> None:
        """Adds how long some things took, in seconds: all of a set in one call. What is below zero counts as zero."""
        series, key = self._timings[histogram], _labels(labels)
        timing = series.get(key)
        if timing is None:
            timing = series[key] = _Timing(histogram.value.edges)
        timing.add(took_s)

    def watch(self, read: Callable[[], Iterable[Reading]]) -> None:
        """Has gauges show what `read` says whenever somebody asks: it must be quick, and is called on the loop."""
        self._watched.append(read)

    def collect(self) -> list[Family]:
        """All metrics that have a value, as they are now, by name."""
        gauges: dict[Metric, dict[Labels, float | Spread]] = defaultdict(dict)
        for read in self._watched:
            for reading in read():
                gauges[reading.gauge][_labels(reading.labels)] = reading.value
        counts = (Family(counter, dict(series)) for counter, series in self._counts.items() if series)
        timings = (
            Family(histogram, {labels: timing.spread() for labels, timing in series.items()})
            for histogram, series in self._timings.items()
            if series
        )
        families = [*counts, *timings, *(Family(gauge, series) for gauge, series in gauges.items())]
        return sorted(families, key=lambda family: family.metric.value.name)


class _Timing:
    """One series of a histogram, while it is added to."""

    __slots__ = ("_counts", "_edges", "_sum_s")

    def __init__(self, edges: tuple[float, ...]) -> None:
        self._edges = edges
        self._counts = [0] * (len(edges) + 1)
        self._sum_s = 0.0

    def add(self, took_s: Iterable[float]) -> None:
        edges, counts, sum_s = self._edges, self._counts, self._sum_s
        for one_s in took_s:
            counts[bisect_left(edges, one_s)] += 1
            sum_s += max(one_s, 0.0)
        self._sum_s = sum_s

    def spread(self) -> Spread:
        return Spread(tuple(self._counts), self._sum_s)


def _labels(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items())) if len(labels) > 1 else tuple(labels.items())

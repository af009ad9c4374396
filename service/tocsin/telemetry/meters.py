"""One process's metrics.

Counts are added up as things happen, a message set at a time. What is so at the moment is read when somebody asks, so
it costs nothing before, and it is never older than the answer.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.resources import Resource

from tocsin.telemetry.logs import Identity
from tocsin.telemetry.names import Bound, Counter, Gauge


class Reading(NamedTuple):
    """What a gauge shows of one series."""

    gauge: Gauge
    value: float
    labels: Mapping[str, str]


def bound(what: Bound, used: float, at_most: float | None, **labels: str) -> Iterator[Reading]:
    """How near a bound is."""
    labels["bound"] = what
    yield Reading(Gauge.USED, used, labels)
    if at_most is not None:
        yield Reading(Gauge.MAX, at_most, labels)


class Meters:
    """One process's metrics. Labels come from small fixed sets (a partition, a kind), never from what clients send."""

    def __init__(self, identity: Identity) -> None:
        self._reader = InMemoryMetricReader()
        resource = {f"tocsin.{name}": value for name, value in identity._asdict().items()}
        self._provider = MeterProvider(
            [self._reader], Resource({"service.name": "tocsin", **resource}), shutdown_on_exit=False
        )
        meter = self._provider.get_meter("tocsin")
        self._counters = {counter: meter.create_counter(*counter.value) for counter in Counter}
        self._watched: list[Callable[[], Iterable[Reading]]] = []
        for gauge in Gauge:
            name, unit, description = gauge.value
            meter.create_observable_gauge(name, [self._observer(gauge)], unit, description)

    def add(self, counter: Counter, amount: int = 1, **labels: str) -> None:
        """Counts so many more."""
        self._counters[counter].add(amount, labels)

    def watch(self, read: Callable[[], Iterable[Reading]]) -> None:
        """Has gauges show what `read` says whenever somebody asks: it must be quick, and is called on the loop."""
        self._watched.append(read)

    def snapshot(self) -> list[dict[str, Any]]:
        """All metrics that have a value, by name: `{name, unit, description, values: [{labels, value}]}`."""
        data = self._reader.get_metrics_data()
        metrics = [
            metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]
        return [
            {
                "name": metric.name,
                "unit": metric.unit,
                "description": metric.description,
                "values": [
                    {"labels": dict(point.attributes or {}), "value": point.value}
                    for point in metric.data.data_points
                    if isinstance(point, NumberDataPoint)
                ],
            }
            for metric in sorted(metrics, key=lambda metric: metric.name)
        ]

    def close(self) -> None:
        """Frees everything; what is counted afterwards is not seen."""
        self._provider.shutdown()

    def _observer(self, gauge: Gauge) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            readings = (reading for read in self._watched for reading in read())
            return [Observation(reading.value, reading.labels) for reading in readings if reading.gauge is gauge]

        return observe

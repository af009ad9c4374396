"""The metrics as Prometheus reads them.

Each series also says whose it is (`region`, `stack`, `role`): alerts group by these, and must not depend on how
somebody's scraping is set up.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Metric as Lines
from prometheus_client.registry import Collector

from tocsin.telemetry.logs import Identity
from tocsin.telemetry.meters import Family, Metric, Spread
from tocsin.telemetry.names import Counter, Histogram, prometheus_name

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def exposition(families: Iterable[Family], identity: Identity) -> bytes:
    """What is answered to a scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(families, identity))
    return generate_latest(registry)


class _Collected(Collector):
    """Figures that were read already, as the library asks for them."""

    def __init__(self, families: Iterable[Family], identity: Identity) -> None:
        self._families = families
        self._identity = identity._asdict()

    def collect(self) -> Iterator[Lines]:
        """One family after the other."""
        for metric, series in self._families:
            name = prometheus_name(metric)
            lines = Lines(name.removesuffix("_total"), metric.value.description, _kind(metric))
            for labels, value in series.items():
                whose = {**self._identity, **dict(labels)}
                if isinstance(value, Spread):
                    _add_spread(lines, metric, whose, value)
                else:
                    lines.add_sample(name, whose, value)
            yield lines


def _kind(metric: Metric) -> str:
    return "counter" if isinstance(metric, Counter) else "histogram" if isinstance(metric, Histogram) else "gauge"


def _add_spread(lines: Lines, metric: Metric, labels: dict[str, str], spread: Spread) -> None:
    edges = (*map(str, metric.value.edges), "+Inf") if isinstance(metric, Histogram) else ()
    for edge, below in zip(edges, accumulate(spread.counts), strict=True):
        lines.add_sample(f"{lines.name}_bucket", {**labels, "le": edge}, below)
    lines.add_sample(f"{lines.name}_count", labels, spread.total)
    lines.add_sample(f"{lines.name}_sum", labels, spread.sum_s)

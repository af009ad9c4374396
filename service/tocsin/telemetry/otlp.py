"""Metrics and traces to a collector, by OTLP over HTTP.

A collector is no part of paging: that it is away, slow or full must cost a role nothing but what it would have been
told. So calls are made on threads that the process's end does not wait for; what waits is bounded and what is above it
is dropped; each call has a limit of time; and that calls fail is logged once a minute, not once a call.

This module takes a while to load, and processes without a collector do without it.
"""

import asyncio
import contextlib
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import export as model
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from tocsin import __version__
from tocsin.telemetry.logs import Identity
from tocsin.telemetry.meters import Family, Labels, Meters, Spread
from tocsin.telemetry.names import Counter, Histogram
from tocsin.telemetry.traces import Traces

METRICS_EVERY_S: Final = 15.0
SPANS_EVERY_S: Final = 2.0
SPANS_MAX: Final = 2_048
"""Spans that wait for the collector; above that the oldest are dropped."""
BATCH_MAX: Final = 512
CALL_S_MAX: Final = 5.0
"""A call takes no longer, its tries together."""
CLOSE_S_MAX: Final = 3.0
"""What the end of the process gives to what still waits, of metrics and of spans."""
TOLD_EVERY_S: Final = 60.0
T = TypeVar("T")
_NOT_KEPT: Final[Any] = None
"""Of smallest and largest, which the model has room for and the meters do not know: left out on the wire."""
_log = logging.getLogger(__name__)


class Export:
    """What one process sends to a collector. `traces` makes its spans."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], ratio: float, meters: Meters) -> None:
        """`endpoint`: the collector's base URL; `headers` go with each call; `ratio` of events is followed by lot."""
        base = endpoint.rstrip("/")
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it tells of each call; here `_Failures` does
        self._meters = meters
        self._resource = _resource(meters.identity)
        self._failures = _Failures(base)
        self._metrics = OTLPMetricExporter(f"{base}/v1/metrics", headers=headers, timeout=CALL_S_MAX)
        spans = OTLPSpanExporter(f"{base}/v1/traces", headers=headers, timeout=CALL_S_MAX)
        self._provider = TracerProvider(ALWAYS_ON, self._resource, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                _Watched(spans, self._failures),
                max_queue_size=SPANS_MAX,
                schedule_delay_millis=SPANS_EVERY_S * 1_000,
                max_export_batch_size=BATCH_MAX,
            )
        )
        self.traces = Traces(self._provider.get_tracer("tocsin", __version__), ratio, random=random.random)

    async def run(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """Sends metrics until it is cancelled. `refresh` is called before they are read."""
        while True:
            await asyncio.sleep(METRICS_EVERY_S)
            await refresh()
            await self._send_metrics()

    async def close(self) -> None:
        """Sends what still waits, for `CLOSE_S_MAX` at most; raises nothing."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S_MAX):
                await asyncio.gather(self._send_metrics(), _aside(self._provider.shutdown))

    async def _send_metrics(self) -> None:
        data = metrics_data(self._meters.collect(), self._resource, self._meters.began_ns, time.time_ns())
        result = await _aside(lambda: self._metrics.export(data))
        self._failures.tell("metrics", ok=result is model.MetricExportResult.SUCCESS)


class _Failures:
    """Says that the collector does not take what it is sent: at first, and once a minute while it goes on."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._told_s = -TOLD_EVERY_S
        self._failed = 0

    def tell(self, what: str, *, ok: bool) -> None:
        """A call ended. May be called on any thread."""
        if ok:
            return
        self._failed += 1
        if time.monotonic() - self._told_s >= TOLD_EVERY_S:
            self._told_s = time.monotonic()
            extra = {"action": "export_failed", "failed": self._failed}
            _log.warning("%s not taken by the collector at %s: dropped", what, self._endpoint, extra=extra)


class _Watched(SpanExporter):
    """An exporter of spans whose failures are told."""

    def __init__(self, exporter: SpanExporter, failures: _Failures) -> None:
        self._exporter = exporter
        self._failures = failures

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Sends a batch, on the processor's thread."""
        result = self._exporter.export(spans)
        self._failures.tell("spans", ok=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        """Gives up what is under way."""
        self._exporter.shutdown()


def metrics_data(families: Iterable[Family], resource: Resource, began_ns: int, now_ns: int) -> model.MetricsData:
    """The figures in OpenTelemetry's model, since `began_ns`."""
    metrics = [
        model.Metric(metric.value.name, metric.value.description, metric.value.unit, _points(family, began_ns, now_ns))
        for family in families
        for metric in (family.metric,)
    ]
    scope = model.ScopeMetrics(InstrumentationScope("tocsin", __version__), metrics, "")
    return model.MetricsData([model.ResourceMetrics(resource, [scope], "")])


def _points(family: Family, began_ns: int, now_ns: int) -> model.Sum | model.Gauge | model.Histogram:
    metric, series = family
    if isinstance(metric, Histogram):
        edges = metric.value.edges
        spreads = [(labels, value) for labels, value in series.items() if isinstance(value, Spread)]
        points = [_spread(labels, value, edges, began_ns, now_ns) for labels, value in spreads]
        return model.Histogram(points, model.AggregationTemporality.CUMULATIVE)
    numbers = [
        model.NumberDataPoint(dict(labels), began_ns, now_ns, value)
        for labels, value in series.items()
        if not isinstance(value, Spread)
    ]
    if isinstance(metric, Counter):
        return model.Sum(numbers, model.AggregationTemporality.CUMULATIVE, is_monotonic=True)
    return model.Gauge(numbers)


def _spread(
    labels: Labels, spread: Spread, edges: tuple[float, ...], began_ns: int, now_ns: int
) -> model.HistogramDataPoint:
    return model.HistogramDataPoint(
        attributes=dict(labels),
        start_time_unix_nano=began_ns,
        time_unix_nano=now_ns,
        count=spread.total,
        sum=spread.sum_s,
        bucket_counts=spread.counts,
        explicit_bounds=edges,
        min=_NOT_KEPT,
        max=_NOT_KEPT,
    )


def _resource(identity: Identity) -> Resource:
    """Who speaks: two processes of one role in one place are told apart by the instance."""
    own = {f"tocsin.{name}": value for name, value in identity._asdict().items()}
    instance = f"{socket.gethostname()}-{os.getpid()}"
    return Resource({"service.name": "tocsin", "service.version": __version__, "service.instance.id": instance, **own})


async def _aside(work: Callable[[], T]) -> T | None:
    """Does blocking work on a thread that nobody waits for when the process ends, as those of an executor are. None:
    it ended in an error of ours, which the log tells.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T | None] = loop.create_future()

    def settle(result: T | None) -> None:
        if not done.done():
            done.set_result(result)

    def run() -> None:
        result = None
        try:
            result = work()
        except Exception:  # noqa: BLE001 - see above
            _log.exception("what is sent to the collector could not be made", extra={"action": "export_broken"})
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=run, name="otlp", daemon=True).start()
    return await done

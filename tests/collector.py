"""A collector for tests: takes OTLP over HTTP, and shows the spans and metrics that came."""

import contextlib
import threading
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue


class Seen(NamedTuple):
    """A span as it came: whose, of which trace, below which other, from when to when in nanoseconds."""

    name: str
    region: str
    role: str
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]
    attributes: dict[str, str]
    start_ns: int
    end_ns: int
    is_error: bool


class Collector:
    """Answers `status` to each call."""

    def __init__(self) -> None:
        self.status = 200
        self.url = ""
        self.calls = 0
        self.headers: list[dict[str, str]] = []
        self.spans: list[Seen] = []
        self.metrics: dict[str, list[dict[str, str]]] = {}
        """Name of a metric to the attributes of its points, its process's beside its own."""

    def take(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        self.calls += 1
        self.headers.append(headers)
        if self.status == 200 and path == "/v1/traces":
            self.spans += _spans(ExportTraceServiceRequest.FromString(body))
        elif self.status == 200 and path == "/v1/metrics":
            self._add_metrics(ExportMetricsServiceRequest.FromString(body))
        return self.status

    def trace(self, trace: str) -> list[Seen]:
        """The spans of one trace, by their begin."""
        return sorted((span for span in self.spans if span.trace == trace), key=lambda span: span.start_ns)

    def _add_metrics(self, request: ExportMetricsServiceRequest) -> None:
        for resource in request.resource_metrics:
            whose = _plain(resource.resource.attributes)
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    data = getattr(metric, metric.WhichOneof("data") or "gauge")
                    points = [whose | _plain(point.attributes) for point in data.data_points]
                    self.metrics.setdefault(metric.name, []).extend(points)


def _spans(request: ExportTraceServiceRequest) -> list[Seen]:
    return [
        Seen(
            span.name,
            whose["tocsin.region"],
            whose["tocsin.role"],
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            tuple(link.span_id.hex() for link in span.links),
            _plain(span.attributes),
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            span.status.code == span.status.STATUS_CODE_ERROR,
        )
        for resource in request.resource_spans
        for whose in (_plain(resource.resource.attributes),)
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _plain(attributes: Iterable[KeyValue]) -> dict[str, str]:
    found = {}
    for attribute in attributes:
        kind = attribute.value.WhichOneof("value")
        found[attribute.key] = str(getattr(attribute.value, kind)) if kind else ""
    return found


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    """One on a free port of this machine."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = collector.take(self.path, body, {name.lower(): value for name, value in self.headers.items()})
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Nothing: what came is in the collector."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

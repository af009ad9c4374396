"""What a process says of itself: log records for machines and people, and metrics by stable names.

A record is one line of JSON on stderr with a stable `action`, a word that alerts and searches can rely on while the
message beside it is free to improve; on a terminal the same record is laid out for reading. Secrets are taken out where
a record leaves the process, by the names in `SECRETS`, in fields and in texts, so that no caller has to remember.

Metrics go through OpenTelemetry. All names are in `Counter`, `Gauge` and `Bound`: what is not there is not measured.
Counts are added up as things happen, a message set at a time. What is so at the moment is read when somebody asks, so
it costs nothing before, and it is never older than the answer.
"""

import json
import logging
import math
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Any, Final, NamedTuple, TextIO

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.resources import Resource

SECRETS: Final = ("api_key", "authorization", "cookie", "password", "routing_key", "secret", "token")
"""Fields whose values are never shown, alone or as the end of a longer name (`admin_token`, `X-Routing-Key`)."""
REDACTED: Final = "[redacted]"
TEXT_MAX: Final = 8_192
"""A longer text in a record is cut."""
DEPTH_MAX: Final = 6
"""Fields nested deeper in a record are shown as text."""
CAUSES_MAX: Final = 16
"""Of a chain of exceptions so many links are told."""
QUIET: Final = ("asyncio", "httpcore2", "httpx2", "urllib3", "uvicorn.access")
"""Loggers that tell of every request or callback: only their warnings are of use, and a path can hold a secret."""

_NAME = r"(?:[\w-]*[_-])?(?:" + "|".join(name.replace("_", "[_-]?") for name in SECRETS) + ")"
_SECRET_NAME = re.compile(_NAME + r"\Z", re.IGNORECASE)
_SECRET_IN_TEXT = re.compile(
    rf"""(?P<name>\b{_NAME}["']?\s*[:=]\s*)(?:(?:bearer|basic|token)\s+(?:token=)?)?(?:"[^"]*"|'[^']*'|[^\s,;&)}}\]]+)""",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "action", "color_message"}


# Logs ----------------------------------------------------------------------------------------------------------------


class Identity(NamedTuple):
    """Which process speaks."""

    region: str
    stack: str
    role: str


def configure_logging(
    identity: Identity, *, level: str = "INFO", stream: TextIO | None = None, as_json: bool | None = None
) -> None:
    """Sends all records of this process to the stream (stderr): as JSON, or for people when that is a terminal.

    Calling it again replaces what it set up before.
    """
    stream = stream or sys.stderr
    as_json = not stream.isatty() if as_json is None else as_json
    handler = _Handler(stream)
    handler.setFormatter((JsonFormatter if as_json else HumanFormatter)(identity))
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that it can be told from those of others on the root logger."""


class JsonFormatter(logging.Formatter):
    """One line of JSON a record: `time level action message region stack role logger`, then what the caller added."""

    def __init__(self, identity: Identity) -> None:
        super().__init__()
        self._identity = identity._asdict()

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        fields: dict[str, Any] = {
            "time": _time(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "action": _action(record),
            "message": redacted(record.getMessage()),
            **self._identity,
            "logger": record.name,
        }
        for name, value in _extras(record):
            fields[f"{name}_" if name in fields else name] = value
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            fields["error"] = redacted(explain(error))
            fields["traceback"] = redacted("".join(traceback.format_exception(error)))
        return json.dumps(fields, separators=(",", ":"))


class HumanFormatter(logging.Formatter):
    """The same record for a terminal: time of day (UTC), level, who, action, message, what the caller added."""

    def __init__(self, identity: Identity) -> None:
        super().__init__()
        self._who = f"{identity.role} {identity.region}/{identity.stack}"

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line, and below it the causes of its exception."""
        extras = "".join(
            f" {name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in _extras(record)
        )
        text = _CONTROL.sub(_escaped, redacted(record.getMessage()) + extras)
        time = _time(record).time().isoformat(timespec="milliseconds")
        line = f"{time} {record.levelname:<7} {self._who} {_action(record)}: {text}"
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line += (
                "\n" + redacted("".join(traceback.format_exception(error))).rstrip() + "\n" + redacted(explain(error))
            )
        return line


def redacted(value: Any, depth: int = DEPTH_MAX) -> Any:
    """The value without secrets, in types that JSON knows; texts are cut at TEXT_MAX characters."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping() if depth:
            return {
                str(name): REDACTED if _SECRET_NAME.match(str(name)) else redacted(inner, depth - 1)
                for name, inner in value.items()
            }
        case list() | tuple() | set() | frozenset() if depth:
            return [redacted(inner, depth - 1) for inner in value]
        case _:
            text = _SECRET_IN_TEXT.sub(rf"\g<name>{REDACTED}", str(value)[: 2 * TEXT_MAX])
            return text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + f"... (cut, {len(str(value))} characters)"


def explain(error: BaseException) -> str:
    """An exception and what caused it, a line each: ours by their message alone, others with their type."""
    return "\n".join(f"{'because: ' if depth else ''}{link}" for depth, link in enumerate(_links(error)))


def _links(error: BaseException) -> Iterator[str]:
    link: BaseException | None = error
    for _ in range(CAUSES_MAX):
        if link is None:
            return
        if isinstance(link, BaseExceptionGroup) and len(link.exceptions) == 1:
            link = link.exceptions[0]
            continue
        text = str(link)
        if isinstance(link, BaseExceptionGroup):
            text += ": " + "; ".join(next(_links(member)) for member in link.exceptions[:CAUSES_MAX])
        ours = type(link).__module__.partition(".")[0] == "tocsin"
        yield text if ours and text else f"{type(link).__name__}: {text}" if text else type(link).__name__
        link = link.__cause__
    yield "(more causes, not told)"


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _action(record: logging.LogRecord) -> str:
    return str(getattr(record, "action", "log"))


def _extras(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    """What the caller added to a record beyond the action, without secrets."""
    added = {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}
    yield from redacted(added).items()


def _escaped(character: re.Match[str]) -> str:
    return repr(character[0])[1:-1]


# Metrics -------------------------------------------------------------------------------------------------------------


class Instrument(NamedTuple):
    """One metric: its stable name, its unit (UCUM, as OpenTelemetry asks), its meaning and labels."""

    name: str
    unit: str
    description: str


class Counter(Enum):
    """What is counted since the process began."""

    ACCEPTED = Instrument("tocsin.intake.accepted", "{request}", "Events answered with 202")
    REFUSED = Instrument("tocsin.intake.refused", "{request}", "Events not taken, by HTTP status")
    STORED = Instrument("tocsin.creator.stored", "{entry}", "Entries that the store acknowledged, by partition")
    FAILED = Instrument("tocsin.creator.failed", "{request}", "Attempts that failed, by kind")
    DECIDED = Instrument("tocsin.creator.decided", "{request}", "Verdicts on failed requests, by verdict")
    SAID = Instrument("tocsin.ledger.said", "{statement}", "Statements appended to the own ledger, by word")
    COLLIDED = Instrument("tocsin.creator.collided", "{entry}", "Entries with the id of another one of their parent")
    PAGES_DECIDED = Instrument("tocsin.notifier.decided", "{page}", "Pages decided, by what made the moment")
    PAGES_ENDED = Instrument("tocsin.notifier.ended", "{page}", "Pages that ended, by outcome")
    CALLS = Instrument("tocsin.notifier.calls", "{call}", "Calls of providers, by kind of method and outcome")
    READ = Instrument("tocsin.querier.read", "{request}", "Reads answered, by HTTP status")


class Gauge(Enum):
    """What is so at the moment."""

    LAG_MESSAGES = Instrument("tocsin.creator.lag", "{record}", "Records above what is done, by partition and source")
    LAG_S = Instrument("tocsin.creator.lag_time", "s", "Age of the oldest record not done, by partition and source")
    KEPT = Instrument("tocsin.creator.kept", "{request}", "Failed requests kept, by partition and stage")
    PAGER = Instrument("tocsin.notifier.holds", "1", "What a user partition holds, by what")
    FEED_LAG = Instrument("tocsin.notifier.lag_time", "s", "Age of the oldest input not taken, by partition and topic")
    BREAKERS = Instrument("tocsin.notifier.breakers", "{target}", "Targets that are only probed, by kind of method")
    MIRROR_LAG = Instrument("tocsin.mirror.lag", "{record}", "A peer's records not copied yet, by topic and partition")
    USED = Instrument("tocsin.bound.used", "1", "How much of a bound is used, by bound")
    MAX = Instrument("tocsin.bound.max", "1", "How much of it there is; at that, work waits or is turned away")


class Bound(StrEnum):
    """What is limited so that nothing grows without end: the label `bound` of `Gauge.USED` and `Gauge.MAX`."""

    SETS = "sets_in_flight"
    """Message sets of a partition that are being written."""
    HELD = "held"
    """Failed requests of a partition that are not decided, or because of which it halts."""
    INBOX = "inbox"
    """Inputs that wait for a partition's state machine."""
    FOLDINGS = "foldings"
    """Parents of a partition that are kept folded in memory."""
    STATEMENTS = "statements"
    """Statements of a partition that wait for the ledger: has no number of its own, cases and questions bound it."""
    BUDGET = "budget_services"
    """Services of which requests were skipped."""
    SERVICES_SEEN = "services_seen"
    """Services that are remembered for the budget."""
    TRIALS = "trials"
    """Suspects that are tried in a child process."""
    PAGER_INBOX = "pager_inbox"
    """Inputs that wait for a user partition's machine: a set of each topic, and answers of what is under way."""
    PAGES = "pages_in_flight"
    """Pages of a user partition that stage two has: has no number of its own, a channel has one."""
    WORDS = "feedback_waiting"
    """Intents and ends of a user partition that wait for the log: has no number of its own, as its pages."""
    DELIVERIES = "deliveries"
    """Pages that wait for a provider or are with one."""
    CALLS = "provider_calls"
    """Calls of the providers of one kind that are under way."""
    THREADS = "provider_threads"
    """Threads of providers that block, those included whose calls hang and are not waited for any more."""
    EVENTS = "events_in_flight"
    """Events of an intake whose append is not acknowledged yet."""
    REQUESTS = "http_requests"
    """Requests of clients that are being answered."""
    CONNECTIONS = "http_connections"
    """Connections of clients."""


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

"""What a process says of itself: log records (`logs`), and metrics by stable names (`names`, `meters`)."""

from tocsin.telemetry.logs import (
    CAUSES_MAX,
    REDACTED,
    TEXT_MAX,
    HumanFormatter,
    Identity,
    JsonFormatter,
    configure_logging,
    explain,
    redacted,
)
from tocsin.telemetry.meters import Meters, Reading, bound
from tocsin.telemetry.names import Bound, Counter, Gauge, Histogram, Instrument, Timing, prometheus_name

__all__ = [
    "CAUSES_MAX",
    "REDACTED",
    "TEXT_MAX",
    "Bound",
    "Counter",
    "Gauge",
    "Histogram",
    "HumanFormatter",
    "Identity",
    "Instrument",
    "JsonFormatter",
    "Meters",
    "Reading",
    "Timing",
    "bound",
    "configure_logging",
    "explain",
    "prometheus_name",
    "redacted",
]

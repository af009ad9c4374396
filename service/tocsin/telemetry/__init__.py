"""What a process says of itself: log records (`logs`), metrics by stable names (`names`, `meters`), and traces.

`prometheus` and `otlp` say metrics and spans in other systems' formats; whoever serves or sends them imports these.
"""

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
from tocsin.telemetry.traces import NOTHING_FOLLOWED, Traces

__all__ = [
    "CAUSES_MAX",
    "NOTHING_FOLLOWED",
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
    "Traces",
    "bound",
    "configure_logging",
    "explain",
    "prometheus_name",
    "redacted",
]

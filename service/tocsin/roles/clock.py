"""The one place where owners of partitions read the clocks."""

import time

from tocsin.core.effects import Now


def now() -> Now:
    """The monotonic clock in seconds, and Unix time in microseconds."""
    return Now(time.monotonic(), time.time_ns() // 1000)

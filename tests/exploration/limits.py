"""The clock of the exploration and the limits of the protocol in its units.

A unit is one heartbeat. The limits are as short as they can be in units while they still differ in what they do: an
echo takes one unit to come back and so cannot count for less than three. Every pause before a retry ends within the
unit that follows it, so no pause depends on how often something was tried before.
"""

from typing import Final

from tocsin.core.effects import Now
from tocsin.core.limits import Limits

UNIT_S: Final = 1.0
UNIT_US: Final = 1_000_000
NOW: Final = Now(1_000.0, 1_700_000_000 * UNIT_US)
"""Every step of every machine happens at this moment; between steps, what a machine remembers grows older."""

LIMITS: Final = Limits(
    grace_s=2.0,
    answer_deadline_s=3.0,
    ask_limit_s=3.0,
    standing_every_s=UNIT_S,
    flush_every_s=0.0,
    sets_in_flight_max=2,
    reach_records=8,
    retry_first_s=0.6,
    retry_max_s=0.6,
    aside_retry_first_s=0.8,
    aside_retry_max_s=0.8,
    budget_services=2,
)
AGE_MAX: Final = 3
"""Units from which on an age makes no difference any more: the longest limit."""
BEAT_MIN: Final = -AGE_MAX - 1
"""The number of a heartbeat that was read, and is so old that no echo of it counts. One that still waits to be brought
across stays one above it: however old both are, it is the later one.
"""

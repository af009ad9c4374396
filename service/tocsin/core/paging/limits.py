"""The limits of paging: every wait and bound of a user partition. Seconds unless said."""

from dataclasses import dataclass


def us(seconds: float) -> int:
    """Seconds in microseconds, as all of paging counts."""
    return round(seconds * 1e6)


@dataclass(frozen=True, slots=True)
class PagingLimits:
    """How pages are paced, bundled and backed up, and how long what is waited for."""

    pace_s: float = 60.0
    """At least so long between two pages of one user channel."""
    look_ahead_s: float = 30.0
    """What will be due within this goes into a bundle that is sent now."""
    backstop_s: float = 10.0
    """The region at place n sends n times this after the channel's moment, unless it is covered. Lag must be below."""
    silence_s: float = 5.0
    """A region of which no pulse was read for this long is left out of the order."""
    step_in_s: float = 2.5
    """A region that starts, becomes fit or had its log refuse stands behind the fit ones for so long yet: the others
    have to hear of it first, and it has to read what they decided meanwhile.
    """
    pulse_every_s: float = 1.0
    """The pace of the pulses in each partition of `feedback`."""
    end_s_max: float = 120.0
    """An intent without an end covers no longer than this."""
    catch_up_s: float = 30.0
    """While a region lags by more than the backstop it reads and does not send, for so long at most."""
    refused_s: float = 1.0
    """An intent that the log did not take is decided anew after this."""
    tries_max: int = 6
    """So often is one (incident, rule) handed over at most when none of it is known to have arrived."""
    keep_every_s: float = 1.0
    """Changed users are kept at most once in this time."""
    keep_users_max: int = 2_000
    """Users that are kept in one go."""
    remember_s: float = 86_400.0
    """An incident that ended is forgotten after this, and what was sent for it."""

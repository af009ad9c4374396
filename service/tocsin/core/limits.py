"""The limits of the protocol: every wait, retry and queue of the core has its bound here. Seconds unless said."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a partition machine may do, how often, and how long it waits."""

    grace_s: float = 10.0
    """How long an UNAVAILABLE may last before a region halts, sets aside, or calls itself ill."""
    answer_deadline_s: float = 30.0
    """How long a peer that can be asked is waited for, from the first failure."""
    ask_limit_s: float = 10.0
    """A peer can be asked while it echoes a standing of ours that is younger than this."""
    standing_every_s: float = 1.0
    """The pace of the heartbeats in the ledger."""
    flush_every_s: float = 0.5
    """Progress is saved on change and at most once in this time."""
    held_max: int = 16
    """At so many held requests of a partition no new set is taken."""
    sets_in_flight_max: int = 4
    """Message sets of a partition that are being written at one time."""
    set_records_max: int = 500
    """Records of one message set."""
    reach_records: int = 5_000
    """How far above what is done records may be taken in hand between two saves of progress."""
    retry_first_s: float = 0.25
    """The first pause before a held request is tried again; it doubles, with jitter, up to `retry_max_s`."""
    retry_max_s: float = 5.0
    """The longest pause between two tries of a held request."""
    aside_retry_first_s: float = 2.0
    """The first pause before a request that was set aside is tried again; doubles up to `aside_retry_max_s`."""
    aside_retry_max_s: float = 60.0
    """The longest pause between two tries of a request that was set aside."""
    aside_tries_max: int = 4
    """Requests set aside that a partition tries again at one time."""
    budget_services: int = 5
    """So many distinct services may have requests quarantined or set aside before a person must look."""
    seen_window_s: float = 3600.0
    """Services count as seen for this long."""

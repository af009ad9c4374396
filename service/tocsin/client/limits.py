"""The bounds of the client's waits, retries and files. Seconds unless said."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How long, how often, how much."""

    patience_s: float = 10.0
    """How long one call goes on: without a spool until some region takes the event, with one until the events that
    wait under the same dedup key are gone.
    """
    pause_first_s: float = 0.5
    """How long a region that failed is left alone; doubles with each further failure up to `pause_s_max`, with jitter.
    """
    pause_s_max: float = 10.0
    """The longest pause that the client makes of its own accord."""
    retry_after_s_max: float = 60.0
    """A region that asks for more than this (Retry-After) gets this."""
    spool_events_max: int = 10_000
    """Events that may wait on disk."""
    spool_bytes_max: int = 256 * 1024 * 1024
    """Bytes of their files."""
    aside_files_max: int = 1_000
    """Files set aside as damaged, or as refused after their caller was gone; the oldest go first."""

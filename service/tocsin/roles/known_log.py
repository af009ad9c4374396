"""The log that progress was recorded in: is it still the one, and how far is it ahead?

Offsets mean nothing in another log. A topic that was made anew, a log that was set back, a log of another cluster: in
each of them the offsets that we call done are other records. So before a partition number is taken over, the log must
show the very record below the watermark; if it does not, nothing is read.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from tocsin.core.progress import Coordinates, ProgressRow, SourceProgress
from tocsin.core.requests import bytes_digest
from tocsin.engines.errors import Misconfigured, OutOfRange
from tocsin.engines.log import Claim, Log

FETCH_BYTES_MAX: Final = 4 * 1024 * 1024


class Lag(NamedTuple):
    """How far a source is ahead of what is done: records, and the age of the oldest of them in seconds.

    `end`: where the log ends.
    """

    records: int = 0
    s: float = 0.0
    end: int = 0


async def measure_lag(log: Log, topic: str, partition: int, low: int, now_s: float) -> Lag:
    """The lag of a source of which everything below `low` is done; raises `EngineError`."""
    start, end = await log.bounds(topic, partition)
    if low >= end:
        return Lag(end=end)
    first = await log.fetch(topic, partition, low, records_max=1, bytes_max=1, wait_s=0.0)
    waits_s = [max(0.0, now_s - delivered.record.timestamp_ms / 1e3) for delivered in first.records]
    return Lag(end - max(low, start), waits_s[0] if waits_s else 0.0, end)


async def coordinates_of(log: Log, topic: str, partition: int) -> Coordinates:
    """The coordinates of a partition as the log has it now; raises `Misconfigured` when there is no such topic."""
    found = await log.topic(topic)
    if found is None:
        message = f"topic {topic} does not exist; start the creator of this region first, it makes the topics"
        raise Misconfigured(message)
    return Coordinates(await log.cluster(), topic, found.incarnation, partition)


def check_epoch(rows: Iterable[ProgressRow], claim: Claim) -> None:
    """Raises `Misconfigured` when an owner before us had a higher epoch: our versions would count as old ones."""
    known = max((row.epoch for row in rows), default=0)
    if claim.epoch <= known:
        message = (
            f"partition {claim.partition} is claimed under epoch {claim.epoch}, and an earlier owner had {known}: the "
            "log has lost its record of claims, so what is written now would be taken for older. Nothing was read; "
            "restore the log, or give the stack a new store"
        )
        raise Misconfigured(message)


def check_same(known: Coordinates, present: Coordinates) -> None:
    """Raises `Misconfigured` when the coordinates of progress are not those of the log."""
    if known != present:
        message = (
            f"topic {present.topic}, partition {present.partition} is not the log that progress was recorded in: it "
            f"was {known}, now it is {present}. Nothing more is read. If the topic was made anew on purpose, the stack "
            "needs a new store, or one restored from a backup that matches this log"
        )
        raise Misconfigured(message)


async def check_known(log: Log, source: SourceProgress, present: Coordinates) -> None:
    """Raises `Misconfigured` for a log that is not the one that progress was recorded in."""
    where = f"topic {present.topic}, partition {present.partition}"
    check_same(source.coordinates, present)
    start, end = await log.bounds(present.topic, present.partition)
    if end < source.runs.top:
        message = (
            f"{where} ends at {end}, and progress is recorded up to {source.runs.top}: the log was set back, and its "
            "offsets will be used again. Nothing was read; restore the log, or give the stack a new store"
        )
        raise Misconfigured(message)
    if source.anchor is None:
        return
    offset, known_digest = source.anchor
    if offset < start:
        return  # a record that retention removed is no mismatch
    try:
        found = await log.fetch(
            present.topic, present.partition, offset, records_max=1, bytes_max=FETCH_BYTES_MAX, wait_s=0.0
        )
        records = found.records
    except OutOfRange:
        records = ()
    if not records or records[0].offset != offset or bytes_digest(records[0].record) != known_digest:
        message = (
            f"{where} does not hold the record at offset {offset} that was read there (it now ends at {end}): its "
            "offsets were used again. Nothing was read; restore the log, or give the stack a new store"
        )
        raise Misconfigured(message)

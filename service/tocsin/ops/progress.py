"""Progress as an operator asks for it: how far is each region, how fast, and what will be lost when.

Theory
------
How far: from the accounts that creators save with the data, against the bounds of the logs. How fast: from two such
looks, some time apart; how much spare capacity there is can only be seen while there is something to catch up with, so
it is told only then. What will be lost when: the oldest record that is not done is removed by retention one day; the
time until then is its headroom.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from tocsin.core.completeness import complete_until
from tocsin.core.progress import Runs, SourceProgress, merge_rows
from tocsin.engines.errors import EngineError
from tocsin.engines.log import Log
from tocsin.engines.store import Store
from tocsin.ops import documents
from tocsin.ops.regions import Reached
from tocsin.topology import Region, Topology


@dataclass(slots=True)
class Pace:
    """What two looks at one source tell. Rates are records a second."""

    arrival_per_s: float
    done_per_s: float
    spare_per_s: float | None
    """Done less arrived; None when nothing waited all the time, so nothing shows what more could have been done."""
    recover_s: float | None
    """Until the backlog is gone at this pace; None when there is none, or it does not shrink."""


@dataclass(slots=True)
class SourceState:
    """How far one source of a partition number is. Bounds are None when the log could not be read."""

    source: str
    low: int | None = None
    """Everything below is done; None when nothing was ever saved."""
    runs: int = 0
    done: int = 0
    """Offsets that are done, above the low watermark too."""
    log_start: int | None = None
    log_end: int | None = None
    lag_records: int | None = None
    """Offsets up to the log's end that are not done."""
    lag_s: float | None = None
    """The age of the oldest of them."""
    headroom_s: float | None = None
    """How long retention still leaves that oldest one; None when nothing waits, or nothing is ever removed."""
    unread: int = 0
    """Records that retention removed before they were read, and that are not recorded as lost yet."""
    pace: Pace | None = None


@dataclass(slots=True)
class PartitionState:
    """One partition number. Counts and phase are its owner's, None when no owner wrote anything down."""

    partition: int
    phase: str | None = None
    written_s: float | None = None
    """How long ago the owner wrote this down."""
    held: int | None = None
    set_aside: int | None = None
    quarantined: int | None = None
    halted: list[str] = field(default_factory=list)
    ill: bool = False
    sources: list[SourceState] = field(default_factory=list)


@dataclass(slots=True)
class RegionState:
    """One region, as far as it could be read."""

    name: str
    complete_until_us: int | None = None
    drained: list[str] = field(default_factory=list)
    """The regions that count as drained here: what they hold, complete-until says nothing of."""
    budget_counted: list[str] = field(default_factory=list)
    budget_spent: bool = False
    lost: list[dict[str, Any]] = field(default_factory=list)
    partitions: list[PartitionState] = field(default_factory=list)
    away: list[str] = field(default_factory=list)
    """What could not be read of it, and why."""

    def as_fields(self) -> dict[str, Any]:
        """As JSON knows it."""
        return asdict(self)


async def look(reached: Reached, topology: Topology, now_us: int) -> list[RegionState]:
    """How far all regions are now; what could not be read is named in each. Raises nothing for it."""
    return [await look_at(region, reached, topology, now_us) for region in topology.regions]


async def look_at(region: Region, reached: Reached, topology: Topology, now_us: int) -> RegionState:
    """How far one region is now; what could not be read is named in it. Raises nothing for it."""
    state = RegionState(region.name)
    state.away += [f"{what}: {why}" for what, why in reached.away.items() if what.endswith(f" of {region.name}")]
    progress: dict[int, dict[str, SourceProgress]] = {}
    store, log = reached.stores.get(region.name), reached.logs.get(region.name)
    state.partitions = [PartitionState(number) for number in range(region.partitions)]
    try:
        if store is not None:
            progress = await _read_store(store, state, topology, now_us)
    except (EngineError, ValueError) as error:
        state.away.append(f"store of {region.name}: {error}")
    try:
        await _read_log(log, region, state, progress, now_us)
    except EngineError as error:
        state.away.append(f"log of {region.name}: {error}")
    return state


async def _read_store(
    store: Store, state: RegionState, topology: Topology, now_us: int
) -> dict[int, dict[str, SourceProgress]]:
    """Fills in what the store tells; returns the union of its owners' accounts by partition."""
    rows = await store.progress()
    state.drained = list(await documents.drained_regions(store))
    state.complete_until_us = complete_until(rows, len(state.partitions), topology.names, state.drained)
    budget = await documents.budget(store)
    state.budget_counted, state.budget_spent = list(budget.counted), budget.spent
    state.lost = [lost._asdict() for lost in await store.lost()]
    written = {status.partition: status for status in await documents.statuses(store)}
    for partition in state.partitions:
        status = written.get(partition.partition)
        if status is not None:
            partition.phase, partition.halted, partition.ill = status.phase, list(status.halted), status.ill
            partition.held, partition.set_aside = status.held, status.set_aside
            partition.quarantined = status.quarantined
            partition.written_s = max(0.0, (now_us - status.at_us) / 1e6)
    return {
        partition.partition: merge_rows(row for row in rows if row.partition == partition.partition)
        for partition in state.partitions
    }


async def _read_log(
    log: Log | None,
    region: Region,
    state: RegionState,
    progress: dict[int, dict[str, SourceProgress]],
    now_us: int,
) -> None:
    for partition in state.partitions:
        known = progress.get(partition.partition, {})
        for name, topic in region.requests_topics.items():
            source = SourceState(name)
            partition.sources.append(source)
            runs = known[name].runs if name in known else None
            if runs is not None:
                source.low, source.runs, source.done = runs.low, len(runs), _done(runs, 0)
            if log is not None:
                await _measure(log, (topic, partition.partition), source, Runs() if runs is None else runs, now_us)


def _done(runs: Runs, above: int) -> int:
    """How many offsets at or above this one are done."""
    return max(0, runs.low - above) + sum(end - max(start, above) for start, end in runs if end > above)


async def _measure(log: Log, place: tuple[str, int], source: SourceState, runs: Runs, now_us: int) -> None:
    """Fills in what the log tells; raises `EngineError`."""
    topic = await log.topic(place[0])
    if topic is None:
        return
    start, end = source.log_start, source.log_end = await log.bounds(*place)
    if source.low is not None:
        source.unread = start - (_done(runs, 0) - _done(runs, start)) if start > source.low else 0
    source.lag_records = max(0, end - start - _done(runs, start))
    if source.lag_records == 0:
        source.lag_s = 0.0
        return
    oldest = runs.first_open(start)
    first = await log.fetch(*place, oldest, records_max=1, bytes_max=1, wait_s=0.0)
    if first.records:
        age_s = now_us / 1e6 - first.records[0].record.timestamp_ms / 1e3
        source.lag_s = max(0.0, age_s)
        source.headroom_s = None if topic.retention_s is None else max(0.0, topic.retention_s - age_s)


def measure_pace(before: Iterable[RegionState], after: Iterable[RegionState], seconds: float) -> None:
    """Fills in the paces of `after`, by a look that was so many seconds earlier."""
    for earlier, later in zip(before, after, strict=True):
        for one, other in zip(earlier.partitions, later.partitions, strict=True):
            for old, new in zip(one.sources, other.sources, strict=False):
                new.pace = pace(old, new, seconds)


def pace(before: SourceState, after: SourceState, seconds: float) -> Pace | None:
    """The pace of a source between two looks; None when one of them lacks the log or the account."""
    if before.log_end is None or after.log_end is None or before.low is None or after.low is None:
        return None
    arrival = (after.log_end - before.log_end) / seconds
    done = (after.done - before.done) / seconds
    if not (before.lag_records and after.lag_records) or after.lag_s is None or after.lag_s < seconds:
        return Pace(arrival, done, None, None)
    spare = done - arrival
    return Pace(arrival, done, spare, after.lag_records / spare if spare > 0 else None)

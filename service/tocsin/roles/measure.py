"""What an owner measures of its partition number: counts as things happen, and how things are when somebody asks."""

import collections
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from tocsin.core.effects import Now
from tocsin.core.failures import Failure, Kind
from tocsin.core.kept import Stage
from tocsin.core.partition import Partition
from tocsin.core.requests import Content, Request, Unreadable
from tocsin.core.statements import Said, Standing, Statement, Unknown, Word
from tocsin.core.verdict import Verdict
from tocsin.engines.log import Log
from tocsin.engines.store import Lost
from tocsin.roles.known_log import Lag, measure_lag
from tocsin.roles.pace import Pace
from tocsin.telemetry import Bound, Counter, Gauge, Histogram, Meters, Reading, bound
from tocsin.topology import Region

OPEN_STAGES: Final = (Stage.HELD, Stage.ASIDE, Stage.QUARANTINED, Stage.DROPPED)


class Measure:
    """One partition number, as its owner sees it."""

    def __init__(
        self, meters: Meters, region: Region, partition: int, machine: Partition, lost: Iterable[Lost], now: Now
    ) -> None:
        """`lost`: what retention took unread before."""
        self.lags: dict[str, Lag] = {}
        """How far each source was ahead when it was last measured."""
        self.stored = 0
        """How many requests the store acknowledged."""
        self.heard_s = dict.fromkeys((peer.name for peer in region.peers), now.mono_s)
        """When a heartbeat of each peer was last read; from the start on, of one that was not heard yet."""
        self._meters = meters
        self._region = region
        self._partition = partition
        self._machine = machine
        self._pace = Pace()
        self._lost = dict.fromkeys(region.requests_topics, 0)
        for one in lost:
            self.lost(one)
        for kind in Kind:
            meters.add(Counter.FAILED, 0, kind=kind)
        for verdict in Verdict:
            meters.add(Counter.DECIDED, 0, verdict=verdict)
        for origin in ("own", "peer"):
            meters.observe(Histogram.STORED_S, (), origin=origin)
        meters.add(Counter.DISPUTED, 0)
        meters.add(Counter.STORED, 0, partition=str(partition))
        meters.add(Counter.COLLIDED, 0, partition=str(partition))
        self._collisions = 0
        self._decided: collections.Counter[Verdict] = collections.Counter()

    @property
    def lag_s(self) -> float:
        """The age of the oldest record that is not done."""
        return max((lag.s for lag in self.lags.values()), default=0.0)

    def kept(self) -> collections.Counter[Stage]:
        """How many failed requests there are in each stage."""
        return collections.Counter(case.stage for case in self._machine.cases.open.values())

    async def look(self, log: Log, now: Now) -> None:
        """Measures the lag of each source; raises `EngineError`."""
        done = 0
        for name, topic in self._region.requests_topics.items():
            runs = self._machine.sources.runs(name)
            done += runs.total
            self.lags[name] = await measure_lag(log, topic, self._partition, runs.low, now.unix_us / 1e6)
        lags = self.lags.values()
        behind, end = sum(lag.records for lag in lags), sum(lag.end for lag in lags)
        self._pace.look(now.mono_s, end=end, done=done, behind=behind, lag_s=self.lag_s)

    # Counts ------------------------------------------------------------------------------------------------------

    def fetched(self, contents: Iterable[Content]) -> None:
        """A set was fetched: what nobody can read of it failed there and then, and is never written."""
        self._failed(content.failure for content in contents if isinstance(content, Unreadable))

    def written(self, requests: Sequence[Request], failures: dict[int, Failure], collisions: int, now_us: int) -> None:
        """A set was written, but for these failures; `collisions` is how many there ever were."""
        here = str(self._partition)
        if len(requests) > len(failures):
            self.stored += len(requests) - len(failures)
            self._meters.add(Counter.STORED, len(requests) - len(failures), partition=here)
            self._time(requests, failures, now_us)
        self._failed(failures.values())
        if collisions > self._collisions:
            self._meters.add(Counter.COLLIDED, collisions - self._collisions, partition=here)
            self._collisions = collisions

    def _time(self, requests: Sequence[Request], failures: Collection[int], now_us: int) -> None:
        """Adds how long it took, each request into a bucket and nothing more."""
        own = self._region.name
        took_s: tuple[list[float], list[float]] = ([], [])
        for index, request in enumerate(requests):
            if not failures or index not in failures:
                took_s[request.region == own].append((now_us - request.received_us) / 1e6)
        for origin, some_s in zip(("peer", "own"), took_s, strict=True):
            if some_s:
                self._meters.observe(Histogram.STORED_S, some_s, origin=origin)

    def said(self, statements: Sequence[Statement], now: Now) -> None:
        """These are on the own ledger."""
        words = (one.word if isinstance(one, Said) else type(one).__name__.lower() for one in statements)
        for word, times in collections.Counter(words).items():
            self._meters.add(Counter.SAID, times, word=word)
        stored = [one.key for one in statements if isinstance(one, Said) and one.word is Word.STORED]
        if disputed := sum(self._machine.known.is_disputed(key, now) for key in stored):
            self._meters.add(Counter.DISPUTED, disputed)

    def heard(self, statements: Iterable[Statement | Unknown], now: Now) -> None:
        """These were read in a ledger."""
        for one in statements:
            if isinstance(one, Standing) and one.replica.region in self.heard_s:
                self.heard_s[one.replica.region] = now.mono_s

    def _failed(self, failures: Iterable[Failure]) -> None:
        for kind, times in collections.Counter(failure.kind for failure in failures).items():
            self._meters.add(Counter.FAILED, times, kind=kind)

    def lost(self, lost: Lost) -> None:
        """Retention took a range unread."""
        if lost.partition == self._partition and lost.source in self._lost:
            self._lost[lost.source] += lost.end - lost.start

    def decided(self) -> None:
        """Adds to the counts of verdicts what was decided since the last time."""
        decided = self._machine.cases.decided
        for verdict, times in (decided - self._decided).items():
            self._meters.add(Counter.DECIDED, times, verdict=verdict)
        self._decided = decided.copy()

    # How things are ----------------------------------------------------------------------------------------------

    def readings(self, now: Now) -> Iterator[Reading]:
        """What gauges show of this partition number."""
        here, machine = {"partition": str(self._partition)}, self._machine
        for source, lag in self.lags.items():
            yield Reading(Gauge.LAG_MESSAGES, lag.records, here | {"source": source})
            yield Reading(Gauge.LAG_S, lag.s, here | {"source": source})
        for source, records in self._lost.items():
            yield Reading(Gauge.LOST, records, here | {"source": source})
        kept = self.kept()
        for stage in OPEN_STAGES:
            yield Reading(Gauge.KEPT, kept[stage], here | {"stage": stage})
        yield Reading(Gauge.SET_ASIDE_S, self._set_aside_s(now), here)
        yield Reading(Gauge.HALTED, 1 if machine.halted else 0, here)
        if self.lags:
            yield Reading(Gauge.HEADROOM_S, self._region.log.retention_s - self.lag_s, here)
        pace = self._pace
        for gauge, value in (
            (Gauge.ARRIVAL_RATE, pace.arrival_per_s),
            (Gauge.CAPACITY, pace.capacity_per_s),
            (Gauge.RECOVER_S, pace.recover_s),
        ):
            if value is not None:
                yield Reading(gauge, value, here)
        limits = self._region.limits
        yield from bound(Bound.SETS, machine.sets_in_flight, limits.sets_in_flight_max, **here)
        yield from bound(Bound.HELD, machine.cases.held, limits.held_max, **here)

    def _set_aside_s(self, now: Now) -> float:
        """The age of the oldest request that is set aside; 0 when there is none."""
        cases = self._machine.cases.open.values()
        return max(((now.unix_us - case.since_us) / 1e6 for case in cases if case.stage is Stage.ASIDE), default=0.0)

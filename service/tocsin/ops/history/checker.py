"""The checker: judges a history, and names each anomaly with what was seen, where and when; theory in the package.

One pass over the lines, in their order: that, not the clock, says what came before what. What is remembered grows with
the requests, not with the reads: for each request and region the row as it was last read, whether it was a case, how it
ended, and of the reads that lacked it the one that claimed to be the most complete.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from tocsin.core.kept import Stage
from tocsin.ops.history.format import Call, Fail, Header, History, Info, Invoke, Ok, Part, Row
from tocsin.ops.history.report import Anomaly, Kind, Report

ANOMALIES_MAX: Final = 1_000
"""So many are kept whole; all are counted."""
TOLD_EVERY: Final = 1_000
STORED: Final = "stored"
DROPPED: Final = "dropped"
OPEN: Final = frozenset({Stage.HELD, Stage.ASIDE})


def check_file(path: Path, told: Callable[[int], None] | None = None) -> Report:
    """Judges the history in a file. `told` hears now and then how many lines were read.

    Raises `BrokenHistory`, and OSError for a file that cannot be read.
    """
    history = History(path)
    checker = Checker(history.header)
    for number, line in enumerate(history, 2):
        checker.take(line)
        if told is not None and number % TOLD_EVERY == 0:
            told(number)
    return checker.report()


class _Moment(NamedTuple):
    """An operation, and when it ended."""

    op: int
    at_us: int

    def __str__(self) -> str:
        return f"op {self.op} at {_utc(self.at_us)}"


class _Acked(NamedTuple):
    """The first acknowledgement of a request."""

    number: int
    when: _Moment
    region: str

    def __str__(self) -> str:
        return f"acknowledged by {self.region} ({self.when})"


class _Missed(NamedTuple):
    """A read without a request that had been acknowledged before the read began."""

    until_us: int
    when: _Moment
    drained: tuple[str, ...]


@dataclass(slots=True)
class _Request:
    """What is known of one request, by region."""

    acked: _Acked | None = None
    rows: dict[str, Row] = field(default_factory=dict)
    seen: dict[str, _Moment] = field(default_factory=dict)
    """The latest read that had it, as an entry or as what is kept of a failure."""
    cases: set[str] = field(default_factory=set)
    missed: dict[str, _Missed] = field(default_factory=dict)
    waited_us: dict[str, int] = field(default_factory=dict)
    """How long after its acknowledgement the latest read that lacked it began."""
    ended: dict[str, str] = field(default_factory=dict)
    """What the region's final read found: stored, dropped, or a stage."""


@dataclass(slots=True)
class _Open:
    """An operation that has not ended."""

    invoke: Invoke
    sent: int
    """So many sends had begun when it began, and so many requests had been acknowledged."""
    acked: int
    entries: list[Row] = field(default_factory=list)
    stages: dict[str, Stage] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)


class _Final(NamedTuple):
    """The latest final read of a region, and how many requests had been sent and acknowledged when it began."""

    sent: int
    acked: int
    when: _Moment


class Checker:
    """Takes the lines of a history one by one, then gives its judgement."""

    def __init__(self, header: Header) -> None:
        self._regions = header.regions
        self._requests: dict[str, _Request] = {}
        self._sent = 0
        self._acked: list[str] = []
        self._open: dict[int, _Open] = {}
        self._calls: dict[str, Counter[str]] = {call.value: Counter(ok=0, fail=0, info=0) for call in Call}
        self._finals: dict[str, _Final] = {}
        self._anomalies: list[Anomaly] = []
        self._counts = Counter(dict.fromkeys(Kind, 0))

    # Line by line ------------------------------------------------------------------------------------------------

    def take(self, line: Invoke | Part | Ok | Fail | Info) -> None:
        """One more line; an operation must have been invoked and not have ended, as `History` sees to."""
        match line:
            case Invoke():
                self._sent += line.call is Call.SEND
                self._open[line.op] = _Open(line, self._sent, len(self._acked))
            case Part():
                scan = self._open[line.op]
                scan.entries += line.entries
                scan.stages.update(line.kept)
                scan.dropped += line.dropped
            case Ok():
                self._ok(self._end(line.op, "ok"), line)
            case Fail():
                self._end(line.op, "fail")
            case Info():
                self._end(line.op, "info")

    def _end(self, op: int, how: str) -> _Open:
        ended = self._open.pop(op)
        self._calls[ended.invoke.call][how] += 1
        return ended

    def _ok(self, ended: _Open, line: Ok) -> None:
        invoke, when = ended.invoke, _Moment(line.op, line.at_us)
        match invoke.call:
            case Call.SEND:
                request = self._of(line.request)
                if request.acked is None:
                    request.acked = _Acked(len(self._acked), when, invoke.region)
                    self._acked.append(line.request)
            case Call.GET if line.found:
                self._of(invoke.request).seen[invoke.region] = when
            case Call.GET:
                self._miss(invoke.request, ended, line)
            case Call.SCAN:
                self._scanned(ended, line)

    def _of(self, request: str) -> _Request:
        return self._requests.setdefault(request, _Request())

    def _miss(self, name: str, ended: _Open, line: Ok) -> None:
        """A read without the request: it says something if the request had been acknowledged before it began, and
        claims something unless it says that the request may be on its way.
        """
        request, region = self._of(name), ended.invoke.region
        if request.acked is None or request.acked.number >= ended.acked:
            return
        request.waited_us[region] = ended.invoke.at_us - request.acked.when.at_us
        if not line.pending:
            missed = _Missed(line.complete_until_us or 0, _Moment(line.op, line.at_us), line.drained)
            request.missed[region] = max(missed, request.missed.get(region, missed))

    def _scanned(self, scan: _Open, line: Ok) -> None:
        region, when = scan.invoke.region, _Moment(line.op, line.at_us)
        found = {name: str(stage) for name, stage in scan.stages.items() if stage is not Stage.DONE}
        for name in scan.stages:
            self._of(name).cases.add(region)
        for row in scan.entries:
            self._compare(region, row, when)
            found[row.request] = STORED
        for name in found:
            self._of(name).seen[region] = when
        found |= dict.fromkeys(scan.dropped, DROPPED)
        for name in self._acked[: scan.acked]:
            if name not in found:
                self._miss(name, scan, line)
        if scan.invoke.final:
            self._finals[region] = _Final(scan.sent, scan.acked, when)
            for request in self._requests.values():
                request.ended.pop(region, None)
            for name, ended in found.items():
                self._of(name).ended[region] = ended

    def _compare(self, region: str, row: Row, when: _Moment) -> None:
        """An entry may only change to an earlier arrival of the same request."""
        rows = self._of(row.request).rows
        before = rows.get(region)
        if before == row:
            return
        rows[region] = row
        if not row.is_sound:
            self._add(Kind.REWRITTEN, row.request, region, f"its body has the digest {row.body} ({when})")
        elif before is not None and (
            (before.body, before.schema, before.action) != (row.body, row.schema, row.action)
            or (before.received_us, before.region) < (row.received_us, row.region)
        ):
            self._add(Kind.REWRITTEN, row.request, region, f"was {_told(before)}, is {_told(row)} ({when})")

    # Judgement ---------------------------------------------------------------------------------------------------

    def report(self) -> Report:
        """The judgement of what was taken; what has not ended by now counts as indeterminate."""
        for op in list(self._open):
            self._end(op, "info")
        for name, request in self._requests.items():
            self._judge(name, request)
        return Report(
            anomalies=self._anomalies,
            counts=dict(self._counts),
            unknown_because=list(self._unknown()),
            calls={call: dict(ends) for call, ends in self._calls.items()},
            acknowledged=len(self._acked),
            recovered=sum(request.acked is None and bool(request.seen) for request in self._requests.values()),
            stable_latency_ms_max={region: self._latency_us_max(region) / 1000 for region in self._regions},
        )

    def _latency_us_max(self, region: str) -> int:
        requests = self._requests.values()
        return max((request.waited_us.get(region, 0) for request in requests if region in request.seen), default=0)

    def _judge(self, name: str, request: _Request) -> None:
        for region, final in self._finals.items():
            if region not in request.ended:
                self._absent(name, request, region, final)
        self._agree(name, request)
        for region, missed in request.missed.items():
            if region in request.seen and missed.when < request.seen[region] and region not in request.cases:
                self._in_time(name, request, region, missed)

    def _absent(self, name: str, request: _Request, region: str, final: _Final) -> None:
        """The final read of a region has no trace of it."""
        was_acked = request.acked is not None and request.acked.number < final.acked
        elsewhere = [f"{other} had it ({when})" for other, when in request.seen.items() if other != region]
        gone = f"the final read of {region} has no trace of it ({final.when})"
        if region in request.seen:
            self._add(Kind.LOST, name, region, f"was there ({request.seen[region]}); {gone}")
        elif elsewhere and (was_acked or final.sent == self._sent):
            self._add(Kind.SKIPPED, name, region, f"{elsewhere[0]}; {gone}")
        elif was_acked:
            self._add(Kind.LOST, name, region, f"{request.acked}; {gone}")

    def _agree(self, name: str, request: _Request) -> None:
        """All regions ended alike, and with one row."""
        ended = {region: request.ended[region] for region in sorted(request.ended)}
        told = ended
        if set(ended.values()) == {STORED}:
            told = {region: _told(request.rows[region]) for region in ended}
        if len(set(told.values())) > 1:
            text = "; ".join(f"{region}: {what} ({self._finals[region].when})" for region, what in told.items())
            self._add(Kind.DIVERGED, name, ",".join(told), text)

    def _in_time(self, name: str, request: _Request, region: str, missed: _Missed) -> None:
        """A read that claims to be complete must have what was accepted before that time, where it vouches for it."""
        if request.acked is None or request.acked.region in missed.drained:
            return
        received = [row.received_us for row in request.rows.values()]
        if max([request.acked.when.at_us, *received]) < missed.until_us:
            text = (
                f"{request.acked}; a read of {region} complete until {_utc(missed.until_us)} lacked it "
                f"({missed.when}); later it had it ({request.seen[region]})"
            )
            self._add(Kind.LATE, name, region, text)

    def _add(self, kind: Kind, request: str, region: str, text: str) -> None:
        self._counts[kind] += 1
        if len(self._anomalies) < ANOMALIES_MAX:
            self._anomalies.append(Anomaly(kind, request, region, text))

    def _unknown(self) -> Iterator[str]:
        if not self._acked:
            yield "nothing was acknowledged, so nothing could be lost"
        for region in self._regions:
            final = self._finals.get(region)
            if final is None:
                yield f"there is no final read of region {region}"
            elif (final.sent, final.acked) != (self._sent, len(self._acked)):
                yield f"the final read of region {region} ({final.when}) began before the last send had ended"
        undecided = [name for name, request in self._requests.items() if OPEN & set(request.ended.values())]
        if undecided:
            yield f"{len(undecided):,} requests are still held or set aside, {undecided[0]} for one"


def _told(row: Row) -> str:
    return f"body {row.body}, received {row.received_us} by {row.region}, {row.action} of schema {row.schema}"


def _utc(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

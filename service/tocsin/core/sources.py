"""The sources of one partition number: what is done of each, what is in hand, and what may be fetched next.

Theory
------
A source is a `requests` topic, this region's own or a peer's mirrored one. A *hand* is one write under way; the span of
its message set is done when it ends, but for the holes: requests that failed or are tried otherwise. So a good set of
any size costs one addition to the runs.

`reach` is written ahead: nothing at or above a source's saved reach is ever taken in hand. After an unclean stop all
that is below it and not done is suspect, and nothing else is.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from tocsin.core.ids import RequestKey
from tocsin.core.limits import Limits
from tocsin.core.progress import Anchor, ProgressRow, Runs, SourceProgress
from tocsin.core.requests import Request

_T = TypeVar("_T")

WAITING_MAX: Final = 4096
"""Ticks, or anchors, of a source that wait for what is below them; of more than that, every second one is forgotten."""


class Fetch(NamedTuple):
    """What to fetch next from one source."""

    source: str
    position: int
    records_max: int


@dataclass(slots=True)
class Hand:
    """One write under way. `offsets` go with `requests`; `span` is done with it, but for `holes`."""

    source: str
    offsets: list[int]
    requests: Sequence[Request]
    span: tuple[int, int] | None = None
    holes: set[int] = field(default_factory=set)
    alone: bool = False
    case: RequestKey | None = None


class Sources:
    """Progress of all sources of one partition number, and when to save it."""

    def __init__(
        self, saved: dict[str, SourceProgress], limits: Limits, *, unclean: bool, ends: Mapping[str, int] | None = None
    ) -> None:
        """`ends`: one above the last offset of each source as the log is now: what comes later was in nobody's hand."""
        self._limits = limits
        self._progress = saved
        self._position = {name: source.runs.low for name, source in saved.items()}
        self._suspect_below = {
            name: min(source.reach, (ends or {}).get(name, source.reach)) if unclean else 0
            for name, source in saved.items()
        }
        self._saved_reach = dict.fromkeys(saved, 0)
        self._ticks: dict[str, deque[tuple[int, int]]] = {name: deque() for name in saved}
        self._anchors: dict[str, deque[Anchor]] = {name: deque() for name in saved}
        self._dirty = True
        self.saving = False
        self._saved_s = float("-inf")

    @property
    def names(self) -> tuple[str, ...]:
        """The sources."""
        return tuple(self._progress)

    def runs(self, source: str) -> Runs:
        """What is done of a source."""
        return self._progress[source].runs

    def position(self, source: str) -> int:
        """Where the next fetch of a source goes on."""
        return self._position[source]

    def is_suspect(self, source: str, offset: int) -> bool:
        """Whether the record may have been in hand when an owner stopped uncleanly."""
        return offset < self._suspect_below[source]

    def done(self, source: str, start: int, end: int) -> None:
        """The offsets start <= o < end are done."""
        self._progress[source].runs.add(start, end)
        self._dirty = True

    def passed(self, source: str, next_offset: int, last: Anchor | None) -> None:
        """A set was taken in hand: the next fetch goes on above it."""
        self._position[source] = next_offset
        if last is not None:
            self._anchors[source].append(last)
            _thin(self._anchors, source)

    def tick(self, source: str, offset: int, tick_us: int) -> None:
        """A tick was delivered; it is applied when all below it is done."""
        self._ticks[source].append((offset, tick_us))
        _thin(self._ticks, source)

    def lose(self, source: str, log_start: int) -> list[tuple[int, int]]:
        """Retention has removed what is below `log_start`: the ranges of it that were never taken in hand here. Nothing
        else will ever be delivered there, so they are done once it is recorded that they are lost.
        """
        runs = self._progress[source].runs
        at = runs.first_open(self._position[source])
        lost = []
        for start, end in [*runs, (log_start, log_start)]:
            if at < min(start, log_start):
                lost.append((at, min(start, log_start)))
            at = max(at, end)
        return lost

    def finish(self, hand: Hand) -> None:
        """A write ended: its span is done but for the holes; without a span, each of its offsets outside them."""
        if hand.span is None:
            for offset in hand.offsets:
                if offset not in hand.holes:
                    self.done(hand.source, offset, offset + 1)
            return
        start, end = hand.span
        for hole in sorted(hand.holes):
            self.done(hand.source, start, hole)
            start = hole + 1
        self.done(hand.source, start, end)

    def fetches(self) -> list[Fetch]:
        """What may be fetched, as far as progress has a say in it."""
        wanted = []
        for name, source in self._progress.items():
            position = source.runs.first_open(self._position[name])
            self._position[name] = position
            room = self._saved_reach[name] - position
            if room > 0:
                wanted.append(Fetch(name, position, min(room, self._limits.set_records_max)))
        return wanted

    def settle(self) -> None:
        """Applies the ticks, and drops the anchors, that the watermarks have passed."""
        for name, source in self._progress.items():
            low = source.runs.low
            ticks, anchors = self._ticks[name], self._anchors[name]
            while ticks and ticks[0][0] < low:
                source.tick_us = max(source.tick_us, ticks.popleft()[1])
            while anchors and anchors[0].offset < low:
                source.anchor = anchors.popleft()

    def save_due(self, now_s: float) -> bool:
        """Whether progress is to be saved now: on change, once an interval, one save at a time."""
        return self._wants_save() and not self.saving and now_s - self._saved_s >= self._limits.flush_every_s

    def _wants_save(self) -> bool:
        half = self._limits.reach_records // 2
        return self._dirty or any(
            self._saved_reach[name] - position < half for name, position in self._position.items()
        )

    def row(self, partition: int, epoch: int, now_s: float, *, clean: bool) -> ProgressRow:
        """The row to save now. The reaches in it hold once it is saved (`saved`)."""
        self.settle()
        self._dirty, self.saving, self._saved_s = False, True, now_s
        for name, source in self._progress.items():
            source.reach = max(source.reach, self._position[name] + self._limits.reach_records)
        # The bytes are the copy: what is in memory goes on changing while the row is being written.
        raw = ProgressRow(partition, epoch, clean, self._progress).encode()
        return ProgressRow.decode(partition, epoch, clean=clean, raw=raw)

    def saved(self, *, ok: bool) -> None:
        """The last row was saved, or was not."""
        self.saving = False
        if ok:
            self._saved_reach = {name: source.reach for name, source in self._progress.items()}
        else:
            self._dirty = True


def _thin(table: dict[str, deque[_T]], source: str) -> None:
    if len(table[source]) > WAITING_MAX:
        table[source] = deque(list(table[source])[::2])

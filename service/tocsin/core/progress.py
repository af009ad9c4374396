"""Progress: what is done of a log's partition, as a low watermark and the runs of done offsets above it.

Theory
------
Done is for ever (within an incarnation), so two accounts of progress of the same log are merged by union: a late or
repeated save by a former owner does no harm. One failed request holds the watermark; what is done above it is a list
of runs, as long as what is held and in flight: a million messages above one held request are one run. There is no
bitmap, so there is no size at which the map is dropped or the partition stops.

Offsets that a log never delivered between two delivered ones are done (transaction markers, compaction). Offsets that
retention removed before they were read are not: they are *lost here*, and said so (`partition.py`).

The coordinates travel with the account: it must never lean on a neighbouring field, since an account that is read
against another log skips what was never done. With the watermark goes an *anchor*: the offset and digest of a record
below it. If the log has another record there, it is not the log that we knew.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Self

import msgspec

FORMAT: Final = 1


class Coordinates(NamedTuple):
    """Which log this is: the cluster, the topic by name, the incarnation of that topic, the partition."""

    cluster: str
    topic: str
    topic_incarnation: str
    partition: int


class Anchor(NamedTuple):
    """A record below the watermark, by offset and digest."""

    offset: int
    digest: bytes


class Runs:
    """A set of offsets: everything below `low`, and the half-open runs above it.

    The runs are disjoint, not adjacent, ascending, and all above `low`: so equal sets are equal objects.
    """

    __slots__ = ("_ends", "_starts", "low")

    def __init__(self, low: int = 0, runs: Iterable[tuple[int, int]] = ()) -> None:
        self.low = low
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in runs:
            self.add(start, end)

    def add(self, start: int, end: int) -> None:
        """Adds the offsets start <= o < end; adding what is there already changes nothing."""
        if end <= start or end <= self.low:
            return
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        if self._starts[0] <= self.low:
            self.low = self._ends.pop(0)
            del self._starts[0]

    def update(self, other: "Runs") -> None:
        """The union with another account of the same log."""
        self.add(min(self.low, other.low), other.low)
        for start, end in other:
            self.add(start, end)

    def copy(self) -> "Runs":
        """An independent copy."""
        twin = Runs(self.low)
        twin._starts = self._starts[:]
        twin._ends = self._ends[:]
        return twin

    def __contains__(self, offset: int) -> bool:
        if offset < self.low:
            return True
        place = bisect_right(self._starts, offset)
        return place > 0 and offset < self._ends[place - 1]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    def __len__(self) -> int:
        """The number of runs above the watermark."""
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Runs) and self.low == other.low and list(self) == list(other)

    def __hash__(self) -> int:
        return hash((self.low, tuple(self)))

    def __repr__(self) -> str:
        return f"Runs({self.low}, {list(self)})"

    @property
    def total(self) -> int:
        """How many offsets are done."""
        return self.low + sum(end - start for start, end in self)

    @property
    def top(self) -> int:
        """The first offset above everything done."""
        return self._ends[-1] if self._ends else self.low

    def first_open(self, offset: int) -> int:
        """The first offset at or above this one that is not done."""
        if offset < self.low:
            return self.low
        place = bisect_right(self._starts, offset)
        return self._ends[place - 1] if place and offset < self._ends[place - 1] else offset

    def encode(self) -> bytes:
        """A format byte, then the watermark and each gap's and run's length as varints."""
        out = bytearray((FORMAT,))
        _put_varint(out, self.low)
        previous = self.low
        for start, end in self:
            _put_varint(out, start - previous)
            _put_varint(out, end - start)
            previous = end
        return bytes(out)

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """The set that `encode` wrote; raises ValueError for anything else: it must not advance anything."""
        if not raw or raw[0] != FORMAT:
            message = f"progress of format {raw[0] if raw else 'none'}; this version reads format {FORMAT}"
            raise ValueError(message)
        numbers = list(_varints(raw[1:]))
        if len(numbers) % 2 == 0 or any(n == 0 for n in numbers[1:]):
            message = "progress is damaged: expected a watermark, then pairs of positive lengths"
            raise ValueError(message)
        runs = cls(numbers[0])
        at = numbers[0]
        for gap, length in zip(numbers[1::2], numbers[2::2], strict=True):
            runs._starts.append(at + gap)
            runs._ends.append(at + gap + length)
            at += gap + length
        return runs


class SourceProgress(msgspec.Struct):
    """Progress in one source (a `requests` topic, own or mirrored) of a partition number.

    `reach`: no offset at or above it was ever taken in hand: after an unclean stop what is below it and not done is
    suspect. `tick_us`: the newest tick of this source with everything below it done; 0 when there was none yet.
    """

    coordinates: Coordinates
    runs: Runs
    anchor: Anchor | None = None
    reach: int = 0
    tick_us: int = 0

    def merge(self, other: "SourceProgress") -> None:
        """The union with another owner's account. Raises ValueError when the coordinates differ."""
        if self.coordinates != other.coordinates:
            message = f"progress of {other.coordinates} cannot be merged into that of {self.coordinates}"
            raise ValueError(message)
        self.runs.update(other.runs)
        self.reach = max(self.reach, other.reach)
        self.tick_us = max(self.tick_us, other.tick_us)
        if self.anchor is None or (other.anchor is not None and other.anchor.offset > self.anchor.offset):
            self.anchor = other.anchor

    def encode(self) -> bytes:
        """This account as bytes."""
        anchor = list(self.anchor) if self.anchor else None
        return msgspec.msgpack.encode([list(self.coordinates), self.runs.encode(), anchor, self.reach, self.tick_us])

    @classmethod
    def decode(cls, raw: bytes) -> "SourceProgress":
        """The account of `encode`'s bytes; raises ValueError when they are not that."""
        coordinates, runs, anchor, reach, tick_us = msgspec.msgpack.decode(
            raw, type=tuple[Coordinates, bytes, Anchor | None, int, int]
        )
        return cls(coordinates, Runs.decode(runs), anchor, reach, tick_us)


class ProgressRow(msgspec.Struct):
    """What one owner of a partition number saves, under its own epoch. `clean`: it stopped in good order."""

    partition: int
    epoch: int
    clean: bool
    sources: dict[str, SourceProgress]

    def encode(self) -> bytes:
        """The sources of the row as bytes (partition, epoch and clean are columns)."""
        return msgspec.msgpack.encode({name: source.encode() for name, source in self.sources.items()})

    @classmethod
    def decode(cls, partition: int, epoch: int, *, clean: bool, raw: bytes) -> "ProgressRow":
        """The row of `encode`'s bytes and its columns."""
        sources = msgspec.msgpack.decode(raw, type=dict[str, bytes])
        return cls(partition, epoch, clean, {name: SourceProgress.decode(s) for name, s in sources.items()})


def merge_rows(rows: Iterable[ProgressRow]) -> dict[str, SourceProgress]:
    """The union of what all owners saved, by source."""
    merged: dict[str, SourceProgress] = {}
    for row in rows:
        for name, source in row.sources.items():
            if name in merged:
                merged[name].merge(source)
            else:
                merged[name] = SourceProgress.decode(source.encode())
    return merged


_SEVEN_BITS: Final = 0x7F


def _put_varint(out: bytearray, number: int) -> None:
    while number > _SEVEN_BITS:
        out.append(number & _SEVEN_BITS | 0x80)
        number >>= 7
    out.append(number)


def _varints(raw: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in raw:
        number |= (byte & _SEVEN_BITS) << shift
        shift += 7
        if not byte & 0x80:
            yield number
            number = shift = 0
    if shift:
        message = "progress is damaged: it ends within a number"
        raise ValueError(message)

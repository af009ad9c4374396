"""What machines lean on, in memory: topics with mirrors between regions, and stores that can be broken by rules."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tocsin.core.budget import Budget
from tocsin.core.failures import Failure, Kind
from tocsin.core.ids import Parent, RequestKey, digest
from tocsin.core.kept import Kept, Stage
from tocsin.core.progress import ProgressRow
from tocsin.core.requests import Record, Request

SECOND = 1_700_000_000


def request(n: int, *, service: str = "checkout", region: str = "a", received_us: int | None = None) -> Request:
    """The n-th good request; the same number is the same request, whoever received it and when."""
    body = b'{"n":%d}' % n
    key = RequestKey(Parent(service, f"alert-{n}"), (SECOND << 32) + n, digest(body))
    return Request(key, SECOND * 1_000_000 + n if received_us is None else received_us, region, 1, body)


class Topic:
    """A partition of a topic: its records, when each was appended, and where retention has left its start."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.appended_s: list[float] = []
        self.start = 0

    def append(self, records: Sequence[Record], now_s: float) -> None:
        self.records += records
        self.appended_s += [now_s] * len(records)

    def compacted(self) -> list[Record]:
        """The last record of each key, in log order."""
        last = {record.key: index for index, record in enumerate(self.records)}
        return [self.records[index] for index in sorted(last.values())]


@dataclass
class Link:
    """A mirror, one way: at least once, in order, keeping key and value."""

    delay_s: float = 0.02
    cut: bool = False
    doubling: bool = False
    """Every batch is mirrored twice."""
    positions: dict[str, int] = field(default_factory=dict)

    def pump(self, name: str, source: Topic, target: Topic, now_s: float) -> bool:
        """Mirrors what is old enough; returns whether anything was."""
        start = end = self.positions.get(name, 0)
        while end < len(source.records) and source.appended_s[end] + self.delay_s <= now_s + 1e-9:
            end += 1
        if self.cut or start == end:
            return False
        target.append(source.records[start:end], now_s)
        if self.doubling:
            target.append(source.records[start:end], now_s)
        self.positions[name] = end
        return True

    def replay(self) -> None:
        """Everything is mirrored again, from the start."""
        self.positions.clear()


class Killed(Exception):
    """The process that tried this request is dead."""


class MemoryStore:
    """An outcome store that is broken by rules on keys."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.refuses: set[RequestKey] = set()
        self.times_out: set[RequestKey] = set()
        self.crashes: set[RequestKey] = set()
        self.silent = False
        self.writes: list[RequestKey] = []
        """Each entry that was written, again and again."""
        self.lose_all(identity)

    def lose_all(self, identity: str) -> None:
        """The data are gone: a new database."""
        self.identity = identity
        self.entries: dict[RequestKey, Request] = {}
        self.kept: dict[RequestKey, Kept] = {}
        self.marks: dict[RequestKey, tuple[int, bool]] = {}
        self.rows: dict[int, tuple[bool, bytes]] = {}
        self.lost: list[tuple[str, int, int]] = []
        self.budget = Budget()

    def heal(self) -> None:
        self.refuses.clear()
        self.times_out.clear()
        self.crashes.clear()
        self.silent = False

    def write(self, requests: Sequence[Request], *, alone: bool) -> dict[int, Failure]:
        """Stores them; raises Killed when one of them kills the process (a child's death is its own)."""
        failures: dict[int, Failure] = {}
        for index, one in enumerate(requests):
            if one.key in self.crashes:
                if not alone:
                    raise Killed
                failures[index] = Failure(Kind.CRASHED, "it killed the child")
            elif self.silent or one.key in self.times_out:
                failures[index] = Failure(Kind.UNAVAILABLE, "timed out")
            elif one.key in self.refuses:
                failures[index] = Failure(Kind.REJECTED, "refused by rule")
            else:
                self.writes.append(one.key)
                there = self.entries.get(one.key, one)
                self.entries[one.key] = min(there, one, key=lambda r: (r.received_us, r.region))
        return failures

    def look(self, key: RequestKey) -> bool | None:
        return None if self.silent or key in self.times_out else key in self.entries

    def keep(self, kept: Kept) -> bool:
        if self.silent:
            return False
        there = self.kept.get(kept.key)
        if there is None or there.version < kept.version:
            self.kept[kept.key] = kept
        return True

    def mark(self, key: RequestKey, number: int, *, dropped: bool) -> bool:
        if self.silent:
            return False
        self.marks[key] = max(self.marks.get(key, (number, dropped)), (number, dropped))
        return True

    def save(self, row: ProgressRow, *, first: bool) -> bool:
        if self.silent:
            return False
        self.rows[row.epoch] = (row.clean, row.encode())
        if first:
            for epoch in [epoch for epoch in self.rows if epoch < row.epoch]:
                del self.rows[epoch]
        return True

    def progress(self) -> list[ProgressRow]:
        return [ProgressRow.decode(0, epoch, clean=clean, raw=raw) for epoch, (clean, raw) in self.rows.items()]

    def open_rows(self) -> list[Kept]:
        return [kept for kept in self.kept.values() if kept.stage is not Stage.DONE]

    def is_marked(self, key: RequestKey) -> bool:
        return self.marks.get(key, (0, False))[1]

    def outcome(self, key: RequestKey) -> str:
        """Where a request is here, as a reader would be told."""
        if self.is_marked(key):
            return "dropped"
        if key in self.entries:
            return "stored"
        kept = self.kept.get(key)
        return str(kept.stage) if kept else "absent"

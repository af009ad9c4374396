"""Histories made for tests: what a right system would have answered, and what is then planted in it."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from tocsin.core.kept import Stage
from tocsin.ops.history import Call, Checker, Report
from tocsin.ops.history.format import FORMAT, Fail, Header, Info, Invoke, KeptRow, Ok, Part, Row

SECOND_US = 1_000_000
BEGAN_US = 1_700_000_000 * SECOND_US
REGIONS = ("a", "b")


def name(number: int) -> str:
    """The printed key of a made-up request."""
    return f"0x{number:016x}.{number:012x}"


def row(request: str, received_us: int = BEGAN_US, region: str = "a", **changed: object) -> Row:
    """The entry of a request, as every region should have it."""
    return Row(request, request.partition(".")[2], received_us, region, 1, "trigger")._replace(**changed)  # type: ignore[arg-type]


@dataclass
class Made:
    """A history in the making; a second passes with each line."""

    regions: tuple[str, ...] = REGIONS
    lines: list[Invoke | Part | Ok | Fail | Info] = field(default_factory=list)
    _ops: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def now_us(self) -> int:
        """The time of the next line."""
        return BEGAN_US + len(self.lines) * SECOND_US

    def begin(self, call: Call, region: str = "a", **more: object) -> int:
        """An operation is invoked."""
        op = next(self._ops)
        self.lines.append(Invoke(op, self.now_us, "client", region, call, **more))  # type: ignore[arg-type]
        return op

    def send(self, request: str, region: str = "a") -> None:
        """A request is sent, and acknowledged."""
        self.lines.append(Ok(self.begin(Call.SEND, region), self.now_us, request))

    def send_and_never_know(self, region: str = "a") -> None:
        """A request is sent, and nobody knows what came of it."""
        self.lines.append(Info(self.begin(Call.SEND, region), self.now_us, "503"))

    def refuse(self, region: str = "a") -> None:
        """A request is sent, and refused on its merits."""
        self.lines.append(Fail(self.begin(Call.SEND, region), self.now_us, "400"))

    def get(self, request: str, region: str, **answer: object) -> None:
        """A querier is asked for a request."""
        self.lines.append(Ok(self.begin(Call.GET, region, request=request), self.now_us, **answer))  # type: ignore[arg-type]

    def scan(
        self,
        region: str,
        entries: Iterable[Row] = (),
        *,
        kept: Iterable[tuple[str, Stage]] = (),
        dropped: Iterable[str] = (),
        final: bool = False,
        complete_until_us: int | None = None,
    ) -> None:
        """A store is read whole, in two parts."""
        op = self.begin(Call.SCAN, region, final=final)
        rows = tuple(entries)
        self.lines.append(Part(op, rows[:1]))
        self.lines.append(Part(op, rows[1:], tuple(KeptRow(*each) for each in kept), tuple(dropped)))
        self.lines.append(Ok(op, self.now_us, complete_until_us=complete_until_us))

    def end(self, *requests: str) -> "Made":
        """Every region is read whole after a quiet time, and has all of these."""
        for region in self.regions:
            self.scan(region, map(row, requests), final=True)
        return self

    def judge(self) -> Report:
        """What the checker says."""
        checker = Checker(Header(FORMAT, self.regions))
        for line in self.lines:
            checker.take(line)
        return checker.report()

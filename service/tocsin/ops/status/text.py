"""Text: the layout of a status for a terminal, a file or a runbook's sample. It adds no words but the headline."""

from collections.abc import Iterator, Sequence
from itertools import starmap
from typing import Final

from tocsin.ops.status.questions import Answer, Status

GAP: Final = "  "


def lines_of(status: Status) -> Iterator[str]:
    """The status as lines: the headline, then each question with its answer indented below."""
    yield f"{status.verdict.upper()}: {status.headline}"
    for answer in status.answers:
        yield ""
        yield f"{answer.number}. {answer.question}"
        yield from (f"   {line}" for line in _body(answer))


def _body(answer: Answer) -> Iterator[str]:
    yield from _laid_out(answer.table)
    yield from answer.lines


def _laid_out(table: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows under each other, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        yield GAP.join(starmap(str.ljust, zip(row, widths, strict=True))).rstrip()

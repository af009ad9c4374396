"""What commands have in common: tables or JSON, messages, times for people, exit statuses, and asking before a deed.

Results go to stdout, everything else to stderr, so that `--json` can be piped. Data of strangers is shown with its
control characters spelt out: an alert's title must not steer the terminal of whoever reads it.
"""

import json
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import IntEnum
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from rich.table import Table

Row = Mapping[str, Any]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable, complete, stable.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
RegionsDir = Annotated[Path | None, typer.Option("--regions-dir", help="The folder of region files.")]

QUIET_S: Final = 2.0
"""Who waits no longer than this is told nothing of waiting."""
PIPE_WIDTH: Final = 10_000
"""Columns of a table that is not shown on a terminal: nothing is wrapped or cut."""
GAP: Final = 2
WORD_WIDTH_MAX: Final = 32
"""Longer words are broken on a terminal that is too narrow; not a printed key, which could not be copied then."""
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Status(IntEnum):
    """What a command ends with."""

    HELD = 0
    """It held, or is valid."""
    DEVIATED = 1
    """It deviated, is invalid, or was refused."""
    USAGE = 2
    """The command line is wrong."""
    UNKNOWN = 3
    """Inconclusive: the question could not be answered."""


def status_of(error: Exception) -> Status | None:
    """The status that an error ends a command with; None when it is not one that Tocsin knows, but a fault of its own.

    What did not answer leaves the question open: that must not look like a verdict.
    """
    from tocsin.client.errors import NotDelivered, Refused, SpoolInUse
    from tocsin.client.reader import NoAnswer, NotFound, Rejected
    from tocsin.config import ConfigError
    from tocsin.engines.errors import EngineError, Unavailable

    if isinstance(error, Unavailable | NotDelivered | NoAnswer | NotFound):
        return Status.UNKNOWN
    known = EngineError, ConfigError, Refused, Rejected, SpoolInUse
    is_of_a_file = isinstance(error, OSError) and error.filename is not None  # that says all that there is to say
    return Status.DEVIATED if is_of_a_file or isinstance(error, known) else None


def fail(error: Exception) -> None:
    """Tells an error and its causes on stderr, then what was noted to it: what to do."""
    from tocsin.telemetry import explain

    lines = [*explain(error).splitlines(), *getattr(error, "__notes__", ())]
    # A cause whose words were taken over is told once.
    lines = [clean(line) for index, line in enumerate(lines) if not index or line != f"because: {lines[index - 1]}"]
    typer.echo("\n  ".join([f"error: {lines[0]}", *lines[1:]]), err=True)


def note(text: str) -> None:
    """Tells something beside the result, on stderr."""
    typer.echo(text, err=True)


@contextmanager
def told_when_slow(text: str) -> Iterator[None]:
    """Tells, on stderr, what is being waited for, unless it is over before anybody wonders."""
    timer = threading.Timer(QUIET_S, note, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def show_json(value: Any) -> None:
    """A result as JSON."""
    typer.echo(json.dumps(value, indent=2))


def show_list(
    rows: Sequence[Row], columns: Mapping[str, Callable[[Row], object]], *, as_json: bool, empty: str
) -> None:
    """Rows as a JSON list, whole; or as a table of these columns, or the words for none at all."""
    if as_json:
        show_json([dict(row) for row in rows])
    else:
        show_table(rows, columns, empty=empty)


def show_table(
    rows: Sequence[Row],
    columns: Mapping[str, Callable[[Row], object]],
    *,
    empty: str,
    style: Callable[[Row], str] = lambda _row: "",
) -> None:
    """Rows as a table of these columns, or the words for none. `style`: a row's colour, on terminals that have them;
    it never says what no column says.
    """
    if not rows:
        typer.echo(empty)
        return
    cells = [[str(cell(row)) for cell in columns.values()] for row in rows]
    _table([*columns], cells, [style(row) for row in rows])


def plain(*names: str) -> dict[str, Callable[[Row], object]]:
    """Columns that show fields as they are, a number with its thousands; an underscore in a name is a space."""
    return {name.replace("_", " "): lambda row, name=name: _cell(row[name]) for name in names}  # type: ignore[misc]


def _cell(value: object) -> object:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else "" if value is None else value


def show_fields(fields: Row, *, as_json: bool) -> None:
    """One thing's fields: as a JSON object, or a line each."""
    if as_json:
        show_json(dict(fields))
    else:
        _table([], [[name, str(value)] for name, value in fields.items()])


def counted(number: int, noun: str) -> str:
    """A number of things: `1 request`, `1,024 requests`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def clean(text: str) -> str:
    """The text with control characters spelt out."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def utc(at_s: float) -> str:
    """A Unix time as people and machines read it: `2019-08-29T21:15:00Z`."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def show_line(value: Any) -> None:
    """One of many results, as a line of JSON that is out before the next comes."""
    typer.echo(json.dumps(value))


def ago(at_s: float, now_s: float) -> str:
    """A time as seen from now, in its largest whole unit: `3 min ago`, `in 2 h`, `now` within a second."""
    distance = abs(now_s - at_s)
    for seconds, unit in _UNITS:
        if distance >= seconds:
            text = f"{int(distance // seconds)} {unit}"
            return f"{text} ago" if at_s < now_s else f"in {text}"
    return "now"


def confirm(deed: str, *, undo: str, yes: bool) -> None:
    """Shows what will be done and how to undo it, then returns if it is wanted.

    Ends the command if not: with status 1 when a person said no, with 2 when nobody can be asked and --yes is missing.
    """
    note(f"will do: {clean(deed)}\nto undo: {clean(undo)}")
    if yes:
        return
    if not sys.stdin.isatty():
        note("nothing was done: nobody can be asked here (stdin is no terminal); --yes does it without asking")
        raise typer.Exit(Status.USAGE)
    if not typer.confirm("do it?", err=True):
        note("nothing was done")
        raise typer.Exit(Status.DEVIATED)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str] = ()) -> None:
    """Shows rows under headings, or without. On a terminal words wrap; on one that is too narrow even for the words,
    each row is a list of its fields.
    """
    from rich.console import Console

    cells = [[clean(cell) for cell in row] for row in rows]
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    widths = _widths([headings, *cells] if headings else cells, console.width)
    with console.capture() as capture:
        if widths or not headings:
            console.print(_grid(headings, cells, styles, widths))
        else:
            for row, style in zip_longest(cells, styles, fillvalue=""):
                fields = list(zip(headings, row, strict=True))
                console.print(_grid([], fields, [style] * len(fields), _widths(fields, console.width)), "")
    typer.echo("\n".join(line.rstrip() for line in capture.get().rstrip().splitlines()))


def _widths(rows: Sequence[Sequence[str]], room: int) -> list[int]:
    """The width of each column: its longest cell, less what must wrap; empty when words would have to be broken."""
    from rich.cells import cell_len

    columns = list(zip(*rows, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    words = [max((cell_len(word) for cell in column for word in cell.split()), default=0) for column in columns]
    spare = [width - min(word, WORD_WIDTH_MAX) for width, word in zip(widths, words, strict=True)]
    for _ in range(sum(widths) + GAP * (len(widths) - 1) - room):
        place = max(range(len(spare)), key=spare.__getitem__)
        if not spare[place]:
            return []
        widths[place] -= 1
        spare[place] -= 1
    return widths


def _grid(
    headings: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str], widths: Sequence[int]
) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=bool(headings), pad_edge=False, padding=(0, GAP, 0, 0))
    for heading, width in zip_longest(headings, widths, fillvalue=None):
        table.add_column(heading or "", width=width, overflow="fold")
    for row, style in zip_longest(rows, styles):
        table.add_row(*map(Text, row), style=style)
    return table

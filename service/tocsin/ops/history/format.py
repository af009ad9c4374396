"""The file of a history: its lines as structs, and reading them. What they mean is told in the package."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from tocsin.core.entries import Entry
from tocsin.core.events import client_digest
from tocsin.core.kept import Stage

FORMAT: Final = 1
LINE_BYTES_MAX: Final = 16 * 1024 * 1024
"""A part has at most some hundred rows of some hundred bytes: a longer line is no history's."""
DIGEST_SHOWN: Final = 12


class BrokenHistory(Exception):
    """The file is no history, or was damaged. The message names the line, and says what to do."""


class Call(StrEnum):
    """What a client can do."""

    SEND = "send"
    """Give a request to a region's intake, or to its log."""
    GET = "get"
    """Ask a region's querier for one request."""
    SCAN = "scan"
    """Read everything in a region's store."""


class Row(NamedTuple):
    """An entry as a scan found it."""

    request: str
    body: str
    received_us: int
    region: str
    schema: int
    action: str

    @classmethod
    def of(cls, entry: Entry) -> "Row":
        """The row of an entry; its body as the digest that its key should have."""
        key = entry.key
        body = client_digest(key.parent, entry.body).hex()[:DIGEST_SHOWN]
        return cls(key.printed, body, entry.received_us, entry.region, entry.schema, entry.action)

    @property
    def is_sound(self) -> bool:
        """Whether the body is the one that the key names."""
        return self.request.endswith(f".{self.body}")


class KeptRow(NamedTuple):
    """A kept row as a scan found it."""

    request: str
    stage: Stage


class Header(msgspec.Struct, frozen=True, tag="history", tag_field="type"):
    """The first line."""

    format: int
    regions: tuple[str, ...]
    about: str = ""


class Invoke(msgspec.Struct, frozen=True, tag="invoke", tag_field="type"):
    """A client begins an operation."""

    op: int
    at_us: int
    process: str
    region: str
    call: Call
    request: str = ""
    final: bool = False


class Part(msgspec.Struct, frozen=True, tag="part", tag_field="type"):
    """A part of what a scan found."""

    op: int
    entries: tuple[Row, ...] = ()
    kept: tuple[KeptRow, ...] = ()
    dropped: tuple[str, ...] = ()


class Ok(msgspec.Struct, frozen=True, tag="ok", tag_field="type"):
    """An operation was done."""

    op: int
    at_us: int
    request: str = ""
    found: bool = False
    pending: bool = False
    complete_until_us: int | None = None
    drained: tuple[str, ...] = ()


class Fail(msgspec.Struct, frozen=True, tag="fail", tag_field="type"):
    """An operation was certainly not done."""

    op: int
    at_us: int
    reason: str


class Info(msgspec.Struct, frozen=True, tag="info", tag_field="type"):
    """Nobody knows whether the operation was done."""

    op: int
    at_us: int
    reason: str


Line = Header | Invoke | Part | Ok | Fail | Info
_DECODER: Final = msgspec.json.Decoder(Line)


class History:
    """A history that is being read from a file: the header now, the other lines one after the other."""

    def __init__(self, path: Path) -> None:
        """Raises `BrokenHistory` when this is no history that this version reads, OSError when there is no file."""
        self._path = path
        first = next(self._decoded(), None)
        if not isinstance(first, Header):
            raise BrokenHistory(f'{path}, line 1: a history begins with a line of "type":"history"; this is none')
        if first.format != FORMAT:
            raise BrokenHistory(
                f"{path}, line 1: this history has format {first.format}, and this version reads {FORMAT}: "
                "check it by the release that recorded it"
            )
        if not first.regions:
            raise BrokenHistory(f"{path}, line 1: the history names no region, so no final read is due from any")
        self.header = first

    def __iter__(self) -> Iterator[Invoke | Part | Ok | Fail | Info]:
        """The lines behind the header; raises `BrokenHistory` at the first that fits nowhere."""
        invoked: set[int] = set()
        ended: set[int] = set()
        lines = self._decoded()
        next(lines)
        for number, line in enumerate(lines, 2):
            if isinstance(line, Header):
                raise BrokenHistory(f"{self._path}, line {number}: a second header: two histories in one file")
            if isinstance(line, Invoke):
                if line.op in invoked:
                    raise BrokenHistory(f"{self._path}, line {number}: operation {line.op} is invoked again")
                invoked.add(line.op)
            elif line.op not in invoked or line.op in ended:
                what = "ended already" if line.op in ended else "was never invoked"
                raise BrokenHistory(f"{self._path}, line {number}: operation {line.op} {what}")
            elif not isinstance(line, Part):
                ended.add(line.op)
            yield line

    def _decoded(self) -> Iterator[Line]:
        with self._path.open("rb") as file:
            number = 0
            while raw := file.readline(LINE_BYTES_MAX):
                number += 1
                where = f"{self._path}, line {number}"
                if not raw.endswith(b"\n"):
                    raise BrokenHistory(
                        f"{where}: the line is cut off, as when the recorder is killed while it writes; remove this "
                        "line to check the others"
                    )
                try:
                    yield _DECODER.decode(raw)
                except (ValueError, RecursionError) as error:
                    raise BrokenHistory(f"{where}: is no line of a history: {error}") from error

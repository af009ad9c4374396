"""Golden histories: the files of one, how they are written and read.

A golden is what a version of Tocsin left in its logs and stores, with every interesting failure in it. It is never
edited: whatever later versions write, they must read what is here, and come to the same outcome.

A folder a golden, `golden/<number>`: of each region `<region>.requests.jsonl` and `<region>.ledger.jsonl`, a line a
record in log order; `<region>.rows.jsonl`, a line a row of its store; `<region>.store.sql`, the store's file as SQL (in
golden 1 there is none); and `about.json`. Bytes are strings of characters below 256 (Latin-1), so that most of it can
be read.
"""

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from tocsin.core.entries import Entry
from tocsin.core.ids import RequestKey
from tocsin.core.incidents import Incident
from tocsin.core.kept import Kept
from tocsin.core.progress import ProgressRow
from tocsin.core.requests import Record
from tocsin.engines.store import Document, Store

GOLDEN: Final = Path(__file__).parent / "golden"
DIGESTS: Final = GOLDEN / "digests.json"
PAGE: Final = 500


def folders() -> list[Path]:
    """The goldens, oldest first."""
    return sorted((path for path in GOLDEN.iterdir() if path.is_dir()), key=lambda path: int(path.name))


def digests() -> dict[str, str]:
    """Of each file of each golden, the SHA-256."""
    files = sorted(path for folder in folders() for path in folder.iterdir())
    return {str(path.relative_to(GOLDEN)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# Records -------------------------------------------------------------------------------------------------------------


def record_line(partition: int, record: Record) -> str:
    """A record of a partition as a line."""
    key = None if record.key is None else _text(record.key)
    headers = [[name, _text(value)] for name, value in record.headers]
    return json.dumps([partition, key, _text(record.value), headers, record.timestamp_ms])


def records(folder: Path, region: str, topic: str) -> Iterator[tuple[int, Record]]:
    """The records of a topic with their partitions, in log order."""
    for line in (folder / f"{region}.{topic}.jsonl").read_text().splitlines():
        partition, key, value, headers, timestamp_ms = json.loads(line)
        named = tuple((name, _bytes(header)) for name, header in headers)
        yield partition, Record(None if key is None else _bytes(key), _bytes(value), named, timestamp_ms)


# Rows ----------------------------------------------------------------------------------------------------------------


async def row_lines(store: Store) -> list[str]:
    """Everything in a store, a line a row, `[kind, ...]`."""
    lines = [["entry", _plain(entry)] for entry in await entries(store)]
    lines += [["incident", _plain(incident)] for incident in await incidents(store)]
    lines += [["kept", _plain(row)] for row in await kept_rows(store)]
    lines += [["mark", _plain(key), number, dropped] for key, number, dropped in sorted(await store.scan_marks())]
    lines += [
        ["progress", row.partition, row.epoch, row.clean, _text(row.encode())]
        for row in sorted(await store.progress(), key=lambda row: (row.partition, row.epoch))
    ]
    lines += [["document", each.name, each.version, _text(each.value)] for each in await store.documents("")]
    return [json.dumps(line) for line in lines]


async def entries(store: Store) -> list[Entry]:
    """All entries, by key: stores scan in an order of their own."""
    found: list[Entry] = []
    while page := await store.scan_entries(found[-1].key if found else None, PAGE):
        found += page
    return sorted(found)


async def incidents(store: Store) -> list[Incident]:
    """All incidents, by key."""
    found: list[Incident] = []
    after = None
    while page := await store.scan_incidents(after, PAGE):
        after = page[-1][0]
        found += [incident for _, some in page for incident in some]
    return sorted(found, key=lambda incident: incident.key)


async def kept_rows(store: Store) -> list[Kept]:
    """All kept rows, by key."""
    return sorted(await store.kept_rows(), key=lambda row: row.key)


def store_lines(file: Path) -> list[str]:
    """An embedded store's file as SQL that makes the same file."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        pragmas = [
            f"PRAGMA {name}={connection.execute(f'PRAGMA {name}').fetchone()[0]};"
            for name in ("application_id", "user_version")
        ]
        return [*pragmas, *connection.iterdump()]


def make_store(folder: Path, region: str, file: Path) -> None:
    """Makes the recorded file of a region's store."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.executescript((folder / f"{region}.store.sql").read_text())


class Rows:
    """What a golden says of one region's store."""

    def __init__(self, folder: Path, region: str) -> None:
        lines = [json.loads(line) for line in (folder / f"{region}.rows.jsonl").read_text().splitlines()]
        self.entries = [_value(given, Entry) for kind, given, *_ in lines if kind == "entry"]
        self.incidents = [_value(given, Incident) for kind, given, *_ in lines if kind == "incident"]
        self.kept = [_value(given, Kept) for kind, given, *_ in lines if kind == "kept"]
        self.marks = [(_value(line[1], RequestKey), line[2], line[3]) for line in lines if line[0] == "mark"]
        self.progress: list[tuple[int, int, bool, bytes]] = [
            (line[1], line[2], line[3], _bytes(line[4])) for line in lines if line[0] == "progress"
        ]
        self.documents = [Document(line[1], line[2], _bytes(line[3])) for line in lines if line[0] == "document"]

    @property
    def progress_rows(self) -> list[ProgressRow]:
        """The accounts of progress, decoded by today's code."""
        return [
            ProgressRow.decode(partition, epoch, clean=clean, raw=raw) for partition, epoch, clean, raw in self.progress
        ]


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value)


def _value(given: Any, kind: Any) -> Any:
    return msgspec.convert(given, kind)

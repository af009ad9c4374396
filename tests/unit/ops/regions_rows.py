"""Two regions' stores and logs with real requests in them, for what an operator sees and says."""

import sqlite3
from collections.abc import Iterable
from itertools import count
from pathlib import Path

import msgspec

from tocsin.core.entries import Entry
from tocsin.core.events import client_digest, entry_of
from tocsin.core.failures import Kind
from tocsin.core.ids import NOBODY, Parent, RequestKey, digest, partition_of
from tocsin.core.incidents import fold
from tocsin.core.kept import Decision, Kept, Stage
from tocsin.core.progress import Coordinates, ProgressRow, Runs, SourceProgress
from tocsin.core.requests import Record, Request, encode_request
from tocsin.engines.store import Store

SECOND = 1_700_000_000
AT_US = SECOND * 1_000_000
PARTITIONS = 4
SERVICE = "checkout"
VERSIONS = count(1)


def request(
    number: int = 0, *, dedup_key: str = "db-7/disk", action: str = "trigger", received_us: int | None = None
) -> Request:
    """The request that intake would have made of an event of this number; each comes a second later."""
    event: dict[str, object] = {"event_action": action, "dedup_key": dedup_key}
    if action == "trigger":
        event["payload"] = {
            "summary": f"disk {number} is full",
            "source": "db-7",
            "severity": "critical",
            "custom_details": {"password": "hunter2", "free": number},
        }
    body = msgspec.json.encode(event, order="sorted")
    parent = Parent(SERVICE, dedup_key)
    key = RequestKey(parent, (SECOND + number) << 32 | number, client_digest(parent, body))
    return Request(key, received_us or AT_US + number * 1_000_000, "a", 1, body)


def garbage(text: bytes = b"\xff\x00 no request") -> tuple[RequestKey, Record]:
    """A record that nobody can decode, and the key that it is known by."""
    record = Record(None, text, (), SECOND * 1000)
    return RequestKey(NOBODY, 0, digest(b"", text)), record


async def store_all(store: Store, requests: Iterable[Request]) -> None:
    """Stores requests with their incidents, as a creator does."""
    entries = [entry_of(some) for some in requests]
    assert await store.write(entries) == {}
    await refold(store, entries)


async def refold(store: Store, entries: Iterable[Entry]) -> None:
    """Folds the entries' parents anew from the store."""
    parents = list({entry.key.parent for entry in entries})
    for parent, its in (await store.entries_of(parents)).items():
        await store.put_incidents(parent, fold(its), next(VERSIONS))


async def complete(store: Store, until_us: int, *, sources: Iterable[str] = ("a", "b")) -> None:
    """Makes a store complete until then: ticks of all sources and partitions are applied."""
    for partition in range(PARTITIONS):
        accounts = {
            name: SourceProgress(Coordinates("c", name, "i", partition), Runs(10), tick_us=until_us + 7_000_000)
            for name in sources
        }
        await store.save_progress(ProgressRow(partition, epoch=1, clean=True, sources=accounts))


def kept(
    of: Request | tuple[RequestKey, Record],
    stage: Stage,
    *,
    decisions: tuple[Decision, ...] = (),
    reason: str = "the store refuses this row",
    since_us: int | None = None,
    version: int = 1,
) -> Kept:
    """The row of a request that failed."""
    key, record = (of.key, encode_request(of)) if isinstance(of, Request) else of
    since_us = since_us or record.timestamp_ms * 1000
    partition = partition_of(key.parent, PARTITIONS)
    return Kept(key, partition, stage, record.encode(), Kind.REJECTED, reason, since_us, 1, 1, decisions, version)


def tamper(path: Path, statement: str, *values: object) -> None:
    """Changes rows by hand, behind everyone's back; at least one must be hit."""
    with sqlite3.connect(path) as connection:
        changed = connection.execute(statement, values).rowcount
    connection.close()
    assert changed > 0

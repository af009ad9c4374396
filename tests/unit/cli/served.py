"""A region that a command can talk to: a real querier and a real intake behind doors, and what its store holds."""

import asyncio
import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.unit.doors import Door
from tocsin.core.entries import Entry
from tocsin.core.events import entry_of
from tocsin.core.ids import Parent, RequestKey, digest, format_id
from tocsin.core.incidents import fold
from tocsin.core.kept import Kept
from tocsin.core.progress import Coordinates, ProgressRow, Runs, SourceProgress
from tocsin.core.requests import Request, decode_record
from tocsin.engines.audit import AuditTrail
from tocsin.engines.directory import FileDirectory
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.store import Document
from tocsin.engines.tokens import Scope, TokenFile
from tocsin.roles.asgi import App
from tocsin.roles.intake import Intake, IntakeParts
from tocsin.roles.minting import Mint
from tocsin.roles.querier import Querier, QuerierParts
from tocsin.telemetry import Identity, Meters

ROUTING_KEY = "d" * 32
DIRECTORY = f'services: [{{id: demo, name: Demo, routing_keys: ["{ROUTING_KEY}"]}}]'
PARTITIONS = 2
S = 1_000_000
NOW_S = int(time.time())
"""When these tests began: commands tell times as seen from now."""


def entry(action: str, ago_s: int, *, dedup_key: str = "disk/db-1", service: str = "demo", **more: Any) -> Entry:
    """An entry received so long ago; `more` goes into its payload."""
    at_s = NOW_S - ago_s
    payload = {"summary": f"{dedup_key} is full", "source": "db-1", "severity": "critical", **more}
    links = [{"href": "https://example.org/runbook", "text": "runbook"}]
    body = json.dumps({"event_action": action, "dedup_key": dedup_key, "links": links, "payload": payload}).encode()
    key = RequestKey(Parent(service, dedup_key), at_s << 32 | 7, digest(body))
    return Entry(key, at_s * S, "a", 1, action, body)


def id_of(one: Entry) -> str:
    return format_id(one.key.id)


def _now_us() -> int:
    return time.time_ns() // 1_000


async def _nowhere(_scope: Any, _receive: Any, _send: Any) -> None:
    raise AssertionError("this region is not read in this test")


class Served:
    """One region, as far as commands see it. What a test puts into its store is there for the next read."""

    def __init__(self, name: str, place: Path, *, is_read: bool = True) -> None:
        """`is_read` False leaves the querier's door shut, which takes as long to make as all else together."""
        place.mkdir()
        self.name = name
        self.place = place
        directory = place / "directory.yaml"
        directory.write_text(DIRECTORY, encoding="utf-8")
        self._meters = Meters(Identity(name, "blue", "test"))
        self._doors: list[Door] = []
        asyncio.run(self._make_topic())
        self.tokens = TokenFile(place / "tokens.json")
        _, self.token = self.tokens.create("test", Scope.READ, now_us=NOW_S * S)
        self.intake = Intake(
            IntakeParts(
                region=name,
                topic="requests",
                partitions=PARTITIONS,
                log=EmbeddedLog(place / "log"),
                directory=FileDirectory(directory),
                meters=self._meters,
                clock_us=_now_us,
                random_bytes=os.urandom,
                audit=AuditTrail(place / "audit.jsonl", _now_us),
            )
        )
        self.querier = Querier(
            QuerierParts(
                regions=("a", "b"),
                partitions=PARTITIONS,
                store=EmbeddedStore(place / "store"),
                mint=Mint(name, "requests", PARTITIONS, EmbeddedLog(place / "log"), _now_us, os.urandom),
                tokens=self.tokens,
                directory=FileDirectory(directory),
                audit=AuditTrail(place / "audit.jsonl", _now_us),
                meters=self._meters,
                clock_us=_now_us,
            )
        )
        self.query_door = self._open(self.querier.app() if is_read else _nowhere)
        self.intake_door = self._open(self.intake.app())

    def _open(self, app: App) -> Door:
        self._doors.append(Door(app))
        return self._doors[-1]

    async def _make_topic(self) -> None:
        log = EmbeddedLog(self.place / "log")
        await log.ensure_topic("requests", PARTITIONS)
        await log.close()

    @property
    def row(self) -> dict[str, Any]:
        """As it is published."""
        return {
            "name": self.name,
            "intake_url": self.intake_door.url,
            "query_url": self.query_door.url,
            "console_url": None,
            "ca_file": None,
        }

    def hold(self, *entries: Entry, kept: tuple[Kept, ...] = (), documents: tuple[Document, ...] = ()) -> None:
        """Has the store hold these and the incidents of their parents, as a creator would."""

        async def put(store: EmbeddedStore) -> None:
            assert await store.write(entries) == {}
            for parent in {one.key.parent for one in entries}:
                found = await store.entries_of([parent])
                await store.put_incidents(parent, fold(found[parent]), time.time_ns() // 1_000)
            for row in kept:
                await store.put_kept(row)
            for document in documents:
                await store.put_document(document)

        self._in_store(put)

    def tick(self, ago_s: int) -> None:
        """Has all partitions be complete up to so long ago."""

        async def put(store: EmbeddedStore) -> None:
            for partition in range(PARTITIONS):
                sources = {
                    region: SourceProgress(
                        Coordinates("c", region, "1", partition), Runs(), tick_us=(NOW_S - ago_s + 7) * S
                    )
                    for region in ("a", "b")
                }
                await store.save_progress(ProgressRow(partition, 1, clean=False, sources=sources))

        self._in_store(put)

    def _in_store(self, work: Any) -> None:
        async def run() -> None:
            store = EmbeddedStore(self.place / "store")
            try:
                await work(store)
            finally:
                await store.close()

        asyncio.run(run())

    def requests(self) -> list[Request]:
        """What its intake accepted."""

        async def read() -> list[Request]:
            log = EmbeddedLog(self.place / "log")
            found: list[Request] = []
            for partition in range(PARTITIONS):
                fetched = await log.fetch("requests", partition, 0, records_max=1_000, bytes_max=1 << 24, wait_s=0)
                contents = [decode_record(delivered.record) for delivered in fetched.records]
                found += [content for content in contents if isinstance(content, Request)]
            await log.close()
            return found

        return asyncio.run(read())

    @contextlib.contextmanager
    def storing(self) -> Iterator[None]:
        """Has what the log takes be stored while the body runs, as a creator would."""
        ending = threading.Event()

        def run() -> None:
            while not ending.wait(0.05):
                if entries := [entry_of(request) for request in self.requests()]:
                    self.hold(*entries)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()

    def close(self) -> None:
        for door in self._doors:
            door.kill()


def publish(up_file: Path, *regions: Served) -> None:
    """Writes what `tocsin up` writes; the token is that of the first."""
    up = {"regions": [one.row for one in regions], "routing_key": ROUTING_KEY, "token": regions[0].token}
    up_file.write_text(json.dumps(up), encoding="utf-8")

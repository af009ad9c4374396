"""What the tests of the REST interface share: a querier on real engines, and clients with tokens before it."""

import itertools
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.unit.roles.conftest import NOW_S, Clock
from tocsin.core.entries import Entry
from tocsin.core.events import entry_of
from tocsin.core.failures import Kind
from tocsin.core.ids import Parent, RequestKey, digest
from tocsin.core.incidents import fold
from tocsin.core.kept import Kept, Stage
from tocsin.core.progress import Coordinates, ProgressRow, Runs, SourceProgress
from tocsin.core.requests import Request, decode_record
from tocsin.engines.audit import AuditTrail, lines
from tocsin.engines.directory import FileDirectory
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.faults import Fault, FaultSwitch, Rule
from tocsin.engines.faulty import FaultyLog, FaultyStore
from tocsin.engines.log import Log
from tocsin.engines.log_directory import LogDirectory
from tocsin.engines.store import Store
from tocsin.engines.tokens import Scope, TokenFile
from tocsin.engines.topics import make_topics
from tocsin.roles.minting import Mint
from tocsin.roles.querier import Querier, QuerierParts
from tocsin.telemetry import Meters
from tocsin.topology import load_topology

S = 1_000_000
PARTITIONS = 2
REGION = load_topology(Path(__file__).parents[4] / "regions" / "local").region("a")
REGION = REGION.model_copy(update={"partitions": PARTITIONS})


def entry(action: str, at_s: int, *, dedup_key: str = "disk/web-01", service: str = "demo", low: int = 0) -> Entry:
    """An entry minted and received at second `at_s`; `low` are the random bits of its id."""
    event = {
        "event_action": action,
        "dedup_key": dedup_key,
        "links": [{"href": "https://example.org/runbook", "text": "runbook"}],
        "payload": {
            "summary": f"{dedup_key} at {at_s}",
            "source": "web-01",
            "severity": "warning" if service == "careful" else "critical",
            "timestamp": "2001-01-01T00:00:00Z",
            "custom_details": {"free": 0},
        },
    }
    body = json.dumps(event).encode()
    key = RequestKey(Parent(service, dedup_key), at_s << 32 | low, digest(body))
    return Entry(key, at_s * S, "a", 1, action, body)


def kept(one: Entry, stage: Stage) -> Kept:
    return Kept(one.key, 0, stage, b"", Kind.REJECTED, "the store refuses it", one.received_us, 1, 1, (), 1)


TRIGGER = entry("trigger", NOW_S - 100)
ACKNOWLEDGE = entry("acknowledge", NOW_S - 90)
RESOLVE = entry("resolve", NOW_S - 80)
ANN = "ann@example.org"
"""Who is in the directory."""
BOB = "bob@example.org"
"""Who is not."""


class Desk:
    """A querier of region a over an embedded store, behind a fault switch, and clients with tokens before it."""

    def __init__(self, place: Path, meters: Meters, clock: Clock) -> None:
        self.place = place
        self.switch = FaultSwitch(place / "faults.json")
        self.store: Store = FaultyStore(EmbeddedStore(place / "blue.sqlite"), self.switch, "a")
        self.tokens = TokenFile(place / "tokens.json")
        self.clock = clock
        self.log: Log = FaultyLog(EmbeddedLog(place / "log.sqlite"), self.switch, "a")
        self.directory = LogDirectory(self.log, REGION, place / "directory.yaml", clock_us=clock.unix_us)
        self.trail = place / "audit.log"
        self._versions = itertools.count(1)
        numbers = itertools.count()
        self.mint = Mint(
            "a",
            "requests",
            PARTITIONS,
            self.log,
            clock.unix_us,
            lambda n: next(numbers).to_bytes(n, "big"),
            append_s_max=0.5,
            monotonic=clock.monotonic,
        )
        self.querier = Querier(
            QuerierParts(
                regions=("a", "b"),
                partitions=PARTITIONS,
                store=self.store,
                mint=self.mint,
                tokens=self.tokens,
                directory=self.directory,
                audit=AuditTrail(self.trail, clock.unix_us),
                meters=meters,
                clock_us=clock.unix_us,
                monotonic=clock.monotonic,
                read_s_max=0.5,
            )
        )
        self.app = self.querier.app()
        _, self.token = self.tokens.create("test", Scope.READ, now_us=clock.us)
        self.client = self.client_of(self.token)
        self.writer = self.client_of(self.tokens.create("writer", Scope.WRITE, now_us=clock.us)[1], sender=ANN)

    def client_of(self, token: str, *, sender: str | None = None) -> httpx2.AsyncClient:
        """A client with this token; `sender` is who acts."""
        headers = {"Authorization": f"Token token={token}"} | ({"From": sender} if sender else {})
        transport = httpx2.ASGITransport(app=self.app)
        return httpx2.AsyncClient(transport=transport, base_url="https://a.example.org", headers=headers)

    async def hold(self, *entries: Entry) -> None:
        """Has the store hold these entries and the incidents of their parents, as a creator would."""
        assert await self.store.write(entries) == {}
        for parent in {one.key.parent for one in entries}:
            found = await self.store.entries_of([parent])
            await self.store.put_incidents(parent, fold(found[parent]), next(self._versions))

    async def tick(self, until_s: int, *, regions: Iterable[str] = ("a", "b")) -> None:
        """Has all partitions be complete up to this second."""
        for partition in range(PARTITIONS):
            sources = {
                region: SourceProgress(Coordinates("c", region, "1", partition), Runs(), tick_us=(until_s + 7) * S)
                for region in regions
            }
            await self.store.save_progress(ProgressRow(partition, 1, clean=False, sources=sources))
        self.clock.go(0.3)  # past the age at which the querier looks again

    async def get(self, path: str, **params: Any) -> httpx2.Response:
        return await self.client.get(path, params={name.replace("__", "[]"): value for name, value in params.items()})

    async def requests(self) -> list[Request]:
        """What the log has, in the order of minting."""
        found = []
        for partition in range(PARTITIONS):
            fetched = await self.log.fetch("requests", partition, 0, records_max=1_000, bytes_max=10_000_000, wait_s=0)
            found += [decode_record(delivered.record) for delivered in fetched.records]
        return sorted((one for one in found if isinstance(one, Request)), key=lambda one: one.key.id)

    async def create(self) -> None:
        """Makes entries of all requests in the log, as a creator would."""
        await self.hold(*(entry_of(request) for request in await self.requests()))

    def audited(self) -> list[dict[str, Any]]:
        """The lines of the audit trail, the latest first, without their times."""
        return [{name: value for name, value in line.items() if name != "at_us"} for line in lines(self.trail)]

    def away(self, kind: Fault) -> None:
        self.switch.set_rule(Rule(id="away", region="a", port="store", kind=kind, delay_s=2))


@pytest.fixture
async def desk(tmp_path: Path, directory: FileDirectory, meters: Meters, clock: Clock) -> AsyncIterator[Desk]:
    del directory  # its file is what is wanted of it
    desk = Desk(tmp_path, meters, clock)
    await make_topics(desk.log, REGION)
    await desk.directory.look()
    await desk.tick(NOW_S)
    yield desk
    for client in (desk.client, desk.writer):
        await client.aclose()
    await desk.store.close()
    await desk.log.close()

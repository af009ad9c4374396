"""Records a golden history: two regions of the embedded engines, in real processes, and every failure worth keeping.

    .venv/bin/python -m tests.history.record NUMBER

makes `golden/NUMBER` and adds its digests; it refuses to touch a golden that is there. Made anew when a format changes
(`test_golden.py` says so), with the number after the highest. What happens in it: events at both regions, an act of
schema 2, a change event, a record that nobody can decode, a request that both stores refuse, one that kills whoever
writes it, one that is dropped, one that is redriven after the store was mended, one for which a region halts until its
own store is mended, a region that is drained and joined, and one whose database is lost and made anew from the logs: a
new incarnation.
"""

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import httpx2

from tests.history.goldens import DIGESTS, GOLDEN, digests, folders, record_line, row_lines, store_lines
from tocsin.core.ids import parse_printed
from tocsin.core.kept import Stage
from tocsin.core.progress import FORMAT
from tocsin.core.requests import SCHEMA, Record
from tocsin.core.statements import PersonWord
from tocsin.engines.embedded.schema import STORE
from tocsin.engines.errors import EngineError
from tocsin.engines.faults import Fault, FaultSwitch, Rule
from tocsin.engines.log import Log
from tocsin.engines.opening import open_log, open_store
from tocsin.engines.store import Store
from tocsin.ops.demo.player import open_client
from tocsin.ops.demo.show import OVERRIDES
from tocsin.ops.ledger import Ledgers, Speaker, say
from tocsin.ops.supervisor import LocalSet
from tocsin.settings import Settings
from tocsin.topology import LEDGER, REQUESTS, Topology

REPOSITORY: Final = Path(__file__).parents[2]
PARTITIONS: Final = 2
WAIT_S: Final = 0.2
WAITS_MAX: Final = 300
A, B = "a", "b"
BOTH: Final = (A, B)
BAD: Final = "legacy-monitor"
LASTING: Final = tuple(
    Rule(id=f"{kind}-{name}-{region}", region=region, port="store", kind=kind, op="write", dedup_key=name)
    for region in BOTH
    for name, kind in (("refused", Fault.REFUSE), ("dropped", Fault.REFUSE), ("crashes", Fault.CRASH))
)
"""What no store ever takes: a replay needs the same."""
MENDED: Final = tuple(
    Rule(id=f"mended-{name}-{region}", region=region, port="store", kind=Fault.REFUSE, op="write", dedup_key=name)
    for region, name in ((A, "redriven"), (B, "redriven"), (B, "halts"))
)


class Recording:
    """One recording under way."""

    def __init__(self, settings: Settings, local: LocalSet, client: httpx2.AsyncClient) -> None:
        self._settings = settings
        self._topology = settings.topology()
        self._local = local
        self._client = client
        self._switch = FaultSwitch(settings.path(Path("faults.json")))
        self._accepted: dict[str, str] = {}

    async def play(self) -> None:
        """Everything that happens."""
        for rule in (*LASTING, *MENDED):
            self._switch.set_rule(rule)
        await self._events()
        await self._undecodable()
        bad = [self._accepted[name] for name in ("refused", "dropped", "crashes", "redriven")]
        tell("waiting for quarantine")
        await self._until(lambda store: self._has(store, bad, Stage.QUARANTINED))
        await self._until(lambda store: self._has(store, [self._accepted["halts"]], None), A)
        for rule in MENDED:
            self._switch.clear(rule.id)
        await self._say(PersonWord.DROPPED, self._accepted["dropped"])
        await self._say(PersonWord.REDRIVE, self._accepted["redriven"])
        await self._until(lambda store: self._has(store, [self._accepted["dropped"]], Stage.DROPPED))
        await self._act(self._accepted["disk-0"])
        for word in (PersonWord.DRAINED, PersonWord.JOINED):
            await self._say_of_region(word, B)
        tell("region b loses its database")
        await self._local.kill_region(B)
        for path in self._settings.path(Path(B)).glob("blue.sqlite*"):
            path.unlink()
        await self._local.start_region(B)
        stored = [key for name, key in self._accepted.items() if name not in ("refused", "dropped", "crashes")]
        tell("waiting until b has everything again")
        await self._until(lambda store: self._has(store, stored, None))
        await self._until(lambda store: self._has(store, bad[:1] + bad[2:3], Stage.QUARANTINED))
        await self._until(lambda store: self._has(store, bad[1:2], Stage.DROPPED))
        await self._until(self._is_complete)

    # What happens ------------------------------------------------------------------------------------------------

    async def _events(self) -> None:
        for number, service in enumerate(self._local.routing_keys):  # so many that the budget is not spent
            for action in ("trigger", "acknowledge", "resolve", "trigger")[: 1 + number % 4]:
                await self._send(BOTH[number % 2], service, f"disk-{number}", action)
        for name in ("refused", "dropped", "crashes", "redriven", "halts"):
            await self._send(A, BAD, name, "trigger")
        payload = {"summary": "release 2019.8 is out", "source": "ci"}
        change = {"routing_key": self._local.routing_keys["demo"], "payload": payload}
        (await self._client.post(f"{self._local.intake_url(B)}/v2/change/enqueue", json=change)).raise_for_status()

    async def _send(self, region: str, service: str, dedup_key: str, action: str) -> None:
        event: dict[str, Any] = {
            "routing_key": self._local.routing_keys[service],
            "event_action": action,
            "dedup_key": dedup_key,
        }
        if action == "trigger":
            event["payload"] = {"summary": f"{dedup_key}: größer als 90 %", "source": "db-7", "severity": "error"}
        answer = await self._client.post(f"{self._local.intake_url(region)}/v2/enqueue", json=event)
        self._accepted[dedup_key] = answer.raise_for_status().json()["request"]

    async def _undecodable(self) -> None:
        log = open_log(self._topology.region(A), self._settings)
        await log.append(
            REQUESTS, 0, [Record(None, b"\xff\x00 no request", (("foreign", b"\xfe"),), 1_700_000_000_000)]
        )
        await log.close()

    async def _act(self, request: str) -> None:
        headers = {"Authorization": f"Token token={self._local.token}", "From": "on-call@example.org"}
        url = f"{self._local.query_url(A)}/incidents/{request}"
        body = {"incident": {"type": "incident_reference", "status": "acknowledged"}}
        (await self._client.put(url, json=body, headers=headers)).raise_for_status()

    async def _say(self, word: PersonWord, request: str) -> None:
        logs = {A: open_log(self._topology.region(A), self._settings)}
        ledgers = await Ledgers.read_from(logs, self._topology)
        [(key, partition)] = [each for each in ledgers.keys().items() if each[0].printed == request]
        await say(logs, self._topology, {partition: [ledgers.request_order(key, partition, word, speaker())]})
        await logs[A].close()

    async def _say_of_region(self, word: PersonWord, region: str) -> None:
        logs = {A: open_log(self._topology.region(A), self._settings)}
        order = (await Ledgers.read_from(logs, self._topology)).region_order(region, word, speaker())
        await say(logs, self._topology, {partition: [order] for partition in range(PARTITIONS)})
        await logs[A].close()

    # What is waited for ------------------------------------------------------------------------------------------

    async def _until(self, reached: Callable[[Store], Awaitable[bool]], *only: str) -> None:
        for region in only or BOTH:
            for _ in range(WAITS_MAX):
                if await self._is_so(region, reached):
                    break
                await asyncio.sleep(WAIT_S)
            else:
                rows = await self.store(region).kept_rows()
                sys.exit(f"region {region} did not come there; it keeps {[(str(row.key), row.stage) for row in rows]}")

    async def _is_so(self, region: str, reached: Callable[[Store], Awaitable[bool]]) -> bool:
        store = self.store(region)
        try:
            return await reached(store)
        except EngineError:
            return False
        finally:
            await store.close()

    def store(self, region: str) -> Store:
        """A region's store, past the fault switch."""
        past = self._settings.model_copy(update={"faults_file": None})
        return open_store(self._topology.region(region), "blue", past, read_only=True)

    async def _has(self, store: Store, requests: list[str], stage: Stage | None) -> bool:
        """Whether all are kept in this stage; None: whether all are stored."""
        for request in requests:
            temporal_id, digest = parse_printed(request)
            kept = [row.stage for row in await store.find_kept(temporal_id) if row.key.digest.startswith(digest)]
            stored = [entry for entry in await store.find_entries(temporal_id) if entry.key.digest.startswith(digest)]
            if not (stored if stage is None else kept == [stage]):
                return False
        return True

    async def _is_complete(self, store: Store) -> bool:
        return not await store.kept_rows(stages=[Stage.HELD, Stage.ASIDE])


async def export(folder: Path, topology: Topology, settings: Settings, recording: Recording) -> None:
    """Writes what is in the logs and stores, once nothing runs any more."""
    for region in topology.regions:
        log = open_log(region, settings)
        for topic in (REQUESTS, LEDGER):
            lines = [line for partition in range(PARTITIONS) for line in await _topic_lines(log, topic, partition)]
            (folder / f"{region.name}.{topic}.jsonl").write_text("\n".join(lines) + "\n")
        await log.close()
        store = recording.store(region.name)
        (folder / f"{region.name}.rows.jsonl").write_text("\n".join(await row_lines(store)) + "\n")
        await store.close()
        file = settings.path(Path(region.name)) / "blue.sqlite"
        (folder / f"{region.name}.store.sql").write_text("\n".join(store_lines(file)) + "\n")
    about = {
        "regions": BOTH,
        "partitions": PARTITIONS,
        "request_schema": SCHEMA,
        "progress_format": FORMAT,
        "store_format": STORE.version,
        "refused": [rule.dedup_key for rule in LASTING if rule.kind is Fault.REFUSE and rule.region == A],
        "crashes": [rule.dedup_key for rule in LASTING if rule.kind is Fault.CRASH and rule.region == A],
    }
    (folder / "about.json").write_text(json.dumps(about, indent=2) + "\n")


async def _topic_lines(log: Log, topic: str, partition: int) -> list[str]:
    """A partition's records; of the ledger the last of each key, as compaction leaves it."""
    found: list[Record] = []
    offset = 0
    while True:
        fetched = await log.fetch(topic, partition, offset, records_max=1000, bytes_max=1 << 24, wait_s=0.0)
        found += [delivered.record for delivered in fetched.records]
        offset = fetched.next_offset
        if offset >= fetched.log_end:
            break
    if topic == LEDGER:
        last = {record.key: index for index, record in enumerate(found)}
        found = [record for index, record in enumerate(found) if last[record.key] == index]
    return [record_line(partition, record) for record in found]


async def record(folder: Path, settings: Settings) -> None:
    """Plays everything and writes the golden."""
    local = LocalSet(settings, fresh=True)
    topology = settings.topology()
    tell("starting both regions")
    await local.start()
    try:
        ca_file = settings.ca_file(topology.regions[0])
        async with open_client(ca_file) as client:
            recording = Recording(settings, local, client)
            await recording.play()
    finally:
        await local.stop()
    await export(folder, topology, settings, recording)


def speaker() -> Speaker:
    """Who says a person's words, now."""
    return Speaker("a person", time.time_ns() // 1000, "as recorded")


def tell(text: str) -> None:
    """How far it is."""
    print(f"== {text}", file=sys.stderr, flush=True)


def main() -> None:
    """The command."""
    folder = GOLDEN / str(int(sys.argv[1]))
    if folder.exists():
        sys.exit(f"{folder} is there, and a golden is never changed: take the number after {folders()[-1].name}")
    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / "golden"
        made.mkdir()
        os.environ |= {f"TOCSIN_REGION__LIMITS__{name}": str(value) for name, value in OVERRIDES.items()}
        os.environ |= {
            "TOCSIN_DATA_DIR": f"{place}/data",
            "TOCSIN_UP_FILE": f"{place}/up.json",
            "TOCSIN_REGIONS_DIR": str(REPOSITORY / "regions" / "local"),
            "TOCSIN_FAULTS_FILE": "faults.json",
            "TOCSIN_REGION__PARTITIONS": str(PARTITIONS),
        }
        asyncio.run(record(made, Settings.load()))
        shutil.copytree(made, folder)
    DIGESTS.write_text(json.dumps(digests(), indent=2) + "\n")


if __name__ == "__main__":
    main()

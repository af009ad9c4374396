"""A creator stays small however much waits: one partition number held, and a million messages behind it.

Region a refuses what b stored, so that partition number halts there, and takes no new set. The million comes in where
the mirror writes, as after a long cut. It is looked at while it waits, and again after a kill -9, when the next owner
finds it there. Neither may grow with it; both are the process's highest resident size, as the kernel counts it.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from tests.faults.cells import A, B
from tests.faults.load import company
from tests.faults.rig import Rig, running_rig, until
from tests.faults.test_faults import RESULTS
from tests.requests_made import request
from tests.servers import require_servers
from tocsin.core.documents import STATUS_PREFIX, PartitionStatus
from tocsin.core.requests import Record, encode_request
from tocsin.engines.faults import Fault, FaultSwitch, Rule
from tocsin.ops.history import Recorder

FAULTS: Final = Path("faults.json")
REFUSED: Final = "memory/refused"
WAITING: Final = 1_000_000
AT_ONCE: Final = 1_000
"""Records of one append."""
APPENDS_MAX: Final = 4
WATCHED_S: Final = 15.0
MEGABYTE: Final = 1_000_000
SIZE_MAX: Final = 300 * MEGABYTE
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(1200),
]


@pytest.fixture(scope="module")
def _servers() -> None:
    require_servers()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(_servers: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with running_rig(tmp_path_factory.mktemp("memory"), faults_file=FAULTS) as rig:
        yield rig


async def test_a_creator_with_one_partition_held_and_a_million_messages_waiting_stays_below_300_mb(rig: Rig) -> None:
    switch = FaultSwitch(rig.data_dir / FAULTS)
    switch.set_rule(Rule(id="refuse", region=A, port="store", kind=Fault.REFUSE, op="write", dedup_key=REFUSED))
    with Recorder.open(rig.data_dir / "history.jsonl", rig.topology.names, "memory") as recorder:
        async with company(rig, recorder) as (player, _):
            assert await player.send(_event(rig), A)
    partition = await _halted(rig)
    topic = rig.region(A).requests_topics[B]
    await _append(rig, topic, partition)
    start, end = await rig.logs[A].bounds(topic, partition)
    assert end - start >= WAITING
    told = {"waiting": end - start, "held_bytes": await _size_max(rig)}
    rig.signal_creator(A, signal.SIGKILL)
    await rig.shows(A, "creator", ready=False)
    assert await _halted(rig) == partition
    told["taken_over_bytes"] = await _size_max(rig)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "memory.json").write_text(json.dumps(told, indent=2) + "\n")
    assert max(told["held_bytes"], told["taken_over_bytes"]) < SIZE_MAX, told


def _event(rig: Rig) -> dict[str, object]:
    payload = {"summary": "refused here, stored there", "source": "faults", "severity": "warning"}
    key = next(iter(rig.local.routing_keys.values()))
    return {"routing_key": key, "event_action": "trigger", "dedup_key": REFUSED, "payload": payload}


async def _halted(rig: Rig) -> int:
    """Waits until the running creator of region a has halted one partition number, and returns it."""
    found: list[int] = []

    async def look() -> bool:
        if await rig.readiness(A, "creator") is not False:
            return False
        unready = (await rig.local.unready()).get("creator of region a", [])
        documents = await rig.stores[A].documents(STATUS_PREFIX)
        statuses = [PartitionStatus.decode(document.value) for document in documents]
        found[:] = [
            status.partition
            for status in statuses
            if any(f"partition {status.partition} is halted" in why for why in unready)
        ]
        return len(found) == 1

    await until("region a has halted a partition", look, within_s=120.0)
    return found[0]


async def _append(rig: Rig, topic: str, partition: int) -> None:
    room = asyncio.Semaphore(APPENDS_MAX)

    async def append(records: list[Record]) -> None:
        try:
            await rig.logs[A].append(topic, partition, records)
        finally:
            room.release()

    async with asyncio.TaskGroup() as group:
        for records in _records():
            await room.acquire()
            group.create_task(append(records))


def _records() -> Iterator[list[Record]]:
    for start in range(0, WAITING, AT_ONCE):
        numbers = range(start, start + AT_ONCE)
        yield [encode_request(request(f"waiting/{number % 5_000}", region=B)) for number in numbers]


async def _size_max(rig: Rig) -> int:
    """The highest resident size of the creator of region a, after it was watched for a while, in bytes."""
    await asyncio.sleep(WATCHED_S)
    return _high_water(rig.local.processes[A, "creator"].pid)


def _high_water(pid: int | None) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024

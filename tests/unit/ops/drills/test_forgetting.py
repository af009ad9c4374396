"""What logs forget in a drill comes back as it was, once, and to the one log that lacks it."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.unit.ops.drills.conftest import LOCAL
from tocsin.core.requests import Record, Tick, encode_request, encode_tick
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.faults import FaultSwitch
from tocsin.engines.topics import make_topics
from tocsin.ops.drills.targets.forgetting import Forgotten
from tocsin.ops.drills.targets.records import newer_request
from tocsin.ops.drills.targets.servers import EmbeddedServers
from tocsin.settings import Settings
from tocsin.topology import Region

REGION: Region = Settings(regions_dir=LOCAL).topology().region("b")


@pytest_asyncio.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    opened = EmbeddedLog(tmp_path / "b.log")
    await make_topics(opened, REGION)
    yield opened
    await opened.close()


def request(dedup_key: str) -> Record:
    return encode_request(newer_request("a", "service", dedup_key))


async def records(log: EmbeddedLog, topic: str, partition: int) -> list[Record]:
    fetched = await log.fetch(topic, partition, 0, records_max=100, bytes_max=10**6, wait_s=0)
    return [delivered.record for delivered in fetched.records]


async def test_requests_of_the_drill_come_back_each_once_and_ticks_and_older_ones_do_not(
    log: EmbeddedLog, tmp_path: Path
) -> None:
    one, other, tick = request("one"), request("other"), encode_tick(Tick(time.time_ns() // 1000, "a"))
    old = one._replace(timestamp_ms=1_000)
    mirrored = REGION.requests_topics["a"]
    await log.append(REGION.requests, 0, [old, one, tick])
    await log.append(mirrored, 0, [one, other])
    forgotten, servers = Forgotten(), EmbeddedServers(FaultSwitch(tmp_path / "faults.json"))
    await forgotten.forget(REGION, log, servers.delete_records, since_ms=2_000)
    assert await records(log, REGION.requests, 0) == await records(log, mirrored, 0) == []
    assert await log.bounds(REGION.requests, 0) == (3, 3)
    await forgotten.put_back(REGION, log)
    assert set(await records(log, REGION.requests, 0)) == {one, other}
    await forgotten.put_back(REGION, log)
    assert len(await records(log, REGION.requests, 0)) == 2

"""What a Cassandra node acknowledged survives its kill -9: progress is in the same database, and vouches for it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from cassandra import DriverException
from cassandra.cluster import Cluster, NoHostAvailable
from cassandra.cluster import Session as DriverSession

from tests.servers import require_servers
from tocsin.ops.local.artifacts import Kind, jars, java
from tocsin.ops.local.cassandra import PROTOCOL, node
from tocsin.ops.local.ports import HOST, Ports
from tocsin.ops.local.servers import Server

LANES = 32
ENOUGH = 10 * LANES
"""Writes before the kill. With `commitlog_sync: periodic`, three kills took 31 of 297."""
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def ports() -> Iterator[Ports]:
    require_servers()
    ports = Ports()
    yield ports
    ports.close()


async def test_a_node_that_was_killed_has_all_that_it_acknowledged(ports: Ports, tmp_path: Path) -> None:
    port = ports.reserve()
    program = node("kept", tmp_path, await java(), await jars(Kind.CASSANDRA, print), ports.reserve(), port)
    server = Server(program, print)
    await server.start()
    acknowledged: list[int] = []
    try:
        writing = asyncio.create_task(asyncio.to_thread(_write_until_it_dies, port, acknowledged))
        while len(acknowledged) < ENOUGH:  # noqa: ASYNC110 - a thread fills it
            await asyncio.sleep(0.05)
        await server.kill()
        await writing
        await server.start()
        there = await asyncio.to_thread(_read, port)
    finally:
        await server.stop()
    assert set(acknowledged) <= there, f"{len(set(acknowledged) - there)} of {len(acknowledged)} are lost"


def _connect(port: int) -> tuple[Cluster, DriverSession]:
    cluster = Cluster([HOST], port=port, protocol_version=PROTOCOL)
    session = cluster.connect()
    session.execute(
        "CREATE KEYSPACE IF NOT EXISTS kept WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    session.execute("CREATE TABLE IF NOT EXISTS kept.numbers (number int PRIMARY KEY)")
    return cluster, session


def _write_until_it_dies(port: int, acknowledged: list[int]) -> None:
    cluster, session = _connect(port)
    try:
        insert = session.prepare("INSERT INTO kept.numbers (number) VALUES (?)")
        number = 0
        while True:
            sent = [(number + lane, session.execute_async(insert, (number + lane,))) for lane in range(LANES)]
            number += LANES
            for one, answer in sent:
                answer.result()
                acknowledged.append(one)
    except (DriverException, NoHostAvailable, OSError):
        return
    finally:
        cluster.shutdown()


def _read(port: int) -> set[int]:
    cluster, session = _connect(port)
    try:
        return {row.number for row in session.execute("SELECT number FROM kept.numbers")}
    finally:
        cluster.shutdown()

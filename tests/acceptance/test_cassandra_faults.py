"""A node that dies, stands still, cannot write, or does not let us in: what the session says, and that it recovers."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests import servers
from tests.contract.cassandra_stacks import stack_at
from tocsin.engines.cassandra.connection import connect
from tocsin.engines.cassandra.migrations import migrate
from tocsin.engines.cassandra.session import Session
from tocsin.engines.errors import EngineError, Unavailable
from tocsin.ops.local import cassandra
from tocsin.ops.local.artifacts import Kind, jars, java
from tocsin.ops.local.ports import HOST, Ports
from tocsin.ops.local.servers import Server
from tocsin.topology import CassandraStack

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

INSERT = "INSERT INTO things (a, b) VALUES (?, ?)"
REQUEST_S = 2.0
RECOVERY_S_MAX = 60.0


@pytest.fixture(scope="module")
def _java() -> None:
    """Skips, or in CI fails, where servers cannot be started."""
    servers.cassandra_contact()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(_java: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Server, CassandraStack]]:
    """A node of this module's own, which goes on answering when it cannot write, and its stack."""
    ports, folder = Ports(), tmp_path_factory.mktemp("node")
    storage, native = ports.reserve(), ports.reserve()
    program = cassandra.node("faults", folder, await java(), await jars(Kind.CASSANDRA, print), storage, native)
    with (folder / "cassandra.yaml").open("a") as config:
        config.write("commit_failure_policy: stop_commit\n")
    server, stack = Server(program, print), stack_at(HOST, native, "faults")
    try:
        await server.start()
        await asyncio.to_thread(_prepare, stack, folder)
        yield server, stack
    finally:
        if server.pid:
            await server.kill()
        ports.close()


def _prepare(stack: CassandraStack, data_dir: Path) -> None:
    migrate(stack, data_dir)
    driver = connect(stack, data_dir, request_s=20)
    driver.execute("CREATE TABLE faults.things (a int PRIMARY KEY, b blob)")
    driver.cluster.shutdown()


async def _write(session: Session, rows: int = 20, size: int = 10) -> set[type[EngineError]]:
    errors = await session.write([[(INSERT, (a, b"x" * size))] for a in range(rows)])
    return {type(error) for error in errors.values()}


async def _recovered(session: Session) -> None:
    deadline = time.monotonic() + RECOVERY_S_MAX
    while await _write(session):
        assert time.monotonic() < deadline, "the session did not recover"
        await asyncio.sleep(0.2)
    assert await session.execute("SELECT a FROM things WHERE a = ?", (7,)) == [(7,)]
    assert session.in_flight == 0


async def test_a_node_that_is_killed_is_unavailable_and_used_again_when_it_is_back(
    node: tuple[Server, CassandraStack], tmp_path: Path
) -> None:
    server, stack = node
    session = Session(stack, tmp_path, request_s=REQUEST_S)
    assert await _write(session) == set()
    in_hand = asyncio.create_task(_write(session, rows=2000))
    await asyncio.sleep(0.05)
    await server.kill()
    assert await in_hand <= {Unavailable}
    assert await _write(session) == {Unavailable}
    await server.start()
    await _recovered(session)
    await session.close()


async def test_a_node_that_stands_still_is_unavailable_within_the_time_limit(
    node: tuple[Server, CassandraStack], tmp_path: Path
) -> None:
    server, stack = node
    session = Session(stack, tmp_path, request_s=REQUEST_S, in_flight_max=50)
    assert await _write(session) == set()
    server.pause()
    try:
        asked = asyncio.create_task(session.execute("SELECT a FROM things WHERE a = ?", (7,)))
        async with asyncio.timeout(REQUEST_S + 5):
            assert await _write(session, rows=30) == {Unavailable}
            with pytest.raises(Unavailable):
                await asked
    finally:
        server.resume()
    await _recovered(session)
    await session.close()


async def test_a_node_that_answers_and_cannot_write_is_unavailable(
    node: tuple[Server, CassandraStack], tmp_path: Path
) -> None:
    server, stack = node
    session = Session(stack, tmp_path)
    assert await _write(session) == set()
    assert server.pid is not None
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))  # as a disk that is full
    kinds: set[type[EngineError]] = set()
    for _ in range(40):
        kinds |= await _write(session, rows=20, size=100_000)
        if kinds:
            break
    assert kinds == {Unavailable}
    assert await session.execute("SELECT a FROM things WHERE a = ?", (7,)) == [(7,)]
    await session.close()

"""What only the store on Cassandra promises: few statements for a set, and what the node itself refuses."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.contract import cassandra_places
from tests.contract.store_rows import SECOND, entry, incident, key
from tocsin.core.entries import EntryFilter
from tocsin.core.failures import Kind
from tocsin.core.ids import Parent, partition_of
from tocsin.core.incidents import IncidentFilter
from tocsin.engines.cassandra.session import Batch, Session
from tocsin.engines.cassandra.store import CassandraStore
from tocsin.engines.errors import EngineError, Misconfigured, Refused
from tocsin.topology import CassandraStack

TOO_LONG = Parent("checkout", "x" * 70_000)
"""A clustering column has at most 65,535 bytes."""


@pytest.fixture
def stack(tmp_path: Path) -> CassandraStack:
    return cassandra_places.stack_of(tmp_path / "outcomes")


@pytest_asyncio.fixture
async def store(stack: CassandraStack, tmp_path: Path) -> AsyncIterator[CassandraStore]:
    store = CassandraStore(stack, tmp_path)
    yield store
    await store.close()


@pytest_asyncio.fixture
async def session(stack: CassandraStack, tmp_path: Path) -> AsyncIterator[Session]:
    session = Session(stack, tmp_path)
    yield session
    await session.close()


async def test_what_the_node_refuses_takes_no_neighbour_down(store: CassandraStore) -> None:
    shard = TOO_LONG.place[0]
    names = (Parent("checkout", f"alert {n}") for n in range(100_000))
    neighbour = next(parent for parent in names if parent.place[0] == shard)  # in one batch with it
    good = [entry(key(SECOND + n << 32, parent=neighbour)) for n in range(5)]
    bad = entry(key(SECOND << 32, parent=TOO_LONG))

    failures = await store.write([*good[:3], bad, *good[3:]])

    assert {index: failure.kind for index, failure in failures.items()} == {3: Kind.REJECTED}
    assert await store.entries_of([neighbour]) == {neighbour: good}
    assert await store.count_entries(EntryFilter()) == 5


async def test_an_incident_that_the_node_refuses_is_refused(store: CassandraStore) -> None:
    with pytest.raises(Refused):
        await store.put_incidents(TOO_LONG, [incident(key(parent=TOO_LONG))], 1)


async def test_a_message_set_is_few_batches(store: CassandraStore, monkeypatch: pytest.MonkeyPatch) -> None:
    parents = [parent for n in range(5_000) if partition_of(parent := Parent("many", f"{n}"), 16) == 5][:300]
    entries = [entry(key(SECOND << 32 | n, parent=parents[n % 300]), received_us=n) for n in range(500)]
    sent: list[int] = []
    write = Session.write

    async def counted(self: Session, batches: list[Batch]) -> dict[int, EngineError]:
        sent.append(len(batches))
        return await write(self, batches)

    monkeypatch.setattr(Session, "write", counted)
    assert await store.write(entries) == {}
    first = sum(sent)
    sent.clear()
    assert await store.write([one._replace(received_us=one.received_us - 1_000) for one in entries]) == {}

    assert first <= 50  # 16 shards: entries and buckets of each, then the lists and their calendar
    assert sum(sent) <= 25


async def test_what_an_hour_resolved_does_not_hide_what_is_open(store: CassandraStore, session: Session) -> None:
    """A replica gives up a read that steps over more than 100,000 removed rows."""
    is_open = incident(key())
    await store.put_incidents(is_open.parent, [is_open], 1)
    remove = "DELETE FROM open_incidents USING TIMESTAMP 1 WHERE shard = ? AND parent = ? AND request IN ?"
    requests = [n.to_bytes(24, "big") for n in range(400)]
    try:
        for place in (Parent("storm", f"alert {n}").place for n in range(300)):
            await session.execute(remove, (place[0], place[1:], requests))

        assert await store.find_incidents(IncidentFilter(statuses=("triggered", "acknowledged"))) == [is_open]
    finally:
        await session.execute("TRUNCATE open_incidents")  # whoever empties the keyspace could not read it


async def test_who_only_looks_makes_no_identity(stack: CassandraStack, tmp_path: Path, store: CassandraStore) -> None:
    reader = CassandraStore(stack, tmp_path, read_only=True)
    with pytest.raises(Misconfigured, match="never used"):
        await reader.identity()

    identity = await store.identity()

    assert await reader.identity() == identity
    await reader.close()


async def test_a_keyspace_that_was_never_migrated_is_refused_with_what_to_do(
    stack: CassandraStack, tmp_path: Path
) -> None:
    stranger = CassandraStore(stack.model_copy(update={"keyspace": "nobodys"}), tmp_path)

    with pytest.raises(Misconfigured, match="tocsin store migrate"):
        await stranger.identity()

    await stranger.close()

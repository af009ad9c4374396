"""Migrations on a real node: from nothing, by steps, twice, by several at once, cut off; and what is refused."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cassandra.cluster import Session as DriverSession

from tests import servers
from tests.contract.cassandra_stacks import stack_at
from tocsin.engines.cassandra import migrations
from tocsin.engines.cassandra.connection import connect
from tocsin.engines.cassandra.lease import Lease
from tocsin.engines.cassandra.migrations import await_active, migrate, require_current, standing
from tocsin.engines.cassandra.versions import Version, version
from tocsin.engines.errors import Misconfigured, Unavailable
from tocsin.topology import CassandraStack

ONE = version("0001-things.cql", "CREATE TABLE IF NOT EXISTS things (a int PRIMARY KEY, b text);")
TWO = version("0002-more.cql", "ALTER TABLE things ADD IF NOT EXISTS c int;")
OTHER_ONE = version("0001-things.cql", "CREATE TABLE IF NOT EXISTS things (a int PRIMARY KEY, b blob);")
CUT_OFF = version("0002-more.cql", "ALTER TABLE things ADD IF NOT EXISTS c int;\nALTER TABLE nothing ADD d int;")
Known = tuple[Version, ...]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DriverSession]:
    stack = stack_at(*servers.cassandra_contact(), "none")
    driver = connect(stack, tmp_path_factory.mktemp("data"), request_s=20)
    yield driver
    driver.cluster.shutdown()


@pytest.fixture
def stack(driver: DriverSession) -> Iterator[CassandraStack]:
    """A stack whose keyspace does not exist yet."""
    stack = stack_at(*servers.cassandra_contact(), servers.unique("migrations"))
    yield stack
    driver.execute(f"DROP KEYSPACE IF EXISTS {stack.keyspace}")


def columns(driver: DriverSession, stack: CassandraStack) -> set[str]:
    rows = driver.execute(
        "SELECT column_name FROM system_schema.columns WHERE keyspace_name = %s AND table_name = 'things'",
        (stack.keyspace,),
    )
    return {name for (name,) in rows}


def require(stack: CassandraStack, data_dir: Path, known: Known) -> None:
    """As a session does when it connects."""
    session = connect(stack, data_dir, request_s=10)
    try:
        require_current(session, stack, known=known)
    finally:
        session.cluster.shutdown()


def test_from_nothing_by_steps_and_twice(driver: DriverSession, stack: CassandraStack, tmp_path: Path) -> None:
    assert standing(stack, tmp_path, known=(ONE,)) == (False, 0, (ONE,))
    steps: list[str] = []
    assert migrate(stack, tmp_path, say=steps.append, known=(ONE,)) == (True, 1, ())
    assert steps == [f"makes the keyspace {stack.keyspace}", "version 0001-things: statement 1 of 1"]
    assert columns(driver, stack) == {"a", "b"}

    assert migrate(stack, tmp_path, known=(ONE, TWO)) == (True, 2, ())
    assert columns(driver, stack) == {"a", "b", "c"}
    steps.clear()
    assert migrate(stack, tmp_path, say=steps.append, known=(ONE, TWO)) == (True, 2, ())
    assert steps == []
    require(stack, tmp_path, (ONE, TWO))


def test_an_older_schema_and_a_newer_one_are_refused_at_use(stack: CassandraStack, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"has no keyspace .*tocsin store migrate"):
        require(stack, tmp_path, (ONE,))
    migrate(stack, tmp_path, known=(ONE,))
    with pytest.raises(Misconfigured, match=r"has schema version 1, and .* needs 2: run `tocsin store migrate`"):
        require(stack, tmp_path, (ONE, TWO))
    migrate(stack, tmp_path, known=(ONE, TWO))
    for use in (require, lambda stack, data_dir, known: migrate(stack, data_dir, known=known)):
        with pytest.raises(Misconfigured, match=r"has schema version 2 .* is older than that: .* up to 1"):
            use(stack, tmp_path, (ONE,))


def test_a_schema_made_from_other_statements_is_refused(stack: CassandraStack, tmp_path: Path) -> None:
    migrate(stack, tmp_path, known=(ONE,))
    with pytest.raises(Misconfigured, match=r"0001-things .* was made from other statements"):
        require(stack, tmp_path, (OTHER_ONE,))


def test_a_version_that_was_cut_off_is_begun_again(
    driver: DriverSession, stack: CassandraStack, tmp_path: Path
) -> None:
    migrate(stack, tmp_path, known=(ONE,))
    with pytest.raises(Misconfigured, match="nothing"):
        migrate(stack, tmp_path, known=(ONE, CUT_OFF))
    assert columns(driver, stack) == {"a", "b", "c"}
    assert standing(stack, tmp_path, known=(ONE, TWO)) == (True, 1, (TWO,))
    assert migrate(stack, tmp_path, known=(ONE, TWO)) == (True, 2, ())


def test_of_several_at_once_one_does_it_and_the_others_find_it_done(stack: CassandraStack, tmp_path: Path) -> None:
    steps: list[str] = []
    ends: list[object] = []

    def run() -> None:
        ends.append(migrate(stack, tmp_path, say=steps.append, known=(ONE, TWO)))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == [(True, 2, ())] * 3
    assert sorted(step for step in steps if step.startswith("version")) == [
        "version 0001-things: statement 1 of 1",
        "version 0002-more: statement 1 of 1",
    ]


def test_one_that_waits_says_for_whom_and_not_for_ever(
    driver: DriverSession, stack: CassandraStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(stack, tmp_path, known=(ONE,))
    monkeypatch.setattr(migrations, "LEASE_WAIT_S", 0.5)
    session = connect(stack, tmp_path, request_s=10)
    session.set_keyspace(stack.keyspace)
    holder, steps = Lease(session), list[str]()
    with (
        holder.held(wait_s=1, say=steps.append),
        pytest.raises(Unavailable, match=rf"still being changed by {holder.holder}"),
    ):
        migrate(stack, tmp_path, say=steps.append, known=(ONE, TWO))
    assert steps == [f"waiting for {holder.holder}, which is changing the schema"]
    migrate(stack, tmp_path, known=(ONE, TWO))
    session.cluster.shutdown()


def test_one_that_lost_its_lease_stops_before_its_next_statement(
    driver: DriverSession, stack: CassandraStack, tmp_path: Path
) -> None:
    migrate(stack, tmp_path, known=(ONE,))
    session = connect(stack, tmp_path, request_s=10)
    session.set_keyspace(stack.keyspace)
    slow, quick = Lease(session), Lease(session)
    with slow.held(wait_s=1, say=print):
        slow.renew()
        session.execute("DELETE FROM schema_lease WHERE name = 'schema' IF EXISTS")  # as its time over would do
        with quick.held(wait_s=1, say=print):
            with pytest.raises(Unavailable, match="run it again"):
                slow.renew()
            quick.renew()
    session.cluster.shutdown()


def test_a_lease_ends_by_itself(driver: DriverSession, stack: CassandraStack, tmp_path: Path) -> None:
    migrate(stack, tmp_path, known=(ONE,))
    (row,) = driver.execute(
        "SELECT default_time_to_live FROM system_schema.tables WHERE keyspace_name = %s "
        "AND table_name = 'schema_lease'",
        (stack.keyspace,),
    )
    assert row == (60,)


def test_a_table_of_amazon_keyspaces_is_waited_for(driver: DriverSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against tables of the names in which Amazon Keyspaces tells how far it is."""
    monkeypatch.setattr(migrations, "ACTIVE_LOOK_S", 0.05)
    replication = f"{{'class': 'NetworkTopologyStrategy', '{servers.LOCAL_DC}': 1}}"
    driver.execute(f"CREATE KEYSPACE IF NOT EXISTS system_schema_mcs WITH replication = {replication}")
    try:
        driver.execute(
            "CREATE TABLE system_schema_mcs.tables (keyspace_name text, table_name text, status text, "
            "PRIMARY KEY (keyspace_name, table_name))"
        )
        insert = "INSERT INTO system_schema_mcs.tables (keyspace_name, table_name, status) VALUES ('k', 'entries', %s)"
        driver.execute(insert, ("CREATING",))
        waiting = threading.Thread(target=lambda: await_active(driver, "k", "entries"))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        driver.execute(insert, ("ACTIVE",))
        waiting.join(10)
        assert not waiting.is_alive()
        monkeypatch.setattr(migrations, "ACTIVE_S", 0.1)
        with pytest.raises(Unavailable, match=r"has not made nothing in"):
            await_active(driver, "k", "nothing")
    finally:
        driver.execute("DROP KEYSPACE system_schema_mcs")

"""The session with Cassandra, on a real node: what it answers, what it raises, and that it holds up nobody."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from cassandra import ConsistencyLevel

from tests import servers
from tests.contract.cassandra_stacks import stack_at
from tocsin.engines.cassandra import session as session_module
from tocsin.engines.cassandra.connection import connect
from tocsin.engines.cassandra.migrations import migrate
from tocsin.engines.cassandra.session import Session, Statement
from tocsin.engines.errors import EngineError, Misconfigured, Refused, Unavailable
from tocsin.topology import CassandraStack

INSERT = "INSERT INTO things (a, b, c) VALUES (?, ?, ?)"
SELECT = "SELECT b, c FROM things WHERE a = ?"
Open = Callable[..., Session]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CassandraStack]:
    """A migrated keyspace of this module, with a table of its own beside the store's."""
    stack = stack_at(*servers.cassandra_contact(), servers.unique("session"))
    data_dir = tmp_path_factory.mktemp("data")
    migrate(stack, data_dir)
    driver = connect(stack, data_dir, request_s=10)
    driver.execute(f"CREATE TABLE {stack.keyspace}.things (a int, b int, c blob, PRIMARY KEY (a, b))")
    yield stack
    driver.execute(f"DROP KEYSPACE {stack.keyspace}")
    driver.cluster.shutdown()


@pytest_asyncio.fixture
async def open_session(stack: CassandraStack, tmp_path: Path) -> AsyncIterator[Open]:
    opened: list[Session] = []

    def open_one(**more: int) -> Session:
        opened.append(Session(stack, tmp_path, **more))
        return opened[-1]

    yield open_one
    for session in opened:
        await session.close()


@pytest.fixture
def session(open_session: Open) -> Session:
    return open_session()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the driver's thread counts, and can set no Event
            await asyncio.sleep(0)


async def test_what_was_written_is_read_in_the_order_of_the_columns(session: Session) -> None:
    assert await session.execute(INSERT, (1, 2, b"three")) == []
    assert await session.execute(SELECT, (1,)) == [(2, b"three")]


async def test_of_two_writes_the_one_with_the_higher_write_time_counts(session: Session) -> None:
    await session.execute(INSERT, (2, 0, b"new"), timestamp=2_000)
    await session.execute(INSERT, (2, 0, b"old"), timestamp=1_000)
    assert await session.execute(SELECT, (2,)) == [(0, b"new")]
    await session.execute(INSERT, (2, 0, b"now"))
    assert await session.execute(SELECT, (2,)) == [(0, b"now")]


async def test_a_condition_says_whether_it_held(session: Session) -> None:
    applied = await session.execute(f"{INSERT} IF NOT EXISTS", (3, 0, b"first"))
    again = await session.execute(f"{INSERT} IF NOT EXISTS", (3, 0, b"second"))
    assert (applied[0][0], again[0][0]) == (True, False)
    assert await session.execute(SELECT, (3,), consistency=ConsistencyLevel.LOCAL_SERIAL) == [(0, b"first")]
    prepared = await session.prepare(INSERT), await session.prepare(f"{INSERT} IF NOT EXISTS")
    assert [each.is_idempotent for each in prepared] == [True, False]


async def test_rows_come_in_pages_and_all_of_them(session: Session) -> None:
    assert await session.write([[(INSERT, (4, b, b"")) for b in range(25)]]) == {}
    pages = [page async for page in session.pages(SELECT, (4,), page_rows=10)]
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [b for page in pages for b, _ in page] == list(range(25))


async def test_execute_answers_all_pages(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "PAGE_ROWS", 7)
    await session.batch([(INSERT, (5, b, b"")) for b in range(20)])
    assert len(await session.execute(SELECT, (5,))) == 20


async def test_one_that_is_refused_leaves_its_neighbours_stored(session: Session) -> None:
    too_large = b"x" * 5_000_000
    batches: list[list[Statement]] = [[(INSERT, (6, b, too_large if b == 3 else b""))] for b in range(6)]
    batches.append([(INSERT, ("no number", 0, b""))])
    errors = await session.write(batches)
    assert {index: type(error) for index, error in errors.items()} == {3: Refused, 6: Refused}
    assert [b for b, _ in await session.execute(SELECT, (6,))] == [0, 1, 2, 4, 5]


async def test_a_batch_that_is_refused_raises(session: Session) -> None:
    with pytest.raises(Refused, match="null value"):
        await session.batch([(INSERT, (None, 0, b""))])


@pytest.mark.parametrize(
    ("cql", "values", "words"),
    [
        ("INSRT INTO things", (), "statement"),
        ("SELECT * FROM nothing WHERE a = ?", (1,), "store migrate"),
        ("SELECT nothing FROM things WHERE a = ?", (1,), "store migrate"),
        ("SELECT * FROM things WHERE b = ?", (1,), "statement"),
    ],
)
async def test_a_statement_that_the_keyspace_does_not_fit_is_no_fault_of_the_values(
    session: Session, cql: str, values: tuple[int, ...], words: str
) -> None:
    with pytest.raises(Misconfigured, match=words):
        await session.execute(cql, values)
    assert {type(error) for error in (await session.write([[(cql, values)]] * 3)).values()} == {Misconfigured}


@pytest.mark.parametrize(
    "values",
    [(2**40, 0, b""), (b"bytes", 0, b""), (1, 0, "text that is no blob")],
)
async def test_values_that_no_column_takes_are_refused_before_they_are_sent(
    session: Session, values: tuple[object, ...]
) -> None:
    with pytest.raises(Refused, match="cannot take a value"):
        await session.execute(INSERT, values)
    assert session.in_flight == 0


async def test_too_few_values_are_a_fault_of_the_caller(session: Session) -> None:
    with pytest.raises(ValueError, match="2 values for the 3"):
        await session.execute(INSERT, (1, 2))


async def test_too_few_replicas_are_no_evidence(session: Session) -> None:
    with pytest.raises(Unavailable, match="too few replicas"):
        await session.execute(SELECT, (1,), consistency=ConsistencyLevel.THREE)


async def test_what_is_in_flight_is_bounded_and_everything_arrives(open_session: Open) -> None:
    session = open_session(in_flight_max=20)
    highest = 0

    async def watch() -> None:
        nonlocal highest
        while True:
            highest = max(highest, session.in_flight)
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    sets = [[[(INSERT, (100 + a, b, b""))] for b in range(100)] for a in range(5)]
    assert await asyncio.gather(*(session.write(each) for each in sets)) == [{}] * 5
    watching.cancel()
    assert 1 < highest <= 20
    for a in range(5):
        assert len(await session.execute(SELECT, (100 + a,))) == 100
    assert session.in_flight == 0


async def test_a_caller_that_is_cancelled_leaves_nothing_hanging(session: Session) -> None:
    await session.prepare(INSERT)
    tasks = [asyncio.create_task(session.write([[(INSERT, (7, b, b""))] for b in range(200)])) for _ in range(5)]
    await until(lambda: session.in_flight > 0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.cancelled() for task in tasks)
    await session.execute(SELECT, (7,))
    await until(lambda: session.in_flight == 0)


async def test_a_statement_is_prepared_once_however_many_ask(session: Session) -> None:
    prepared = await asyncio.gather(*(session.prepare(SELECT) for _ in range(20)))
    assert len({id(each) for each in prepared}) == 1


async def test_closing_waits_for_what_is_under_way_and_refuses_what_comes_after(session: Session) -> None:
    await session.prepare(INSERT)
    writing = asyncio.create_task(session.write([[(INSERT, (8, b, b""))] for b in range(100)]))
    await until(lambda: session.in_flight > 0)
    await session.close()
    errors: dict[int, EngineError] = await writing
    assert {type(error) for error in errors.values()} <= {Unavailable}
    assert len(errors) < 100
    with pytest.raises(Unavailable, match="closed"):
        await session.execute(SELECT, (8,))
    await session.close()


async def test_nothing_is_reached_before_the_first_use(tmp_path: Path) -> None:
    session = Session(stack_at("127.0.0.1", 1, "nowhere"), tmp_path)
    assert session.in_flight == 0
    await session.close()


# What is wrong where it connects -------------------------------------------------------------------------------------


async def refused(stack: CassandraStack, tmp_path: Path) -> EngineError:
    session = Session(stack, tmp_path)
    try:
        with pytest.raises(EngineError) as raised:
            await session.execute(SELECT, (1,))
        (again,) = (await session.write([[(INSERT, (1, 1, b""))]])).values()
        assert type(again) is type(raised.value)
        return raised.value
    finally:
        await session.close()


async def test_a_data_center_that_is_not_there_is_named_beside_those_that_are(
    stack: CassandraStack, tmp_path: Path
) -> None:
    error = await refused(stack.model_copy(update={"local_dc": "eu-west"}), tmp_path)
    assert isinstance(error, Misconfigured)
    assert "'eu-west'" in str(error)
    assert repr(servers.LOCAL_DC) in str(error)


async def test_a_keyspace_that_is_not_there_is_to_be_migrated(stack: CassandraStack, tmp_path: Path) -> None:
    error = await refused(stack.model_copy(update={"keyspace": "never_made"}), tmp_path)
    assert isinstance(error, Misconfigured)
    assert "tocsin store migrate" in str(error)


async def test_a_node_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    error = await refused(stack_at("127.0.0.1", 1, "nowhere"), tmp_path)
    assert isinstance(error, Unavailable)
    assert "contact_points" in str(error)


async def test_a_name_that_has_no_address_is_unavailable(tmp_path: Path) -> None:
    error = await refused(stack_at("cassandra.invalid", 9042, "nowhere", tls={}), tmp_path)
    assert isinstance(error, Unavailable)
    assert "cassandra.invalid" in str(error)

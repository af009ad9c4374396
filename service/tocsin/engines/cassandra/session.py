"""A session with Cassandra for asyncio: statements in, rows or errors of the port out.

Theory
------
The driver's callbacks come in its own thread; `flight.py` says how they reach the event loop, and what bounds them.
`write` sends a whole message set in one call: no task, future or wake-up for each statement.

Statements are prepared once and known by their text. One without a condition changes nothing more when it runs twice,
since its write time goes with it, so the driver may send it to a further node. A condition's answer would differ, so a
statement with one is sent once, and a lost answer is told.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from cassandra.cluster import ResponseFuture, ResultSet
from cassandra.cluster import Session as DriverSession
from cassandra.query import BatchStatement, BatchType, PreparedStatement
from cassandra.query import Statement as DriverStatement
from cassandra.timestamps import MonotonicTimestampGenerator

from tocsin.engines.cassandra.connection import connect
from tocsin.engines.cassandra.failures import UNBINDABLE, told, unbindable, unpreparable
from tocsin.engines.cassandra.flight import Call, Flight, Row
from tocsin.engines.cassandra.migrations import require_current
from tocsin.engines.errors import EngineError, Unavailable
from tocsin.topology.engines import CassandraStack

T = TypeVar("T")
Statement = tuple[str, Sequence[Any]]
"""CQL with a `?` for each value, and the values."""
Batch = Sequence[Statement]
"""Writes to one partition, which are done together."""

REQUEST_S: Final = 4.0
"""How long an answer is waited for: less than who reads the store waits, so that they hear why there was none."""
CONNECT_PAUSE_S: Final = 0.5
"""After an attempt to connect has failed, so long everyone is told the same."""
IN_FLIGHT_MAX: Final = 64
"""Requests under way at one time. A node works on some dozens and queues the rest, and there their time limit runs
already. With 512 on a starved machine many were late; that it was their queueing is a guess."""
BREATH: Final = 16
"""After so many statements of a call the event loop gets its turn: to bind and send one takes some 0.1 ms."""
PAGE_ROWS: Final = 1_000
_CONDITION: Final = re.compile(r"\bIF\b", re.IGNORECASE)


class Session:
    """The cluster of one stack, reached at first use. For one event loop.

    Calls raise `Unavailable`, `Refused` or `Misconfigured` (the table in `failures.py`), and nothing else of engines.
    """

    def __init__(
        self,
        stack: CassandraStack,
        data_dir: Path,
        *,
        in_flight_max: int = IN_FLIGHT_MAX,
        request_s: float = REQUEST_S,
    ) -> None:
        self.stack = stack
        self.in_flight_max = in_flight_max
        self._data_dir = data_dir
        self._request_s = request_s
        self._flight = Flight(in_flight_max)
        self._write_times = _WriteTimes()
        self._driver: DriverSession | None = None
        self._opening: asyncio.Task[DriverSession] | None = None
        self._open_again_at = 0.0
        self._prepared: dict[str, PreparedStatement] = {}
        self._preparing: dict[str, asyncio.Task[PreparedStatement]] = {}
        self._closed = False

    @property
    def in_flight(self) -> int:
        """Requests whose answers have not come, of `in_flight_max`."""
        return self._flight.used

    async def prepare(self, cql: str) -> PreparedStatement:
        """The statement of a text, prepared at its first use; table names without a keyspace are of the stack's."""
        prepared = self._prepared.get(cql)
        if prepared is not None:
            return prepared
        driver = await self._connected()
        task = self._preparing.get(cql)
        if task is None:
            task = self._preparing[cql] = asyncio.create_task(self._prepare(driver, cql))
            task.add_done_callback(_seen)
        return await self._in_time(task, "has not prepared a statement in time")

    async def execute(
        self,
        cql: str,
        values: Sequence[Any] = (),
        *,
        timestamp: int | None = None,
        consistency: int | None = None,
    ) -> list[Row]:
        """Runs a statement; returns all rows that it answers, so the statement must bound them.

        `timestamp`: the write time in microseconds, where the statement does not say one itself. `consistency`: one of
        `cassandra.ConsistencyLevel`; left out LOCAL_QUORUM, and LOCAL_SERIAL for conditions. A statement with a
        condition answers one row, whose first column says whether it was applied.
        """
        rows: list[Row] = []
        async for page in self._pages(cql, values, PAGE_ROWS, timestamp=timestamp, consistency=consistency):
            rows += page
        return rows

    async def pages(self, cql: str, values: Sequence[Any] = (), *, page_rows: int) -> AsyncIterator[list[Row]]:
        """The rows that a statement answers, so many at a time; the next are asked for when they are wanted."""
        async for page in self._pages(cql, values, page_rows):
            yield page

    async def batch(self, statements: Batch) -> None:
        """Writes to one partition, all of them or none (UNLOGGED); their size is for the caller to bound."""
        for error in (await self.write([statements])).values():
            raise error

    async def write(self, batches: Sequence[Batch]) -> dict[int, EngineError]:
        """Sends batches, each to its partition and as many at a time as there is room; returns the errors of those
        that were not acknowledged by index, and raises none. For a message set this is much cheaper than a call each.
        """
        try:
            driver = await self._connected()
            for cql in {cql for batch in batches for cql, _ in batch}:
                await self.prepare(cql)
        except EngineError as error:
            return dict.fromkeys(range(len(batches)), error)
        call = Call(len(batches))
        for index, batch in enumerate(batches):
            if not self._flight.has_room():
                await self._flight.room()
            try:
                self._refuse_closed()
                statement = self._bound_batch(batch)
            except EngineError as error:
                call.errors[index] = error
                self._flight.land(call, took=False)
            else:
                self._send(driver, statement, call, index)
            if index % BREATH == BREATH - 1:
                await asyncio.sleep(0)
        await self._flight.landed(call)
        return {index: told(error) for index, error in call.errors.items()}

    async def close(self) -> None:
        """Sends nothing more, waits for the answers that are under way, ends all connections. Again, does nothing."""
        self._closed = True
        opening, self._opening = self._opening, None
        if opening is not None:
            await asyncio.wait([opening])
        await self._flight.empty()
        driver, self._driver = self._driver, None
        if driver is not None:
            await asyncio.to_thread(driver.cluster.shutdown)

    # Opening -----------------------------------------------------------------------------------------------------

    async def _connected(self) -> DriverSession:
        self._refuse_closed()
        if self._driver is not None:
            return self._driver
        loop = asyncio.get_running_loop()
        if self._opening is None or (self._opening.done() and loop.time() >= self._open_again_at):
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(_seen)
        return await self._in_time(self._opening, "is not connected yet")

    async def _in_time(self, task: asyncio.Task[T], what: str) -> T:
        """What a task shared by many comes to; it goes on when one of them has waited long enough."""
        try:
            async with asyncio.timeout(self._request_s):
                return await asyncio.shield(task)
        except TimeoutError as error:
            where = ", ".join(self.stack.contact_points)
            raise Unavailable(f"Cassandra at {where} {what}: is it up, and reachable?") from error

    def _refuse_closed(self) -> None:
        if self._closed:
            raise Unavailable("this session with Cassandra was closed by its process: open it anew")

    async def _open(self) -> DriverSession:
        try:
            self._driver = await asyncio.to_thread(self._connect)
        finally:
            self._open_again_at = asyncio.get_running_loop().time() + CONNECT_PAUSE_S
        return self._driver

    def _connect(self) -> DriverSession:
        """In a thread."""
        driver = None
        try:
            driver = connect(self.stack, self._data_dir, request_s=self._request_s)
            require_current(driver, self.stack)
            if self.stack.flavor == "keyspaces":
                driver.set_keyspace(self.stack.keyspace)
            driver.cluster.timestamp_generator = self._write_times
        except EngineError:
            _shut_down(driver)
            raise
        except Exception as error:
            _shut_down(driver)
            raise told(error) from error
        return driver

    async def _prepare(self, driver: DriverSession, cql: str) -> PreparedStatement:
        try:
            # Cassandra is told the keyspace with each statement, and warns of USE; Amazon Keyspaces knows USE alone.
            keyspace = None if self.stack.flavor == "keyspaces" else self.stack.keyspace
            prepared = await asyncio.to_thread(driver.prepare, cql, keyspace=keyspace)
        except Exception as error:
            raise unpreparable(error) from error
        finally:
            del self._preparing[cql]
        prepared.is_idempotent = _CONDITION.search(cql) is None
        self._prepared[cql] = prepared
        return prepared

    # Sending -----------------------------------------------------------------------------------------------------

    async def _pages(
        self,
        cql: str,
        values: Sequence[Any],
        page_rows: int,
        *,
        timestamp: int | None = None,
        consistency: int | None = None,
    ) -> AsyncIterator[list[Row]]:
        driver = await self._connected()
        statement = _bound(await self.prepare(cql), values, cql)
        statement.fetch_size = page_rows
        statement.consistency_level = consistency
        state: bytes | None = None
        while True:
            if not self._flight.has_room():
                await self._flight.room()
            self._refuse_closed()
            call = Call(1)
            future = self._send(driver, statement, call, timestamp=timestamp, state=state)
            await self._flight.landed(call)
            for error in call.errors.values():
                raise told(error)
            yield call.rows or []
            # A request of its own for each page: the driver gives none but the first of a future a time limit.
            state = ResultSet(future, call.rows).paging_state
            if state is None:
                return

    def _bound_batch(self, batch: Batch) -> DriverStatement:
        if len(batch) == 1:
            cql, values = batch[0]
            return _bound(self._prepared[cql], values, cql)
        statement = BatchStatement(BatchType.UNLOGGED)
        statement.is_idempotent = True
        for cql, values in batch:
            prepared = self._prepared[cql]
            statement.is_idempotent = statement.is_idempotent and prepared.is_idempotent
            statement.add(_bound(prepared, values, cql))
        return statement

    def _send(
        self,
        driver: DriverSession,
        statement: DriverStatement,
        call: Call,
        index: int = 0,
        *,
        timestamp: int | None = None,
        state: bytes | None = None,
    ) -> ResponseFuture:
        """Never blocks: the driver would wait for a free stream, of which it has more than may be in flight."""
        self._write_times.given = timestamp
        future = driver.execute_async(statement, paging_state=state)
        self._flight.take()

        def answered(rows: list[Row] | None) -> None:
            call.rows = rows
            self._flight.land(call)

        def failed(error: Exception) -> None:
            call.errors[index] = error
            self._flight.land(call)

        future.add_callbacks(answered, failed)
        return future


class _WriteTimes:
    """The write time of each request. The driver asks for it in the thread, and while, it is handed the request."""

    def __init__(self) -> None:
        self.given: int | None = None
        self._now_us = MonotonicTimestampGenerator()

    def __call__(self) -> int:
        return int(self._now_us()) if self.given is None else self.given


def _bound(prepared: PreparedStatement, values: Sequence[Any], cql: str) -> DriverStatement:
    if len(values) != len(prepared.column_metadata):  # the driver would leave out those that lack
        raise ValueError(f"{len(values)} values for the {len(prepared.column_metadata)} of: {cql}")
    try:
        return prepared.bind(values)
    except UNBINDABLE as error:
        raise unbindable(error, cql) from error


def _shut_down(driver: DriverSession | None) -> None:
    if driver is not None:
        driver.cluster.shutdown()


def _seen(task: asyncio.Task[Any]) -> None:
    """Whoever waited may be gone: an error that nobody asks for is no accident."""
    if not task.cancelled():
        task.exception()

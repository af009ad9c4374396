"""A SQLite file behind an async door: one connection in one worker thread, writes committed in groups.

Theory
------
All work on the file happens in one thread, so the connection needs no lock and the event loop never waits for a disk.
Writes that are waiting at the same moment share one transaction, each in a savepoint of its own: a commit costs the
same for one as for five hundred, and one that fails leaves its neighbours untouched. A write's result is told only
after the commit.

Durability: WAL with synchronous=NORMAL. A commit is in the operating system's hands before it is told, so a process
that dies at any moment, by kill -9 too, loses nothing that was acknowledged. A loss of power may lose the last commits
(the file stays consistent): fsync at each commit would cost 20 times the throughput to protect against the loss of a
machine, which a stand-in for one machine does not survive anyway.

Several processes use the same file. Readers never wait; writers wait for each other for at most `busy_s`.
Never open the file by other means than SQLite in a process that uses it: closing any descriptor of a file drops the
POSIX locks that the process has on it.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from tocsin.engines.errors import EngineError, Misconfigured, Refused, Unavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

GROUP_MAX: Final = 512
"""Jobs taken from the queue at one time, and so the writes of one transaction."""
POLL_S: Final = 0.02
"""How often a watched file is looked at for commits of other connections: a look costs some microseconds."""
PRAGMAS: Final = ("synchronous=NORMAL", "temp_store=MEMORY", "foreign_keys=ON", "journal_size_limit=67108864")


class Format(NamedTuple):
    """What a file must be: its kind (SQLite's application id), its layout's version, the statements that make it.

    `upgrades[n]` makes a file of version n + 2 of one of version n + 1, in the transaction that opens it.
    """

    what: str
    application_id: int
    version: int
    schema: tuple[str, ...]
    upgrades: tuple[Work[None], ...] = ()


class _Job(NamedTuple):
    work: Work[Any]
    write: bool
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]


_Outcome = tuple[_Job, object, BaseException | None]


class Database:
    """One SQLite file, opened at first use, and made when it is missing unless it is `read_only`. Usable from several
    event loops. A file that is taken away while it is open is never made anew: what it held would be lost unseen.
    """

    def __init__(self, path: Path, form: Format, *, busy_s: float = 5.0, read_only: bool = False) -> None:
        self.path = path
        self._format = form
        self._busy_s = busy_s
        self._read_only = read_only
        self._inode: tuple[int, int] | None = None
        self._connection: sqlite3.Connection | None = None
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._watch: Work[None] | None = None
        self._watched_version: int | None = None
        self._look_at = 0.0

    async def read(self, work: Work[T]) -> T:
        """Runs `work`, which must not write, on the connection: all that it reads is one snapshot.

        Raises `Unavailable` when the file does not answer, `Misconfigured` when it is not what this code can use.
        """
        return await self._submit(work, write=False)

    async def write(self, work: Work[T]) -> T:
        """Runs `work` in a transaction shared with others that wait; returns its result after the commit.

        What `work` raises undoes its own changes only. It must not begin, commit or roll back. Raises as `read`, and
        `Refused` for a value that SQLite cannot take; after `Unavailable` the changes may or may not be there.
        """
        if self._read_only:
            raise Misconfigured(f"{self.path} was opened for reading only: open it for writing to change it")
        return await self._submit(work, write=True)

    def watch_for(self, watch: Work[None] | None) -> None:
        """Calls `watch` in the worker thread after each commit, of this connection at once and of others within
        `POLL_S`; None ends it. Commits that come together are told once. Begins at once when it is called in a
        read or write, else with the next one.
        """
        self._watch = watch

    async def close(self) -> None:
        """Finishes what is waiting and closes the file. Closing again does nothing."""
        self._closed = True
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(thread.join)

    async def _submit(self, work: Work[T], *, write: bool) -> T:
        if self._closed:
            raise Unavailable(f"{self.path} was closed by this process: open it anew")
        if self._thread is None:
            # A daemon: a program that ends without closing must end, and a cut off transaction is rolled back.
            self._thread = threading.Thread(target=self._serve, name=f"sqlite {self.path.name}", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(work, write, loop, done))
        return await done

    # The worker thread -------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        going = True
        while going:
            jobs, going = self._next_jobs()
            if jobs:
                self._run(jobs)
            if self._watch is not None and time.monotonic() >= self._look_at:
                self._look(self._watch)
        if self._connection is not None:
            self._connection.close()

    def _next_jobs(self) -> tuple[list[_Job], bool]:
        """What waits, up to a group; and whether to go on. Empty when it is time to look at the file."""
        jobs: list[_Job] = []
        with contextlib.suppress(queue.Empty):
            job = self._jobs.get(timeout=None if self._watch is None else POLL_S)
            while job is not None:
                jobs.append(job)
                if len(jobs) == GROUP_MAX:
                    return jobs, True
                job = self._jobs.get_nowait()
            return jobs, False
        return jobs, True

    def _run(self, jobs: list[_Job]) -> None:
        """Reads first: they must see nothing of a transaction that may yet fail."""
        try:
            connection = self._usable()
        except Exception as error:  # noqa: BLE001 - whoever waits for a job gets what befell it
            _tell([(job, None, _told(error, self.path)) for job in jobs])
            return
        reads = [job for job in jobs if not job.write]
        if reads:
            _tell(self._read_group(connection, reads))
        writes = [job for job in jobs if job.write]
        if writes:
            _tell(self._write_group(connection, writes))
            if self._watch is not None:
                self._look_at = 0.0
                self._watched_version = None

    def _read_group(self, connection: sqlite3.Connection, jobs: list[_Job]) -> list[_Outcome]:
        try:
            connection.execute("BEGIN")
            outcomes = [self._attempt(connection, job) for job in jobs]
            if connection.in_transaction:
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            told = _told(error, self.path)
            return [(job, None, told) for job in jobs]
        return outcomes

    def _write_group(self, connection: sqlite3.Connection, jobs: list[_Job]) -> list[_Outcome]:
        outcomes: list[_Outcome] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                connection.execute("SAVEPOINT job")
                outcome = self._attempt(connection, job)
                outcomes.append(outcome)
                if outcome[2] is not None:
                    if not connection.in_transaction:  # a full disk or a failed read: SQLite rolled everything back
                        raise sqlite3.OperationalError(str(outcome[2]))
                    connection.execute("ROLLBACK TO job")
                connection.execute("RELEASE job")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            # Nothing was committed: those that had succeeded fail with the transaction, the others keep their reason.
            told = _told(error, self.path)
            kept = [outcome for outcome in outcomes if outcome[2] is not None]
            failed = {id(outcome[0]) for outcome in kept}
            return kept + [(job, None, told) for job in jobs if id(job) not in failed]
        return outcomes

    def _attempt(self, connection: sqlite3.Connection, job: _Job) -> _Outcome:
        try:
            return job, job.work(connection), None
        except Exception as error:  # noqa: BLE001 - whoever waits for the job gets what befell it
            return job, None, _told(error, self.path)

    def _look(self, watch: Work[None]) -> None:
        """A look that fails is no news: the next job of whoever waits will say what is wrong."""
        self._look_at = time.monotonic() + POLL_S
        with contextlib.suppress(sqlite3.Error, EngineError, OSError):
            connection = self._usable()
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            if version != self._watched_version:
                self._watched_version = version
                watch(connection)

    def _usable(self) -> sqlite3.Connection:
        """The connection, if its file is still at its place: SQLite itself would go on writing where nobody reads."""
        if self._connection is None:
            self._connection = self._open()
            self._inode = _inode(self.path)
        elif _inode(self.path) != self._inode:
            raise Unavailable(
                f"{self.path} was removed or replaced while it was in use, so nothing is read or written. "
                "Put it back, or restart this process to use what is there now"
            )
        return self._connection

    def _open(self) -> sqlite3.Connection:
        if self._read_only and not self.path.exists():
            raise Misconfigured(f"there is no {self._format.what} at {self.path}: is its path in the settings right?")
        if not self._read_only:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        uri = f"{self.path.absolute().as_uri()}?mode={'rw' if self._read_only else 'rwc'}"
        connection = sqlite3.connect(uri, uri=True, timeout=self._busy_s, isolation_level=None)
        try:
            if self._read_only:
                connection.execute("PRAGMA query_only=ON")
            else:
                _use_wal(connection, self._busy_s)
            for pragma in PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
            self._check_format(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_format(self, connection: sqlite3.Connection) -> None:
        """Makes what is missing. Checked under the write lock: several processes may open a new file at once."""
        wanted = self._format
        connection.execute("BEGIN" if self._read_only else "BEGIN IMMEDIATE")
        try:
            application_id = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
            if application_id != wanted.application_id and (self._read_only or not empty):
                raise Misconfigured(f"{self.path} is no {wanted.what}: is its path in the settings right?")
            if version > wanted.version:
                raise Misconfigured(
                    f"{self.path} is a {wanted.what} of format {version}, and this release knows formats up "
                    f"to {wanted.version}: a newer release wrote it. Run that one or a later one; the file is untouched"
                )
            if empty and not self._read_only:
                for statement in wanted.schema:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id={wanted.application_id}")
            elif not self._read_only:
                for upgrade in wanted.upgrades[version - 1 :]:
                    upgrade(connection)
            if version != wanted.version and not self._read_only:
                connection.execute(f"PRAGMA user_version={wanted.version}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _use_wal(connection: sqlite3.Connection, busy_s: float) -> None:
    """SQLite does not wait for its busy time when two connections turn a new file to WAL at once: we do."""
    deadline = time.monotonic() + busy_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
            return
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.01)


def _tell(outcomes: list[_Outcome]) -> None:
    """Resolves the futures, waking each event loop once. A loop that has ended has nobody who waits."""
    for loop in {job.loop for job, _, _ in outcomes}:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, [outcome for outcome in outcomes if outcome[0].loop is loop])


def _resolve(outcomes: list[_Outcome]) -> None:
    for job, result, error in outcomes:
        if job.done.done():  # whoever waited was cancelled
            continue
        if error is None:
            job.done.set_result(result)
        else:
            job.done.set_exception(error)


def _told(error: Exception, path: Path) -> Exception:
    """The error in the port's words, with its cause chained. What is a fault of our own code stays as it is."""
    told: EngineError
    if isinstance(error, sqlite3.DataError | OverflowError):
        told = Refused(f"{path} cannot take a value: {error}")
    elif isinstance(error, sqlite3.DatabaseError) and getattr(error, "sqlite_errorname", "") == "SQLITE_NOTADB":
        told = Misconfigured(f"{path} is no SQLite file: is its path in the settings right?")
    elif isinstance(error, sqlite3.OperationalError | OSError) or type(error) is sqlite3.DatabaseError:
        told = Unavailable(f"{path} does not answer: {error}. Look at the disk's space and the file's permissions")
    else:
        return error
    told.__cause__ = error
    return told

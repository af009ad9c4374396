"""The SQLite file behind both embedded adapters: groups of writes, several users, and files that cannot be used."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio

from tocsin.engines.embedded.database import Database, Format
from tocsin.engines.errors import Misconfigured, Refused, Unavailable

FORM = Format("notebook", 0x4E4F5445, 3, ("CREATE TABLE notes (id INTEGER PRIMARY KEY, text BLOB)",))


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(tmp_path / "notes", FORM, busy_s=0.1)
    yield opened
    await opened.close()


def put(id: int, text: object = b"") -> Callable[[sqlite3.Connection], int]:
    return lambda connection: connection.execute("INSERT INTO notes VALUES (?, ?)", (id, text)).rowcount


def ids(connection: sqlite3.Connection) -> list[int]:
    return [row[0] for row in connection.execute("SELECT id FROM notes ORDER BY id")]


async def test_a_write_that_fails_leaves_those_of_its_group_untouched(database: Database) -> None:
    await database.write(put(1))  # the file is open: what follows is one group
    results = await asyncio.gather(
        database.write(put(2)), database.write(put(1)), database.write(put(2**63)), database.write(put(3)),
        return_exceptions=True,
    )  # fmt: skip
    assert [type(result) for result in results] == [int, sqlite3.IntegrityError, Refused, int]
    assert await database.read(ids) == [1, 2, 3]


async def test_a_write_is_undone_whole_when_it_fails_half_way(database: Database) -> None:
    def two(connection: sqlite3.Connection) -> None:
        put(1)(connection)
        put(1)(connection)

    with pytest.raises(sqlite3.IntegrityError):
        await database.write(two)
    assert await database.read(ids) == []


async def test_a_full_disk_is_unavailable_and_over_when_there_is_room(database: Database) -> None:
    await database.write(put(1))
    pages = await database.read(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
    await database.read(lambda connection: connection.execute(f"PRAGMA max_page_count={pages}").fetchone())
    with pytest.raises(Unavailable, match=r"notes does not answer: .*full") as raised:
        await database.write(put(2, b"x" * 100_000))
    assert isinstance(raised.value.__cause__, sqlite3.OperationalError)
    await database.read(lambda connection: connection.execute("PRAGMA max_page_count=1000000").fetchone())
    await database.write(put(3, b"x" * 100_000))
    assert await database.read(ids) == [1, 3]


async def test_a_file_that_another_keeps_locked_is_unavailable_for_writers_and_read_all_the_same(
    database: Database,
) -> None:
    await database.write(put(1))
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked") as raised:
            await database.write(put(2))
        assert isinstance(raised.value.__cause__, sqlite3.OperationalError)
        assert await database.read(ids) == [1]
        other.execute("ROLLBACK")
    await database.write(put(3))
    assert await database.read(ids) == [1, 3]


async def test_a_read_sees_one_moment_of_the_file(database: Database) -> None:
    await database.write(put(1))

    def twice(connection: sqlite3.Connection) -> tuple[list[int], list[int]]:
        first = ids(connection)
        with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
            put(2)(other)
        return first, ids(connection)

    assert await database.read(twice) == ([1], [1])
    assert await database.read(ids) == [1, 2]


async def test_many_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    opened = [Database(tmp_path / "deep" / "down" / "notes", FORM) for _ in range(8)]
    await asyncio.gather(*(each.write(put(id)) for id, each in enumerate(opened)))
    assert await opened[0].read(ids) == list(range(8))
    for each in opened:
        await each.close()


async def test_a_watch_is_told_of_commits_by_others_and_by_oneself(database: Database, tmp_path: Path) -> None:
    await database.write(put(1))
    seen: list[list[int]] = []
    await database.read(lambda _: database.watch_for(lambda connection: seen.append(ids(connection))))
    other = Database(tmp_path / "notes", FORM)
    for id, writer in ((2, other), (3, database)):
        await writer.write(put(id))
        async with asyncio.timeout(10):
            while not seen or id not in seen[-1]:  # noqa: ASYNC110 - the worker thread appends
                await asyncio.sleep(0.01)
    database.watch_for(None)
    looks = len(seen)
    await other.write(put(4))
    await asyncio.sleep(0.1)
    assert len(seen) == looks
    await other.close()


async def test_a_file_of_a_newer_format_is_refused_by_name_and_left_as_it_is(
    tmp_path: Path, database: Database
) -> None:
    await database.write(put(1))
    await database.close()
    with closing(sqlite3.connect(database.path)) as file:
        file.execute("PRAGMA user_version=4")
    before = database.path.read_bytes()
    later = Database(tmp_path / "notes", FORM)
    with pytest.raises(Misconfigured, match=r"notes is a notebook of format 4, .* up to 3.*newer release"):
        await later.read(ids)
    await later.close()
    assert database.path.read_bytes() == before


async def test_a_file_of_another_kind_is_refused(tmp_path: Path, database: Database) -> None:
    await database.write(put(1))
    other = Database(tmp_path / "notes", FORM._replace(what="cookbook", application_id=7))
    with pytest.raises(Misconfigured, match=r"notes is no cookbook: is its path"):
        await other.read(ids)
    await other.close()


async def test_a_file_that_is_not_sqlite_is_refused(tmp_path: Path, database: Database) -> None:
    (tmp_path / "notes").write_bytes(b"dear diary " * 1000)
    with pytest.raises(Misconfigured, match=r"notes is no SQLite file"):
        await database.read(ids)


async def test_a_folder_that_cannot_be_made_is_unavailable_until_it_can(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("in the way")
    database = Database(tmp_path / "folder" / "notes", FORM)
    with pytest.raises(Unavailable, match="does not answer"):
        await database.write(put(1))
    (tmp_path / "folder").unlink()
    await database.write(put(1))
    assert await database.read(ids) == [1]
    await database.close()


async def test_what_was_asked_before_the_close_is_done_and_what_comes_after_is_told(database: Database) -> None:
    asked = [asyncio.ensure_future(database.write(put(id))) for id in range(3)]
    await asyncio.sleep(0)
    await database.close()
    await database.close()
    assert await asyncio.gather(*asked) == [1, 1, 1]
    with pytest.raises(Unavailable, match="closed by this process"):
        await database.read(ids)


async def test_a_caller_that_was_cancelled_disturbs_nobody(database: Database) -> None:
    leaving, staying = (asyncio.ensure_future(database.write(put(id))) for id in (1, 2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 1
    assert 2 in await database.read(ids)

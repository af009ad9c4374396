"""What the embedded store says about its file, its rows and its own log of writes."""
# ruff: noqa: ASYNC240, FBT001 - a test that blocks keeps nobody waiting; parameters are named by their ids

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.store_rows import PARENT, entry, incident, kept, key
from tocsin.core.entries import Entry, EntryFilter
from tocsin.core.failures import Kind
from tocsin.core.ids import Parent, RequestKey, digest
from tocsin.core.incidents import IncidentFilter, Sort, SortBy
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.errors import Misconfigured, Refused, Unavailable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outcomes.db"


@pytest.fixture
async def journaled(path: Path) -> AsyncIterator[EmbeddedStore]:
    store = EmbeddedStore(path, journal=True)
    yield store
    await store.close()


async def made(path: Path) -> None:
    """Makes a store with one entry."""
    store = EmbeddedStore(path)
    await store.write([entry()])
    await store.close()


# The journal ------------------------------------------------------------------------------------------------------


async def test_the_journal_says_of_every_write_what_it_did(journaled: EmbeddedStore) -> None:
    await journaled.write([entry(received_us=20), entry(received_us=20)])
    await journaled.write([entry(received_us=10)])
    await journaled.write([entry(received_us=30), entry(key(2))])

    rows = await journaled.journal_rows()

    assert [(row.key, row.effect) for row in rows] == [
        (key(), "inserted"),
        (key(), "same"),
        (key(), "replaced"),
        (key(), "same"),
        (key(2), "inserted"),
    ]
    assert [row.seq for row in rows] == [1, 2, 3, 4, 5]
    assert all(row.written_us > 1_700_000_000_000_000 for row in rows)


async def test_the_journal_has_no_row_for_what_was_refused(journaled: EmbeddedStore) -> None:
    failures = await journaled.write([entry(key(1)), entry(key(2))._replace(schema=2**70)])

    assert set(failures) == {1}
    assert [row.key for row in await journaled.journal_rows()] == [key(1)]
    assert await journaled.entry(key(2)) is None


async def test_without_a_journal_none_is_written(path: Path) -> None:
    await made(path)

    store = EmbeddedStore(path, read_only=True)

    assert await store.journal_rows() == []
    await store.close()


# Rows -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("journal", [False, True], ids=["plain", "journal"])
@pytest.mark.parametrize(
    "bad",
    [
        entry(key(3))._replace(schema=2**70),
        entry(key(3), received_us=2**63),
        entry(key(3), region="\ud800"),
        entry(key(2**64)),
        entry(key(-1)),
        entry(key(parent=Parent("\ud800", "x"))),
    ],
    ids=["schema", "received_us", "region", "id over", "id under", "parent"],
)
async def test_a_value_that_sqlite_cannot_hold_is_rejected_alone(path: Path, bad: Entry, journal: bool) -> None:
    store = EmbeddedStore(path, journal=journal)

    failures = await store.write([entry(key(1)), bad, entry(key(2))])

    assert {index: failure.kind for index, failure in failures.items()} == {1: Kind.REJECTED}
    assert failures[1].reason.startswith("the store refuses this row: ")
    assert await store.scan_entries(None, 10) == [entry(key(1)), entry(key(2))]
    await store.close()


async def test_a_put_of_a_value_that_sqlite_cannot_hold_is_refused(path: Path) -> None:
    store = EmbeddedStore(path)
    lone = RequestKey(Parent("\ud800", "x"), 1, digest(b""))

    with pytest.raises(Refused, match="cannot take a value"):
        await store.mark(lone, 1, dropped=True)
    with pytest.raises(Refused):
        await store.put_kept(kept(reason="\ud800"))
    with pytest.raises(Refused):
        await store.put_kept(kept(version=2**63))
    with pytest.raises(Refused):
        await store.put_incidents(key().parent, [incident(key(1)), incident(key(1))], 1)

    assert await store.kept_rows() == []
    assert await store.incidents_of(key().parent) == []
    await store.close()


# The file ---------------------------------------------------------------------------------------------------------


async def test_a_file_of_a_newer_format_is_named_with_both_versions_and_left_alone(path: Path) -> None:
    await made(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=9")
    connection.close()
    before = path.read_bytes()
    store = EmbeddedStore(path)

    with pytest.raises(Misconfigured, match=r"outcomes\.db is a Tocsin outcome store of format 9.* up to 4.*later one"):
        await store.identity()
    failures = await store.write([entry(key(2))])

    assert [failure.kind for failure in failures.values()] == [Kind.UNAVAILABLE]
    await store.close()
    assert path.read_bytes() == before


async def test_a_file_of_an_older_format_is_brought_up_to_date_with_all_that_it_holds(path: Path) -> None:
    await made(path)
    ended, open_ = incident(key(1), resolved_us=5), incident(key(2))
    store = EmbeddedStore(path)
    await store.write([entry(key(1))])
    await store.put_incidents(PARENT, [ended, open_], 1)
    await store.close()
    as_new = layout(path)
    with sqlite3.connect(path) as connection:  # what format 2 added
        for name in ("entries_by_time", "incidents_by_number", "incidents_by_end", "incidents_by_urgency"):
            connection.execute(f"DROP INDEX {name}")
        connection.execute("ALTER TABLE incidents DROP COLUMN resolved_us")
        for name in ("entries", "marks", "journal", "folds", "incidents", "kept"):  # and format 3
            connection.execute(f"UPDATE {name} SET parent = substr(parent, 2)")
        connection.execute("DROP TABLE users")  # and format 4
        connection.execute("PRAGMA user_version=1")
    connection.close()

    store = EmbeddedStore(path)
    by_end = IncidentFilter(sort=(Sort(SortBy.RESOLVED, descending=True),))
    assert await store.find_incidents(by_end) == [ended, open_]
    assert entry(key(1)) in await store.list_entries(EntryFilter(services=(PARENT.service,)))
    assert await store.entry(key(1)) == entry(key(1))
    await store.close()

    assert layout(path) == as_new


def layout(path: Path) -> dict[str, set[str]]:
    """The indexes and columns of a file's tables."""
    with sqlite3.connect(path) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE sql IS NOT NULL")]
        found = {name: {row[1] for row in connection.execute(f"PRAGMA table_info({name})")} for name in names}
        found["version"] = {str(connection.execute("PRAGMA user_version").fetchone()[0])}
    connection.close()
    return found


@pytest.mark.parametrize("read_only", [False, True], ids=["write", "read"])
async def test_a_file_that_is_no_database_is_named_and_left_alone(path: Path, read_only: bool) -> None:
    path.write_bytes(b"these are my notes, not a database\n" * 100)
    store = EmbeddedStore(path, read_only=read_only)

    with pytest.raises(Misconfigured, match=r"outcomes\.db is no"):
        await store.identity()

    await store.close()
    assert path.read_bytes().startswith(b"these are my notes")


@pytest.mark.parametrize("read_only", [False, True], ids=["write", "read"])
async def test_a_database_of_another_program_is_named_and_left_alone(path: Path, read_only: bool) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE music (title TEXT)")
    connection.close()
    store = EmbeddedStore(path, read_only=read_only)

    with pytest.raises(Misconfigured, match=r"outcomes\.db is no Tocsin outcome store"):
        await store.identity()

    await store.close()


async def test_reading_only_makes_no_file(path: Path) -> None:
    store = EmbeddedStore(path, read_only=True)

    with pytest.raises(Misconfigured, match="there is no Tocsin outcome store at"):
        await store.scan_entries(None, 1)

    await store.close()
    assert not path.exists()


async def test_reading_only_reads_and_changes_nothing(path: Path) -> None:
    await made(path)
    store = EmbeddedStore(path, read_only=True)

    assert await store.entry(key()) == entry()
    with pytest.raises(Misconfigured, match="for reading only"):
        await store.mark(key(), 1, dropped=True)
    assert {failure.kind for failure in (await store.write([entry(key(2))])).values()} == {Kind.UNAVAILABLE}

    assert await store.scan_entries(None, 10) == [entry()]
    await store.close()


async def test_reading_only_sees_what_another_writes_meanwhile(path: Path) -> None:
    writer, reader = EmbeddedStore(path), EmbeddedStore(path, read_only=True)
    await writer.write([entry()])
    assert await reader.entry(key(2)) is None

    await writer.write([entry(key(2))])

    assert await reader.entry(key(2)) == entry(key(2))
    await reader.close()
    await writer.close()


async def test_a_file_that_is_removed_in_use_is_unavailable_and_works_again_when_put_back(path: Path) -> None:
    store = EmbeddedStore(path)
    await store.write([entry()])
    away = path.rename(path.with_name("away"))

    with pytest.raises(Unavailable, match="removed or replaced"):
        await store.ping()
    with pytest.raises(Unavailable):
        await store.entry(key())
    assert not path.exists()

    away.rename(path)
    await store.ping()
    assert await store.entry(key()) == entry()
    await store.close()


async def test_a_file_that_is_replaced_in_use_is_not_taken_for_the_one_before(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    await made(other)
    store = EmbeddedStore(path)
    await store.ping()

    other.rename(path)

    with pytest.raises(Unavailable, match="restart this process"):
        await store.identity()
    await store.close()


async def test_a_full_disk_is_unavailable_for_every_entry_and_its_end_is_the_end_of_it(path: Path) -> None:
    store = EmbeddedStore(path)
    await store.write([entry()])
    await limit_pages(store, 1)  # SQLite's own limit fails as a full disk does

    failures = await store.write([entry(key(n), body=bytes(100_000)) for n in (2, 3)])

    assert {index: failure.kind for index, failure in failures.items()} == {0: Kind.UNAVAILABLE, 1: Kind.UNAVAILABLE}
    assert await store.scan_entries(None, 10) == [entry()]
    await limit_pages(store, 1_000_000)
    assert await store.write([entry(key(2), body=bytes(100_000))]) == {}
    await store.close()


async def test_a_file_that_stays_locked_is_unavailable_for_every_entry(path: Path) -> None:
    await made(path)
    store = EmbeddedStore(path)
    await store.ping()
    await store._database.read(lambda connection: connection.execute("PRAGMA busy_timeout=20").fetchone())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    failures = await store.write([entry(key(2)), entry(key(3))])

    assert [failure.kind for failure in failures.values()] == [Kind.UNAVAILABLE, Kind.UNAVAILABLE]
    assert await store.entry(key()) == entry(), "readers do not wait for writers"
    other.execute("ROLLBACK")
    other.close()
    assert await store.write([entry(key(2))]) == {}
    await store.close()


async def limit_pages(store: EmbeddedStore, pages: int) -> None:
    """Limits the file to its size now, or to so many pages if that is more."""
    await store._database.read(lambda connection: connection.execute(f"PRAGMA max_page_count={pages}").fetchone())

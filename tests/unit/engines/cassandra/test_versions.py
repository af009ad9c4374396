"""The versions of the schema: read from files in order, told apart by what they do, and each safe to run twice."""

import re

import pytest

from tocsin.engines.cassandra.versions import for_keyspaces, table_of, version, versions

HARMLESS_TWICE = re.compile(
    r"CREATE TABLE IF NOT EXISTS|CREATE (CUSTOM )?INDEX IF NOT EXISTS|ALTER TABLE \w+ ADD IF NOT EXISTS"
)


def test_versions_are_numbered_from_one_without_a_gap() -> None:
    assert [each.number for each in versions()] == list(range(1, len(versions()) + 1))
    assert versions()


def test_every_statement_does_no_harm_when_it_runs_twice() -> None:
    statements = [statement for each in versions() for statement in each.statements]
    assert [statement for statement in statements if not HARMLESS_TWICE.match(" ".join(statement.split()))] == []


def test_a_file_is_split_into_statements_without_its_comments() -> None:
    made = version(
        "0007-two-tables.cql", "-- why\nCREATE TABLE a (\n  b text,  -- c; d\n  e int\n);\n\nALTER TABLE a;\n"
    )
    assert (made.number, str(made)) == (7, "0007-two-tables")
    assert made.statements == ("CREATE TABLE a (\n  b text,\n  e int\n)", "ALTER TABLE a")


def test_a_comment_may_change_and_a_statement_may_not() -> None:
    was = version("0001-a.cql", "CREATE TABLE a (b text);")
    assert version("0001-a.cql", "-- Now with a reason.\nCREATE TABLE a\n  (b text);").checksum == was.checksum
    assert version("0001-a.cql", "CREATE TABLE a (b blob);").checksum != was.checksum


@pytest.mark.parametrize("name", ["1-a.cql", "0001-A.cql", "0001.cql", "0001-a.sql"])
def test_a_file_of_another_name_is_no_version(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a version"):
        version(name, "")


def test_a_table_for_amazon_keyspaces_keeps_its_order_and_lets_us_say_write_times() -> None:
    table = (
        "CREATE TABLE IF NOT EXISTS a (b int, c int, PRIMARY KEY (b, c))\n"
        "WITH CLUSTERING ORDER BY (c DESC) AND compaction = {'class': 'LeveledCompactionStrategy'}"
    )
    assert for_keyspaces(table) == (
        "CREATE TABLE IF NOT EXISTS a (b int, c int, PRIMARY KEY (b, c)) WITH CLUSTERING ORDER BY (c DESC) "
        "AND CUSTOM_PROPERTIES = {'client_side_timestamps': {'status': 'enabled'}}"
    )
    assert for_keyspaces("CREATE TABLE a (b int PRIMARY KEY)").endswith(
        "KEY) WITH CUSTOM_PROPERTIES = {'client_side_timestamps': {'status': 'enabled'}}"
    )
    assert for_keyspaces("ALTER TABLE a ADD d int") == "ALTER TABLE a ADD d int"


def test_the_table_that_a_statement_makes_is_known() -> None:
    assert table_of("CREATE TABLE IF NOT EXISTS entries (a int PRIMARY KEY)") == "entries"
    assert table_of("CREATE KEYSPACE outcomes") is None

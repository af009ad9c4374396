"""Keyspaces for the contract suite of the store: each test has empty ones, and a run makes as few as it can.

To make a keyspace takes seconds, and to empty one tens of milliseconds a table that holds anything. So the keyspaces of
a run are given out again, emptied, to the next test. Which one a place has is written at the place, so that processes
of a test find it.
"""

import functools
import json
import uuid
from pathlib import Path
from typing import Final

from cassandra.cluster import Session

from tests import servers
from tests.contract.cassandra_stacks import stack_at
from tocsin.engines.cassandra.connection import connect
from tocsin.engines.cassandra.migrations import migrate
from tocsin.topology import CassandraStack

KEPT: Final = ("schema_versions", "schema_lease")
"""Tables that say what the keyspace is."""


def stack_of(place: Path) -> CassandraStack:
    """The stack of a place; at first an empty keyspace that no other place of the test has."""
    if not place.exists():
        keyspace = _run().give(place.parent)
        place.write_text(json.dumps([*servers.cassandra_contact(), keyspace]))
    host, port, keyspace = json.loads(place.read_text())
    return stack_at(host, port, keyspace)


def take_away(place: Path) -> None:
    """Drops the keyspace of a place."""
    _run().drop(stack_of(place).keyspace)


@functools.cache
def _run() -> "_Run":
    return _Run()


class _Run:
    """The keyspaces of one test run, and a connection to see to them."""

    def __init__(self) -> None:
        self._name = f"contract_{uuid.uuid4().hex[:8]}"
        self._keyspaces: list[str] = []
        self._given: tuple[Path, int] | None = None
        self._driver: Session = connect(self._stack("none"), Path(), request_s=20)

    def give(self, test: Path) -> str:
        """An empty keyspace; of places in one folder, which is one test's, each has another."""
        number = self._given[1] + 1 if self._given is not None and self._given[0] == test else 0
        self._given = test, number
        if number == len(self._keyspaces):
            self._keyspaces.append(f"{self._name}_{number}")
            self._make(self._keyspaces[number])
        else:
            self._empty(self._keyspaces[number])
        return self._keyspaces[number]

    def drop(self, keyspace: str) -> None:
        self._driver.execute(f"DROP KEYSPACE {keyspace}")

    def _make(self, keyspace: str) -> None:
        migrate(self._stack(keyspace), Path())

    def _empty(self, keyspace: str) -> None:
        tables = self._driver.execute(
            "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", (keyspace,)
        )
        names = [name for (name,) in tables if name not in KEPT]
        if not names:
            self._make(keyspace)
        looks = [(name, self._driver.execute_async(f"SELECT * FROM {keyspace}.{name} LIMIT 1")) for name in names]
        emptied = [self._driver.execute_async(f"TRUNCATE {keyspace}.{name}") for name, look in looks if look.result()]
        for future in emptied:
            future.result()

    def _stack(self, keyspace: str) -> CassandraStack:
        return stack_at(*servers.cassandra_contact(), keyspace)

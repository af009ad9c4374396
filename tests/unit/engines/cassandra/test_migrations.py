"""What migrations can tell without a server: where a keyspace is replicated, and how one is made."""

from types import SimpleNamespace
from typing import Any

import pytest
from cassandra.metadata import KeyspaceMetadata

from tocsin.engines.cassandra.migrations import keyspace_statement, require_current
from tocsin.engines.errors import Misconfigured
from tocsin.topology import CassandraStack


def stack(**more: Any) -> CassandraStack:
    given = {"engine": "cassandra", "contact_points": ["127.0.0.1:9042"], "local_dc": "dublin", "keyspace": "outcomes"}
    return CassandraStack.model_validate(given | more)


def test_a_keyspace_that_is_not_replicated_here_is_refused() -> None:
    elsewhere = KeyspaceMetadata("outcomes", True, "NetworkTopologyStrategy", {"frankfurt": "3"})  # noqa: FBT003 (the driver's)
    metadata = SimpleNamespace(keyspaces={"outcomes": elsewhere})
    session: Any = SimpleNamespace(cluster=SimpleNamespace(metadata=metadata))
    with pytest.raises(Misconfigured, match="not replicated in the data center dublin"):
        require_current(session, stack())


def test_a_keyspace_is_made_for_this_data_center_alone() -> None:
    assert keyspace_statement(stack(replication_factor=3)) == (
        "CREATE KEYSPACE IF NOT EXISTS outcomes WITH replication = {'class': 'NetworkTopologyStrategy', 'dublin': 3}"
    )
    assert keyspace_statement(stack(flavor="keyspaces")) == (
        "CREATE KEYSPACE IF NOT EXISTS outcomes WITH replication = {'class': 'SingleRegionStrategy'}"
    )

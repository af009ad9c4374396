"""Stacks on Cassandra, as region files describe them."""

from tests import servers
from tocsin.topology import CassandraStack


def stack_at(host: str, port: int, keyspace: str, **more: object) -> CassandraStack:
    """A stack on the one node that listens there."""
    given = {
        "engine": "cassandra",
        "contact_points": [f"{host}:{port}"],
        "local_dc": servers.LOCAL_DC,
        "keyspace": keyspace,
        "replication_factor": 1,
    }
    return CassandraStack.model_validate(given | more)

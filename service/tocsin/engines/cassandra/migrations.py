"""Migrations: a keyspace brought to the schema that this code needs, and refused while it has another.

What was done is a row a version in `schema_versions`, with the checksum of its statements. Migrations go forward only.
An older schema is migrated by a person (`tocsin store migrate`), never by a role that happens to start first; a newer
one belongs to a newer release. Both are refused at the first use, and nothing is read or written.

Run twice, nothing is done the second time. Run by two processes at once, one waits for the other (`lease.py`) and then
finds nothing to do. Cut off in the middle, the version that was begun is run again.

All of it blocks: a command runs it as it is, and what has an event loop runs it in a thread.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from cassandra import DriverException, InvalidRequest
from cassandra.cluster import NoHostAvailable, Session
from cassandra.metadata import NetworkTopologyStrategy
from cassandra.protocol import ErrorMessage

from tocsin.engines.cassandra.connection import connect
from tocsin.engines.cassandra.failures import unpreparable
from tocsin.engines.cassandra.lease import Lease, lease_table
from tocsin.engines.cassandra.versions import Version, for_keyspaces, table_of, versions
from tocsin.engines.errors import EngineError, Misconfigured, Unavailable
from tocsin.topology.engines import CassandraStack

REQUEST_S: Final = 10.0
STATEMENT_S: Final = 30.0
"""How long a change of the schema may take: all nodes must agree on it."""
LEASE_WAIT_S: Final = 120.0
ACTIVE_S: Final = 300.0
"""How long Amazon Keyspaces may take to make a table: usually some ten seconds."""
ACTIVE_LOOK_S: Final = 1.0
HOW: Final = "run `tocsin store migrate`"
_VERSIONS_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS schema_versions (store text, version int, name text, checksum text, made_us bigint, "
    "made_by text, PRIMARY KEY (store, version))"
)
_APPLIED: Final = "SELECT version, name, checksum FROM {}.schema_versions WHERE store = 'outcomes'"
_MADE: Final = (
    "INSERT INTO schema_versions (store, version, name, checksum, made_us, made_by) "
    "VALUES ('outcomes', %s, %s, %s, %s, %s) IF NOT EXISTS"
)
Say = Callable[[str], None]
Known = tuple[Version, ...]


class Standing(NamedTuple):
    """What a keyspace has, by the highest version (0 for none), and the versions that it lacks."""

    has_keyspace: bool
    version: int
    missing: Known


def standing(stack: CassandraStack, data_dir: Path, *, known: Known | None = None) -> Standing:
    """What the keyspace of a stack has and lacks. Blocks, raises as `migrate`, and changes nothing."""
    with _session(stack, data_dir) as session:
        return _standing(session, stack.keyspace, versions() if known is None else known)


def migrate(
    stack: CassandraStack, data_dir: Path, *, say: Say = lambda _step: None, known: Known | None = None
) -> Standing:
    """Makes the keyspace if there is none, and every version that is missing; says each step, and returns what there
    is then. Blocks.

    Raises `Misconfigured` for a keyspace that is newer than this code or was made from other statements, and
    `Unavailable` when Cassandra does not answer, or another process does not end its migration: run it again.
    """
    known = versions() if known is None else known
    with _session(stack, data_dir) as session:
        found = _standing(session, stack.keyspace, known)
        if found.has_keyspace and not found.missing:
            return found
        if not found.has_keyspace:
            say(f"makes the keyspace {stack.keyspace}")
            _change(session, stack, keyspace_statement(stack))
            session.cluster.refresh_keyspace_metadata(stack.keyspace)  # another process may have been quicker
        session.set_keyspace(stack.keyspace)
        _change(session, stack, lease_table(stack.keyspace, with_id=stack.flavor == "cassandra"))
        lease = Lease(session)
        with lease.held(wait_s=LEASE_WAIT_S, say=say):
            _change(session, stack, _VERSIONS_TABLE)
            for version in _standing(session, stack.keyspace, known).missing:
                _make(session, stack, version, lease, say)
            return _standing(session, stack.keyspace, known)


def require_current(session: Session, stack: CassandraStack, *, known: Known | None = None) -> None:
    """Raises `Misconfigured` unless the stack's keyspace is replicated here and has just the schema of this code."""
    keyspace = session.cluster.metadata.keyspaces.get(stack.keyspace)
    if keyspace is None:
        raise Misconfigured(f"{_place(stack)} has no keyspace {stack.keyspace}: {HOW}, or is its name wrong?")
    strategy = keyspace.replication_strategy
    if isinstance(strategy, NetworkTopologyStrategy) and not strategy.dc_replication_factors.get(stack.local_dc):
        raise Misconfigured(
            f"the keyspace {stack.keyspace} is not replicated in the data center {stack.local_dc}: alter its "
            "replication, or set another local_dc"
        )
    found = _standing(session, stack.keyspace, versions() if known is None else known)
    if found.missing:
        raise Misconfigured(
            f"the keyspace {stack.keyspace} has schema version {found.version}, and this version of Tocsin needs "
            f"{found.missing[-1].number}: {HOW}. Nothing was read or written"
        )


def keyspace_statement(stack: CassandraStack) -> str:
    """What makes the keyspace of a stack."""
    replication = (
        "{'class': 'SingleRegionStrategy'}"
        if stack.flavor == "keyspaces"
        else f"{{'class': 'NetworkTopologyStrategy', '{stack.local_dc}': {stack.replication_factor}}}"
    )
    return f"CREATE KEYSPACE IF NOT EXISTS {stack.keyspace} WITH replication = {replication}"


@contextmanager
def _session(stack: CassandraStack, data_dir: Path) -> Iterator[Session]:
    session = None
    try:
        session = connect(stack, data_dir, request_s=REQUEST_S)
        yield session
    except EngineError:
        raise
    except (DriverException, NoHostAvailable, ErrorMessage, OSError) as error:
        raise unpreparable(error) from error
    finally:
        if session is not None:
            session.cluster.shutdown()


def _standing(session: Session, keyspace: str, known: Known) -> Standing:
    """Raises `Misconfigured` where a row was made by another code than ours."""
    if keyspace not in session.cluster.metadata.keyspaces:
        return Standing(has_keyspace=False, version=0, missing=known)
    try:
        rows = session.execute(_APPLIED.format(keyspace))
    except InvalidRequest:  # no such table: it was never migrated
        return Standing(has_keyspace=True, version=0, missing=known)
    applied = {number: (name, checksum) for number, name, checksum in rows}
    newest = max(applied, default=0)
    if newest > len(known):
        raise Misconfigured(
            f"the keyspace {keyspace} has schema version {newest} ({applied[newest][0]}), and this version of Tocsin "
            f"is older than that: it knows versions up to {len(known)}. Run the release that migrated it, or a later "
            "one. Nothing was read or written"
        )
    for version in known:
        if version.number in applied and applied[version.number][1] != version.checksum:
            raise Misconfigured(
                f"schema version {version} of the keyspace {keyspace} was made from other statements than this version "
                "of Tocsin has: a development version made it. Use the one that did, or another keyspace"
            )
    missing = tuple(version for version in known if version.number not in applied)
    return Standing(has_keyspace=True, version=newest, missing=missing)


def _make(session: Session, stack: CassandraStack, version: Version, lease: Lease, say: Say) -> None:
    for number, statement in enumerate(version.statements, 1):
        say(f"version {version}: statement {number} of {len(version.statements)}")
        lease.renew()
        _change(session, stack, statement)
    lease.renew()
    session.execute(
        _MADE,
        (version.number, version.name, version.checksum, time.time_ns() // 1000, lease.holder),
    )


def _change(session: Session, stack: CassandraStack, statement: str) -> None:
    """Changes the schema, and returns when all nodes have the change."""
    if stack.flavor == "keyspaces":
        statement = for_keyspaces(statement)
    future = session.execute_async(statement, timeout=STATEMENT_S)
    future.result()
    if not future.is_schema_agreed:
        raise Unavailable(
            f"the nodes at {_place(stack)} do not agree on their schema: are some of them down? Run this again"
        )
    if stack.flavor == "keyspaces":
        await_active(session, stack.keyspace, table_of(statement))


def await_active(session: Session, keyspace: str, table: str | None) -> None:
    """Waits: Amazon Keyspaces makes keyspaces and tables after it has answered, and tells in tables of its own when."""
    query, names = (
        ("SELECT keyspace_name FROM system_schema_mcs.keyspaces WHERE keyspace_name = %s", (keyspace,))
        if table is None
        else (
            "SELECT status FROM system_schema_mcs.tables WHERE keyspace_name = %s AND table_name = %s",
            (keyspace, table),
        )
    )
    done = keyspace if table is None else "ACTIVE"
    deadline = time.monotonic() + ACTIVE_S
    while (row := session.execute(query, names).one()) is None or row[0] != done:
        if time.monotonic() > deadline:
            raise Unavailable(
                f"Amazon Keyspaces has not made {table or keyspace} in {ACTIVE_S:g} s: look at it in AWS's console, "
                "and run this again"
            )
        time.sleep(ACTIVE_LOOK_S)


def _place(stack: CassandraStack) -> str:
    return ", ".join(stack.contact_points)

"""A lease on the schema of a keyspace: one process at a time changes it.

Held by a row that Cassandra removes by itself when its time is over, and that is taken and renewed by conditional
writes (Paxos). A process that was stopped for longer than the lease lasts notices before its next statement.

The lease's own table cannot be made under a lease. Two nodes that make one table at the same time give it two ids, and
the cluster never agrees; so this one's id is said and not drawn. What is in it lives for a minute, so an id that was
used before brings nothing back.
"""

import contextlib
import os
import platform
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from cassandra import DriverException
from cassandra.cluster import NoHostAvailable, Session

from tocsin.engines.errors import Unavailable

LEASE_S: Final = 60
"""A statement that changes a schema takes seconds, tens of them where many nodes must agree."""
LOOK_EVERY_S: Final = 0.25
_TAKE: Final = "INSERT INTO schema_lease (name, holder) VALUES ('schema', %s) IF NOT EXISTS"
_RENEW: Final = "UPDATE schema_lease SET holder = %s WHERE name = 'schema' IF holder = %s"
_FREE: Final = "DELETE FROM schema_lease WHERE name = 'schema' IF holder = %s"
_NAMESPACE: Final = uuid.UUID("7d1bd1b8-5c3c-5cf2-9b9b-6d0f8ad7a3e4")


def lease_table(keyspace: str, *, with_id: bool) -> str:
    """The statement that makes the table, once."""
    id = f"id = {uuid.uuid5(_NAMESPACE, keyspace)} AND " if with_id else ""
    return (
        "CREATE TABLE IF NOT EXISTS schema_lease (name text PRIMARY KEY, holder text) "
        f"WITH {id}default_time_to_live = {LEASE_S}"
    )


class Lease:
    """Of one process, on the keyspace of its session. All calls block, and raise what the driver does."""

    def __init__(self, session: Session) -> None:
        self.holder = f"process {os.getpid()} on {platform.node()}, {uuid.uuid4().hex[:8]}"
        self._session = session

    @contextmanager
    def held(self, *, wait_s: float, say: Callable[[str], None]) -> Iterator[None]:
        """Waits for the lease, says once for whom, and frees it at the end. Raises `Unavailable` after `wait_s`."""
        deadline = time.monotonic() + wait_s
        told = False
        while (other := self._other()) is not None:
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"the schema is still being changed by {other}, after {wait_s:g} s: look whether it hangs, end it, "
                    f"and run this again; its lease ends {LEASE_S} s after it"
                )
            if not told:
                say(f"waiting for {other}, which is changing the schema")
                told = True
            time.sleep(LOOK_EVERY_S)
        try:
            yield
        finally:
            with contextlib.suppress(DriverException, NoHostAvailable):  # it ends by itself, a little later
                self._session.execute(_FREE, (self.holder,))

    def renew(self) -> None:
        """Makes the lease last again. Raises `Unavailable` when it is not ours any more."""
        row = self._session.execute(_RENEW, (self.holder, self.holder)).one()
        if row is None or not row[0]:
            raise Unavailable(
                "this process was held up for so long that another may be changing the schema by now: run it again; "
                "what was done stays, and is not done twice"
            )

    def _other(self) -> str | None:
        """Takes the lease; returns who else has it."""
        row = self._session.execute(_TAKE, (self.holder,)).one()
        if row is None or row[0]:
            return None
        holder = str(row[-1])
        return None if holder == self.holder else holder  # a lost answer of ours

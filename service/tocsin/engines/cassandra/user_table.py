"""What the notifier knows of its users, in Cassandra.

A partition number's users are spread over chunks, each a partition of the table: so those that change together go in
few batches, and no partition grows wide. The version is the write time, so a late save of a former owner, whose epoch
is lower, changes nothing, and nothing is read before it is written.
"""

from collections.abc import Sequence
from typing import Final
from zlib import crc32

from tocsin.core.paging.effects import UserRow
from tocsin.engines.cassandra.batches import Unit, write_units
from tocsin.engines.cassandra.queries import execute_all
from tocsin.engines.cassandra.session import Session

CHUNKS: Final = 64
"""Chunks of each partition number, fixed for the life of the table."""

_KEEP = "INSERT INTO users (partition, chunk, user, state) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
_FORGET = "DELETE FROM users USING TIMESTAMP ? WHERE partition = ? AND chunk = ? AND user = ?"
_OF_CHUNK = "SELECT user, state FROM users WHERE partition = ? AND chunk = ?"


class UserTable:
    """The notifier's users in one keyspace."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def keep(self, partition: int, rows: Sequence[UserRow], version: int) -> None:
        """Keeps these users, a batch a chunk."""
        for error in (await write_units(self._session, [_unit(partition, row, version) for row in rows])).values():
            raise error

    async def of_partition(self, partition: int) -> list[UserRow]:
        """All users of a partition number."""
        answers = await execute_all(self._session, _OF_CHUNK, [(partition, chunk) for chunk in range(CHUNKS)])
        return [UserRow(*row) for rows in answers for row in rows]


def _unit(partition: int, row: UserRow, version: int) -> Unit:
    chunk = crc32(row.user.encode()) % CHUNKS
    statement = (
        (_KEEP, (partition, chunk, row.user, row.state, version))
        if row.state
        else (_FORGET, (version, partition, chunk, row.user))
    )
    return Unit((partition, chunk), [statement], len(row.user) + len(row.state))

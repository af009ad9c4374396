"""Progress and lost ranges in Cassandra.

An epoch is one process's, which saves one row after the other by its own clock that never goes back: so the latest
save is the row, and clocks of two processes are never compared. What was forgotten is removed at the highest write
time: an epoch that is over never comes back, and a late save of it changes nothing.
"""

from typing import Final

from tocsin.core.progress import ProgressRow
from tocsin.engines.cassandra.session import Session
from tocsin.engines.store import Lost

ERASED: Final = 2**63 - 1
"""Above every write time."""

_SAVE = "INSERT INTO progress (partition, epoch, clean, sources) VALUES (?, ?, ?, ?)"
_ALL = "SELECT partition, epoch, clean, sources FROM progress"
_OF_PARTITION = f"{_ALL} WHERE partition = ?"
_FORGET = "DELETE FROM progress USING TIMESTAMP ? WHERE partition = ? AND epoch < ?"
_PUT_LOST = (
    "INSERT INTO lost (partition, source, start_offset, end_offset, found_us) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP 1"
)
_LOST = "SELECT partition, source, start_offset, end_offset, found_us FROM lost"


class ProgressTable:
    """The owners' accounts of one keyspace."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def save(self, row: ProgressRow) -> None:
        """Saves an owner's account under its epoch."""
        await self._session.execute(_SAVE, (row.partition, row.epoch, row.clean, row.encode()))

    async def rows(self, partition: int | None) -> list[ProgressRow]:
        """All owners' accounts, by partition and epoch."""
        if partition is None:
            rows = await self._session.execute(_ALL)
        else:
            rows = await self._session.execute(_OF_PARTITION, (partition,))
        return [ProgressRow.decode(at, epoch, clean=clean, raw=raw) for at, epoch, clean, raw in sorted(rows)]

    async def forget(self, partition: int, below_epoch: int) -> None:
        """Removes the rows of older epochs."""
        await self._session.execute(_FORGET, (ERASED, partition, below_epoch))

    async def put_lost(self, lost: Lost) -> None:
        """Records a lost range."""
        await self._session.execute(_PUT_LOST, lost)

    async def lost(self) -> list[Lost]:
        """All lost ranges, in order: of one that was found twice the first."""
        found: dict[tuple[object, ...], Lost] = {}
        for row in sorted(await self._session.execute(_LOST)):
            found.setdefault(row[:4], Lost(*row))
        return list(found.values())

"""Fetches that wait for the end of a partition to move, all woken by one look at the file.

A fetch that found nothing puts itself down here in the same look that found nothing, in the worker thread, so no commit
falls between. The watch of the database reads all ends at once after a commit and wakes only those whose partition
grew, or is gone with its topic: a thousand commits elsewhere wake nobody.
"""

import asyncio
import contextlib
import sqlite3
import threading

from tocsin.engines.embedded.database import Database

Wake = asyncio.Future[None]


class Waiters:
    """Who waits for which partition to grow beyond which offset."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._waiting: dict[Wake, tuple[int, int]] = {}

    def add(self, wake: Wake, partition_id: int, offset: int) -> None:
        """Wakes when the partition's end is above the offset. Called in the worker thread."""
        with self._lock:
            if wake.done():  # whoever asked was cancelled before this thread came to it
                return
            self._waiting[wake] = (partition_id, offset)
            self._database.watch_for(self._look)

    def remove(self, wake: Wake) -> None:
        """Forgets it, also when it is yet to be added. Without anyone who waits the file is not looked at."""
        wake.cancel()
        with self._lock:
            if self._waiting.pop(wake, None) is not None and not self._waiting:
                self._database.watch_for(None)

    def _look(self, connection: sqlite3.Connection) -> None:
        ends: dict[int, int] = dict(connection.execute("SELECT id, next_offset FROM partitions"))
        with self._lock:
            grown = [
                wake
                for wake, (partition_id, offset) in self._waiting.items()
                if ends.get(partition_id, offset + 1) > offset
            ]
        for wake in grown:
            with contextlib.suppress(RuntimeError):  # its event loop has ended, and nobody waits in it
                wake.get_loop().call_soon_threadsafe(_wake, wake)


def _wake(wake: Wake) -> None:
    if not wake.done():
        wake.set_result(None)

"""A lock-per-item queue on Cassandra, as schedulers of notifications were built before: the peer of `paging_rate.py`.

Poll a queue, lock a work item, do the work, unlock, forget. Here it is as good as its design allows:

- Items lie in buckets of time, so that a poll never walks the tombstones of what is done, and in shards, so that
  pollers do not meet on the same items. A poll takes many, and remembers what it has in hand.
- The lock is one conditional insert (`IF NOT EXISTS`) with a time to live, so that a dead worker's items come back.
- The work reads the channel's state (when was it paged last?), hands over, and writes the state, as pacing needs.
- Forgetting the item and unlocking go in parallel, and the lock is given back by its owner alone (`IF owner = ?`).
- So many items are worked on at one time; nobody waits for another's answer.

`operations` counts statements, a batch as one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from tocsin.engines.cassandra.session import Session

BUCKET_S: Final = 1
SHARDS: Final = 4
WORKERS: Final = 64
POLL_ITEMS: Final = 200
POLL_EVERY_S: Final = 0.05
BUCKETS_BEHIND: Final = 2
"""A bucket is polled for so long after its second, and until it is empty."""

SCHEMA: Final = (
    (
        "CREATE TABLE items (shard int, bucket bigint, due_us bigint, id text, channel text, body blob, "
        "PRIMARY KEY ((shard, bucket), due_us, id))"
    ),
    "CREATE TABLE locks (id text PRIMARY KEY, owner text)",
    "CREATE TABLE channels (channel text PRIMARY KEY, paged_us bigint, state blob)",
)
_ENQUEUE = "INSERT INTO items (shard, bucket, due_us, id, channel, body) VALUES (?, ?, ?, ?, ?, ?)"
_POLL = "SELECT due_us, id, channel, body FROM items WHERE shard = ? AND bucket = ? AND due_us <= ? LIMIT ?"
_LOCK = "INSERT INTO locks (id, owner) VALUES (?, ?) IF NOT EXISTS USING TTL 30"
_UNLOCK = "DELETE FROM locks WHERE id = ? IF owner = ?"
_STATE = "SELECT paged_us, state FROM channels WHERE channel = ?"
_SET_STATE = "INSERT INTO channels (channel, paged_us, state) VALUES (?, ?, ?)"
_FORGET = "DELETE FROM items WHERE shard = ? AND bucket = ? AND due_us = ? AND id = ?"


class Item(NamedTuple):
    """One notification to send. `due_us` is Unix microseconds."""

    due_us: int
    id: str
    channel: str
    body: bytes


class _Place(NamedTuple):
    shard: int
    bucket: int


class ItemQueue:
    """The queue, and one process that works it off."""

    def __init__(self, session: Session, hand_over: Callable[[Item], Awaitable[None]]) -> None:
        self.operations = 0
        self._session = session
        self._hand_over = hand_over
        self._taken: set[str] = set()
        """Ids in hand or done: a poll that was under way may bring again what was forgotten meanwhile."""
        self._free = asyncio.Semaphore(WORKERS)
        self._buckets: dict[_Place, None] = {}

    async def enqueue(self, item: Item) -> None:
        """Puts an item into the queue."""
        place = _place(item)
        self._buckets[place] = None
        await self._execute(_ENQUEUE, (*place, *item))

    async def run(self) -> None:
        """Works until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                found = 0
                for place in list(self._buckets):
                    found += await self._poll(place, group)
                if not found:
                    await asyncio.sleep(POLL_EVERY_S)

    async def _poll(self, place: _Place, group: asyncio.TaskGroup) -> int:
        """Begins the work on what is due in a bucket; how much there was."""
        now_us = time.time_ns() // 1000
        if place.bucket * BUCKET_S * 1_000_000 > now_us:
            return 0
        rows = await self._execute(_POLL, (*place, now_us, POLL_ITEMS + WORKERS))
        if not rows and place.bucket < now_us // 1_000_000 // BUCKET_S - BUCKETS_BEHIND:
            del self._buckets[place]
        items = [item for item in map(Item._make, rows) if item.id not in self._taken]
        for item in items:
            await self._free.acquire()
            self._taken.add(item.id)
            group.create_task(self._work(place, item))
        return len(items)

    async def _work(self, place: _Place, item: Item) -> None:
        try:
            [(locked, *_)] = await self._execute(_LOCK, (item.id, "worker"))
            if not locked:
                self._taken.discard(item.id)
                return
            await self._execute(_STATE, (item.channel,))
            await self._hand_over(item)
            await self._execute(_SET_STATE, (item.channel, time.time_ns() // 1000, item.body))
            forget = (place.shard, place.bucket, item.due_us, item.id)
            await asyncio.gather(self._execute(_FORGET, forget), self._execute(_UNLOCK, (item.id, "worker")))
        finally:
            self._free.release()

    async def _execute(self, cql: str, values: tuple[object, ...]) -> list[tuple[object, ...]]:
        self.operations += 1
        return list(await self._session.execute(cql, values))


def _place(item: Item) -> _Place:
    return _Place(hash(item.channel) % SHARDS, item.due_us // 1_000_000 // BUCKET_S)

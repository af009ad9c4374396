"""Lists of entries across parents: found by the second, and then looked at row by row.

A list reads whole what it skips too, since only the row tells whether it counts: pages neither overlap nor skip. A
count reads no rows, only what is listed; it knows a request that was received twice by its key.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from tocsin.core.entries import Entry, EntryFilter
from tocsin.core.ids import RequestKey
from tocsin.engines.cassandra.arrivals import Arrivals, Item
from tocsin.engines.cassandra.entry_table import EntryTable

LOOKED_AT: Final = 100
"""Rows read at one time, at most."""


async def find(entries: EntryTable, arrivals: Arrivals, where: EntryFilter) -> list[Entry]:
    """The entries that match, newest first, the dropped ones left out."""
    found: list[Entry] = []
    skipped = 0
    if where.limit <= 0:
        return found
    async for some in _in_order(entries, arrivals, where):
        skip = min(len(some), where.offset - skipped)
        skipped += skip
        found += some[skip:]
        if len(found) >= where.limit:
            break
    return found[: where.limit]


async def count(entries: EntryTable, arrivals: Arrivals, where: EntryFilter) -> int:
    """How many entries match."""
    dropped = {key for key, _, is_dropped in await entries.marks() if is_dropped}
    keys: set[RequestKey] = set()
    async for items in arrivals.walk(where.since_us, where.until_us):
        keys.update(item.key for item in items if _matches(item, where))
    return len(keys - dropped)


async def _in_order(entries: EntryTable, arrivals: Arrivals, where: EntryFilter) -> AsyncIterator[list[Entry]]:
    """The entries that match, newest first, some at a time."""
    waiting: list[Item] = []
    step = min(LOOKED_AT, where.offset + where.limit)
    async for items in arrivals.walk(where.since_us, where.until_us):
        waiting += [item for item in items if _matches(item, where)]
        while len(waiting) >= step:
            yield await _stored(entries, waiting[:step])
            del waiting[:step]
    yield await _stored(entries, waiting)


async def _stored(entries: EntryTable, items: Sequence[Item]) -> list[Entry]:
    """Of these the ones that are entries as they are listed, and not dropped."""
    keys = [item.key for item in items]
    rows = await entries.by_keys(keys)
    return [
        row.entry
        for item, key in zip(items, keys, strict=True)
        if (row := rows.get(key)) is not None and not row.dropped and row.entry.received_us == item.at_us
    ]


def _matches(item: Item, where: EntryFilter) -> bool:
    service = item.parent.partition(b"\0")[0].decode()
    return (not where.services or service in where.services) and (not where.actions or item.word in where.actions)

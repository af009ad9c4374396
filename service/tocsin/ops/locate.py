"""Locate: everything that regions have on one request, by the printed key that intake answered with."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tocsin.core.book import Book
from tocsin.core.case import Copy
from tocsin.core.entries import Entry
from tocsin.core.failures import Failure
from tocsin.core.ids import NOBODY, RequestKey, parse_printed, partition_of
from tocsin.core.kept import Kept
from tocsin.core.requests import Record, Request
from tocsin.engines.store import Store
from tocsin.ops.ledger import Ledgers


@dataclass(slots=True)
class Located:
    """One request, and what there is of it."""

    key: RequestKey
    partition: int
    book: Book
    entries: dict[str, Entry] = field(default_factory=dict)
    kept: dict[str, Kept] = field(default_factory=dict)
    marked: set[str] = field(default_factory=set)
    """The regions in which it is marked as dropped."""

    @property
    def content(self) -> Request | Failure | None:
        """What the request's record holds, or why it cannot be read; None when nobody has it."""
        for entry in self.entries.values():
            return Request(entry.key, entry.received_us, entry.region, entry.schema, entry.body)
        for kept in self.kept.values():
            return Copy.read(kept.record).content
        payload = self.book.payloads.get(self.key)
        return Copy.read(payload.record).content if payload else None

    @property
    def raw_value(self) -> bytes | None:
        """The bytes of the kept record's value; all that was kept, when that is no record; None when nobody has it."""
        payload = self.book.payloads.get(self.key)
        raw = next((kept.record for kept in self.kept.values()), payload.record if payload else None)
        try:
            return Record.decode(raw).value if raw is not None else None
        except ValueError:
            return raw

    def where(self, region: str) -> str:
        """Where the request is in a region, in a word or two."""
        kept = self.kept.get(region)
        stored = region in self.entries
        if region in self.marked:
            return "dropped, its row stays" if stored else "dropped"
        if kept is None or kept.stage == "done":
            return "stored" if stored else "not here"
        return kept.stage.replace("_", " ")


async def locate(printed: str, stores: Mapping[str, Store], ledgers: Ledgers) -> list[Located]:
    """The requests of a printed key: none, one, or (in theory) several whose digests begin alike.

    Raises ValueError when the text is no printed key, `EngineError` when a store stops answering.
    """
    temporal_id, prefix = parse_printed(printed)
    found = {
        key: partition
        for key, partition in ledgers.keys().items()
        if key.id == temporal_id and key.digest.startswith(prefix)
    }
    for store in stores.values():
        for kept in await store.find_kept(temporal_id):
            if kept.key.digest.startswith(prefix):
                found[kept.key] = kept.partition
        for entry in await store.find_entries(temporal_id):
            if entry.key.digest.startswith(prefix):
                found.setdefault(entry.key, partition_of(entry.key.parent, ledgers.partitions))
    return [await gather(key, partition, stores, ledgers) for key, partition in sorted(found.items())]


async def gather(key: RequestKey, partition: int, stores: Mapping[str, Store], ledgers: Ledgers) -> Located:
    """What there is of a request whose key is known; raises `EngineError` when a store stops answering."""
    located = Located(key, partition, ledgers.book(partition))
    for region, store in stores.items():
        kept = await store.kept(key)
        if kept is not None:
            located.kept[region] = kept
        entry = await store.entry(key) if key.parent != NOBODY else None
        if entry is not None:
            located.entries[region] = entry
        if await store.marked(key):
            located.marked.add(region)
    return located

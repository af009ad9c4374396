"""The two ports with the fault switch before them: they delegate every call that no rule hits, unchanged.

Composition code wraps the real ports in these; what is above cannot tell. A store's rule with a match hits the entries
that match and lets the rest of the batch through, because that is how a poisoned row and an ailing replica look from
outside; of several rules the first that matches an entry decides on it. A log's append is acknowledged as a whole, so
one matching record fails the whole append.
"""
# ruff: noqa: D102 - what each call means, the ports say

from collections.abc import Sequence

from tocsin.core.entries import Entry, EntryFilter
from tocsin.core.failures import Failure, Kind
from tocsin.core.ids import NOBODY, Parent, RequestKey
from tocsin.core.incidents import Incident, IncidentFilter
from tocsin.core.kept import Kept, Stage
from tocsin.core.paging.effects import UserRow
from tocsin.core.progress import ProgressRow
from tocsin.core.requests import Record
from tocsin.engines.errors import Refused, Unavailable
from tocsin.engines.faults import Fault, FaultSwitch, Op, Port, Rule, suffer
from tocsin.engines.log import Claim, Fetched, Log, Topic
from tocsin.engines.store import Document, Lost, Store

_OF_ENTRIES = frozenset({Fault.CRASH, Fault.REPEAT})
"""Kinds that act on entries, records and message sets only; other calls pass."""


class _Gate:
    """What stands before one port: asks the switch, and lets a call pass or fail."""

    def __init__(self, switch: FaultSwitch, region: str, port: Port, peer: str | None = None) -> None:
        self._switch = switch
        self._region = region
        self._port = port
        self._peer = peer

    def rules(self, op: Op) -> tuple[Rule, ...]:
        return self._switch.active(self._region, self._port, op, self._peer)

    def take(self, rule: Rule) -> bool:
        return self._switch.take(rule)

    async def pass_read(self, key: RequestKey | None = None) -> None:
        """Lets a read pass, or raises `Unavailable`; rules with a match hit only the read of a key of theirs."""
        for rule in self.rules("read"):
            if not rule.is_selective or (key is not None and rule.matches(key.parent)):
                await self._answer(rule)

    async def pass_write(self) -> None:
        """Lets a write of something other than entries and records pass, or raises `Refused` or `Unavailable`."""
        for rule in self.rules("write"):
            if rule.is_selective:
                continue
            if rule.kind is Fault.REFUSE and self.take(rule):
                raise Refused(rule.reason)
            await self._answer(rule)

    async def pass_ping(self) -> None:
        """Lets a ping pass, or raises `Unavailable`: it writes and reads, and a store that refuses does answer."""
        for rule in dict.fromkeys((*self.rules("write"), *self.rules("read"))):
            if not rule.is_selective:
                await self._answer(rule)

    async def _answer(self, rule: Rule) -> None:
        if rule.kind is not Fault.REFUSE and rule.kind not in _OF_ENTRIES and self.take(rule):
            await suffer(rule)


class FaultyLog:
    """A log whose calls the rules of one region and port hit; of a mirror, `peer` is the region it reads from."""

    def __init__(self, log: Log, switch: FaultSwitch, region: str, port: Port = "log", peer: str | None = None) -> None:
        self._log = log
        self._gate = _Gate(switch, region, port, peer)
        self._fetched: dict[tuple[str, int], tuple[int, int]] = {}

    async def cluster(self) -> str:
        await self._gate.pass_read()
        return await self._log.cluster()

    async def ensure_topic(
        self, name: str, partitions: int, *, compacted: bool = False, retention_s: float | None = None
    ) -> Topic:
        await self._gate.pass_write()
        return await self._log.ensure_topic(name, partitions, compacted=compacted, retention_s=retention_s)

    async def topic(self, name: str) -> Topic | None:
        await self._gate.pass_read()
        return await self._log.topic(name)

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        for rule in self._gate.rules("write"):
            hits = rule.kind is not Fault.REPEAT and any(rule.matches(_parent_of(record)) for record in records)
            if not hits or not self._gate.take(rule):
                continue
            if rule.kind is Fault.REFUSE:
                raise Refused(rule.reason)
            await suffer(rule)
        return await self._log.append(topic, partition, records)

    async def fetch(
        self, topic: str, partition: int, offset: int, *, records_max: int, bytes_max: int, wait_s: float
    ) -> Fetched:
        await self._gate.pass_read()
        start = self._repeat_from(topic, partition, offset)
        if start is None:
            fetched = await self._log.fetch(
                topic, partition, offset, records_max=records_max, bytes_max=bytes_max, wait_s=wait_s
            )
            await self._gate.pass_read()  # what was cut while we waited is cut
            self._fetched[topic, partition] = (offset, fetched.next_offset)
            return fetched
        again = await self._log.fetch(
            topic, partition, start, records_max=records_max, bytes_max=bytes_max, wait_s=wait_s
        )
        records = tuple(delivered for delivered in again.records if delivered.offset < offset)
        return again._replace(records=records, next_offset=offset)

    def _repeat_from(self, topic: str, partition: int, offset: int) -> int | None:
        """Where the set that ended at `offset` began, once for each set while a rule says repeat."""
        start, end = self._fetched.get((topic, partition), (offset, offset))
        if end != offset or start == end:
            return None
        for rule in self._gate.rules("read"):
            if rule.kind is Fault.REPEAT and self._gate.take(rule):
                del self._fetched[topic, partition]
                return start
        return None

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        await self._gate.pass_read()
        return await self._log.bounds(topic, partition)

    async def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        await self._gate.pass_read()
        return await self._log.offset_at(topic, partition, timestamp_ms)

    async def claim(self, group: str, partition: int) -> Claim:
        await self._gate.pass_write()
        return await self._log.claim(group, partition)

    def holds(self, claim: Claim) -> bool:
        return self._log.holds(claim)

    def asked_back(self, claim: Claim) -> bool:
        return self._log.asked_back(claim)

    async def release(self, claim: Claim) -> None:
        await self._gate.pass_write()
        await self._log.release(claim)

    async def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        await self._gate.pass_write()
        await self._log.commit(group, topic, partition, offset)

    async def committed(self, group: str, topic: str, partition: int) -> int | None:
        await self._gate.pass_read()
        return await self._log.committed(group, topic, partition)

    async def close(self) -> None:
        await self._log.close()


class FaultyStore:
    """A store whose calls the rules of one region hit."""

    def __init__(self, store: Store, switch: FaultSwitch, region: str) -> None:
        self._store = store
        self._gate = _Gate(switch, region, "store")

    async def identity(self) -> str:
        await self._gate.pass_read()
        return await self._store.identity()

    async def ping(self) -> None:
        await self._gate.pass_ping()
        await self._store.ping()

    # Entries -----------------------------------------------------------------------------------------------------

    async def write(self, entries: Sequence[Entry]) -> dict[int, Failure]:
        rules = self._gate.rules("write")
        if not rules:
            return await self._store.write(entries)
        hit = await self._hit(rules, entries)
        struck = {index for indices in hit.values() for index in indices}
        failures = await self._write_some(entries, [index for index in range(len(entries)) if index not in struck])
        for rule, indices in hit.items():
            failure = await _fate(rule)
            if failure is None:
                failures |= await self._write_some(entries, indices)
            else:
                failures |= dict.fromkeys(indices, failure)
        return failures

    async def _hit(self, rules: Sequence[Rule], entries: Sequence[Entry]) -> dict[Rule, list[int]]:
        """Which rule decides on which entries. One that crashes does so here, before anything is written."""
        hit: dict[Rule, list[int]] = {}
        left = dict(enumerate(entries))
        for rule in rules:
            indices = [index for index, entry in left.items() if rule.matches(entry.key.parent)]
            if not indices or not self._gate.take(rule):
                continue
            if rule.kind is Fault.CRASH:
                await suffer(rule)
            hit[rule] = indices
            for index in indices:
                del left[index]
        return hit

    async def _write_some(self, entries: Sequence[Entry], indices: Sequence[int]) -> dict[int, Failure]:
        if not indices:
            return {}
        failures = await self._store.write([entries[index] for index in indices])
        return {indices[place]: failure for place, failure in failures.items()}

    async def entry(self, key: RequestKey) -> Entry | None:
        await self._gate.pass_read(key)
        return await self._store.entry(key)

    async def entries_of(self, parents: Sequence[Parent]) -> dict[Parent, list[Entry]]:
        await self._gate.pass_read()
        return await self._store.entries_of(parents)

    async def find_entries(self, temporal_id: int) -> list[Entry]:
        await self._gate.pass_read()
        return await self._store.find_entries(temporal_id)

    async def list_entries(self, where: EntryFilter) -> list[Entry]:
        await self._gate.pass_read()
        return await self._store.list_entries(where)

    async def count_entries(self, where: EntryFilter) -> int:
        await self._gate.pass_read()
        return await self._store.count_entries(where)

    async def mark(self, key: RequestKey, number: int, *, dropped: bool) -> None:
        await self._gate.pass_write()
        await self._store.mark(key, number, dropped=dropped)

    async def marked(self, key: RequestKey) -> bool:
        await self._gate.pass_read()
        return await self._store.marked(key)

    # Incidents ---------------------------------------------------------------------------------------------------

    async def put_incidents(self, parent: Parent, incidents: Sequence[Incident], version: int) -> None:
        await self._gate.pass_write()
        await self._store.put_incidents(parent, incidents, version)

    async def update_incidents(self, parent: Parent, changed: Sequence[Incident], version: int) -> None:
        await self._gate.pass_write()
        await self._store.update_incidents(parent, changed, version)

    async def incidents_of(self, parent: Parent) -> list[Incident]:
        await self._gate.pass_read()
        return await self._store.incidents_of(parent)

    async def find_incidents(self, where: IncidentFilter) -> list[Incident]:
        await self._gate.pass_read()
        return await self._store.find_incidents(where)

    async def count_incidents(self, where: IncidentFilter) -> int:
        await self._gate.pass_read()
        return await self._store.count_incidents(where)

    # What is kept of failures ------------------------------------------------------------------------------------

    async def put_kept(self, kept: Kept) -> None:
        await self._gate.pass_write()
        await self._store.put_kept(kept)

    async def kept(self, key: RequestKey) -> Kept | None:
        await self._gate.pass_read()
        return await self._store.kept(key)

    async def kept_rows(
        self, *, partition: int | None = None, stages: Sequence[Stage] = (), limit: int | None = None
    ) -> list[Kept]:
        await self._gate.pass_read()
        return await self._store.kept_rows(partition=partition, stages=stages, limit=limit)

    async def find_kept(self, temporal_id: int) -> list[Kept]:
        await self._gate.pass_read()
        return await self._store.find_kept(temporal_id)

    async def kept_of(self, parent: Parent) -> list[Kept]:
        await self._gate.pass_read()
        return await self._store.kept_of(parent)

    # Progress ----------------------------------------------------------------------------------------------------

    async def save_progress(self, row: ProgressRow) -> None:
        await self._gate.pass_write()
        await self._store.save_progress(row)

    async def progress(self, partition: int | None = None) -> list[ProgressRow]:
        await self._gate.pass_read()
        return await self._store.progress(partition)

    async def forget_progress(self, partition: int, below_epoch: int) -> None:
        await self._gate.pass_write()
        await self._store.forget_progress(partition, below_epoch)

    async def put_lost(self, lost: Lost) -> None:
        await self._gate.pass_write()
        await self._store.put_lost(lost)

    async def lost(self) -> list[Lost]:
        await self._gate.pass_read()
        return await self._store.lost()

    # Documents ---------------------------------------------------------------------------------------------------

    async def document(self, name: str) -> Document | None:
        await self._gate.pass_read()
        return await self._store.document(name)

    async def documents(self, prefix: str) -> list[Document]:
        await self._gate.pass_read()
        return await self._store.documents(prefix)

    async def put_document(self, document: Document, *, after: int | None = None) -> bool:
        await self._gate.pass_write()
        return await self._store.put_document(document, after=after)

    # Users of the notifier ---------------------------------------------------------------------------------------

    async def keep_users(self, partition: int, rows: Sequence[UserRow], version: int) -> None:
        await self._gate.pass_write()
        await self._store.keep_users(partition, rows, version)

    async def kept_users(self, partition: int) -> list[UserRow]:
        await self._gate.pass_read()
        return await self._store.kept_users(partition)

    # Comparison --------------------------------------------------------------------------------------------------

    async def scan_entries(self, after: RequestKey | None, limit: int) -> list[Entry]:
        await self._gate.pass_read()
        return await self._store.scan_entries(after, limit)

    async def scan_incidents(self, after: Parent | None, limit: int) -> list[tuple[Parent, list[Incident]]]:
        await self._gate.pass_read()
        return await self._store.scan_incidents(after, limit)

    async def scan_marks(self) -> list[tuple[RequestKey, int, bool]]:
        await self._gate.pass_read()
        return await self._store.scan_marks()

    async def close(self) -> None:
        await self._store.close()


async def _fate(rule: Rule) -> Failure | None:
    """What becomes of the entries that a rule hit: their failure, None when they are written after all."""
    if rule.kind is Fault.REFUSE:
        return Failure(Kind.REJECTED, rule.reason)
    try:
        await suffer(rule)
    except Unavailable as error:
        return Failure(Kind.UNAVAILABLE, str(error))
    return None


def _parent_of(record: Record) -> Parent:
    """The parent of a record; one without a readable parent is nobody's, and hit by rules without a match alone."""
    try:
        return Parent.decode(record.key) if record.key is not None else NOBODY
    except ValueError:
        return NOBODY

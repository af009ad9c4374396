"""The logs and stores of the local regions a and b in a data directory, as commands find them."""

import asyncio
from pathlib import Path
from typing import Any

from tests.unit.ops.regions_rows import PARTITIONS
from tocsin.core.ids import RequestKey, partition_of
from tocsin.core.kept import Kept
from tocsin.core.requests import Record, Request, encode_request
from tocsin.core.statements import (
    Beat,
    Opened,
    Promoted,
    RegionOrder,
    Replica,
    RequestOrder,
    Standing,
    Statement,
    Unknown,
    decode_statement,
    encode_statement,
)
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.store import EmbeddedStore

REGIONS = ("a", "b")
PEER = {"a": "b", "b": "a"}


class Premises:
    """Both regions' files; what a test puts there is closed again before a command looks."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def log_path(self, region: str) -> Path:
        return self.data_dir / region / "log.sqlite"

    def store_path(self, region: str) -> Path:
        return self.data_dir / region / "blue.sqlite"

    def make(self) -> None:
        """Makes empty logs with their topics, and empty stores."""
        for region in REGIONS:
            self.in_log(region, lambda log, peer=PEER[region]: _make_topics(log, peer))
            self.in_store(region, lambda store: store.identity())

    def in_log(self, region: str, work: Any) -> Any:
        return asyncio.run(_closing(EmbeddedLog(self.log_path(region)), work))

    def in_store(self, region: str, work: Any) -> Any:
        return asyncio.run(_closing(EmbeddedStore(self.store_path(region)), work))

    def say(self, region: str, partition: int, *statements: Statement) -> None:
        """Says something in a region's ledger, and mirrors it to the other's log."""
        records = [Record(*encode_statement(statement)) for statement in statements]
        self.in_log(region, lambda log: log.append("ledger", partition, records))
        self.in_log(PEER[region], lambda log: log.append(f"{region}.ledger", partition, records))

    def open(self, *, halted: tuple[str, ...] = (), ill: tuple[str, ...] = (), at_us: int = 0) -> None:
        """Both regions announce themselves in every partition, with a heartbeat each."""
        for region in REGIONS:
            me = Replica(region, "blue")
            beat = Standing(
                replica=me,
                beat=Beat(1, 1),
                at_us=at_us,
                halted=region in halted,
                ill=region in ill,
                draining=False,
                lag_s=0.5,
                schema=1,
                incarnation=1,
                heard={},
            )
            statements = Opened(me, 1, f"database of {region}"), Promoted(region, 1, "blue"), beat
            records = [Record(*encode_statement(statement)) for statement in statements]
            self.in_log(region, lambda log, r=records: _append_everywhere(log, "ledger", r))
            self.in_log(PEER[region], lambda log, r=records, t=f"{region}.ledger": _append_everywhere(log, t, r))

    def append(self, region: str, *requests: Request) -> None:
        """Puts requests into a region's log, and its peer's mirrored copy."""
        for request in requests:
            partition = partition_of(request.key.parent, PARTITIONS)
            record = encode_request(request)
            self.in_log(region, lambda log, p=partition, r=record: log.append("requests", p, [r]))
            self.in_log(PEER[region], lambda log, p=partition, r=record: log.append(f"{region}.requests", p, [r]))

    def keep(self, region: str, *rows: Kept) -> None:
        for row in rows:
            self.in_store(region, lambda store, row=row: store.put_kept(row))

    def orders(self, region: str) -> list[tuple[int, RequestOrder]]:
        """A person's words on requests that stand in a region's own ledger, with their partitions."""
        return [(number, some) for number, some in self.in_log(region, _statements) if isinstance(some, RequestOrder)]

    def region_orders(self, region: str) -> list[tuple[int, RegionOrder]]:
        """A person's words on regions that stand in a region's own ledger, with their partitions."""
        return [(number, some) for number, some in self.in_log(region, _statements) if isinstance(some, RegionOrder)]


async def _make_topics(log: EmbeddedLog, peer: str) -> None:
    for prefix in ("", f"{peer}."):
        await log.ensure_topic(f"{prefix}requests", PARTITIONS, retention_s=604_800)
        await log.ensure_topic(f"{prefix}ledger", PARTITIONS, compacted=True)


async def _closing(engine: Any, work: Any) -> Any:
    try:
        return await work(engine)
    finally:
        await engine.close()


async def _append_everywhere(log: EmbeddedLog, topic: str, records: list[Record]) -> None:
    for partition in range(PARTITIONS):
        await log.append(topic, partition, records)


async def _statements(log: EmbeddedLog) -> list[tuple[int, Statement | Unknown]]:
    return [
        (partition, decode_statement(record.key, record.value))
        for partition in range(PARTITIONS)
        for _, record in (
            await log.fetch("ledger", partition, 0, records_max=1000, bytes_max=1 << 24, wait_s=0)
        ).records
    ]


def partition(of: RequestKey) -> int:
    return partition_of(of.parent, PARTITIONS)

"""How many pages a second does one notifier decide and hand over on Kafka and Cassandra, and how late is each?

Measured against a queue with a lock for each item (`item_queue.py`), which is what schedulers of notifications were
before: poll, lock, work, unlock, forget. Both in one process, on the same broker and node of this machine, both handing
over to somebody who takes everything at once; ours also records an intent and an end of each page in the log, and keeps
its users.

    burst     so many users have one page due: from the first hand-over to the last
    steady    pages become due evenly, at half the rate that the queue reached: from due to hand-over

The ratio is that of the burst's rates. `details` has the lags, and the requests to the store that a page costs.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

from cassandra.cluster import Cluster

from benchmarks import item_queue
from benchmarks.item_queue import Item, ItemQueue
from benchmarks.measure import Answer, Options, batches, publish, quantile, scratch
from benchmarks.paging import PARTITIONS, Paging, Taken
from benchmarks.real_servers import RealServers, real_servers
from tocsin.engines.cassandra.migrations import migrate
from tocsin.engines.cassandra.session import Session
from tocsin.engines.cassandra.store import CassandraStore
from tocsin.engines.kafka.log import KafkaLog
from tocsin.ops.local.ports import HOST
from tocsin.topology import CassandraStack, Region

USERS: Final = 20_000
ITEMS: Final = 4_000
STEADY_S: Final = 20.0
QUICK_SHARE: Final = 20
LEAD_S: Final = 5.0
"""Between the last append and the first due of the steady part."""
SETTLE_S: Final = 5.0
"""After the last hand-over, for ends to be said and users to be kept."""


class Counted(Session):
    """A session that counts its requests."""

    requests = 0

    def _send(self, *args: Any, **kwargs: Any) -> Any:
        self.requests += 1
        return super()._send(*args, **kwargs)


def _swap_session(store: CassandraStore, session: Session) -> None:
    """Counts below everything that the store does."""
    for part in (store, *vars(store).values()):
        if isinstance(getattr(part, "_session", None), Session):
            part._session = session  # noqa: SLF001 - what is measured is how often it is used


async def ours(servers: RealServers, stack: CassandraStack, folder: Path, sizes: dict[str, int], rate: float) -> Any:
    """(burst's rate, its requests a page, lags of the steady part)."""
    log, store, session = KafkaLog(servers.log, folder), CassandraStore(stack, folder), Counted(stack, folder)
    _swap_session(store, session)
    region = Region(
        name="a",
        partitions=PARTITIONS,
        log=servers.log,
        stacks={"blue": stack},
        serving_stack="blue",
        directory=Path("directory.yaml"),
    )
    bench = Paging(log, store, region, folder)
    users = [f"user-{number}" for number in range(sizes["users"])]
    steady = [f"steady-{number}" for number in range(int(rate * sizes["steady_s"]))]
    await bench.hire([*users, *steady])
    now_us = time.time_ns() // 1000
    await bench.assign(users, lambda _: now_us, "burst")
    burst = Taken()
    say(f"a burst of {len(users)} pages through the notifier")
    await _run(bench, burst, len(users))
    per_page = session.requests / len(users)
    first_us = time.time_ns() // 1000 + round((LEAD_S + len(steady) / 5_000) * 1e6)
    await bench.assign(steady, lambda number: first_us + round(number / rate * 1e6), "steady")
    taken = Taken("steady")
    say(f"{rate:.0f} pages a second through the notifier, for {sizes['steady_s']} s")
    await _run(bench, taken, len(steady))
    await log.close()
    await store.close()
    return burst.per_s, per_page, taken.lags_s


async def _run(bench: Paging, taken: Taken, count: int) -> None:
    """A notifier from its start until so much was taken."""
    async with bench.notifier(taken):
        await taken.until(count)
        await asyncio.sleep(SETTLE_S)


async def peer(stack: CassandraStack, folder: Path, sizes: dict[str, int]) -> Any:
    """(burst's rate, its requests a page, lags of the steady part)."""
    session = Counted(stack, folder, in_flight_max=256)
    burst = await _peer_run(session, sizes["items"], lambda _, now_us: now_us)
    per_page = session.requests / sizes["items"]
    rate = burst.per_s / 2
    lead_us = round(LEAD_S * 1e6)
    count = int(rate * sizes["steady_s"])
    steady = await _peer_run(session, count, lambda n, now_us: now_us + lead_us + round(n / rate * 1e6))
    await session.close()
    return burst.per_s, per_page, steady.lags_s


async def _peer_run(session: Session, count: int, due_us: Callable[[int, int], int]) -> Taken:
    taken = Taken()

    async def hand_over(item: Item) -> None:
        taken.take(item.due_us)

    queue = ItemQueue(session, hand_over)
    now_us = time.time_ns() // 1000
    items = [Item(due_us(n, now_us), f"{now_us}-{n}", f"user-{n}/in", b"x" * 200) for n in range(count)]
    for some in batches(items, 200):
        await asyncio.gather(*(queue.enqueue(item) for item in some))
    say(f"{count} items through the queue")
    running = asyncio.create_task(queue.run())
    waiting = asyncio.create_task(taken.until(count))
    await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    waiting.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert len(taken.at_us) >= count, "the queue ended before its time"
    return taken


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


async def measure(sizes: dict[str, int]) -> tuple[Any, Any]:
    """The queue first: its rate is what the steady part goes by."""
    with scratch() as folder:
        async with real_servers(folder, say) as servers:
            stacks = {name: servers.stack(name) for name in ("peer", "ours")}
            for stack in stacks.values():
                await asyncio.to_thread(migrate, stack, folder)
            await asyncio.to_thread(_make_tables, servers.cassandra_port)
            theirs = await peer(stacks["peer"], folder, sizes)
            return await ours(servers, stacks["ours"], folder, sizes, theirs[0] / 2), theirs


def _make_tables(port: int) -> None:
    cluster = Cluster([HOST], port=port, protocol_version=5)
    session = cluster.connect("peer")
    for statement in item_queue.SCHEMA:
        session.execute(statement)
    cluster.shutdown()


def main() -> None:
    options = Options.read()
    share = QUICK_SHARE if options.quick else 1
    sizes = {"users": USERS // share, "items": ITEMS // share, "steady_s": max(2, int(STEADY_S) // share)}
    (rate, per_page, lags_s), (peer_rate, peer_per_page, peer_lags_s) = asyncio.run(measure(sizes))
    publish(
        "paging_rate",
        Answer(
            question="How many pages a second does a notifier hand over, and how late is each?",
            ours={"pages_per_s": rate, "lag_p50_ms": median(lags_s) * 1e3, "lag_p99_ms": quantile(lags_s, 0.99) * 1e3},
            peers={
                "lock_per_item": {
                    "pages_per_s": peer_rate,
                    "lag_p50_ms": median(peer_lags_s) * 1e3,
                    "lag_p99_ms": quantile(peer_lags_s, 0.99) * 1e3,
                }
            },
            ratio=rate / peer_rate,
            ratio_of="pages a second to those of a queue with a lock for each item",
            better="higher",
            floor=10.0,
            aim=100.0,
            sizes=sizes,
            details={
                "lag_p50_ratio": median(lags_s) / median(peer_lags_s),
                "lag_p99_ratio": quantile(lags_s, 0.99) / quantile(peer_lags_s, 0.99),
                "lag_ratio_floor": 0.5,
                "lag_ratio_aim": 0.1,
                "store_requests_per_page": {"ours": per_page, "lock_per_item": peer_per_page},
                "store_requests_ratio": per_page / peer_per_page,
                "store_requests_ratio_floor": 0.1,
            },
        ),
        options,
    )


if __name__ == "__main__":
    main()

"""How many requests a second go from Kafka into Cassandra, through a real creator?

One process, one region, four partitions; one broker and one node of this machine, started for the run. The requests
stand in the log before the creator starts; what is timed is from the first write that it asks the store for to the last
fold that the store acknowledges. Measured in the same run:

    only_read       the same records, read with aiokafka (`getmany`, four partitions at a time), and not decoded
    only_write      the same entries, already encoded, one prepared insert each into a bare table with the same
                    key: the driver's own `execute_concurrent_with_args`, so many at a time
    one_by_one      the same inserts in a loop that awaits one after the other, for some seconds

The two first are limits to whoever writes row by row; the creator also folds incidents, lists what arrives and writes
down its progress, which none of the peers does. The ratio is ours to the slower of the two. `details` has that to
`one_by_one` with its own floor and aim, and what a request costs in processor time: that moves less than rates do when
a machine is busy with other things.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.io.libevreactor import LibevConnection
from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy

from benchmarks.creating import through_creator
from benchmarks.measure import Answer, Options, batches, make_requests, publish, scratch
from benchmarks.real_servers import RealServers, cpu_s, real_servers
from tocsin.core.events import entry_of
from tocsin.core.ids import partition_of
from tocsin.core.requests import Request, encode_request
from tocsin.engines.cassandra import entry_cell
from tocsin.engines.cassandra.columns import place_of
from tocsin.engines.cassandra.migrations import migrate
from tocsin.engines.cassandra.store import CassandraStore
from tocsin.engines.kafka.log import KafkaLog
from tocsin.engines.topics import make_topics
from tocsin.ops.local.cassandra import LOCAL_DC
from tocsin.ops.local.ports import HOST
from tocsin.topology import REQUESTS as REQUESTS_TOPIC
from tocsin.topology import CassandraStack, Region

REQUESTS: Final = 10_000
PARTITIONS: Final = 4
PARENTS: Final = 500
RECEIVED_PER_S: Final = 5_000
"""How quickly the requests came when they were received."""
ROUNDS: Final = 3
QUICK_SHARE: Final = 10
"""In small sizes all is this much less."""
CONCURRENCY: Final = 128
ONE_BY_ONE_S: Final = 4.0
REQUEST_S: Final = 30.0
KEYSPACE: Final = "bare"
TABLE: Final = (
    "CREATE TABLE {} (shard int, bucket int, parent blob, request blob, entry blob, "
    "PRIMARY KEY ((shard, bucket), parent, request))"
)
INSERT: Final = "INSERT INTO {} (shard, bucket, parent, request, entry) VALUES (?, ?, ?, ?, ?)"
Row = tuple[int, int, bytes, bytes, bytes]
Measured = tuple[float, int]
"""Requests a second, and how many there were."""


class Peer:
    """The driver as one uses it, with a bare table for each measurement."""

    def __init__(self, port: int, tables: int) -> None:
        """Makes so many tables. Blocks."""
        profile = ExecutionProfile(TokenAwarePolicy(DCAwareRoundRobinPolicy(LOCAL_DC)), request_timeout=REQUEST_S)
        self._cluster = Cluster(
            [HOST],
            port=port,
            protocol_version=5,
            connection_class=LibevConnection,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        )
        self._session: Session = self._cluster.connect()
        replication = "{'class': 'NetworkTopologyStrategy', 'datacenter1': 1}"
        self._session.execute(f"CREATE KEYSPACE {KEYSPACE} WITH replication = {replication}")
        self._inserts = []
        for number in range(tables):
            self._session.execute(TABLE.format(f"{KEYSPACE}.rows_{number}"))
            self._inserts.append(self._session.prepare(INSERT.format(f"{KEYSPACE}.rows_{number}")))

    def write_all(self, rows: Sequence[Row]) -> Measured:
        """All rows, so many at a time; blocks."""
        insert = self._inserts.pop()
        began = time.perf_counter()
        execute_concurrent_with_args(self._session, insert, rows, concurrency=CONCURRENCY)
        return len(rows) / (time.perf_counter() - began), len(rows)

    def write_one_by_one(self, rows: Sequence[Row], for_s: float) -> Measured:
        """As many rows as that takes, each awaited before the next; blocks."""
        insert = self._inserts.pop()
        began = time.perf_counter()
        written = 0
        while written < len(rows) and time.perf_counter() < began + for_s:
            self._session.execute(insert, rows[written])
            written += 1
        return written / (time.perf_counter() - began), written

    def close(self) -> None:
        """Ends all connections."""
        self._cluster.shutdown()


class Bench:
    """The broker with all requests in its log, and a new keyspace or table for each measurement."""

    def __init__(self, servers: RealServers, peer: Peer, folder: Path, requests: Sequence[Request]) -> None:
        self._servers = servers
        self._peer = peer
        self._folder = folder
        self._requests = requests
        self._stacks: list[CassandraStack] = []
        self._rows: list[Row] = [(*place_of(r.key), entry_cell.encode(entry_of(r))) for r in requests]

    def works(self, one_by_one_s: float) -> dict[str, Callable[[], Awaitable[Measured]]]:
        """All that is measured, by name."""
        return {
            "only_read": self._only_read,
            "only_write": lambda: asyncio.to_thread(self._peer.write_all, self._rows),
            "one_by_one": lambda: asyncio.to_thread(self._peer.write_one_by_one, self._rows, one_by_one_s),
            "through_creator": self._through_creator,
        }

    async def prepare(self, creators: int) -> None:
        """Appends the requests, each to its partition, and makes a keyspace for each creator that is to run."""
        for number in range(creators):
            self._stacks.append(self._servers.stack(f"creator_{number}"))
            await asyncio.to_thread(migrate, self._stacks[-1], self._folder)
        log = KafkaLog(self._servers.log, self._folder)
        await make_topics(log, self._region(self._stacks[-1]))
        for number in range(PARTITIONS):
            mine = [one for one in self._requests if partition_of(one.key.parent, PARTITIONS) == number]
            for some in batches(mine):
                await log.append(REQUESTS_TOPIC, number, [encode_request(request) for request in some])
        await log.close()

    async def _only_read(self) -> Measured:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._servers.log.bootstrap[0], auto_offset_reset="earliest")
        await consumer.start()
        consumer.assign([TopicPartition(REQUESTS_TOPIC, number) for number in range(PARTITIONS)])
        count = 0
        began = time.perf_counter()
        while count < len(self._requests):
            count += sum(map(len, (await consumer.getmany(timeout_ms=1000)).values()))
        taken_s = time.perf_counter() - began
        await consumer.stop()
        return count / taken_s, count

    async def _through_creator(self) -> Measured:
        stack = self._stacks.pop()
        log, store = KafkaLog(self._servers.log, self._folder), CassandraStore(stack, self._folder)
        rate = await through_creator(log, store, self._region(stack), len(self._requests))
        await log.close()
        await store.close()
        return rate, len(self._requests)

    def _region(self, stack: CassandraStack) -> Region:
        return Region(
            name="a",
            partitions=PARTITIONS,
            log=self._servers.log,
            stacks={"blue": stack},
            serving_stack="blue",
            directory=Path("directory.yaml"),
        )


class Figures:
    """What was found, by what was measured and in the order of the rounds."""

    def __init__(self, servers: RealServers) -> None:
        self.rates: dict[str, list[float]] = {}
        self.cpu_us: dict[str, dict[str, list[float]]] = {}
        """Processor time a request, by process."""
        self._servers = servers

    async def take(self, name: str, work: Callable[[], Awaitable[Measured]]) -> None:
        """Measures once."""
        before = self._cpu_s()
        rate, requests = await work()
        used = self._cpu_s()
        used.subtract(before)
        self.rates.setdefault(name, []).append(rate)
        for process, used_s in used.items():
            self.cpu_us.setdefault(name, {}).setdefault(process, []).append(used_s / requests * 1e6)

    def _cpu_s(self) -> "Counter[str]":
        broker, node = cpu_s(self._servers.broker.pid), cpu_s(self._servers.node.pid)
        return Counter({"python": time.process_time(), "broker": broker, "node": node})


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


async def measure(requests: Sequence[Request], rounds: int, one_by_one_s: float) -> Figures:
    """In each round everything is measured once; every other round backwards, so that nothing is always the first.

    Before several rounds there is one that is not counted: servers that were just started are slow.
    """
    warm_ups = int(rounds > 1)
    rounds += warm_ups
    with scratch() as folder:
        async with real_servers(folder, say) as servers:
            say(f"filling the log with {len(requests)} requests, and making {rounds} keyspaces")
            peer = await asyncio.to_thread(Peer, servers.cassandra_port, 2 * rounds)
            bench = Bench(servers, peer, folder, requests)
            await bench.prepare(rounds)
            figures = Figures(servers)
            for number in range(rounds):
                figures = figures if number != warm_ups else Figures(servers)
                works = list(bench.works(one_by_one_s).items())
                for name, work in works if number % 2 == 0 else reversed(works):
                    await figures.take(name, work)
                    say(f"round {number + 1} of {rounds}: {name}: {figures.rates[name][-1]:.0f} requests a second")
            await asyncio.to_thread(peer.close)
    return figures


def main() -> None:
    options = Options.read()
    share = QUICK_SHARE if options.quick else 1
    rounds = 1 if options.quick else ROUNDS
    requests = list(make_requests(REQUESTS // share, parents=PARENTS // share, per_s=RECEIVED_PER_S))
    figures = asyncio.run(measure(requests, rounds, ONE_BY_ONE_S / share))
    rates = {name: median(found) for name, found in figures.rates.items()}
    ours = rates.pop("through_creator")
    publish(
        "real_rate",
        Answer(
            question="How many requests a second go from Kafka into Cassandra?",
            ours={"requests_per_s": ours},
            peers={name: {"requests_per_s": rate} for name, rate in rates.items()},
            ratio=ours / min(rates["only_read"], rates["only_write"]),
            ratio_of="requests a second to those of the slower of only reading and only writing",
            better="higher",
            floor=0.6,
            aim=0.9,
            sizes={"requests": len(requests), "parents": len({r.key.parent for r in requests}), "rounds": rounds},
            details={
                "ratio_to_one_by_one": ours / rates["one_by_one"],
                "ratio_to_one_by_one_floor": 3.0,
                "ratio_to_one_by_one_aim": 10.0,
                "cpu_us_per_request": {
                    name: {process: round(median(found)) for process, found in used.items()}
                    for name, used in figures.cpu_us.items()
                },
                "requests_per_s_of_rounds": figures.rates,
                "body_bytes": median(len(request.body) for request in requests),
            },
        ),
        options,
    )


if __name__ == "__main__":
    main()

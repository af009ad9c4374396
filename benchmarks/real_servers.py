"""One Kafka broker and one Cassandra node for a benchmark, started for it and ended with it, in a folder of its own."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tocsin.ops.local import cassandra, kafka
from tocsin.ops.local.artifacts import Kind, jars, java
from tocsin.ops.local.ports import HOST, Ports
from tocsin.ops.local.servers import Server
from tocsin.topology import CassandraStack, KafkaLog

FOR_EVER_S: Final = 20 * 365 * 86_400.0
"""Made-up requests are old: a broker would soon remove them."""
TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


class RealServers(NamedTuple):
    """What runs, and how to talk to it: straight, not through a network path that can be cut."""

    broker: Server
    node: Server
    kafka_port: int
    cassandra_port: int

    @property
    def log(self) -> KafkaLog:
        """The broker, as region files describe one."""
        return KafkaLog.model_validate(
            {
                "engine": "kafka",
                "bootstrap": [f"{HOST}:{self.kafka_port}"],
                "replication_factor": 1,
                "min_insync_replicas": 1,
                "retention_s": FOR_EVER_S,
            }
        )

    def stack(self, keyspace: str) -> CassandraStack:
        """A stack on the node, as region files describe one."""
        return CassandraStack.model_validate(
            {
                "engine": "cassandra",
                "contact_points": [f"{HOST}:{self.cassandra_port}"],
                "local_dc": cassandra.LOCAL_DC,
                "keyspace": keyspace,
                "replication_factor": 1,
            }
        )


@asynccontextmanager
async def real_servers(folder: Path, say: Callable[[str], None]) -> AsyncIterator[RealServers]:
    """Starts both, and gives them once a round trip through each worked; `say` hears what takes time.

    Raises `Lacking` where Java or Maven is missing, `Unavailable` for a server that does not come up.
    """
    executable = await java()
    runtime = kafka.Java(executable, await jars(Kind.KAFKA, say))
    cassandra_jars = await jars(Kind.CASSANDRA, say)
    ports = Ports()
    kafka_port, controller, cassandra_port, storage = (ports.reserve() for _ in range(4))
    listeners = [kafka.Listener("ROLES", kafka_port, kafka_port)]
    broker = Server(kafka.broker("broker", folder / "broker", runtime, listeners, controller), say)
    program = cassandra.node("node", folder / "node", executable, cassandra_jars, storage, cassandra_port)
    node = Server(program, say)
    try:
        say("starting a Kafka broker and a Cassandra node")
        await asyncio.gather(broker.start(), node.start())
        yield RealServers(broker, node, kafka_port, cassandra_port)
    finally:
        await asyncio.gather(*(server.kill() for server in (broker, node) if server.pid))
        ports.close()


def cpu_s(pid: int | None) -> float:
    """The processor time that a process has used so far, by proc(5)."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / TICKS_A_SECOND

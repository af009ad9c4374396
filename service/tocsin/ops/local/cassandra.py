"""One Cassandra node of one region: a cluster of its own, small and quick to start, without JMX.

What its start script would add is here: the options that open the JDK's modules to it (conf/jvm17-server.options), and
the agent that measures objects. Waiting for a ring that does not exist is switched off.
"""

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from cassandra import DriverException
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.policies import WhiteListRoundRobinPolicy

from tocsin.engines.errors import Misconfigured
from tocsin.ops.local.ports import HOST
from tocsin.ops.local.program import Program

HEAP_MB: Final = 512
LOCAL_DC: Final = "datacenter1"
"""The data center's name: SimpleSnitch knows no other."""
PROTOCOL: Final = 5
"""Of CQL's wire format: what Cassandra 4 and newer speak; said, so that the driver need not try others."""
ROUND_TRIP_S_MAX: Final = 10.0
PROBE: Final = "tocsin_probe"
"""The keyspace of round trips."""
SUPERUSER: Final = "cassandra"
"""Name and password that a node with passwords has at first."""
EXPORTS: Final = (
    *("java.base/jdk.internal.misc", "java.base/java.lang.ref", "java.management.rmi/com.sun.jmx.remote.internal.rmi"),
    *("java.management/com.sun.jmx.remote.security", "java.rmi/sun.rmi.registry", "java.rmi/sun.rmi.server"),
    *("java.sql/java.sql", "jdk.unsupported/sun.misc", "jdk.compiler/com.sun.tools.javac.file"),
    "jdk.attach/sun.tools.attach",
)
OPENS: Final = (
    *("java.base/java.lang.module", "java.base/jdk.internal.loader", "java.base/jdk.internal.ref"),
    *("java.base/jdk.internal.reflect", "java.base/jdk.internal.math", "java.base/jdk.internal.module"),
    *("java.base/jdk.internal.util.jar", "java.base/sun.nio.ch", "java.base/java.io", "java.base/java.nio"),
    *("java.base/java.lang", "java.base/java.lang.reflect", "java.base/java.util", "java.base/java.util.concurrent"),
    *("java.base/java.util.concurrent.atomic", "jdk.management/com.sun.management.internal"),
    "jdk.compiler/com.sun.tools.javac",
)
OPTIONS: Final = (
    "-Djdk.attach.allowAttachSelf=true",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Dio.netty.allocator.useCacheForAllThreads=true",
    "-Dio.netty.allocator.maxOrder=11",
    "-Djava.net.preferIPv4Stack=true",
    "-XX:+PerfDisableSharedMem",
    "-Xss256k",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    f"-Xms{HEAP_MB}m",
    f"-Xmx{HEAP_MB}m",
    "-Dcassandra-foreground=yes",
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.ring_delay_ms=1",
    "-Dcassandra.superuser_setup_delay_ms=0",
    "-Dcassandra.initial_token=0",
    "-Dcassandra.load_ring_state=false",
    "-Dcassandra.available_processors=2",
)
LOGGING: Final = """\
<configuration>
  <appender name="console" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date %level %logger{20} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="console"/></root>
</configuration>
"""


@dataclass(frozen=True, slots=True)
class Security:
    """TLS for all clients, and passwords: at first those of `SUPERUSER`."""

    key_file: Path
    """PEM: the node's private key, unencrypted PKCS 8."""
    chain_file: Path
    """PEM: its certificate and those above it."""
    ca_file: Path
    """PEM by which clients check it."""

    @property
    def client(self) -> dict[str, Any]:
        """What a driver's Cluster is given."""
        return {
            "ssl_context": ssl.create_default_context(cafile=str(self.ca_file)),
            "ssl_options": {"server_hostname": HOST},
            "auth_provider": PlainTextAuthProvider(SUPERUSER, SUPERUSER),
        }


def node(
    name: str,
    folder: Path,
    java: str,
    jars: Path,
    storage_port: int,
    native_port: int,
    security: Security | None = None,
) -> Program:
    """A node whose files are written to the folder; clients talk to it at `native_port`.

    Raises `Misconfigured` where the jars lack the agent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    (folder / "tmp").mkdir(exist_ok=True)
    (folder / "triggers").mkdir(exist_ok=True)
    config = folder / "cassandra.yaml"
    config.touch(mode=0o600)  # before there is a key in it
    config.write_text(yaml.safe_dump(_config(name, storage_port, native_port, security), sort_keys=False))
    (folder / "logback.xml").write_text(LOGGING)
    options = folder / "options"
    options.write_text("".join(f"{option}\n" for option in _options(folder, config, jars)))
    return Program(
        name=name,
        folder=folder,
        command=[java, f"@{options}", "org.apache.cassandra.service.CassandraDaemon"],
        port=native_port,
        works=lambda: asyncio.to_thread(_round_trip, native_port, security),
    )


def _options(folder: Path, config: Path, jars: Path) -> Iterator[str]:
    agent = next(jars.glob("jamm-*.jar"), None)
    if agent is None:
        raise Misconfigured(f"{jars} lacks the jar jamm, without which Cassandra does not start: remove the folder")
    yield from (f"--add-exports={package}=ALL-UNNAMED" for package in EXPORTS)
    yield from (f"--add-opens={package}=ALL-UNNAMED" for package in OPENS)
    yield from OPTIONS
    yield f"-javaagent:{agent}"
    yield f"-Dcassandra.config={config.as_uri()}"
    yield f"-Dcassandra.storagedir={folder / 'data'}"
    yield f"-Dcassandra.logdir={folder}"
    yield f"-Dcassandra.triggers_dir={folder / 'triggers'}"
    yield f"-Dlogback.configurationFile={folder / 'logback.xml'}"
    yield f"-Djava.io.tmpdir={folder / 'tmp'}"  # natives are unpacked there and must be executable
    yield "-cp"
    yield f"{jars}/*"


def _config(name: str, storage_port: int, native_port: int, security: Security | None) -> dict[str, Any]:
    seeds = {"class_name": "org.apache.cassandra.locator.SimpleSeedProvider"}
    return {
        "cluster_name": name,
        "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
        "num_tokens": 1,
        "endpoint_snitch": "SimpleSnitch",
        "listen_address": HOST,
        "rpc_address": HOST,
        "storage_port": storage_port,
        "native_transport_port": native_port,
        "start_native_transport": True,
        "seed_provider": [{**seeds, "parameters": [{"seeds": f"{HOST}:{storage_port}"}]}],
        "commitlog_sync": "batch",  # periodic: a kill takes with it what was acknowledged last, and nobody else has it
        "commitlog_segment_size": "8MiB",  # bounds a mutation too, at half of it: 4 MiB
        "commitlog_total_space": "128MiB",
        "auto_snapshot": False,
    } | (_secured(security) if security else {})


def _secured(security: Security) -> dict[str, Any]:
    pem = {
        "private_key": security.key_file.read_text() + security.chain_file.read_text(),
        "trusted_certificates": security.ca_file.read_text(),
    }
    factory = "org.apache.cassandra.security.PEMBasedSslContextFactory"
    return {
        "authenticator": "PasswordAuthenticator",
        "authorizer": "CassandraAuthorizer",
        "client_encryption_options": {
            "enabled": True,
            "optional": False,
            "ssl_context_factory": {"class_name": factory, "parameters": pem},
        },
    }


# Round trips ---------------------------------------------------------------------------------------------------------


def _round_trip(port: int, security: Security | None) -> None:
    """Writes a row and reads it; raises what the driver does. Blocks."""
    only_here = ExecutionProfile(WhiteListRoundRobinPolicy([HOST]), request_timeout=ROUND_TRIP_S_MAX)
    cluster = Cluster(
        [HOST],
        port=port,
        protocol_version=PROTOCOL,
        execution_profiles={EXEC_PROFILE_DEFAULT: only_here},
        connect_timeout=ROUND_TRIP_S_MAX,
        control_connection_timeout=ROUND_TRIP_S_MAX,
        **(security.client if security else {}),
    )
    try:
        session = cluster.connect()
        replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        session.execute(f"CREATE KEYSPACE IF NOT EXISTS {PROBE} WITH replication = {replication}")
        session.execute(f"CREATE TABLE IF NOT EXISTS {PROBE}.probe (id int PRIMARY KEY, at timestamp)")
        session.execute(f"INSERT INTO {PROBE}.probe (id, at) VALUES (1, toTimestamp(now()))")  # noqa: S608 (ours)
        session.execute(f"SELECT at FROM {PROBE}.probe WHERE id = 1").one()  # noqa: S608
    finally:
        cluster.shutdown()


FAULTS: Final = (DriverException, NoHostAvailable, ConnectionException, OSError)
"""What a round trip raises of a node that does not work, or not yet."""

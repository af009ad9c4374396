"""One Kafka broker of one region: a KRaft node that is its own controller, small and quick to start.

A client of Kafka goes, after its first connection, to the address that the broker advertises. So each network path that
can be cut alone is a listener of its own which advertises the path's address: metadata name the listener
that the question came in on, and nobody is led around a cut.
"""

import asyncio
import contextlib
import ssl
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from tocsin.engines.errors import Unavailable
from tocsin.ops.local.ports import HOST
from tocsin.ops.local.program import Program

RECORD_BYTES_MAX: Final = 3 * 1024 * 1024
"""Records of 2 MiB are to fit, with their keys, headers and batch around them."""
HEAP_MB: Final = 384
PROBE: Final = "__tocsin-probe"
"""The topic of round trips; mirrors leave out what begins with two underscores."""
ROUND_TRIP_S_MAX: Final = 10.0
QUICK: Final = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-XX:+ExitOnOutOfMemoryError")
"""Start sooner and take less memory, at the price of speed later: for a machine that runs six JVMs."""
LOGIN: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
LOGGING: Final = """\
rootLogger.level=WARN
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c %m%n
"""


class Listener(NamedTuple):
    """A way into a broker: its name, where the broker listens, and the address that clients who come by it are told."""

    name: str
    port: int
    advertised_port: int


@dataclass(frozen=True, slots=True)
class Security:
    """TLS and SCRAM-SHA-512 on all listeners of clients."""

    keystore: Path
    """PEM: the broker's private key, its certificate and those above it."""
    ca_file: Path
    """PEM by which clients check it."""
    username: str
    password: str

    @property
    def client(self) -> dict[str, Any]:
        """What an aiokafka client is given."""
        return {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
            "ssl_context": ssl.create_default_context(cafile=str(self.ca_file)),
        }


class Java(NamedTuple):
    """The Java to run, and the folder of jars."""

    executable: str
    jars: Path

    def command(self, heap_mb: int, *words: str, options: Sequence[str] = ()) -> list[str]:
        """A command that runs a main class with its arguments."""
        heap = (f"-Xms{heap_mb // 2}m", f"-Xmx{heap_mb}m")
        return [self.executable, *heap, *QUICK, *options, "-cp", f"{self.jars}/*", *words]


def broker(
    name: str,
    folder: Path,
    java: Java,
    listeners: Sequence[Listener],
    controller_port: int,
    security: Security | None = None,
) -> Program:
    """A broker whose files are written to the folder. The first listener is the one that round trips go through."""
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    data, properties = folder / "data", folder / "server.properties"
    write_properties(properties, _properties(data, listeners, controller_port, security))
    logging = log4j_option(folder)
    format_words = ["kafka.tools.StorageTool", "format", "-t", str(uuid.uuid4()), "-c", str(properties)]
    if security:
        format_words += ["--add-scram", f"SCRAM-SHA-512=[name={security.username},password={security.password}]"]
    bootstrap, client = f"{HOST}:{listeners[0].advertised_port}", security.client if security else {}
    return Program(
        name=name,
        folder=folder,
        command=java.command(HEAP_MB, "kafka.Kafka", str(properties), options=[logging]),
        port=listeners[0].port,
        works=lambda: round_trip(bootstrap, bootstrap, PROBE, PROBE, client),
        format=java.command(HEAP_MB, *format_words, options=[logging]),
        formatted=data / "meta.properties",
    )


def log4j_option(folder: Path) -> str:
    """The option by which a Kafka program logs its warnings to stdout; writes the file that says so."""
    path = folder / "log4j2.properties"
    path.write_text(LOGGING)
    return f"-Dlog4j2.configurationFile={path.as_uri()}"


def _properties(
    data: Path, listeners: Sequence[Listener], controller_port: int, security: Security | None
) -> dict[str, object]:
    protocol = "SASL_SSL" if security else "PLAINTEXT"
    protocols = {one.name: protocol for one in listeners} | {"CONTROLLER": "PLAINTEXT"}
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        # A static quorum: its addresses are this file's alone, so that another start may have other ports.
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "listeners": ",".join(
            [*(f"{one.name}://{HOST}:{one.port}" for one in listeners), f"CONTROLLER://{HOST}:{controller_port}"]
        ),
        "advertised.listeners": ",".join(f"{one.name}://{HOST}:{one.advertised_port}" for one in listeners),
        "listener.security.protocol.map": ",".join(f"{name}:{value}" for name, value in protocols.items()),
        "inter.broker.listener.name": listeners[0].name,
        "controller.listener.names": "CONTROLLER",
        "log.dirs": data,
        "auto.create.topics.enable": "false",
        "delete.topic.enable": "true",
        "message.max.bytes": RECORD_BYTES_MAX,
        "replica.fetch.max.bytes": RECORD_BYTES_MAX,
        # Internal topics of one node, small: their defaults are for three nodes and fifty partitions.
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        # Taken from the heap at the start; the default of 128 MiB is more than there is.
        "log.cleaner.dedupe.buffer.size": 2 * 1024 * 1024,
        # A broker that was killed is refused until its session ran out.
        "broker.session.timeout.ms": 3_000,
        "broker.heartbeat.interval.ms": 500,
    } | (_secured(security, [one.name for one in listeners]) if security else {})


def _secured(security: Security, listeners: Sequence[str]) -> dict[str, object]:
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": security.keystore.resolve(),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": security.ca_file.resolve(),
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
    } | {f"listener.name.{name.lower()}.scram-sha-512.sasl.jaas.config": LOGIN for name in listeners}


def write_properties(path: Path, properties: Mapping[str, object]) -> None:
    """Writes a file of Java properties, for its owner alone: there may be secrets in it."""
    path.touch(mode=0o600)
    path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))


# Round trips ---------------------------------------------------------------------------------------------------------


async def round_trip(source: str, target: str, topic: str, copy: str, client: Mapping[str, Any] | None = None) -> None:
    """Writes a record to the topic at the source, and returns once it is read from its copy at the target.

    Raises `Unavailable` when it does not arrive within `ROUND_TRIP_S_MAX`, KafkaError or OSError otherwise.
    """
    client = client or {}
    try:
        async with asyncio.timeout(ROUND_TRIP_S_MAX):
            if topic == copy:
                await make_topics(source, [probe(topic)], client)
            async with _reading(target, copy, client) as reader:
                mark = uuid.uuid4().bytes
                producer = AIOKafkaProducer(bootstrap_servers=source, **client)
                try:
                    await producer.start()
                    await producer.send_and_wait(topic, mark, partition=0)
                finally:
                    await producer.stop()
                while (await reader.getone()).value != mark:
                    pass
    except TimeoutError:
        raise Unavailable(f"no record came back within {ROUND_TRIP_S_MAX:.0f} s") from None


@contextlib.asynccontextmanager
async def _reading(bootstrap: str, topic: str, client: Mapping[str, Any]) -> AsyncIterator[AIOKafkaConsumer]:
    reader = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="latest", **client)
    try:
        await reader.start()
        place = TopicPartition(topic, 0)
        reader.assign([place])
        await reader.seek_to_end(place)
        yield reader
    finally:
        await reader.stop()


def probe(topic: str) -> NewTopic:
    """A topic of round trips, whose records are soon gone."""
    return NewTopic(topic, 1, 1, topic_configs={"retention.ms": "60000"})


async def make_topics(bootstrap: str, topics: Sequence[NewTopic], client: Mapping[str, Any] | None = None) -> None:
    """Makes the topics where they are missing; raises KafkaError."""
    async with _admin(bootstrap, client or {}) as admin:
        _check((await admin.create_topics(topics)).topic_errors, TopicAlreadyExistsError)


async def remove_topics(bootstrap: str, names: Sequence[str]) -> None:
    """Removes the topics that are there; raises KafkaError."""
    async with _admin(bootstrap, {}) as admin:
        _check((await admin.delete_topics(names)).topic_error_codes, UnknownTopicOrPartitionError)


@contextlib.asynccontextmanager
async def _admin(bootstrap: str, client: Mapping[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **client)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


def _check(answers: Iterable[Sequence[Any]], harmless: type[KafkaError]) -> None:
    """Raises what a broker answered of a topic, but for what is harmless."""
    for name, code, *why in answers:
        error = for_code(code)
        if code and error is not harmless:
            raise error(f"topic {name}: {why[0] if why else error.description}")


FAULTS: Final = (KafkaError, OSError, Unavailable)
"""What a round trip raises of a broker that does not work, or not yet."""

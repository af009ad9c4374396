"""The adapters of the log port that the contract suite runs over, and what a test needs that the port does not offer.

An adapter joins by a class here and a line in `ADAPTERS`. Child processes make theirs by name and place (`log_child`).
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.servers import kafka_bootstrap
from tocsin.core.requests import Record
from tocsin.engines.embedded.log import RECORD_BYTES_MAX, EmbeddedLog
from tocsin.engines.faults import FaultSwitch
from tocsin.engines.faulty import FaultyLog
from tocsin.engines.kafka.log import KafkaLog
from tocsin.engines.kafka.topics import RECORD_BYTES_MAX as KAFKA_RECORD_BYTES_MAX
from tocsin.engines.kafka.topics import settings_of
from tocsin.engines.log import Log, Topic
from tocsin.topology import KafkaLog as KafkaSection


class LogAdapter(Protocol):
    """One log somewhere: any number of instances of it can be opened, in any process."""

    name: str
    place: Path
    record_bytes_max: int

    def named(self, word: str) -> str:
        """A topic or group of this name for this test alone; the same for the same word."""

    def open(self) -> Log:
        """A new instance of the port on this log."""

    async def delete_topic(self, topic: str) -> None:
        """Removes a topic as an administrator would."""

    async def tidy(self, now_s: float) -> None:
        """Has retention and compaction done, as if it were `now_s`, before it returns."""


class EmbeddedAdapter:
    """The SQLite file of `EmbeddedLog`."""

    name = "embedded"
    record_bytes_max = RECORD_BYTES_MAX

    def __init__(self, place: Path) -> None:
        self.place = place

    def named(self, word: str) -> str:
        return word  # each test has a file of its own

    def open(self) -> Log:
        return EmbeddedLog(self.place / "region.log")

    async def delete_topic(self, topic: str) -> None:
        log = EmbeddedLog(self.place / "region.log")
        await log.delete_topic(topic)
        await log.close()

    async def tidy(self, now_s: float) -> None:
        log = EmbeddedLog(self.place / "region.log")
        await log.housekeep(now_s)
        await log.close()


class FaultyEmbeddedAdapter(EmbeddedAdapter):
    """The same behind a fault switch without rules, which must change nothing."""

    name = "embedded-behind-a-fault-switch"

    def open(self) -> Log:
        return FaultyLog(super().open(), FaultSwitch(self.place / "faults.json"), "a")


class KafkaAdapter:
    """A broker that all tests of the run share, with topics and groups of this test alone."""

    name = "kafka"
    record_bytes_max = KAFKA_RECORD_BYTES_MAX

    def __init__(self, place: Path) -> None:
        self.place = place
        found = place / "bootstrap"  # written for the children of the test
        if not found.exists():
            found.write_text(kafka_bootstrap())
        self._bootstrap = found.read_text()
        self._run = uuid.uuid4().hex[:12]
        self._words: set[str] = set()

    def named(self, word: str) -> str:
        self._words.add(word)
        return f"{word}-{self._run}"

    def open(self) -> Log:
        return KafkaLog(kafka_section(self._bootstrap), self.place, session_s=SESSION_S)

    async def delete_topic(self, topic: str) -> None:
        log = self.open()
        async with self._administrator() as admin:
            await admin.delete_topics([topic])
        while await log.topic(topic) is not None:  # noqa: ASYNC110 - nothing tells when it is gone
            await asyncio.sleep(0.02)
        await log.close()

    async def tidy(self, now_s: float) -> None:
        """Retention as Kafka would do it in its own time; compaction by Kafka itself, told not to wait."""
        log = self.open()
        async with self._administrator() as admin:
            for word in self._words:
                topic = await log.topic(self.named(word))
                if topic is not None and topic.retention_s is not None:
                    await self._expire(admin, log, topic, int((now_s - topic.retention_s) * 1000))
                elif topic is not None and topic.compacted:
                    await self._compact(admin, log, topic)
        await log.close()

    async def _expire(self, admin: AIOKafkaAdminClient, log: Log, topic: Topic, until_ms: int) -> None:
        for number in range(topic.partitions):
            start = await log.offset_at(topic.name, number, until_ms)
            await admin.delete_records({TopicPartition(topic.name, number): RecordsToDelete(before_offset=start)})

    async def _compact(self, admin: AIOKafkaAdminClient, log: Log, topic: Topic) -> None:
        """Kafka compacts all but the newest segment, so a record of a later time is put into one of its own."""
        eager = {"segment.ms": "1", "min.compaction.lag.ms": "0", "min.cleanable.dirty.ratio": "0"}
        settings = settings_of(topic, 1) | eager
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, settings)])
        quick = {"log.cleaner.backoff.ms": "100"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, str(_NODE), quick)])
        for number in range(topic.partitions):
            end = await log.append(topic.name, number, [Record(b"tidy", b"")])
            while not await _is_compacted(log, topic.name, number, end):  # noqa: ASYNC110 - nor when it was compacted
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def _administrator(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await admin.start()
        yield admin
        await admin.close()


class FaultyKafkaAdapter(KafkaAdapter):
    """The same behind a fault switch without rules."""

    name = "kafka-behind-a-fault-switch"

    def open(self) -> Log:
        return FaultyLog(super().open(), FaultSwitch(self.place / "faults.json"), "a")


SESSION_S: Final = 4.0
"""Long enough for a machine that is busy with other tests."""
_NODE: Final = 1


def kafka_section(bootstrap: str, **more: Any) -> KafkaSection:
    """What a region file says of a cluster of one broker."""
    given = {"engine": "kafka", "bootstrap": (bootstrap,), "retention_s": 3600.0}
    return KafkaSection.model_validate({"replication_factor": 1, "min_insync_replicas": 1} | given | more)


async def _is_compacted(log: Log, topic: str, partition: int, end: int) -> bool:
    """Whether each key stands once below `end`."""
    fetched = await log.fetch(topic, partition, 0, records_max=10_000, bytes_max=10**7, wait_s=0)
    keys = [each.record.key for each in fetched.records if each.offset < end]
    return len(keys) == len(set(keys))


ADAPTERS: Final[dict[str, Callable[[Path], LogAdapter]]] = {
    adapter.name: adapter for adapter in (EmbeddedAdapter, FaultyEmbeddedAdapter, KafkaAdapter, FaultyKafkaAdapter)
}

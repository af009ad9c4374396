"""The Kafka log: the log port over one cluster, which mirrors of its own connect with those of other regions.

Theory
------
Kafka gives us ordered, replicated partitions, and we ask no more of it: no consumer group decides who reads (positions
come from the store, with the data), and no client partitions (numbers are computed by `core`). Fetches and appends are
single requests at explicit places, so what was read and what was acknowledged is never a guess about a buffer. Topics
have ids (KIP-516), which are their incarnations. Who owns a partition number is `ownership`'s matter.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest

from tocsin.core.requests import Record
from tocsin.engines.kafka.brokers import Brokers, absent
from tocsin.engines.kafka.errors import UNKNOWN_TOPIC_OR_PARTITION
from tocsin.engines.kafka.fetching import Fetcher
from tocsin.engines.kafka.ownership import SESSION_S, Ownership
from tocsin.engines.kafka.producing import Producer
from tocsin.engines.kafka.topics import Topics
from tocsin.engines.log import Claim, Fetched, Topic
from tocsin.topology import KafkaLog as KafkaSection


class KafkaLog:
    """The log of one region, as its region file describes it; files that it names are relative to `data_dir`.

    `mirrored` are the topics that a mirror writes: others decide on their retention and replicas. Claims of a process
    that is silent for `session_s` are given to others.
    """

    def __init__(
        self,
        section: KafkaSection,
        data_dir: Path,
        *,
        mirrored: Collection[str] = (),
        session_s: float = SESSION_S,
    ) -> None:
        self._brokers = Brokers(section, data_dir)
        self._topics = Topics(self._brokers, section, mirrored)
        self._fetcher = Fetcher(self._brokers)
        self._producer = Producer(self._brokers)
        self._ownership = Ownership(self, session_s=session_s)

    # Topics ------------------------------------------------------------------------------------------------------

    async def cluster(self) -> str:
        """The identity of the cluster, which Kafka's storage was formatted with."""
        return (await self._brokers.metadata([])).cluster

    async def ensure_topic(
        self, name: str, partitions: int, *, compacted: bool = False, retention_s: float | None = None
    ) -> Topic:
        """Makes the topic if it is missing, and returns it as it is.

        Raises `Misconfigured` when it exists with another partition count or compaction, or with settings that lose
        or refuse what Tocsin appends; the message has the command that sets them.
        """
        return await self._topics.ensure(Topic(name, "", partitions, compacted, retention_s))

    async def topic(self, name: str) -> Topic | None:
        """The topic as it is, None when there is none."""
        return await self._topics.find(name)

    # Records -----------------------------------------------------------------------------------------------------

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        """Appends the records in order; returns the first one's offset once they are on the in-sync replicas.

        A record with timestamp 0 gets this machine's time. Raises `Refused` when a record is over the size limit,
        `Misconfigured` for an unknown topic or partition. After `Unavailable` the records may or may not be there.
        """
        if not records:
            return (await self.bounds(topic, partition))[1]
        return await self._producer.append(topic, partition, records)

    async def fetch(
        self, topic: str, partition: int, offset: int, *, records_max: int, bytes_max: int, wait_s: float
    ) -> Fetched:
        """The message set at `offset`, after at most `wait_s` when there is none yet.

        At least one record is returned whatever its size, when there is one. Raises `OutOfRange` above the log's end,
        `Misconfigured` for an unknown topic or partition.
        """
        return await self._fetcher.fetch(
            topic, partition, offset, records_max=records_max, bytes_max=bytes_max, wait_s=wait_s
        )

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """(first offset still there, one above the last)."""
        return await self._fetcher.bounds(topic, partition)

    async def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        """The first offset whose record has this timestamp or a later one; the log's end when there is none."""
        found = await self._fetcher.offset_of(topic, partition, timestamp_ms)
        return found if found >= 0 else (await self.bounds(topic, partition))[1]

    # Groups ------------------------------------------------------------------------------------------------------

    async def claim(self, group: str, partition: int) -> Claim:
        """Makes this process the owner of a partition number; raises `Owned`, naming the owner, while another is."""
        return await self._ownership.claim(group, partition)

    def holds(self, claim: Claim) -> bool:
        """Whether a claim of this process is in force now."""
        return self._ownership.holds(claim)

    def asked_back(self, claim: Claim) -> bool:
        """Whether another live process should have this claim."""
        return self._ownership.asked_back(claim)

    async def release(self, claim: Claim) -> None:
        """Ends an ownership in good order; one that has ended is no error."""
        await self._ownership.release(claim)

    async def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Tells lag tools the low watermark. Raises `Misconfigured` for an unknown topic."""
        request = OffsetCommitRequest(
            group,
            OffsetCommitRequest.DEFAULT_GENERATION_ID,
            "",
            OffsetCommitRequest.DEFAULT_RETENTION_TIME,
            [(topic, [(partition, offset, "")])],
        )
        doing = f"committing offset {offset} of {topic}/{partition} for group {group}"
        response = await self._brokers.ask_coordinator(group, request, _code_of_commit, doing)
        if response.topics[0][1][0][1] == UNKNOWN_TOPIC_OR_PARTITION:
            raise absent(topic, UNKNOWN_TOPIC_OR_PARTITION)

    async def committed(self, group: str, topic: str, partition: int) -> int | None:
        """What was committed, None when nothing was."""
        doing = f"asking what group {group} committed of {topic}/{partition}"
        request = OffsetFetchRequest(group, [(topic, [partition])])
        response = await self._brokers.ask_coordinator(group, request, _code_of_committed, doing)
        offset = response.topics[0][1][0][1]
        return offset if offset >= 0 else None

    async def close(self) -> None:
        """Ends all claims and frees everything."""
        await self._ownership.close()
        self._fetcher.close()
        await self._producer.close()
        await self._brokers.close()


def _code_of_commit(response: Any) -> int:
    code = int(response.topics[0][1][0][1])
    return 0 if code == UNKNOWN_TOPIC_OR_PARTITION else code  # another coordinator would not know it either


def _code_of_committed(response: Any) -> int:
    return int(getattr(response, "error_code", 0) or response.topics[0][1][0][3])

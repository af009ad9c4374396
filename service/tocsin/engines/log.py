"""The log port: what Tocsin needs of a log of partitioned, mirrored topics.

Every call that crosses the port may raise `Unavailable`; what else it raises is said with it. Offsets are positions in
one topic incarnation of one cluster and mean nothing elsewhere. Consumers never reset by themselves: `fetch` below the
log's start answers from the start and *says* where the log starts, so that the range between is known to be lost.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from tocsin.core.requests import Record


class Topic(NamedTuple):
    """A topic as it is. `incarnation` differs when a topic of the same name was deleted and made anew."""

    name: str
    incarnation: str
    partitions: int
    compacted: bool
    retention_s: float | None


class Delivered(NamedTuple):
    """A record at its place."""

    offset: int
    record: Record


class Fetched(NamedTuple):
    """What one fetch returns for one partition, in log order: a message set.

    `next_offset` is where the next fetch goes on (above the last delivered, also when nothing was delivered but gaps
    were passed); `log_start` the first offset that the log still has; `log_end` one above the last.
    """

    records: tuple[Delivered, ...]
    next_offset: int
    log_start: int
    log_end: int


class Claim(NamedTuple):
    """Ownership of a partition number in a group, until released or lost, or the process dies. Epochs only rise."""

    group: str
    partition: int
    epoch: int


class Log(Protocol):
    """One region's log."""

    async def cluster(self) -> str:
        """The identity of the cluster: another one after the log was lost and made anew."""

    async def ensure_topic(
        self, name: str, partitions: int, *, compacted: bool = False, retention_s: float | None = None
    ) -> Topic:
        """Makes the topic if it is missing, and returns it as it is.

        Raises `Misconfigured` when it exists with another partition count or compaction.
        """

    async def topic(self, name: str) -> Topic | None:
        """The topic as it is, None when there is none."""

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        """Appends the records in order; returns the first one's offset once they are on the in-sync replicas.

        A record with timestamp 0 gets the log's own time.
        Raises `Refused` when a record is over the log's size limit, `Misconfigured` for an unknown topic or partition.
        After `Unavailable` the records may or may not be there.
        """

    async def fetch(
        self, topic: str, partition: int, offset: int, *, records_max: int, bytes_max: int, wait_s: float
    ) -> Fetched:
        """The message set at `offset`, after at most `wait_s` when there is none yet.

        At least one record is returned whatever its size, when there is one. Raises `OutOfRange` above the log's end,
        `Misconfigured` for an unknown topic.
        """

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """(first offset still there, one above the last)."""

    async def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        """The first offset whose record has this timestamp or a later one; the log's end when there is none."""

    async def claim(self, group: str, partition: int) -> Claim:
        """Makes this process the owner of a partition number; raises `Owned`, naming the owner, while another is."""

    def holds(self, claim: Claim) -> bool:
        """Whether a claim of this process is in force now, as far as can be told without asking anyone: cheap.

        Once False it stays so. A log that hears nothing of a process for a while gives its claims to others; then what
        the process would do as the owner is another's to do.
        """

    def asked_back(self, claim: Claim) -> bool:
        """Whether another live process should have this claim: end the work on it in good order and release it."""

    async def release(self, claim: Claim) -> None:
        """Ends an ownership in good order; one that has ended is no error."""

    async def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Tells lag tools the low watermark. Tocsin itself never reads it back."""

    async def committed(self, group: str, topic: str, partition: int) -> int | None:
        """What was committed, None when nothing was."""

    async def close(self) -> None:
        """Ends all claims and frees everything."""

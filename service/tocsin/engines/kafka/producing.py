"""Appending: one lane a partition, one batch of it on its way at a time.

Theory
------
A broker keeps, of each producer id, the number of the last record that it took in a partition, and takes a batch only
when it goes on there (KIP-98). So a batch that is sent again after a lost answer is appended once. As only one batch of
a lane is on its way, records are appended in the order in which they were handed over, and what is handed over while
one is on its way goes together into the next: the busier a partition, the larger its batches.

aiokafka's producer has the same idempotence, and tries for ever: what it was given may be appended long after its
caller was told that nothing is known. Here a lane gives up with its callers. What was not sent by then never is; of
what was sent nothing is known, so the numbers that go on from it are lost too, and the lane takes a new producer id.
"""

import asyncio
import collections
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from tocsin.core.requests import Record
from tocsin.engines.errors import EngineError, Refused, Unavailable
from tocsin.engines.kafka.brokers import Brokers
from tocsin.engines.kafka.connection import CALL_S, REQUEST_S
from tocsin.engines.kafka.topics import RECORD_BYTES_MAX

BATCH_BYTES: Final = 256 * 1024
"""A batch ends here; a larger record is a batch of its own."""
WAITING_BYTES_MAX: Final = 8 * 1024 * 1024
"""While so much waits in a lane, further appends wait before it."""
APPEND_S: Final = REQUEST_S + CALL_S
"""How long an append may take in all, waiting for its turn included."""
TIMESTAMP_END_MS: Final = 2**53
_ALL: Final = -1  # in-sync replicas that must have a record before it is acknowledged
_MAGIC: Final = 2
_SEQUENCES: Final = 2**31  # numbers of records go round
_NO_TRANSACTION_MS: Final = 2**31 - 1


class Producer:
    """Appends to the partitions of one cluster."""

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self._lanes: dict[tuple[str, int], _Lane] = {}

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        """See `Log.append`."""
        size = sum(_size(topic, record) for record in records)
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = _Lane(self._brokers, topic, partition)
        try:
            async with asyncio.timeout(APPEND_S):
                return await lane.append(records, size)
        except TimeoutError as error:
            raise Unavailable(f"appending to {topic}/{partition}: no answer within {APPEND_S:g} s") from error

    async def close(self) -> None:
        """Ends all lanes; what waits in them ends as `Unavailable`."""
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))


@dataclass(slots=True, eq=False)
class _Append:
    """Records that somebody waits for, the offset of the first, and how many are acknowledged or on their way."""

    records: Sequence[Record]
    size: int
    done: asyncio.Future[int]
    first_offset: int = -1
    batched: int = 0


class _Part(NamedTuple):
    """So many records of an append, at this place of a batch."""

    append: _Append
    place: int
    length: int


class _Lane:
    """Appends to one partition."""

    def __init__(self, brokers: Brokers, topic: str, partition: int) -> None:
        self._brokers = brokers
        self._topic = topic
        self._partition = partition
        self._doing = f"appending to {topic}/{partition}"
        self._waiting: collections.deque[_Append] = collections.deque()
        self._waiting_bytes = 0
        self._room = asyncio.Event()
        self._alone = 0
        self._sending: asyncio.Task[None] | None = None
        self._closed = False
        self._producer: tuple[int, int] | None = None
        self._sequence = 0

    async def append(self, records: Sequence[Record], size: int) -> int:
        """Waits for its turn; returns the first offset once all records are acknowledged."""
        while self._waiting_bytes and self._waiting_bytes + size > WAITING_BYTES_MAX:
            self._room.clear()
            await self._room.wait()
        if self._closed:
            raise self._gone()
        append = _Append(records, size, asyncio.get_running_loop().create_future())
        self._waiting.append(append)
        self._waiting_bytes += size
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all())
        return await append.done

    async def close(self) -> None:
        """Gives up what is on its way and what waits."""
        self._closed = True
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait((self._sending,))
        self._room.set()  # for those who wait before the lane

    async def _send_all(self) -> None:
        """Sends batch after batch until nothing waits."""
        parts: list[_Part] = []
        try:
            while self._waiting:
                parts = []
                try:
                    await self._send_next(parts)
                except Refused as error:
                    self._producer = None
                    self._refused(parts, error)
                except EngineError as error:
                    self._producer = None
                    self._fail([part.append for part in parts] or self._leave_all(), error)
                self._room.set()
        except asyncio.CancelledError:
            self._fail([*(part.append for part in parts), *self._leave_all()], self._gone())
            raise

    async def _send_next(self, parts: list[_Part]) -> None:
        """Sends one batch of what waits, and puts into `parts` what it is made of."""
        if self._producer is None:
            self._producer, self._sequence = await self._introduce(), 0
        batch = self._next_batch(self._producer, parts)
        if not parts:
            return
        timeout_ms = int(REQUEST_S * 1000)
        request = ProduceRequest(None, _ALL, timeout_ms, [(self._topic, [(self._partition, batch)])])

        def is_wanted() -> bool:
            return any(not part.append.done.done() for part in parts)

        response = await self._brokers.ask_leader(
            self._topic, self._partition, request, _code_of, self._doing, is_wanted=is_wanted
        )
        base_offset = response.topics[0][1][0][2]
        self._sequence = (self._sequence + parts[-1].place + parts[-1].length) % _SEQUENCES
        for append, place, _ in parts:
            if append.first_offset < 0:
                append.first_offset = base_offset + place
            if append.batched == len(append.records) and not append.done.done():
                append.done.set_result(append.first_offset)

    async def _introduce(self) -> tuple[int, int]:
        """A producer id of our own, and its epoch."""
        request = InitProducerIdRequest(None, _NO_TRANSACTION_MS)
        response = await self._brokers.ask_any(request, lambda answer: int(answer.error_code), self._doing)
        return response.producer_id, response.producer_epoch

    def _next_batch(self, producer: tuple[int, int], parts: list[_Part]) -> bytes:
        builder = DefaultRecordBatchBuilder(
            _MAGIC,
            compression_type=0,
            is_transactional=0,
            producer_id=producer[0],
            producer_epoch=producer[1],
            base_sequence=self._sequence,
            batch_size=BATCH_BYTES,
        )
        place = 0
        while self._waiting and not (self._alone and parts):
            append = self._waiting[0]
            if not append.done.done():  # whoever was cancelled wants nothing more
                count = _add(builder, place, append)
                if count:
                    parts.append(_Part(append, place, count))
                    append.batched += count
                    place += count
                if append.batched < len(append.records):
                    break
            self._waiting_bytes -= self._waiting.popleft().size
        self._alone -= min(self._alone, len(parts))
        return bytes(builder.build())

    def _refused(self, parts: Sequence[_Part], error: Refused) -> None:
        """Of several appends in a refused batch, each goes alone: one may be at fault. Nothing of it was appended."""
        if len(parts) == 1:
            self._fail([parts[0].append], error)
            return
        for append, _, count in reversed(parts):
            append.batched -= count
            if not self._waiting or self._waiting[0] is not append:
                self._waiting.appendleft(append)
                self._waiting_bytes += append.size
        self._alone = len(parts)

    def _gone(self) -> Unavailable:
        return Unavailable(f"{self._doing}: this log was closed")

    def _leave_all(self) -> list[_Append]:
        left = list(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        return left

    def _fail(self, appends: Sequence[_Append], error: EngineError) -> None:
        for append in appends:
            if not append.done.done():
                append.done.set_exception(error)


def _add(builder: Any, place: int, append: _Append) -> int:
    """Adds the records of an append that are in no batch yet; returns how many found room."""
    for count, record in enumerate(append.records[append.batched :]):
        timestamp_ms = record.timestamp_ms or None  # None: now
        if not builder.append(place + count, timestamp_ms, record.key, record.value, list(record.headers)):
            return count
    return len(append.records) - append.batched


def _size(topic: str, record: Record) -> int:
    """The bytes of a record; raises `Refused` for one that Kafka or we would not take."""
    try:
        names = sum(len(name.encode()) for name, _ in record.headers)
    except UnicodeEncodeError as error:
        raise Refused(f"a header of a record for {topic} is no valid text: {error}") from error
    size = len(record.key or b"") + len(record.value) + names + sum(len(content) for _, content in record.headers)
    if size > RECORD_BYTES_MAX:
        raise Refused(f"a record for {topic} has {size} bytes, and the log takes {RECORD_BYTES_MAX} at most")
    if not 0 <= record.timestamp_ms < TIMESTAMP_END_MS:
        raise Refused(f"a record for {topic} has timestamp {record.timestamp_ms} ms, which is no time of our era")
    return size


def _code_of(response: Any) -> int:
    return int(response.topics[0][1][0][1])

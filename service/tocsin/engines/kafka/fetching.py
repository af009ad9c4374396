"""Reading one partition at explicit positions.

Each fetch is a request for one partition at one offset, and no more than one answer is held of what was not asked for
yet: a broker sends whole batches, up to `ANSWER_BYTES` of them, and a set is often smaller. What is over is decoded by
the fetch that goes on there, and dropped when none came within `KEEP_S`. So nothing is read ahead of those who read,
and somebody who stops reading holds nothing after a while.
"""

import asyncio
from typing import Any, Final

from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest

from tocsin.engines.errors import OutOfRange
from tocsin.engines.kafka.answer import Answer
from tocsin.engines.kafka.brokers import Brokers
from tocsin.engines.kafka.connection import FETCH_WAIT_S
from tocsin.engines.log import Fetched

ANSWER_BYTES: Final = 1024 * 1024
"""What is asked of a broker at one time. A larger batch comes whole."""
KEEP_S: Final = 5.0
"""How long what is left of an answer is kept for the fetch that goes on there."""
EARLIEST: Final = -2
LATEST: Final = -1
_UNCOMMITTED: Final = 0  # a mirror's retried transaction is a duplicate as any other
_REPLICA: Final = -1  # we are none


class Fetcher:
    """Reads the partitions of one cluster."""

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self._left: dict[tuple[str, int], tuple[Answer, asyncio.TimerHandle]] = {}

    async def fetch(
        self, topic: str, partition: int, offset: int, *, records_max: int, bytes_max: int, wait_s: float
    ) -> Fetched:
        """See `Log.fetch`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        goes_on = records_max > 1  # a look at one record is no reading, and leaves what is left to who reads
        answer = self._take_left(topic, partition, offset) if goes_on else None
        while True:
            left_s = max(0.0, deadline - loop.time())
            if answer is None:
                answer = await self._ask(topic, partition, offset, min(bytes_max, ANSWER_BYTES), left_s)
            fetched = answer.take(records_max, bytes_max)
            if fetched.records or fetched.next_offset > offset or left_s == 0:
                if goes_on and not answer.ended:
                    self._keep_left(topic, partition, answer)
                return fetched
            answer = None

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """(first offset still there, one above the last)."""
        start, end = await asyncio.gather(
            self.offset_of(topic, partition, EARLIEST), self.offset_of(topic, partition, LATEST)
        )
        return start, max(start, end)

    async def offset_of(self, topic: str, partition: int, timestamp_ms: int) -> int:
        """The first offset of this time or later, or of `EARLIEST` or `LATEST`; below 0 when there is none."""
        request = OffsetRequest(_REPLICA, _UNCOMMITTED, [(topic, [(partition, timestamp_ms)])])
        response = await self._brokers.ask_leader(
            topic, partition, request, _code_of, f"asking for offsets of {topic}/{partition}"
        )
        return int(response.topics[0][1][0][3])

    async def _ask(self, topic: str, partition: int, offset: int, size: int, wait_s: float) -> Answer:
        """What the log has at `offset`, or at its start when that is above; waits so long when it has nothing."""
        wait_ms = int(min(wait_s, FETCH_WAIT_S) * 1000)
        while True:
            request = FetchRequest(wait_ms, 1, size, _UNCOMMITTED, [(topic, [(partition, offset, size)])])
            try:
                response = await self._brokers.ask_leader(
                    topic, partition, request, _code_of, f"fetching from {topic}/{partition} at {offset}"
                )
            except OutOfRange as error:
                start, end = await self.bounds(topic, partition)
                if offset > end:
                    raise OutOfRange(
                        f"offset {offset} of {topic}/{partition} is above the log's end, {end}: it is not the log that "
                        "the offset is from"
                    ) from error
                if start == end:
                    return Answer(b"", start, start, end)
                offset, wait_ms = max(offset, start), 0
                continue
            _, _, end, _, start, *_, raw = response.topics[0][1][0]
            return Answer(raw or b"", offset, start, end)

    def _take_left(self, topic: str, partition: int, offset: int) -> Answer | None:
        answer, timer = self._left.pop((topic, partition), (None, None))
        if timer is not None:
            timer.cancel()
        return answer if answer is not None and answer.position == offset else None

    def _keep_left(self, topic: str, partition: int, answer: Answer) -> None:
        self._take_left(topic, partition, -1)
        timer = asyncio.get_running_loop().call_later(KEEP_S, self._left.pop, (topic, partition), None)
        self._left[topic, partition] = answer, timer

    def close(self) -> None:
        """Drops what is left of answers."""
        for _, timer in self._left.values():
            timer.cancel()
        self._left.clear()


def _code_of(response: Any) -> int:
    return int(response.topics[0][1][0][1])

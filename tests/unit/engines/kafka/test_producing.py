"""What a lane does when brokers are slow or away: brokers that answer by script, and every way between them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest

from tocsin.core.requests import Record
from tocsin.engines.errors import Unavailable
from tocsin.engines.kafka import brokers as brokers_module
from tocsin.engines.kafka import producing
from tocsin.engines.kafka.brokers import Brokers
from tocsin.engines.kafka.producing import Producer
from tocsin.topology import KafkaLog

LONG_S = 5.0
SILENT, SPEAKING = "127.0.0.1:9091", "127.0.0.1:9092"
TOPIC_ID = SimpleNamespace(hex="t0")


class Cluster:
    """Brokers `SILENT` and `SPEAKING`; the second leads the only partition and answers what it is asked."""

    def __init__(self) -> None:
        self.log: list[bytes] = []
        """The batches that arrived."""
        self.connectable = asyncio.Event()
        self.connectable.set()
        self.connecting = 0

    async def connect(self, host: str, port: int, _arguments: object) -> "Connection":
        self.connecting += 1
        await self.connectable.wait()
        return Connection(self, silent=f"{host}:{port}" == SILENT)

    async def answer(self, request: Any) -> Any:
        match request:
            case InitProducerIdRequest():
                return SimpleNamespace(error_code=0, producer_id=7, producer_epoch=0)
            case ProduceRequest():
                self.log.append(request._topics[0][1][0][1])
                return SimpleNamespace(topics=[("t", [(0, 0, len(self.log) - 1)])])
        partition: Any = (0, 0, 1, 0, [1], [1], [], {})
        topic: Any = (0, "t", TOPIC_ID, False, [partition], 0, {})
        return SimpleNamespace(
            cluster_id="c", controller_id=1, brokers=[(1, "127.0.0.1", 9092, None, {})], topics=[topic]
        )


class Connection:
    """A connection as aiokafka's, as far as it is used."""

    def __init__(self, cluster: Cluster, *, silent: bool) -> None:
        self._cluster = cluster
        self._silent = silent

    def connected(self) -> bool:
        return True

    async def send(self, request: Any) -> Any:
        if self._silent:
            await asyncio.Event().wait()
        return await self._cluster.answer(request)

    def close(self) -> None:
        pass


@pytest_asyncio.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    monkeypatch.setattr(brokers_module, "connect", cluster.connect)
    return cluster


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[..., Producer]]:
    started: list[Brokers] = []

    def start_one(*bootstrap: str) -> Producer:
        section = {"engine": "kafka", "bootstrap": bootstrap or (SPEAKING,), "retention_s": 60.0}
        started.append(Brokers(KafkaLog.model_validate(section), tmp_path))
        return Producer(started[-1])

    yield start_one
    for brokers in started:
        await brokers.close()


def record(value: bytes) -> Record:
    return Record(b"k", value, (), 1)


async def test_a_broker_that_never_answers_leaves_time_to_ask_the_next(
    cluster: Cluster, start: Callable[..., Producer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brokers_module, "CALL_S", 0.5)
    producer = start(SILENT, SPEAKING)
    async with asyncio.timeout(LONG_S):
        assert await producer.append("t", 0, [record(b"v")]) == 0
    assert len(cluster.log) == 1
    await producer.close()


async def test_what_its_caller_gave_up_while_the_leader_was_being_reached_is_never_sent(
    cluster: Cluster, start: Callable[..., Producer]
) -> None:
    producer = start()
    await producer.append("t", 0, [record(b"first")])
    for idle in producer._brokers._idle.values():
        idle.clear()
    cluster.connectable.clear()
    connecting = cluster.connecting
    given_up = asyncio.create_task(producer.append("t", 0, [record(b"given up")]))
    async with asyncio.timeout(LONG_S):
        while cluster.connecting == connecting:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait((given_up,))
    cluster.connectable.set()
    async with asyncio.timeout(LONG_S):
        await producer.append("t", 0, [record(b"second")])
    assert [b"given up" in batch for batch in cluster.log] == [False] * 2
    await producer.close()


async def test_who_waits_for_room_is_told_when_a_log_is_closed(
    cluster: Cluster, start: Callable[..., Producer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producing, "WAITING_BYTES_MAX", 10)
    cluster.connectable.clear()
    producer = start()
    appends = [asyncio.create_task(producer.append("t", 0, [record(bytes(9))])) for _ in range(3)]
    while not cluster.connecting:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
    await producer.close()
    async with asyncio.timeout(LONG_S):
        answers = await asyncio.gather(*appends, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    assert not [task for task in asyncio.all_tasks() if "_send_all" in repr(task)]

"""What becomes of requests whose connection breaks."""

import asyncio
import contextlib
import socket
import struct
from pathlib import Path

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection

from tocsin.engines.errors import Unavailable
from tocsin.engines.kafka.brokers import Brokers
from tocsin.engines.kafka.metadata import MetadataRequest
from tocsin.topology import KafkaLog

LINGER_OFF = struct.pack("ii", 1, 0)
"""A close with this is a reset."""


def test_a_connection_that_was_reset_while_idle_is_unavailable_and_no_fault_of_ours(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,  # as roles have it
    ):
        runner.run(_ask_on_a_reset_connection(listening, listening.getsockname(), tmp_path))


async def _ask_on_a_reset_connection(listening: socket.socket, address: tuple[str, int], folder: Path) -> None:
    section = {"engine": "kafka", "bootstrap": (f"{address[0]}:{address[1]}",), "retention_s": 60.0}
    brokers = Brokers(KafkaLog.model_validate(section), folder)
    connection = AIOKafkaConnection(*address)
    connection._reader, connection._writer = await asyncio.open_connection(*address)
    connection._read_task = asyncio.create_task(asyncio.Event().wait())  # it does not get its turn
    connection._versions = {MetadataRequest.API_KEY: (0, 12)}
    accepted, _ = listening.accept()
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_OFF)
    accepted.close()
    listening.close()
    while not connection._writer.transport.is_closing():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)
    assert connection.connected()  # as far as aiokafka can tell
    brokers._idle[address].append(connection)
    with pytest.raises(Unavailable):
        async with asyncio.timeout(5):
            await brokers.ask(address, MetadataRequest([]))
    with contextlib.suppress(OSError):
        await brokers.close()

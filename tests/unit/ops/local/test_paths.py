"""A network path passes what it is given, and breaks in the ways that it is asked to."""

import asyncio
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterator

import pytest

from tocsin.ops.local.directions import Direction
from tocsin.ops.local.paths import NetworkPath
from tocsin.ops.local.ports import HOST, Ports

WAIT_S = 5.0
SILENT_S = 0.3
"""What has not come after this long is not on its way: all is on one machine and idle."""

MEGABYTE = b"x" * 1_000_000
HELD_BYTES_MAX = 64_000_000
"""Its own 16 MiB, and what sockets and streams hold."""


class Line:
    """A client's connection through the path, to a server that gives back what it gets."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, word: bytes) -> None:
        self.writer.write(word)

    async def receives(self, word: bytes) -> None:
        async with asyncio.timeout(WAIT_S):
            assert await self.reader.readexactly(len(word)) == word

    async def is_silent(self) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SILENT_S):
                await self.reader.readexactly(1)


class Echo:
    """The server: what it heard, and who is connected."""

    def __init__(self) -> None:
        self.heard = b""

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        while chunk := await reader.read(65_536):
            self.heard += chunk
            writer.write(chunk)
        writer.close()


@pytest.fixture
def ports() -> Iterator[Ports]:
    ports = Ports()
    yield ports
    ports.close()


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, int]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, HOST, 0)
    yield echo, server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def path(ports: Ports, echo: tuple[Echo, int]) -> AsyncIterator[NetworkPath]:
    path = NetworkPath("broker-a", ports.reserve(), echo[1])
    await path.open()
    yield path
    await path.close()


@pytest.fixture
async def line(path: NetworkPath) -> AsyncIterator[Line]:
    line = await connected(path)
    yield line
    line.writer.close()


async def connected(path: NetworkPath) -> Line:
    return Line(*await asyncio.open_connection(HOST, path.port))


async def until_reset(line: Line) -> None:
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(ConnectionResetError):
            await line.reader.readexactly(1)


async def test_it_carries_both_ways_whatever_the_size(line: Line, path: NetworkPath) -> None:
    large = b"0123456789abcdef" * 400_000

    line.send(large)
    await line.receives(large)

    assert path.status["carried_bytes"] == {"to-server": len(large), "to-client": len(large)}
    assert path.faults == []


async def test_the_end_of_one_side_is_passed_on(line: Line) -> None:
    line.send(b"last words")
    line.writer.write_eof()

    async with asyncio.timeout(WAIT_S):
        assert await line.reader.read() == b"last words"


async def test_a_cut_resets_connections_and_refuses_new_ones_until_it_is_healed(line: Line, path: NetworkPath) -> None:
    line.send(b"before")
    await line.receives(b"before")

    path.cut()

    await until_reset(line)
    assert path.faults == ["cut"]
    with pytest.raises(ConnectionRefusedError):
        await connected(path)

    await path.heal()
    again = await connected(path)
    again.send(b"after")
    await again.receives(b"after")
    again.writer.close()
    assert path.faults == []


async def test_a_reset_ends_connections_and_lets_new_ones_pass(line: Line, path: NetworkPath) -> None:
    line.send(b"before")
    await line.receives(b"before")

    path.reset()

    await until_reset(line)
    again = await connected(path)
    again.send(b"after")
    await again.receives(b"after")
    again.writer.close()


@pytest.mark.parametrize(
    ("direction", "is_heard"), [(Direction.TO_SERVER, False), (Direction.TO_CLIENT, True), (Direction.BOTH, False)]
)
async def test_a_stall_swallows_one_direction_or_both_and_loses_nothing(
    line: Line, path: NetworkPath, echo: tuple[Echo, int], direction: Direction, *, is_heard: bool
) -> None:
    path.stall(direction)

    line.send(b"held")
    await line.is_silent()
    assert (echo[0].heard == b"held") is is_heard
    assert path.faults == [f"stalled {one}" for one in ("to-server", "to-client") if direction in {one, "both"}]

    await path.heal()
    await line.receives(b"held")


async def test_a_stalled_path_takes_connections(path: NetworkPath) -> None:
    path.stall()

    line = await connected(path)
    line.send(b"anybody?")
    await line.is_silent()

    await path.heal()
    await line.receives(b"anybody?")
    line.writer.close()


async def test_a_delay_is_added_to_what_passes_and_keeps_the_order(line: Line, path: NetworkPath) -> None:
    path.delay(0.2, Direction.TO_SERVER)

    began_s = time.monotonic()
    for number in range(10):
        line.send(b"%d" % number)
        await asyncio.sleep(0)
    await line.receives(b"0123456789")

    assert time.monotonic() - began_s >= 0.2
    assert path.faults == ["delayed 0.2 s to-server"]


async def test_a_server_that_is_gone_ends_the_client(ports: Ports) -> None:
    path = NetworkPath("broker-a", ports.reserve(), ports.reserve())
    await path.open()

    line = await connected(path)
    async with asyncio.timeout(WAIT_S):
        assert await line.reader.read() == b""
    line.writer.close()
    await path.close()


async def test_what_a_stalled_path_holds_is_bounded(line: Line, path: NetworkPath) -> None:
    path.stall(Direction.TO_SERVER)

    async def fill() -> None:
        for _ in range(HELD_BYTES_MAX // len(MEGABYTE)):
            line.send(MEGABYTE)
            async with asyncio.timeout(SILENT_S):
                await line.writer.drain()

    with pytest.raises(TimeoutError):  # at some point it takes no more
        await fill()

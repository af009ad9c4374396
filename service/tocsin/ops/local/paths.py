"""A network path that can be broken: a TCP proxy between clients and one server.

    cut     connections are reset, and new ones refused: a host that is gone, a firewall that says so
    stall   connections stay, and nothing passes in a direction: a network that swallows packets
    delay   what passes in a direction arrives so much later
    reset   connections are reset, once; new ones pass

What a stalled or delayed path holds is bounded: then it reads no further, and TCP itself stops the sender. Both
directions of one connection are told apart as seen from the client: to the server, and to the client.
"""

import asyncio
import contextlib
import socket
import struct
from asyncio import Queue, StreamReader, StreamWriter
from collections.abc import Iterator
from typing import Any, Final

from tocsin.ops.local.directions import Direction
from tocsin.ops.local.ports import HOST

CHUNK_BYTES_MAX: Final = 65_536
CHUNKS_MAX: Final = 256
"""A direction of a connection holds no more chunks than that."""
CONNECT_S_MAX: Final = 5.0
LINGER_NONE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER by which closing a socket resets its connection."""


class _Flow:
    """One direction of a path: what is asked of all connections in it."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.passes = asyncio.Event()
        self.passes.set()
        self.carried_bytes = 0

    def heal(self) -> None:
        self.delay_s = 0.0
        self.passes.set()

    async def carry(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Carries from one side to the other until the first ends, then ends the second's input."""
        under_way: Queue[tuple[float, bytes]] = Queue(CHUNKS_MAX)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take(reader, under_way))
            group.create_task(self._give(under_way, writer))

    async def _take(self, reader: StreamReader, under_way: "Queue[tuple[float, bytes]]") -> None:
        loop, chunk = asyncio.get_running_loop(), b"-"
        while chunk:
            chunk = await reader.read(CHUNK_BYTES_MAX)
            await under_way.put((loop.time() + self.delay_s, chunk))

    async def _give(self, under_way: "Queue[tuple[float, bytes]]", writer: StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s, chunk = await under_way.get()
            if due_s > loop.time():
                await asyncio.sleep(due_s - loop.time())
            await self.passes.wait()
            if not chunk:
                writer.write_eof()
                return
            writer.write(chunk)
            self.carried_bytes += len(chunk)
            await writer.drain()


class NetworkPath:
    """A path from a port of its own to a server's. `open` lets connections in; all faults act at once."""

    def __init__(self, name: str, port: int, server_port: int) -> None:
        """`port` is one that is reserved, so that nobody else has it while the path is cut."""
        self.name = name
        self.port = port
        self._server_port = server_port
        self._flows = {Direction.TO_SERVER: _Flow(), Direction.TO_CLIENT: _Flow()}
        self._listening: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._writers: set[StreamWriter] = set()

    @property
    def faults(self) -> list[str]:
        """What is wrong with it, in words; empty when it passes everything."""
        return list(self._faults())

    @property
    def status(self) -> dict[str, Any]:
        """As `tocsin local status --json` has it."""
        return {
            "name": self.name,
            "port": self.port,
            "server_port": self._server_port,
            "faults": self.faults,
            "connections": len(self._connections),
            "carried_bytes": {direction: flow.carried_bytes for direction, flow in self._flows.items()},
        }

    async def open(self) -> None:
        """Lets connections in; nothing when it does already."""
        if self._listening is None:
            self._listening = await asyncio.start_server(self._serve, HOST, self.port)

    async def close(self) -> None:
        """Ends all connections, and lets none in."""
        self.cut()
        await asyncio.gather(*self._connections, return_exceptions=True)

    # Faults ------------------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Resets all connections and refuses new ones, until `heal`."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        self.reset()

    def reset(self) -> None:
        """Resets all connections, once."""
        for writer in self._writers:
            with contextlib.suppress(OSError):  # it ended in the meantime
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
            writer.transport.abort()
        for connection in self._connections:
            connection.cancel()

    def stall(self, direction: Direction = Direction.BOTH) -> None:
        """Lets nothing pass in a direction, until `heal`; connections stay, and new ones are taken."""
        for flow in self._towards(direction):
            flow.passes.clear()

    def delay(self, delay_s: float, direction: Direction = Direction.BOTH) -> None:
        """Delivers what is sent from now on so much later, until `heal`."""
        for flow in self._towards(direction):
            flow.delay_s = delay_s

    async def heal(self) -> None:
        """Ends all faults; what a stall held passes."""
        for flow in self._flows.values():
            flow.heal()
        await self.open()

    def _towards(self, direction: Direction) -> list[_Flow]:
        return [flow for towards, flow in self._flows.items() if direction in {towards, Direction.BOTH}]

    def _faults(self) -> Iterator[str]:
        if self._listening is None:
            yield "cut"
        for direction, flow in self._flows.items():
            if not flow.passes.is_set():
                yield f"stalled {direction}"
            if flow.delay_s:
                yield f"delayed {flow.delay_s:g} s {direction}"

    # Connections -------------------------------------------------------------------------------------------------

    async def _serve(self, client_reader: StreamReader, client_writer: StreamWriter) -> None:
        """One connection of a client, from its beginning to its end."""
        connection = asyncio.current_task()
        assert connection is not None  # noqa: S101 - asyncio runs it as one
        self._connections.add(connection)
        self._writers.add(client_writer)
        writers = [client_writer]
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                server_reader, server_writer = await asyncio.open_connection(HOST, self._server_port)
            self._writers.add(server_writer)
            writers.append(server_writer)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._flows[Direction.TO_SERVER].carry(client_reader, server_writer))
                group.create_task(self._flows[Direction.TO_CLIENT].carry(server_reader, client_writer))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            pass  # a side went away, or the path was broken: the other is told by its own connection's end
        finally:
            for writer in writers:
                writer.transport.abort()
                self._writers.discard(writer)
            self._connections.discard(connection)

"""The child in which suspects are tried, without a child: a process of the simulation that speaks the same protocol.

`Trials` is the real one; only what it starts is ours. The child runs the real `try_all` on a connection of its own.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec

from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.store import SimStore
from tocsin.core.requests import Request
from tocsin.roles.trial import _LENGTH, try_all

START_S: Final = 0.1
KILLED: Final = -9


class SimChild:
    """What `asyncio.create_subprocess_exec` would return."""

    def __init__(self, loop: VirtualLoop, process: Process, store: SimStore, parent: Process) -> None:
        self.stdin = _Stdin(self)
        self.stdout = asyncio.StreamReader(loop=loop)
        self.returncode: int | None = None
        self.input = asyncio.StreamReader(loop=loop)
        self._ended = loop.create_future()
        self._process = process
        process.at_death.append(self._end)
        parent.at_death.append(process.die)  # its input ends; what it had sent to the store arrives all the same
        loop.spawn(process, self._serve(store))

    @property
    def alive(self) -> bool:
        """Whether it still takes anything."""
        return self._process.alive

    def kill(self) -> None:
        """Ends it; raises ProcessLookupError when it has ended."""
        if not self.alive:
            raise ProcessLookupError
        self._process.die()

    async def wait(self) -> int | None:
        """Returns when it has ended."""
        await asyncio.shield(self._ended)
        return self.returncode

    def _end(self) -> None:
        self.returncode = KILLED
        self.stdout.feed_eof()
        if not self._ended.done():
            self._ended.set_result(None)

    async def _serve(self, store: SimStore) -> None:
        """As `tocsin.roles.trial.serve` does, without standard input and output."""
        await asyncio.sleep(START_S)
        self._answer(b"")
        while True:
            (length,) = _LENGTH.unpack(await self.input.readexactly(_LENGTH.size))
            raw = await self.input.readexactly(length)
            self._answer(b"")
            failures = await try_all(store, msgspec.msgpack.decode(raw, type=list[Request]))
            self._answer(msgspec.msgpack.encode(failures))

    def _answer(self, message: bytes) -> None:
        self.stdout.feed_data(_LENGTH.pack(len(message)) + message)


class _Stdin:
    """A child's standard input as its parent writes it."""

    def __init__(self, child: SimChild) -> None:
        self._child = child

    def write(self, data: bytes) -> None:
        """Writes without waiting."""
        if self._child.alive:
            self._child.input.feed_data(data)

    async def drain(self) -> None:
        """Raises ConnectionResetError when nobody reads it any more."""
        if not self._child.alive:
            raise ConnectionResetError


StartChild = Callable[..., Any]

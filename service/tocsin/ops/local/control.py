"""How other processes steer a set: a Unix socket in its folder, one JSON object a line each way.

    {"do": "stall", "name": "broker-a", "direction": "to-client"}   ->   {"done": "..."}
    {"do": "kill", "name": "nobody"}                                ->   {"refused": "no server 'nobody'; known: ..."}

Whoever may open the folder may steer: the socket is its owner's alone. A deed is answered when it is done: a start
when a round trip worked, a kill when the process is gone.
"""

import asyncio
import contextlib
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tocsin.engines.errors import EngineError, Misconfigured, Unavailable
from tocsin.ops.local.directions import Direction
from tocsin.ops.local.folder import SetFolder
from tocsin.ops.local.servers import READY_S_MAX
from tocsin.ops.local.set import ServerSet

LINE_BYTES_MAX: Final = 1024 * 1024
"""Of an answer; a status has some kilobytes."""
ANSWER_S_MAX: Final = 2 * READY_S_MAX
"""The longest deed is a start, after the stop before it."""
DELAY_S_MAX: Final = 60.0


class ControlServer:
    """Answers for one set."""

    def __init__(self, servers: ServerSet) -> None:
        self._set = servers
        self._deeds: Mapping[str, Callable[[Mapping[str, Any]], Awaitable[Any]]] = {
            "status": self._status,
            "cut": self._cut,
            "stall": self._stall,
            "delay": self._delay,
            "reset": self._reset,
            "heal": self._heal,
            "kill": self._kill,
            "pause": self._pause,
            "resume": self._resume,
            "start": self._start,
            "stop": self._stop,
            "restart": self._restart,
        }

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Answers until the end; for the one who holds the folder."""
        with self._set.folder.socket() as path:
            path.unlink(missing_ok=True)  # of a supervisor that was killed
            server = await asyncio.start_unix_server(self._answer_all, path, limit=LINE_BYTES_MAX)
            path.chmod(0o600)
        try:
            yield
        finally:
            server.close()
            (self._set.folder.path / "control").unlink(missing_ok=True)

    async def _answer_all(self, reader: StreamReader, writer: StreamWriter) -> None:
        with (
            contextlib.closing(writer),
            contextlib.suppress(OSError, ValueError, RecursionError),
        ):  # the other side is gone, or odd
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(json.loads(line))).encode() + b"\n")
                await writer.drain()

    async def _answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        deed = self._deeds.get(str(asked.get("do")))
        if deed is None:
            return {"refused": f"no deed {asked.get('do')!r}; known: {', '.join(self._deeds)}"}
        try:
            return {"done": await deed(asked)}
        except Unavailable as error:
            return {"unavailable": str(error)}
        except (EngineError, KeyError, ValueError) as error:
            return {"refused": str(error)}

    # Of the set --------------------------------------------------------------------------------------------------

    async def _status(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return self._set.status

    # Of paths ----------------------------------------------------------------------------------------------------

    async def _cut(self, asked: Mapping[str, Any]) -> None:
        self._set.path(asked["name"]).cut()

    async def _stall(self, asked: Mapping[str, Any]) -> None:
        self._set.path(asked["name"]).stall(Direction(asked["direction"]))

    async def _delay(self, asked: Mapping[str, Any]) -> None:
        delay_s = float(asked["delay_s"])
        if not 0 < delay_s <= DELAY_S_MAX:
            raise Misconfigured(f"a delay is above 0 and at most {DELAY_S_MAX:.0f} s, not {delay_s:g}")
        self._set.path(asked["name"]).delay(delay_s, Direction(asked["direction"]))

    async def _reset(self, asked: Mapping[str, Any]) -> None:
        self._set.path(asked["name"]).reset()

    async def _heal(self, asked: Mapping[str, Any]) -> None:
        name = asked.get("name")
        for path in [self._set.path(name)] if name else self._set.paths.values():
            await path.heal()

    # Of servers --------------------------------------------------------------------------------------------------

    async def _kill(self, asked: Mapping[str, Any]) -> None:
        await self._set.server(asked["name"]).kill()

    async def _pause(self, asked: Mapping[str, Any]) -> None:
        self._set.server(asked["name"]).pause()

    async def _resume(self, asked: Mapping[str, Any]) -> None:
        self._set.server(asked["name"]).resume()

    async def _stop(self, asked: Mapping[str, Any]) -> None:
        await self._set.server(asked["name"]).stop()

    async def _start(self, asked: Mapping[str, Any]) -> float | None:
        server = self._set.server(asked["name"])
        await server.start()
        return server.ready_s

    async def _restart(self, asked: Mapping[str, Any]) -> float | None:
        await self._stop(asked)
        return await self._start(asked)


class LocalControl:
    """Steers the set of a folder: for tests, drills and commands.

    Names are those of `tocsin local status`: `broker-a` and `cassandra-a` are a region's servers, and the paths of its
    roles to them; `mirror-a-b` is the mirror from a to b, and the path by which it reads a. Each call raises
    `Unavailable` when no set runs there or a deed failed, and `Misconfigured` when it makes no sense.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = SetFolder(folder)

    async def status(self) -> dict[str, Any]:
        """All that is known of the set: `tocsin local status --json`."""
        return dict(await self._do("status"))

    async def cut(self, path: str) -> None:
        """Resets the path's connections and refuses new ones, until `heal`."""
        await self._do("cut", name=path)

    async def stall(self, path: str, direction: Direction = Direction.BOTH) -> None:
        """Lets nothing pass in a direction, until `heal`; connections stay."""
        await self._do("stall", name=path, direction=direction)

    async def delay(self, path: str, delay_s: float, direction: Direction = Direction.BOTH) -> None:
        """Delivers what is sent from now on so much later, until `heal`."""
        await self._do("delay", name=path, delay_s=delay_s, direction=direction)

    async def reset(self, path: str) -> None:
        """Resets the path's connections, once."""
        await self._do("reset", name=path)

    async def heal(self, path: str | None = None) -> None:
        """Ends all faults of a path; of all paths when none is named."""
        await self._do("heal", name=path)

    async def kill(self, server: str) -> None:
        """Ends a server with SIGKILL, and leaves it dead until `start`."""
        await self._do("kill", name=server)

    async def pause(self, server: str) -> None:
        """Stops a server where it is (SIGSTOP), until `resume`."""
        await self._do("pause", name=server)

    async def resume(self, server: str) -> None:
        """Lets a paused server go on."""
        await self._do("resume", name=server)

    async def stop(self, server: str) -> None:
        """Ends a server in good order, and leaves it so until `start`."""
        await self._do("stop", name=server)

    async def start(self, server: str) -> float:
        """Starts a server; returns once a round trip worked, with the seconds that it took."""
        return float(await self._do("start", name=server))

    async def restart(self, server: str) -> float:
        """Stops a server in good order and starts it; returns as `start` does."""
        return float(await self._do("restart", name=server))

    async def _do(self, deed: str, **given: Any) -> Any:
        try:
            with self._folder.socket() as path:
                reader, writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES_MAX)
        except OSError:
            raise Unavailable(f"no servers run in {self._folder.path}: start them (tocsin local up)") from None
        with contextlib.closing(writer):
            writer.write(json.dumps({"do": deed, **given}).encode() + b"\n")
            try:
                async with asyncio.timeout(ANSWER_S_MAX):
                    line = await reader.readline()
            except TimeoutError:
                raise Unavailable(f"{deed}: no answer within {ANSWER_S_MAX:.0f} s; it may still be done") from None
        if not line:
            raise Unavailable(f"{deed}: the set ended before it answered")
        match json.loads(line):
            case {"done": result}:
                return result
            case {"unavailable": why}:
                raise Unavailable(why)
            case {"refused": why}:
                raise Misconfigured(why)

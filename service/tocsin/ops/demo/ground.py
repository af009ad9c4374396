"""What the demo's regions stand on: files of this machine, or real servers, started for it and ended with it."""

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tocsin.engines.errors import Unavailable
from tocsin.engines.faults import FaultSwitch
from tocsin.ops.demo.engine import Engine
from tocsin.ops.demo.mirrors import EmbeddedMirrors, Mirrors, ServerMirrors
from tocsin.ops.local.control import LocalControl
from tocsin.ops.local.folder import SetFolder
from tocsin.ops.local.set import READY
from tocsin.ops.local.tether import tethered
from tocsin.settings import Settings

SERVERS: Final = Path("build/servers/demo")
LOOK_EVERY_S: Final = 0.2
EMBEDDED_WAIT_S_MAX: Final = 60.0
REAL_WAIT_S_MAX: Final = 120.0
END_S_MAX: Final = 60.0
"""Servers that have not ended so long after they were asked to are killed."""


class Ground(NamedTuple):
    """Settings whose region files name the engines, and the mirrors between the regions."""

    engine: Engine
    store: str
    settings: Settings
    mirrors: Mirrors
    wait_s_max: float
    """How long anything may take to come about: on real servers a creator that was killed is waited for first."""


@asynccontextmanager
async def prepare(
    engine: Engine, settings: Settings, switch: FaultSwitch, say: Callable[[str], None]
) -> AsyncIterator[Ground]:
    """Gives the ground for a show. `say` hears what takes time.

    Raises `Owned` while another demo has the servers, and `Unavailable`, with what they said last, when they do not
    start.
    """
    if engine is Engine.EMBEDDED:
        yield Ground(engine, "sqlite", settings, EmbeddedMirrors(switch), EMBEDDED_WAIT_S_MAX)
        return
    folder = SetFolder(SERVERS)
    async with running_servers(folder, settings.regions_dir, say) as control:
        on_servers = settings.model_copy(update={"regions_dir": folder.regions})
        yield Ground(engine, "cassandra", on_servers, ServerMirrors(control), REAL_WAIT_S_MAX)


@asynccontextmanager
async def running_servers(
    folder: SetFolder, regions_dir: Path, say: Callable[[str], None]
) -> AsyncIterator[LocalControl]:
    """Real servers for these regions, in a folder that is made anew; a child process has them, to the end.

    Raises as `prepare` does.
    """
    folder.remove()
    servers = await asyncio.create_subprocess_exec(
        *tethered([sys.executable, "-m", "tocsin", "local", "up", "--name", folder.name]),
        *("--sets-dir", str(folder.path.parent), "--regions-dir", str(regions_dir)),
        stdout=PIPE,
        stderr=STDOUT,
        start_new_session=True,
    )
    try:
        telling = asyncio.create_task(_tell(servers, say))
        await _ready(folder, telling)
        yield LocalControl(folder.path)
    finally:
        await _end(servers)
    await telling


async def _tell(servers: Process, say: Callable[[str], None]) -> str:
    """Passes on what the servers' supervisor says; returns the last line, when it has ended."""
    assert servers.stdout is not None  # noqa: S101 - it was asked for
    last = ""
    async for line in servers.stdout:
        last = line.decode(errors="replace").rstrip() or last
        say(last)
    return last


async def _ready(folder: SetFolder, telling: "asyncio.Task[str]") -> None:
    while (folder.published() or {}).get("state") != READY:
        if telling.done():
            raise Unavailable(f"the servers did not start: {await telling}")
        await asyncio.sleep(LOOK_EVERY_S)


async def _end(servers: Process) -> None:
    if servers.returncode is None:
        servers.terminate()
    try:
        async with asyncio.timeout(END_S_MAX):
            await servers.wait()
    except TimeoutError:
        servers.kill()
        await servers.wait()

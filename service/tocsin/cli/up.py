"""`tocsin up`: all roles of all local regions in the foreground, until Ctrl-C."""

import asyncio
import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from tocsin.cli import output
from tocsin.settings import Settings

if TYPE_CHECKING:
    from tocsin.ops.supervisor import LocalSet

app = typer.Typer()

QUIET_S: Final = 2.0
"""Who waits no longer than this is told nothing of waiting."""
SAY_EVERY_S: Final = 5.0
"""How often a waiting that goes on is told where there is no terminal to show it on."""
LOOK_EVERY_S: Final = 1.0


@app.command()
def up(regions_dir: output.RegionsDir = None) -> None:
    """Run all roles of all local regions in the foreground, until Ctrl-C.

    The first start makes the data directory, and a directory of services with keys of their own; each start makes a
    token that reads and acts, good until the end. Where everything is, it writes to build/up.json once all is ready,
    and `tocsin region ls` shows. What dies is started again. Logs: logs/ in the data directory.
    """
    from tocsin.ops.supervisor import LocalSet

    settings = Settings.load(regions_dir=regions_dir)
    screen = Screen()
    asyncio.run(_up(LocalSet(settings, screen.say), settings, screen))


async def _up(local: "LocalSet", settings: Settings, screen: "Screen") -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)
    try:
        await local.launch()
        _remove(settings.up_file)  # of one that was killed
        screen.begin(local)
        if await _before(stopping, local.wait_ready(screen.waiting)):
            screen.ready(local, settings)
            await _publish(local, settings.up_file, stopping)
        screen.end()
    finally:
        await local.stop()
    screen.say("all has ended")


async def _before(stopping: asyncio.Event, waiting: Any) -> bool:
    """Whether the waiting came to its end before a stop was asked for."""
    wanted, stop = asyncio.ensure_future(waiting), asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((wanted, stop), return_when=asyncio.FIRST_COMPLETED)
        if not wanted.done():
            return False
        await wanted
        return True
    finally:
        for task in (wanted, stop):
            task.cancel()
        await asyncio.gather(wanted, stop, return_exceptions=True)


async def _publish(local: "LocalSet", up_file: Path, stopping: asyncio.Event) -> None:
    """Keeps the file true until the stop: a child that lost its port has another address from then on."""
    written = None
    try:
        while not stopping.is_set():
            published = local.published
            if published != written:
                _write(up_file, published)
                written = published
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await stopping.wait()
    finally:
        _remove(up_file)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _write(path: Path, published: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=path.name, dir=path.parent)  # readable by its owner alone: it has a token
    with os.fdopen(handle, "w") as file:
        json.dump(published, file, indent=2)
        file.write("\n")
    Path(name).replace(path)


class Screen:
    """Tells a person what comes up and what dies; on a terminal with a line that shows what is waited for."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, soft_wrap=True)
        self._status = self._console.status("")
        self._began_s = self._told_s = time.monotonic()
        self._names: dict[str, str | None] = {}

    def say(self, text: str) -> None:
        """A line."""
        from rich.text import Text

        self._console.print(Text(output.clean(text)))

    def begin(self, local: "LocalSet") -> None:
        """All is being started."""
        self._names = dict.fromkeys(child.name for child in local.processes.values())
        regions = sorted({region for region, _ in local.processes})
        self.say(f"starting {len(self._names)} processes of regions {', '.join(regions)}")

    def waiting(self, unready: Mapping[str, list[str]]) -> None:
        """So much is not ready yet."""
        seconds = time.monotonic() - self._began_s
        for name in [name for name in self._names if name not in unready]:
            del self._names[name]
            self.say(f"  ready after {seconds:4.1f} s: {name}")
        if not unready:
            self._status.stop()
        elif seconds > QUIET_S:
            self._show("; ".join(f"{name}: {', '.join(whys)}" for name, whys in unready.items()))

    def _show(self, what: str) -> None:
        from rich.text import Text

        text = f"waiting for {what}"
        if self._console.is_terminal:
            self._status.update(Text(output.clean(text)))
            self._status.start()
        elif time.monotonic() - self._told_s > SAY_EVERY_S:
            self._told_s = time.monotonic()
            self.say(text)

    def ready(self, local: "LocalSet", settings: Settings) -> None:
        """All is ready."""
        for region in local.urls:
            self.say(f"region {region['name']}: events {region['intake_url']}, queries {region['query_url']}")
        self.say(f"routing key and token: {settings.up_file}; logs: {settings.path(Path('logs'))}; Ctrl-C ends all")

    def end(self) -> None:
        """All is being ended."""
        self._status.stop()
        self.say("ending all")

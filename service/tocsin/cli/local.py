"""`tocsin local`: Kafka, MirrorMaker 2 and Cassandra on this machine, and what can be broken of them."""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tocsin.cli import output
from tocsin.ops.local.directions import Direction
from tocsin.settings import Settings

if TYPE_CHECKING:
    from tocsin.ops.local.control import LocalControl
    from tocsin.ops.local.folder import SetFolder

app = typer.Typer(no_args_is_help=True)

LOOK_EVERY_S: Final = 0.3
SAY_EVERY_S: Final = 5.0
"""How often a waiting that goes on is told where there is no terminal to show it on."""
DOWN_S_MAX: Final = 45.0
"""A set that has not ended so long after it was asked to is killed."""
LINES: Final = 40
MEGABYTE: Final = 1024 * 1024

SetName = Annotated[str, typer.Option("--name", help="The set; several can run at once.")]
SetsDir = Annotated[Path, typer.Option("--sets-dir", help="Where sets are kept, each in a folder of its name.")]
PathName = Annotated[str, typer.Argument(metavar="PATH", help="The network path, e.g. broker-a or mirror-a-b.")]
ServerName = Annotated[str, typer.Argument(metavar="SERVER", help="The server, e.g. cassandra-b.")]
Towards = Annotated[Direction, typer.Option("--direction", help="Of what passes, as seen from the client.")]

NAME: Final = "local"
SETS: Final = Path("build/servers")


@app.callback()
def local() -> None:
    """Kafka, MirrorMaker 2 and Cassandra on this machine, from jars: for tests, drills and the demo.

    For each region a broker and a node, and a mirror each way. A path and the server at its end have one name:
    `broker-a` and `cassandra-a` are what region a's roles talk to; `mirror-a-b` reads a and writes to b.
    """


# The set -------------------------------------------------------------------------------------------------------------


@app.command()
def up(
    detach: Annotated[bool, typer.Option("--detach", help="Return once all works; one process stays.")] = False,
    name: SetName = NAME,
    sets_dir: SetsDir = SETS,
    regions_dir: output.RegionsDir = None,
) -> None:
    """Start the servers, and keep them until Ctrl-C.

    Needs Java 17, and for the first start Maven and its repository. Ports are chosen free; set.json in the set's folder
    says which, and regions/ there has region files that name them. Data of an earlier start are kept.
    """
    folder = _folder(name, sets_dir)
    settings = Settings.load(regions_dir=regions_dir)
    if detach:
        _detach(folder, settings)
    else:
        asyncio.run(_up(folder, settings, Screen()))


async def _up(folder: "SetFolder", settings: Settings, screen: "Screen") -> None:
    from tocsin.ops.local.control import ControlServer
    from tocsin.ops.local.set import ServerSet

    for client in ("aiokafka", "cassandra"):  # of servers that do not answer yet, the screen tells in our words
        logging.getLogger(client).setLevel(logging.CRITICAL)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)
    with folder.held():
        servers = ServerSet(folder, settings, screen.say)
        async with ControlServer(servers).listening():
            starting = asyncio.create_task(servers.start())
            try:
                while not starting.done() and not stopping.is_set():
                    screen.waiting(servers.waiting)
                    await asyncio.sleep(LOOK_EVERY_S)
                if starting.done():
                    await starting
                    screen.ready(servers.status)
                    servers.publish()  # when all is told, since a command that detached waits for this
                await stopping.wait()
            finally:
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
                screen.say("ending all")
                await servers.stop()
    screen.say("all has ended")


def _detach(folder: "SetFolder", settings: Settings) -> None:
    """Starts a supervisor that stays, and tells what it tells until all works."""
    folder.refuse_if_owned()
    folder.path.mkdir(parents=True, exist_ok=True)
    place = ("--sets-dir", str(folder.path.parent), "--regions-dir", str(settings.regions_dir))
    with folder.supervisor_log.open("wb") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "tocsin", "local", "up", "--name", folder.name, *place],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        with folder.supervisor_log.open() as log:
            while not _works(folder, supervisor.pid):
                typer.echo(log.read(), nl=False)
                if supervisor.poll() is not None:
                    typer.echo(log.read(), nl=False)
                    raise typer.Exit(supervisor.returncode)
                time.sleep(LOOK_EVERY_S)
            typer.echo(log.read(), nl=False)
    except BaseException:
        supervisor.terminate()
        supervisor.wait()
        raise
    output.note(f"process {supervisor.pid} owns them; end them with: tocsin local down --name {folder.name}")


def _works(folder: "SetFolder", supervisor: int) -> bool:
    published = folder.published() or {}
    return published.get("pid") == supervisor and published.get("state") == "ready"


@app.command()
def status(name: SetName = NAME, sets_dir: SetsDir = SETS, as_json: output.AsJson = False) -> None:
    """Show how the servers and the paths to them are. Status 1 when not all work."""
    from tocsin.engines.errors import Unavailable

    folder = _folder(name, sets_dir)
    try:
        found = asyncio.run(_control(folder).status())
    except Unavailable:
        if folder.owner() is not None:
            raise
        found = {"name": name, "state": "stopped", "servers": [], "paths": []}
    if as_json:
        output.show_json(found)
    else:
        _show(found)
    if any(server["state"] != "ready" for server in found["servers"]) or found["state"] != "ready":
        raise typer.Exit(output.Status.DEVIATED)


def _show(found: Mapping[str, Any]) -> None:
    if not found["servers"]:
        typer.echo(f"the set {found['name']!r} is {found['state']}")
        return
    output.show_table(
        found["servers"],
        {
            "server": lambda row: row["name"],
            "state": lambda row: (
                f"{row['state']}, waits for {row['waiting_for']}" if row["waiting_for"] else row["state"]
            ),
            "process": lambda row: row["pid"] or "",
            "ready after": lambda row: f"{row['ready_s']:.1f} s" if row["ready_s"] else "",
            "memory": lambda row: f"{row['rss_bytes'] // MEGABYTE:,} MiB" if row["pid"] else "",
        },
        empty="no servers",
    )
    typer.echo("")
    output.show_table(
        found["paths"],
        {
            "path": lambda row: row["name"],
            "port": lambda row: row["port"],
            "leads to": lambda row: row["server_port"],
            "faults": lambda row: ", ".join(row["faults"]) or "none",
            "connections": lambda row: row["connections"],
        },
        empty="no paths",
    )
    typer.echo(f"\n{_summary(found)}")


def _summary(found: Mapping[str, Any]) -> str:
    memory = f"{found['rss_bytes'] / MEGABYTE / 1024:.1f} GiB in all"
    ready = f"ready after {found['ready_s']:.0f} s" if found["ready_s"] else found["state"]
    return f"{ready}, {memory}; roles on it: TOCSIN_REGIONS_DIR={found['regions_dir']} tocsin up"


@app.command()
def down(name: SetName = NAME, sets_dir: SetsDir = SETS) -> None:
    """End the servers. Their data are kept."""
    folder = _folder(name, sets_dir)
    if not _end(folder):
        typer.echo(f"the set {name!r} does not run")
    else:
        typer.echo(f"the set {name!r} has ended; its data are kept in {folder.path} (tocsin local up starts it again)")


@app.command()
def reset(name: SetName = NAME, sets_dir: SetsDir = SETS, yes: output.Yes = False) -> None:
    """End the servers and remove all their data."""
    folder = _folder(name, sets_dir)
    output.confirm(f"end the set {name!r} and remove {folder.path} with all data", undo="there is no way back", yes=yes)
    _end(folder)
    folder.remove()
    typer.echo(f"there is no set {name!r} any more")


def _end(folder: "SetFolder") -> bool:
    """Whether the set ran. Its supervisor is asked to end it, and killed if it does not: its servers die with it."""
    owner = folder.owner()
    if owner is None:
        return False
    with output.told_when_slow("waiting for the servers to end"):
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(owner, number)
            deadline_s = time.monotonic() + DOWN_S_MAX
            while time.monotonic() < deadline_s:
                if folder.owner() != owner:
                    return True
                time.sleep(LOOK_EVERY_S)
    return True


@app.command()
def logs(
    server: ServerName,
    lines: Annotated[int, typer.Option("--lines", min=1, help="So many of the last lines.")] = LINES,
    name: SetName = NAME,
    sets_dir: SetsDir = SETS,
) -> None:
    """Show the end of a server's log, also of one that is down."""
    from tocsin.engines.errors import Misconfigured

    folder = _folder(name, sets_dir)
    path = folder.server(server) / "log"
    if not path.is_file():
        known = ", ".join(sorted(found.parent.name for found in folder.path.glob("*/log")))
        raise Misconfigured(f"the set {name!r} has no log of a server {server!r}; known: {known or 'none'}")
    for line in path.read_text(errors="replace").splitlines()[-lines:]:
        typer.echo(output.clean(line.replace("\t", "    ")))
    output.note(f"all of it: {path}")


@app.command()
def fetch() -> None:
    """Bring the jars of all servers, so that no later start needs Maven or the network."""
    from tocsin.ops.local.artifacts import Kind, jars, java

    async def bring() -> None:
        await java()
        for kind in Kind:
            typer.echo(f"{kind}: {await jars(kind, output.note)}")

    asyncio.run(bring())


# What can be broken --------------------------------------------------------------------------------------------------


@app.command()
def cut(path: PathName, name: SetName = NAME, sets_dir: SetsDir = SETS) -> None:
    """Cut a network path: its connections are reset, and new ones refused."""
    _break(name, sets_dir, lambda control: control.cut(path), f"cut the path {path}", f"heal {path}")


@app.command()
def stall(path: PathName, direction: Towards = Direction.BOTH, name: SetName = NAME, sets_dir: SetsDir = SETS) -> None:
    """Let nothing pass on a network path; its connections stay."""
    said = f"stalled the path {path} ({direction})"
    _break(name, sets_dir, lambda control: control.stall(path, direction), said, f"heal {path}")


@app.command()
def delay(
    path: PathName,
    seconds: Annotated[float, typer.Argument(help="How much later all arrives.")],
    direction: Towards = Direction.BOTH,
    name: SetName = NAME,
    sets_dir: SetsDir = SETS,
) -> None:
    """Delay what passes on a network path."""
    said = f"delayed the path {path} by {seconds:g} s ({direction})"
    _break(name, sets_dir, lambda control: control.delay(path, seconds, direction), said, f"heal {path}")


@app.command()
def disconnect(path: PathName, name: SetName = NAME, sets_dir: SetsDir = SETS) -> None:
    """Reset the connections of a network path, once."""
    said = f"reset the connections of the path {path}; new ones pass"
    _break(name, sets_dir, lambda control: control.reset(path), said, None)


@app.command()
def heal(
    path: Annotated[str | None, typer.Argument(metavar="[PATH]", help="The network path; left out, all.")] = None,
    name: SetName = NAME,
    sets_dir: SetsDir = SETS,
) -> None:
    """End all faults of a network path, or of all."""
    said = f"healed {f'the path {path}' if path else 'all paths'}"
    _break(name, sets_dir, lambda control: control.heal(path), said, None)


@app.command()
def kill(server: ServerName, name: SetName = NAME, sets_dir: SetsDir = SETS) -> None:
    """End a server with SIGKILL; it is not started again by itself."""
    _break(name, sets_dir, lambda control: control.kill(server), f"killed {server}", f"start {server}")


@app.command()
def pause(server: ServerName, name: SetName = NAME, sets_dir: SetsDir = SETS) -> None:
    """Stop a server where it is (SIGSTOP): its connections stay, and nothing answers."""
    _break(name, sets_dir, lambda control: control.pause(server), f"paused {server}", f"resume {server}")


@app.command()
def resume(server: ServerName, name: SetName = NAME, sets_dir: SetsDir = SETS) -> None:
    """Let a paused server go on."""
    _break(name, sets_dir, lambda control: control.resume(server), f"resumed {server}", f"pause {server}")


@app.command()
def start(server: ServerName, name: SetName = NAME, sets_dir: SetsDir = SETS) -> None:
    """Start a server that was killed or died; returns once a round trip worked."""
    _break(name, sets_dir, lambda control: control.start(server), f"started {server}: it works", f"kill {server}")


def _break(
    name: str, sets_dir: Path, deed: "Callable[[LocalControl], Awaitable[Any]]", said: str, undo: str | None
) -> None:
    """Does it, then says what was done and how to undo it."""

    async def do() -> None:
        await deed(_control(_folder(name, sets_dir)))

    with output.told_when_slow("waiting until it is done"):
        asyncio.run(do())
    typer.echo(said)
    if undo:
        typer.echo(f"to undo: tocsin local {undo}{f' --name {name}' if name != NAME else ''}")


def _folder(name: str, sets_dir: Path) -> "SetFolder":
    from tocsin.ops.local.folder import SetFolder

    return SetFolder.named(name, sets_dir)


def _control(folder: "SetFolder") -> "LocalControl":
    from tocsin.ops.local.control import LocalControl

    return LocalControl(folder.path)


class Screen:
    """Tells a person what comes up and what dies; on a terminal with a line that shows what is waited for."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, soft_wrap=True)
        self._status = self._console.status("")
        self._began_s = self._told_s = time.monotonic()

    def say(self, text: str) -> None:
        """A line."""
        from rich.text import Text

        self._console.print(Text(output.clean(text)))

    def waiting(self, servers: Mapping[str, str]) -> None:
        """So much does not work yet."""
        from rich.text import Text

        seconds = time.monotonic() - self._began_s
        if not servers or seconds < output.QUIET_S:
            return
        what = ", ".join(f"{why} of {name}" for name, why in servers.items())
        text = f"{seconds:3.0f} s, waiting for {what}"
        if self._console.is_terminal:
            self._status.update(Text(output.clean(text)))
            self._status.start()
        elif time.monotonic() - self._told_s > SAY_EVERY_S:
            self._told_s = time.monotonic()
            self.say(text)

    def ready(self, found: Mapping[str, Any]) -> None:
        """All works."""
        self._status.stop()
        for region in found["regions"]:
            self.say(f"region {region['name']}: Kafka {region['bootstrap']}, Cassandra {region['contact_point']}")
        self.say(_summary(found))

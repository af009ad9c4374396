"""`tocsin drill`: break something on purpose, and see whether what was promised holds."""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tocsin.cli import output
from tocsin.ops.drills.targets.name import Name

if TYPE_CHECKING:
    from tocsin.ops.drills.model import Drill
    from tocsin.ops.drills.run import Moment, Run

app = typer.Typer(no_args_is_help=True)
DRILLS: Final = Path("chaos")
OUT: Final = Path("build/drills")

DrillsDir = Annotated[Path, typer.Option("--drills-dir", help="The folder of drills.")]
Out = Annotated[Path, typer.Option("--out", help="Where reports are written, each in a folder of its drill's name.")]
DrillName = Annotated[str, typer.Argument(metavar="NAME", help="The drill; tocsin drill ls has them.")]


@app.callback()
def drill() -> None:
    """Break something on purpose, and see whether what was promised holds.

    Status 0: all held. 1: one deviated. 3: one was inconclusive, and none deviated.
    """


@app.command()
def ls(as_json: output.AsJson = False, drills_dir: DrillsDir = DRILLS) -> None:
    """List the drills."""
    from tocsin.ops.drills.model import load_drills

    rows = [
        {
            "name": one.name,
            "title": one.title,
            "tags": list(one.tags),
            "runbook": one.runbook,
            "alerts": list(one.alerts),
        }
        for one in load_drills(drills_dir)
    ]
    columns = output.plain("name", "title", "runbook")
    output.show_list(rows, columns, as_json=as_json, empty=f"no drills in {drills_dir}")


@app.command()
def show(name: DrillName, as_json: output.AsJson = False, drills_dir: DrillsDir = DRILLS) -> None:
    """Show what a drill breaks, what it expects, and how it heals."""
    from dataclasses import asdict

    from tocsin.ops.drills.tolerance import describe

    found = _named(drills_dir, name)
    if as_json:
        output.show_json(asdict(found))
        return
    typer.echo(f"{found.title}\n{found.description}\n\nhypothesis: {found.hypothesis}")
    parts = {
        "steady state": found.steady_state,
        "method": found.method,
        "evidence": found.evidence,
        "aborts": found.aborts,
        "rollbacks": found.rollbacks,
    }
    for part, activities in parts.items():
        typer.echo(f"\n{part}:")
        for one in activities:
            given = ", ".join(f"{key}: {value}" for key, value in one.arguments.items())
            wanted = f" is {describe(one.tolerance)}" if one.is_probe else ""
            typer.echo(f"  {one.name}: {one.func}({given}){wanted}")
    limits = ", ".join(f"{key} {value:g}" for key, value in asdict(found.limits).items())
    typer.echo(f"\nlimits: {limits}\nrunbook: {found.runbook}; alerts: {', '.join(found.alerts)}")


@app.command()
def run(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The drill.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All drills, one after the other.")] = False,
    target: Annotated[Name, typer.Option("--target", help="What is broken.")] = Name.EMBEDDED,
    region: Annotated[str | None, typer.Option("--region", help="Of a deployed target: the region, typed out.")] = None,
    out: Out = OUT,
    drills_dir: DrillsDir = DRILLS,
    yes: output.Yes = False,
) -> None:
    """Run a drill, or all, and judge it; reports go to build/drills/.

    embedded and local start two regions of their own on this machine and end them: on embedded engines, or on Kafka,
    MirrorMaker 2 and Cassandra. Ctrl-C heals what is broken, then ends.
    """
    from tocsin.ops.drills.model import load_drills

    if (name is None) is not every:
        raise typer.BadParameter("give the name of a drill, or --all", param_hint="NAME")
    drills = load_drills(drills_dir) if every else [_named(drills_dir, name or "")]
    if target is Name.DEPLOYED:
        _refuse_deployed(region)
    what = f"the drill {name}" if name else f"all {len(drills)} drills"
    output.confirm(
        f"run {what} against two regions of this machine ({target}), and break them", undo="it heals itself", yes=yes
    )
    runs = asyncio.run(_run(drills, target, out))
    verdicts = [run.row.verdict.value for run in runs]
    screen_summary(runs)
    if "deviated" in verdicts:
        raise typer.Exit(output.Status.DEVIATED)
    if "inconclusive" in verdicts or len(runs) < len(drills):
        raise typer.Exit(output.Status.UNKNOWN)


@app.command()
def heal(out: Out = OUT) -> None:
    """Heal what a drill left broken whose runner was killed."""
    from tocsin.ops.drills.campaign import heal as heal_left

    healed = heal_left(out, typer.echo)
    typer.echo(f"healed {output.counted(healed, 'fault')}" if healed else "no drill left anything behind")


async def _run(drills: "list[Drill]", target: Name, out: Path) -> "list[Run]":
    from tocsin.ops.drills.campaign import run_drills

    running = asyncio.current_task()
    screen = Screen()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)
            loop.add_signal_handler(number, screen.say, "healing already: wait for its end")
        screen.say("interrupted: healing")
        if running is not None:
            running.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    runs: list[Run] = []
    try:
        async with contextlib.aclosing(run_drills(drills, target, out, screen)) as campaign:
            async for run in campaign:
                runs.append(run)  # noqa: PERF401 - what ran before an interruption is told, too
    except asyncio.CancelledError:
        screen.say("interrupted while nothing was broken")
    return runs


def screen_summary(runs: "list[Run]") -> None:
    """A line a drill."""
    rows: list[dict[str, Any]] = [
        {
            "drill": run.drill.name,
            "verdict": run.row.verdict.value,
            **{
                key.removesuffix("_s"): "" if value is None else f"{value:.1f} s" for key, value in run.measured.items()
            },
            "why": "; ".join(run.because) or run.row.why,
        }
        for run in runs
    ]
    output.show_table(
        rows, output.plain("drill", "verdict", "detect", "page", "recover", "converge", "why"), empty="no drill was run"
    )


def _refuse_deployed(region: str | None) -> None:
    """Says why a deployed region is not broken: by the guard's rules, and in the end because nothing here could."""
    from tocsin.engines.errors import Misconfigured
    from tocsin.ops.drills.guard import refusal, serving
    from tocsin.settings import Settings

    topology = Settings.load().topology()
    why = refusal(region, topology.names, serving=asyncio.run(serving(topology.regions)))
    raise Misconfigured(
        why
        or f"region {region} may be broken, but nothing here can: a deployed target comes with the deployment's own "
        "means; run this drill with --target local"
    )


def _named(folder: Path, name: str) -> "Drill":
    from tocsin.config import ConfigError, Problem, nearest
    from tocsin.ops.drills.model import load_drill

    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = [found.stem for found in folder.glob("*.yaml")]
        raise ConfigError([Problem(str(folder), "", f"there is no drill {name!r}{nearest(name, known)}")])
    return load_drill(path)


class Screen:
    """Tells a campaign, line by line."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, soft_wrap=True)
        self._began_s = 0.0

    def say(self, text: str) -> None:
        """A line."""
        from rich.text import Text

        self._console.print(Text(output.clean(text)))

    def begins(self, drill: "Drill") -> None:
        """A drill begins."""
        self._began_s = 0.0
        self.say(f"== {drill.name}: {drill.title}")

    def moment(self, moment: "Moment") -> None:
        """Something happened in it."""
        self._began_s = self._began_s or moment.at_s
        self.say(f"   {moment.at_s - self._began_s:5.1f} s  {moment.kind.value:<9} {moment.text}")

    def ends(self, run: "Run", folder: Path) -> None:
        """It ended."""
        self.say(f"   {run.row.verdict.value.upper()}: {run.row.why}; {folder / 'report.html'}")
        for one in run.because:
            self.say(f"      {one}")

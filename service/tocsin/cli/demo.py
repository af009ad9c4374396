"""`tocsin demo`: two regions, real alerts, every failure in turn."""

import asyncio
import json
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tocsin.cli import output
from tocsin.ops.demo.engine import Engine

if TYPE_CHECKING:
    from tocsin.ops.demo.scenarios import Scenario
    from tocsin.ops.demo.show import Outcome, Result
    from tocsin.ops.verify import Report

app = typer.Typer()
DATA_DIR: Final = Path("build/demo")
RESULT: Final = Path("build/demo.json")
DIFFERENCES_SHOWN: Final = 20


class StoreEngine(StrEnum):
    """What keeps the outcomes."""

    SQLITE = "sqlite"
    CASSANDRA = "cassandra"


STORES: Final = {Engine.EMBEDDED: StoreEngine.SQLITE, Engine.REAL: StoreEngine.CASSANDRA}
"""The store that goes with each engine."""


class Screen:
    """Tells the show on a terminal, or line by line where there is none."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = Console(highlight=False, soft_wrap=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=self._console, transient=True)
        self._task = self._progress.add_task("")

    def say(self, text: str) -> None:
        """A line."""
        self._progress.stop()
        self._console.print(f"[bold]==[/] {text}")

    def playing(self, total: int) -> None:
        """Events are about to be played in."""
        self.say(f"playing {total} events in, at both regions by turns")
        self._progress.reset(self._task, total=total, description="events")
        self._progress.start()

    def played(self) -> None:
        """One event was."""
        self._progress.advance(self._task)

    def scene(self, scenario: "Scenario") -> None:
        """A scenario begins."""
        self.say(f"[bold]{scenario.name}[/]: {scenario.title}")
        self._progress.reset(self._task, total=None, description="waiting for the verdicts")
        self._progress.start()

    def scene_ended(self, outcome: "Outcome") -> None:
        """A scenario ended: what each region decided, and by which row of the table."""
        self._progress.stop()
        for region, decisions in outcome.decisions.items():
            for verdict, row, why in decisions:
                self._console.print(f"   region {region}: [cyan]{verdict}[/] by row {row}{why and f' ({why})'}")
            if not decisions:
                self._console.print(f"   region {region}: stored, nothing to decide")
        verdict = "[green]as expected[/]" if outcome.ok else "[red]NOT AS EXPECTED[/]"
        self._console.print(f"   {verdict} after {outcome.seconds} s {outcome.deviation}")
        for request in outcome.requests:
            self._console.print(f"   [dim]why: TOCSIN_DATA_DIR={DATA_DIR} .venv/bin/tocsin ledger explain {request}[/]")

    def curtain(self, result: "Result", report: "Report") -> None:
        """What came of it all."""
        from rich.table import Table

        table = Table("region", "accepted", "stored", "quarantined", "set aside", "halts", "differing")
        for region, counts in result.regions.items():
            cells = (result.accepted, *(counts[name] for name in ("stored", "quarantined", "set_aside", "halts")))
            table.add_row(region, *map(str, cells), str(result.differences))
        self._console.print(table)
        for difference in report.differences[:DIFFERENCES_SHOWN]:
            self._console.print(f"   {difference}", markup=False)
        agreed = "both regions agree" if result.differences == 0 else f"{result.differences} DIFFERENCES"
        pages = result.pages
        shares = ", ".join(f"{share:.0%} by {region}" for region, share in pages.shares.items())
        self.say(
            f"pages: {pages.due} due, {pages.missed} missed, {pages.sent} sent ({shares}); sent twice: "
            f"{pages.duplicate} with {pages.in_flight} in flight, {pages.duplicate_cut} while the mirrors were cut"
        )
        good = sum(outcome.ok for outcome in result.scenarios)
        self.say(f"{result.played} events played in were accepted, {result.refused} refused")
        calls = result.history["calls"]
        reads = sum(calls["get"].values())
        doubtful = calls["send"]["info"]
        self.say(f"history {result.history['verdict']}: {reads} reads under way, {doubtful} sends whose end is unknown")
        self.say(f"{agreed}; {good} of {len(result.scenarios)} scenarios as expected; {result.seconds} s; see {RESULT}")


@app.command()
def demo(
    events: Annotated[
        Path | None, typer.Option("--events", help="A JSON-lines file of event bodies to play in, instead of our own.")
    ] = None,
    engine: Annotated[
        Engine, typer.Option("--engine", help="real: Kafka, MirrorMaker 2 and Cassandra, started for the demo.")
    ] = Engine.EMBEDDED,
    store: Annotated[
        StoreEngine | None, typer.Option("--store", help="What keeps the outcomes: sqlite if embedded, else cassandra.")
    ] = None,
) -> None:
    """Two regions take in events, survive every failure of the protocol in turn, and agree at the end.

    Writes build/demo.json. Ctrl-C at any moment leaves nothing running.
    """
    from tocsin.ops.demo import pages, show
    from tocsin.ops.demo.player import read_events
    from tocsin.settings import Settings

    if store not in (None, STORES[engine]):
        raise typer.BadParameter(f"the {engine} engine goes with {STORES[engine]}", param_hint="--store")
    if events:
        read_events(events, "")  # a file that cannot be used is said before anything starts
    for name, value in show.OVERRIDES.items():
        os.environ[f"TOCSIN_REGION__LIMITS__{name}"] = str(value)
    for name, value in pages.OVERRIDES.items():
        os.environ[f"TOCSIN_REGION__{name}"] = json.dumps(value)
    os.environ["TOCSIN_REGION__DELIVERY__WEBHOOKS__CA_FILE"] = str(show.RECEIVER / "ca.pem")
    os.environ |= {
        "TOCSIN_DATA_DIR": str(DATA_DIR),
        "TOCSIN_UP_FILE": str(DATA_DIR / "up.json"),
        "TOCSIN_FAULTS_FILE": "faults.json",
        "TOCSIN_JOURNAL": "true",
    }
    audience = Screen()
    result, report = asyncio.run(show.run(Settings.load(), engine, audience, events))
    result.write(RESULT)
    audience.curtain(result, report)
    if not result.ok:
        raise typer.Exit(output.Status.DEVIATED)

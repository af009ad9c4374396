"""`tocsin`: one command a noun, and the one place where errors become messages and exit statuses.

A noun's module is imported when the noun is used, not before: `tocsin id new` must not wait for the web framework that
`tocsin run` needs. What is listed in help is therefore in the table here. Exit statuses: `output.Status`.
"""

import importlib
import os
import traceback
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from tocsin import __version__
from tocsin.cli import output

NOUNS: Final = {
    "up": ("up", "Run all roles of all local regions in the foreground"),
    "local": ("local", "Kafka, MirrorMaker 2 and Cassandra on this machine: run them, break them"),
    "demo": ("demo", "Two regions, real alerts, every failure in turn"),
    "drill": ("drill", "Break something on purpose, and see whether what was promised holds"),
    "run": ("run", "Run one role of one region"),
    "send": ("send", "Send an event, or a file of them"),
    "incidents": ("incidents", "Incidents: list, show, acknowledge, resolve, watch"),
    "entries": ("entries", "Log entries: list, show"),
    "pages": ("pages", "Pages: who was told of what, by which region, and why; and why not"),
    "notify": ("notify", "Reaching people: send a test page, show a webhook's secret, the inbox"),
    "status": ("status", "Is all well? The six questions of an incident, answered"),
    "verify": ("verify", "Compare the regions, row by row"),
    "history": ("history", "Judge the recorded history of a run"),
    "progress": ("progress", "How far each partition is, and what holds it"),
    "ledger": ("ledger", "What the regions say about requests they could not store, and why a request is where it is"),
    "quarantine": ("quarantine", "Requests that no region could store: show, redrive, drop"),
    "region": ("region", "The regions: list, drain, join, remove"),
    "directory": ("directory", "Services and people: list, show, apply a file"),
    "store": ("store", "The outcome stores: their schema, and bringing it up to date"),
    "token": ("token", "Tokens of the REST interface: create, list, rotate, revoke"),
    "audit": ("audit", "The audit trail: who was refused, and who changed what"),
    "synthetic": ("synthetic", "The synthetic page, by which Tocsin itself is watched"),
    "support-bundle": ("support_bundle", "What an engineer elsewhere needs, in one file, without secrets"),
    "id": ("ids", "Temporal ids: mint, explain, odds of a collision"),
    "config": ("config", "The configuration: check, show, schema"),
}
"""Noun: its module in this package, which has a typer `app`, and what help says of it."""


class Nouns(TyperGroup):
    """The commands of `NOUNS`, each loaded when it is used, inside the error boundary."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = {noun: TyperCommand(noun, help=text) for noun, (_, text) in NOUNS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The loaded command; an unknown noun is a usage error that names the nearest."""
        noun, _, rest = super().resolve_command(ctx, args)
        return noun, load(noun) if noun else None, rest

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; what it raises becomes a message, or for a fault of ours a traceback, and a status."""
        os.umask(0o077)  # logs and stores hold what clients sent: nobody else on this machine is to read it
        try:
            return super().invoke(ctx)
        except (typer.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if hasattr(error, "exit_code"):  # typer's own: usage errors, and the end of a command by typer.Exit
                raise
            status = output.status_of(error)
            if status is None or ctx.params["debug"]:
                traceback.print_exception(error)
            if status is None:
                output.note("this is a fault of Tocsin itself; please report it with the lines above")
                raise typer.Exit(output.Status.UNKNOWN) from error
            output.fail(error)
            raise typer.Exit(status) from error


def load(noun: str) -> Any:
    """The command of a noun, from its module."""
    module, _ = NOUNS[noun]
    command = typer.main.get_command(importlib.import_module(f"tocsin.cli.{module}").app)
    command.name = noun
    return command


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tocsin {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=Nouns, no_args_is_help=True, pretty_exceptions_enable=False, context_settings={"max_content_width": 120}
)


@app.callback()
def tocsin(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> None:
    """Incident log and paging service, active in two regions at once.

    Exit status: 0 held or valid, 1 deviated or invalid, 2 wrong usage, 3 inconclusive or unknown.
    """

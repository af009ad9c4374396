"""`tocsin run`: one role of one region as a process, as an init system or a container starts it."""

import os
import signal
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from tocsin.cli import output
from tocsin.settings import Settings

if TYPE_CHECKING:
    from tocsin.roles.process import Frame

app = typer.Typer()


class Role(StrEnum):
    """What a process can be."""

    INTAKE = "intake"
    CREATOR = "creator"
    QUERIER = "querier"
    NOTIFIER = "notifier"
    SYNTHETIC = "synthetic"
    MIRROR = "mirror"
    TRIAL = "trial"


@app.command()
def run(  # noqa: PLR0917 (one argument an option)
    role: Annotated[Role, typer.Argument(help="mirror: embedded engine only. trial: the creator starts it by itself.")],
    region: Annotated[str | None, typer.Option(help="The region that the process serves.")] = None,
    stack: Annotated[str | None, typer.Option(help="The stack; left out, the region's serving one.")] = None,
    partitions: Annotated[
        str | None, typer.Option(help="Creator: own exactly these (0,2), or fail. Left out: whatever is free.")
    ] = None,
    regions_dir: output.RegionsDir = None,
    host: Annotated[str | None, typer.Option(help="Where to listen, in place of the region file's.")] = None,
    port: Annotated[int | None, typer.Option(help="For clients; 0 takes a free one.")] = None,
    admin_port: Annotated[int | None, typer.Option(help="For health and metrics; 0 takes a free one.")] = None,
    parent: Annotated[
        int | None, typer.Option(hidden=True, help="End when this process, which started us, does.")
    ] = None,
) -> None:
    """Run one role of one region in the foreground, until SIGTERM or Ctrl-C.

    Once it listens it prints one line of JSON: role, region, pid, url, admin_url. Its log goes to stderr.
    """
    from tocsin.roles import process

    if parent is not None:
        process.die_with(parent)
    settings = Settings.load(
        region=region, stack=stack, regions_dir=regions_dir, host=host, port=port, admin_port=admin_port
    )
    if partitions is not None and role is not Role.CREATOR:
        raise typer.BadParameter("only a creator owns partitions", param_hint="--partitions")
    frame = process.Frame.load(role, settings)
    if role is Role.TRIAL:
        _trial(frame)
        return
    from tocsin.roles import services

    match role:
        case Role.INTAKE | Role.QUERIER:
            from tocsin.roles import web_services

            opened = web_services.intake if role is Role.INTAKE else web_services.querier
            process.run(frame, opened(frame))
        case Role.CREATOR:
            process.run(frame, services.creator(frame, _numbers(partitions), _trial_command(frame)))
        case Role.NOTIFIER:
            from tocsin.roles import paging_service

            process.run(frame, paging_service.notifier(frame))
        case Role.SYNTHETIC:
            from tocsin.roles import synthetic_service

            process.run(frame, synthetic_service.synthetic(frame))
        case Role.MIRROR:
            process.run(frame, services.mirror(frame))


def _numbers(partitions: str | None) -> list[int] | None:
    if partitions is None:
        return None
    try:
        return sorted({int(number) for number in partitions.split(",")})
    except ValueError as error:
        hint = f"expected numbers with commas between them (0,2), is {partitions!r}"
        raise typer.BadParameter(hint, param_hint="--partitions") from error


def _trial_command(frame: "Frame") -> list[str]:
    """Starts the creator's child for trials, on the same store; what comes by variables it inherits."""
    regions_dir = str(frame.settings.regions_dir)
    command = [sys.executable, "-m", "tocsin", "run", Role.TRIAL.value, "--parent", str(os.getpid())]
    return [*command, "--region", frame.region.name, "--stack", frame.stack, "--regions-dir", regions_dir]


def _trial(frame: "Frame") -> None:
    """The child for trials. It ends with its input or its parent, not by a signal to all processes of a service:
    ended in the middle of a trial, it would bear witness against a good request.
    """
    from tocsin.engines.opening import open_store
    from tocsin.roles.trial import serve

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    serve(open_store(frame.region, frame.stack, frame.settings))

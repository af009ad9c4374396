"""`tocsin status`: is it still happening, who knows, what changed, is Tocsin itself well, and what to do next."""

import asyncio
from typing import Annotated

import typer

from tocsin.cli import output
from tocsin.cli.published import Published, admin_urls
from tocsin.cli.sight import now_us
from tocsin.settings import Settings

app = typer.Typer(help="The six questions of an incident, answered.")


@app.callback(invoke_without_command=True)
def status(
    region: Annotated[
        str | None, typer.Option(help="Only what this region's store, log and roles tell, of itself and of its peers.")
    ] = None,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """Answer what is asked first in an incident: is it still happening, who was paged, what changed, is Tocsin healthy,
    what does the log say, and what is the next safe action.

    It changes nothing, and answers while stores, logs or regions are away: each figure has its age. Exit status: 0 all
    is well, 1 something needs a person, 3 not all could be found out. Open incidents alone change nothing of that.
    """
    import msgspec

    from tocsin.ops.status.gathering import gather
    from tocsin.ops.status.questions import Verdict, status_of
    from tocsin.ops.status.text import lines_of

    settings = Settings.load(regions_dir=regions_dir)
    topology = settings.topology()
    if region is not None:
        topology.region(region)
    urls = admin_urls(topology, Published.read(settings.up_file))
    with output.told_when_slow("something does not answer at once; it is given some seconds ..."):
        facts = asyncio.run(gather(settings, topology, urls, now_us, only=region))
    found = status_of(facts)
    if as_json:
        output.show_json({**msgspec.to_builtins(found), "facts": msgspec.to_builtins(facts)})
    else:
        for line in lines_of(found):
            typer.echo(output.clean(line))
    exits = {
        Verdict.WELL: output.Status.HELD,
        Verdict.PERSON: output.Status.DEVIATED,
        Verdict.UNKNOWN: output.Status.UNKNOWN,
    }
    raise typer.Exit(exits[found.verdict])

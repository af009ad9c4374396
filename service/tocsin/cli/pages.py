"""`tocsin pages`: who was told of what, by which region and why then; and why somebody was not."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any, Final

import typer

from tocsin.cli import output, reads
from tocsin.cli.sight import now_us, when
from tocsin.core.ids import format_id, parse_id, parse_printed
from tocsin.core.incidents import Incident, IncidentFilter
from tocsin.core.notices import Notice
from tocsin.ops import directory as directories
from tocsin.ops.page_reasons import WHY, Look, in_words
from tocsin.ops.pages import Page, find
from tocsin.ops.regions import Reached, reachable
from tocsin.settings import Settings
from tocsin.topology import Topology

app = typer.Typer(no_args_is_help=True, help="Pages: who was told of what, by which region, and why.")

LIMIT_MAX: Final = 1_000
SHOWN_INCIDENTS_MAX: Final = 3
Region = Annotated[str | None, typer.Option(help="Only what this region has in its log.")]


@app.callback()
def pages() -> None:
    """Pages: who was told of what, by which region, and why."""


@app.command("ls")
def list_pages(
    user: Annotated[str | None, typer.Option(help="Only to this user, by id.")] = None,
    incident: Annotated[str | None, typer.Option(help="Only about this incident, 0x… .")] = None,
    since: reads.Since = None,
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="So many at most.")] = 25,
    region: Region = None,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """List the newest pages, newest last: when, to whom, by what, how it ended, by which region and place."""
    about = None if incident is None else format_id(_id_of(incident))
    asyncio.run(_list(Settings.load(regions_dir=regions_dir), user, about, since, limit, region, as_json=as_json))


async def _list(
    settings: Settings,
    user: str | None,
    incident: str | None,
    since: datetime | None,
    limit: int,
    region: str | None,
    *,
    as_json: bool,
) -> None:
    def wanted(notice: Notice) -> bool:
        return user in (None, notice.user) and incident in (None, notice.incident)

    since_us = None if since is None else round(since.timestamp() * 1e6)
    async with _sight(settings, region) as (_, reached):
        with output.told_when_slow("the regions' logs are searched ..."):
            found = await find(reached.stores, wanted, since_us=since_us, limit=limit)
    rows = [page.facts for page in reversed(found)]
    output.show_list(
        rows,
        {
            "sent": lambda row: output.utc(row["at_us"] / 1e6),
            "": lambda row: output.ago(row["at_us"] / 1e6, now_us() / 1e6),
            **output.plain("user"),
            "method": lambda row: row["taken_by"] or row["method"],
            **output.plain("outcome", "region", "place", "why"),
            "incidents": lambda row: _incidents(row["incidents"]),
            **output.plain("bundle"),
        },
        as_json=as_json,
        empty="no page was sent" if not reached.away else "no page was found in what could be read",
    )
    if not reached.stores:
        raise typer.Exit(output.Status.UNKNOWN)


@app.command()
def show(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A page's, as `ls` lists it.")],
    region: Region = None,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """Show one page with all incidents that it was about."""
    asyncio.run(_show(Settings.load(regions_dir=regions_dir), bundle, region, as_json=as_json))


async def _show(settings: Settings, bundle: str, region: str | None, *, as_json: bool) -> None:
    async with _sight(settings, region) as (_, reached):
        with output.told_when_slow("the regions' logs are searched ..."):
            found = await find(reached.stores, lambda notice: notice.bundle == bundle, limit=1)
    if not found:
        output.note(output.clean(f"no page {bundle} is in what could be read; it is there once it has ended"))
        raise typer.Exit(output.Status.UNKNOWN)
    facts = found[0].facts
    if as_json:
        output.show_json(facts)
        return
    output.show_fields(_fields(found[0]), as_json=False)
    typer.echo("about:")
    output.show_table(facts["incidents"], output.plain("id", "service", "dedup_key"), empty="nothing")


def _fields(page: Page) -> dict[str, object]:
    told, at = page.told, when(now_us())
    fields = {
        "page": told.bundle,
        "user": told.user,
        "method": told.method,
        "taken by": told.taken_by if told.taken_by != told.method else "",
        "urgency": told.urgency,
        "outcome": told.outcome,
        "reason": told.reason,
        "due": at(told.due_us),
        "sent": at(told.at_us),
        "ended": at(told.ended_us),
        "region": f"{told.region}, at place {told.place}",
        "why then": WHY.get(told.why, told.why),
    }
    return {name: value for name, value in fields.items() if value}


@app.command()
def explain(
    user: Annotated[str, typer.Argument(metavar="USER", help="The user's id.")],
    incident: Annotated[str, typer.Argument(metavar="INCIDENT", help="The incident's id, 0x… .")],
    region: Region = None,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """Why was USER paged for INCIDENT, by which region and why then; or why not, or not yet?"""
    asyncio.run(_explain(Settings.load(regions_dir=regions_dir), user, _id_of(incident), region, as_json=as_json))


async def _explain(settings: Settings, user: str, id: int, region: str | None, *, as_json: bool) -> None:
    async with _sight(settings, region) as (topology, reached):
        incident = await _incident(reached, id)
        if incident is None:
            output.note(f"incident {format_id(id)} is unknown in what could be read; it may be on its way")
            raise typer.Exit(output.Status.UNKNOWN)
        async with directories.opened(settings, topology, region) as place:
            look = Look(user, incident, place.directory, now_us())
            stores = [(topology.region(name), store) for name, store in reached.stores.items()]
            facts = await look.facts(stores)
    if as_json:
        output.show_json(facts)
    else:
        typer.echo("\n".join(output.clean(line) for line in in_words(facts, when(now_us()))))


async def _incident(reached: Reached, id: int) -> Incident | None:
    """The incident of an id, as the first region that knows it has it."""
    for store in reached.stores.values():
        for found in await store.find_incidents(IncidentFilter(id=id, limit=1)):
            return found
    return None


@asynccontextmanager
async def _sight(settings: Settings, region: str | None) -> AsyncIterator[tuple[Topology, Reached]]:
    """The regions as they can be reached; what cannot is said on stderr."""
    topology = settings.topology()
    if region is not None:
        topology.region(region)
    async with reachable(settings, topology, only=region) as reached:
        for what, why in reached.away.items():
            output.note(f"not read: {what}: {output.clean(why)}")
        yield topology, reached


def _id_of(printed: str) -> int:
    """The id of an incident, also when the key of its opening entry is given."""
    try:
        return parse_printed(printed)[0] if "." in printed else parse_id(printed)
    except ValueError as error:
        raise typer.BadParameter(output.clean(str(error))) from error


def _incidents(found: Sequence[Mapping[str, Any]]) -> str:
    shown = ", ".join(one["id"] for one in found[:SHOWN_INCIDENTS_MAX])
    more = len(found) - SHOWN_INCIDENTS_MAX
    return f"{shown} and {more} more" if more > 0 else shown

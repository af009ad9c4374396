"""`tocsin notify`: does a page reach somebody, what does a webhook's receiver check it by, what is in the inbox."""

import asyncio
from typing import Annotated, Any

import typer

from tocsin.cli import output
from tocsin.cli.sight import now_us, record
from tocsin.config import ConfigError, Problem, nearest
from tocsin.core.directory import Kind
from tocsin.core.paging.feedback import Outcome
from tocsin.core.paging.people import Method, MethodKind, Person
from tocsin.engines.addresses import shown
from tocsin.engines.audit import Deed
from tocsin.ops import directory as directories
from tocsin.roles.delivery import inbox, signing
from tocsin.roles.delivery.opening import inbox_file, means, wording
from tocsin.roles.delivery.sample import Tried, try_out
from tocsin.settings import Settings
from tocsin.telemetry import Identity, Meters
from tocsin.topology import Region, Topology

app = typer.Typer(no_args_is_help=True, help="Reaching people: send a test page, show a webhook's secret, the inbox.")

User = Annotated[str, typer.Argument(metavar="USER", help="The user's id, as `tocsin directory ls` lists it.")]
OfRegion = Annotated[str | None, typer.Option("--region", metavar="NAME", help="By this region; else the first.")]


@app.callback()
def notify() -> None:
    """Reaching people: send a test page, show a webhook's secret, the inbox."""


# test ----------------------------------------------------------------------------------------------------------------


@app.command("test")
def send_test(
    user: User,
    method: Annotated[str | None, typer.Option(help="Only by this method, also one that is not verified.")] = None,
    region: OfRegion = None,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """Send a test page to USER now, by each usable method, and show what became of it.

    It goes out from here, by the region's providers, past queues, rules and pacing.
    """
    asyncio.run(_test(Settings.load(regions_dir=regions_dir), user, method, region, as_json=as_json))


async def _test(settings: Settings, user: str, only: str | None, region: str | None, *, as_json: bool) -> None:
    topology = settings.topology()
    by = _region(settings, topology, region)
    person = await _person(settings, topology, region, user)
    methods = [_method(person, only)] if only else [method for method in person.methods if method.is_usable]
    if not methods:
        output.note(
            f"{output.clean(user)} has no method that could be used: add one to the directory, or name one that is "
            f"not verified yet with --method: {_ids(person) or 'there is none at all'}"
        )
        raise typer.Exit(output.Status.DEVIATED)
    tried = await _tried(settings, by, person, methods)
    rows = [_row(one) for one in tried]
    output.show_list(
        rows,
        output.plain("method", "kind", "address", "outcome")
        | {"took": lambda row: f"{row['took_s']:.2f} s"}
        | output.plain("reason"),
        as_json=as_json,
        empty="",
    )
    for one in tried:
        if one.advice and not as_json:
            output.note(f"{output.clean(one.method.id)}: {one.advice}")
    outcomes = {one.delivery.outcome for one in tried}
    if Outcome.FAILED in outcomes:
        raise typer.Exit(output.Status.DEVIATED)
    if Outcome.UNKNOWN in outcomes:
        raise typer.Exit(output.Status.UNKNOWN)


async def _tried(settings: Settings, region: Region, person: Person, methods: list[Method]) -> list[Tried]:
    meters = Meters(Identity(region.name, settings.stack or region.serving_stack, "notify"))
    providers = means(region, settings.path, meters)
    render = wording(region, settings.path).render
    try:
        with output.told_when_slow("waiting for the providers ..."):
            works = [try_out(person, method, providers, render, region.name) for method in methods]
            return await asyncio.gather(*works)
    finally:
        for one in providers.values():
            await one.provider.close()


def _row(one: Tried) -> dict[str, Any]:
    return {
        "method": one.method.id,
        "kind": one.method.kind,
        "address": shown(one.method),
        "outcome": str(one.delivery.outcome),
        "took_s": round(one.took_s, 3),
        "reason": one.delivery.reason,
        "advice": one.advice,
    }


# secret --------------------------------------------------------------------------------------------------------------


@app.command()
def secret(
    user: User,
    method: Annotated[str, typer.Argument(metavar="METHOD", help="The id of a webhook of theirs.")],
    region: OfRegion = None,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """Show the secret that a webhook's receiver checks signatures by (Standard Webhooks)."""
    asyncio.run(_secret(Settings.load(regions_dir=regions_dir), user, method, region, as_json=as_json))


async def _secret(settings: Settings, user: str, id: str, region: str | None, *, as_json: bool) -> None:
    topology = settings.topology()
    by = _region(settings, topology, region)
    person = await _person(settings, topology, region, user)
    method = _method(person, id)
    if method.kind != MethodKind.WEBHOOK:
        raise ConfigError([Problem("METHOD", "", f"{id!r} is of the kind {method.kind}: only webhooks are signed")])
    key = signing.load_key(settings.path(by.delivery.key_file))
    found = signing.shown(signing.secret_of(key, person.id, method.id))
    record(settings, by.name, Deed.SECRET_SHOWN, user=person.id, method=method.id)
    if as_json:
        output.show_json({"user": person.id, "method": method.id, "secret": found})
    else:
        typer.echo(found)


# inbox ---------------------------------------------------------------------------------------------------------------


@app.command("inbox")
def show_inbox(
    user: Annotated[str | None, typer.Argument(metavar="USER", help="Only pages to this user, by id.")] = None,
    region: Annotated[str | None, typer.Option("--region", metavar="NAME", help="Only this region's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many of the newest.")] = 25,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """List pages that went to methods of the kind `inbox`, newest last: what they said, and which region sent them."""
    settings = Settings.load(regions_dir=regions_dir)
    topology = settings.topology()
    regions = [topology.region(region)] if region else topology.regions
    pages = [
        page for one in regions for page in inbox.read(settings.path(inbox_file(one))) if user in (None, page.user)
    ]
    pages.sort(key=lambda page: (page.at_us, page.bundle))
    fields = ("at_us", "user", "region", "place", "subject", "text", "bundle", "covers", "address")
    rows = [{name: getattr(page, name) for name in fields} for page in pages[-limit:]]
    output.show_list(
        rows,
        {
            "sent": lambda row: output.utc(row["at_us"] / 1e6),
            "": lambda row: output.ago(row["at_us"] / 1e6, now_us() / 1e6),
            **output.plain("user", "region", "place", "subject", "bundle"),
        },
        as_json=as_json,
        empty="nothing is in the inbox",
    )


# Who and where -------------------------------------------------------------------------------------------------------


def _region(settings: Settings, topology: Topology, given: str | None) -> Region:
    name = given or settings.region
    return topology.region(name) if name else topology.regions[0]


async def _person(settings: Settings, topology: Topology, region: str | None, user: str) -> Person:
    """The user as the directory has them; an unknown one ends the command."""
    async with directories.opened(settings, topology, region) as place:
        for name, why in place.away.items():
            output.note(f"not read: region {name}: {output.clean(why)}")
        person = place.directory.user(user)
        if person is None:
            known = [name.id for name, one in place.directory.records().items() if name.kind == Kind.USER and one.body]
            output.note(f"there is no user {output.clean(user)!r}{nearest(user, known)}")
            raise typer.Exit(output.Status.UNKNOWN)
        return person


def _method(person: Person, id: str) -> Method:
    method = person.method(id)
    if method is None:
        known = [one.id for one in person.methods]
        what = f"{person.id} has no method {id!r} (it has: {', '.join(known) or 'none'}){nearest(id, known)}"
        raise ConfigError([Problem("METHOD", "", what)])
    if method.blocked:
        what = f"{person.id} asked to be left in peace by {id!r}: in the directory it says blocked: true"
        raise ConfigError([Problem("METHOD", "", what)])
    return method


def _ids(person: Person) -> str:
    return ", ".join(output.clean(one.id) for one in person.methods if not one.blocked)

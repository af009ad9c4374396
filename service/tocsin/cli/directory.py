"""`tocsin directory`: services and people. Look at them, or apply a file that says how they are to be."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tocsin.cli import output
from tocsin.cli.sight import now_us, speaker, when
from tocsin.config import nearest
from tocsin.core.directory import DirectoryRecord, Kind, Name, faults, unreachable
from tocsin.core.paging.people import Person
from tocsin.engines.addresses import shown
from tocsin.engines.directory_file import parse_directory
from tocsin.engines.log_directory import LogDirectory
from tocsin.ops.directory import Change, Opened, apply, jsonable, opened, plan, remaining_faults
from tocsin.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Services and people: list, show, apply a file.")

UNDO: Final = (
    "apply the file as it was before: what was removed comes back when a file names it again; routing keys cannot be "
    "had back from here, where only their hashes are known"
)
CHANGES_SHOWN_MAX: Final = 50
_SIGNS: Final = {"added": "+", "changed": "~", "removed": "-"}
Region = Annotated[
    str | None, typer.Option("--region", metavar="NAME", help="This region; else the first that answers.")
]


@app.callback()
def directory() -> None:
    """Services and people: list, show, apply a file."""


# apply ---------------------------------------------------------------------------------------------------------------


@app.command("apply")
def apply_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML with services and users; see docs/directory.md.")],
    region: Region = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove every service and user that FILE does not name.")
    ] = False,
    yes: output.Yes = False,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """Make services and users be as FILE says, in every region; what it does not name stays as it is.

    Nothing is changed before all of the file was checked, and the plan was shown.
    """
    asyncio.run(_apply(Settings.load(regions_dir=regions_dir), file, region, prune=prune, yes=yes, as_json=as_json))


async def _apply(settings: Settings, file: Path, region: str | None, *, prune: bool, yes: bool, as_json: bool) -> None:
    content = parse_directory(file.read_bytes(), str(file))  # noqa: ASYNC240 - there is nothing else to do meanwhile
    async with opened(settings, settings.topology(), region) as place:
        _tell(place)
        known = place.directory.records()
        changes = plan(known, content, str(file), prune=prune)
        wrong = remaining_faults(known, changes)
        for change in changes[:CHANGES_SHOWN_MAX]:
            output.note(output.clean(_spell(change)))
        if len(changes) > CHANGES_SHOWN_MAX:
            output.note(f"... and {len(changes) - CHANGES_SHOWN_MAX:,} more")
        _warn(wrong)
        if changes:
            output.confirm(f"{_counts(changes)}, in every region, by way of region {place.region}", undo=UNDO, yes=yes)
            with output.told_when_slow(f"region {place.region} takes the changes ..."):
                await apply(settings, place, changes, speaker("").by)
    if as_json:
        rows = [{**one.name._asdict(), "verb": one.verb, "fields": list(one.fields)} for one in changes]
        output.show_json({"region": place.region, "changes": rows, "faults": wrong})
    elif changes:
        typer.echo(f"{_counts(changes)}: said in region {place.region} and read back there; the mirrors carry it on")
    else:
        typer.echo("nothing to change: the directory is as the file says")


def _spell(change: Change) -> str:
    fields = f": {', '.join(change.fields)}" if change.fields else ""
    return f"  {_SIGNS[change.verb]} {change.name}{fields}"


def _counts(changes: list[Change]) -> str:
    found = [(verb, sum(one.verb == verb for one in changes)) for verb in _SIGNS]
    return ", ".join(f"{number:,} {verb}" for verb, number in found if number)


def _tell(place: Opened) -> None:
    for region, why in place.away.items():
        output.note(f"not read: region {region}: {output.clean(why)}")
    for problem in place.directory.problems:
        output.note(f"problem: {output.clean(problem)}")


def _warn(wrong: list[str]) -> None:
    for fault in wrong:
        output.note(f"WARNING: {output.clean(fault)}")


# ls, show ------------------------------------------------------------------------------------------------------------


@app.command("ls")
def list_all(
    kind: Annotated[Kind | None, typer.Option(help="Only these; left out, both.")] = None,
    region: Region = None,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """List services and users, and who of the responders cannot be reached."""
    asyncio.run(_list(Settings.load(regions_dir=regions_dir), kind, region, as_json=as_json))


async def _list(settings: Settings, kind: Kind | None, region: str | None, *, as_json: bool) -> None:
    async with opened(settings, settings.topology(), region) as place:
        _tell(place)
        _warn(faults(place.directory.services(), place.directory.user))
        found = _living(place.directory)
        rows = [_row(record, place.directory) for name, record in sorted(found.items()) if kind in (None, name.kind)]
    output.show_list(
        rows,
        output.plain("kind", "id", "name")
        | {
            "reached by": _reach,
            "said in": lambda row: row["region"] or "the file",
            "fault": lambda row: "; ".join(row["faults"]),
        },
        as_json=as_json,
        empty="the directory is empty: tocsin directory apply FILE",
    )


def _living(directory: LogDirectory) -> dict[Name, DirectoryRecord]:
    return {name: record for name, record in directory.records().items() if record.body is not None}


def _row(record: DirectoryRecord, directory: LogDirectory) -> dict[str, Any]:
    body = record.body
    assert body is not None  # noqa: S101 - of the living
    fields = {"kind": str(record.name.kind), **jsonable(body)}
    if isinstance(body, Person):
        fields["methods"] = [
            {**method, "address": shown(one)} for method, one in zip(fields["methods"], body.methods, strict=True)
        ]
        fields["responds_for"] = [one.id for one in directory.services() if body.id in one.responders]
        wrong = []
    else:
        wrong = [f"{one.user} {one.why}" for one in unreachable(body, directory.user)]
    return fields | {"updated_us": record.updated_us, "region": record.region, "faults": wrong}


def _reach(row: output.Row) -> str:
    if row["kind"] == Kind.SERVICE:
        return ", ".join(row["responders"]) or "nobody"
    return ", ".join(method["id"] for method in row["methods"]) or "nothing"


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="service/ID or user/ID; an ID when there is one such.")],
    region: Region = None,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """Show a service or a user: of a routing key the begin of its hash, of an address with a secret in it the host."""
    asyncio.run(_show(Settings.load(regions_dir=regions_dir), name, region, as_json=as_json))


async def _show(settings: Settings, wanted: str, region: str | None, *, as_json: bool) -> None:
    async with opened(settings, settings.topology(), region) as place:
        _tell(place)
        record = _named(_living(place.directory), wanted)
        row = _row(record, place.directory)
    if as_json:
        output.show_json(row)
        return
    _warn(row.pop("faults"))
    updated_us = row.pop("updated_us")
    said = f"region {row.pop('region')}, {when(now_us())(updated_us)}" if updated_us else "the region's file"
    output.show_fields({name: _lines(value) for name, value in row.items()} | {"said in": said}, as_json=False)


def _named(found: Mapping[Name, DirectoryRecord], wanted: str) -> DirectoryRecord:
    chosen = [record for name, record in found.items() if wanted in (name.id, f"{name.kind}/{name.id}")]
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        raise typer.BadParameter(f"there is a service and a user {wanted!r}: write service/{wanted} or user/{wanted}")
    known = [name.id for name in found]
    output.note(f"there is no service and no user {output.clean(wanted)!r}{nearest(wanted, known)}")
    raise typer.Exit(output.Status.UNKNOWN)


def _lines(value: Any) -> str:
    """A field for people: the items of a list with semicolons between."""
    if not isinstance(value, list | tuple):
        return str(value)
    return "; ".join(
        ", ".join(f"{k} {v}" for k, v in one.items() if v not in (None, "")) if isinstance(one, dict) else str(one)
        for one in value
    )

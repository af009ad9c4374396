"""`tocsin store`: the outcome stores of the regions, and their schema. Cassandra's is made and changed by a person's
word alone; an embedded store makes its own at its first use.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from tocsin.cli import output
from tocsin.config import ConfigError, Problem
from tocsin.engines.cassandra.migrations import HOW, Standing, keyspace_statement, migrate, standing
from tocsin.engines.errors import Misconfigured, Unavailable
from tocsin.settings import Settings
from tocsin.topology import CassandraStack

app = typer.Typer(no_args_is_help=True, help="The outcome stores of the regions.")

Region = Annotated[str | None, typer.Option(help="Only this region's.")]
Stack = Annotated[str | None, typer.Option(help="Only stacks of this name.")]


class _Store(NamedTuple):
    region: str
    stack: str
    at: CassandraStack
    data_dir: Path


@app.callback()
def store() -> None:
    """The outcome stores of the regions: their schema, and bringing it up to date."""


@app.command("migrate")
def migrate_all(
    region: Region = None,
    stack: Stack = None,
    yes: output.Yes = False,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """Bring the schema of Cassandra's stores up to date, after showing what that is. Safe twice, and by two."""
    stores = _stores(Settings.load(regions_dir=regions_dir), region, stack)
    lacking = [(each, found) for each in stores if (found := _standing(each)).missing or not found.has_keyspace]
    if lacking:
        output.confirm("; ".join(_deed(*pair) for pair in lacking), undo=_undo(lacking), yes=yes)
    for each, _ in lacking:
        migrate(each.at, each.data_dir, say=lambda step, each=each: output.note(f"{each.region}/{each.stack}: {step}"))  # type: ignore[misc]
    rows = [_row(each, _standing(each)) for each in stores]
    _show(rows, as_json=as_json)
    if not lacking and not as_json:
        output.note("nothing was to do" if stores else "no store here needs it: embedded ones make their own schema")


@app.command()
def status(
    region: Region = None,
    stack: Stack = None,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """Show the schema version of Cassandra's stores. Status 1 when one is not what this version needs, 3 when one could
    not be asked.
    """
    rows = []
    for each in _stores(Settings.load(regions_dir=regions_dir), region, stack):
        try:
            rows.append(_row(each, _standing(each)))
        except (Unavailable, Misconfigured) as error:
            state = "unknown" if isinstance(error, Unavailable) else "unusable"
            rows.append(_named(each) | {"version": None, "needs": None, "state": state, "why": str(error)})
    _show(rows, as_json=as_json)
    states = {row["state"] for row in rows}
    if states & {"behind", "missing", "unusable"}:
        raise typer.Exit(output.Status.DEVIATED)
    if "unknown" in states:
        raise typer.Exit(output.Status.UNKNOWN)


def _stores(settings: Settings, region: str | None, stack: str | None) -> list[_Store]:
    topology = settings.topology()
    regions = topology.regions if region is None else [topology.region(region)]
    if stack is not None and not any(stack in each.stacks for each in regions):
        known = ", ".join(sorted({name for each in regions for name in each.stacks}))
        raise ConfigError([Problem("--stack", "", f"no region here has a stack {stack!r}; known: {known}")])
    return [
        _Store(each.name, name, at, settings.data_dir)
        for each in regions
        for name, at in each.stacks.items()
        if isinstance(at, CassandraStack) and stack in (None, name)
    ]


def _standing(each: _Store) -> Standing:
    with output.told_when_slow(f"asking Cassandra at {', '.join(each.at.contact_points)}"):
        return standing(each.at, each.data_dir)


def _deed(each: _Store, found: Standing) -> str:
    steps = [] if found.has_keyspace else [keyspace_statement(each.at)]
    steps += [
        f"schema version {version}, {output.counted(len(version.statements), 'statement')}" for version in found.missing
    ]
    return f"{each.region}/{each.stack}, keyspace {each.at.keyspace}: {', '.join(steps)}"


def _undo(lacking: Iterable[tuple[_Store, Standing]]) -> str:
    new = [each.at.keyspace for each, found in lacking if not found.version]
    words = [f"DROP KEYSPACE {keyspace} by cqlsh, with all that is in it by then" for keyspace in new]
    if any(found.version for _, found in lacking):
        words.append("a schema goes forward only, and an older release refuses it: restore the store from a backup")
    return "; ".join(words)


def _named(each: _Store) -> dict[str, Any]:
    return {"region": each.region, "stack": each.stack, "keyspace": each.at.keyspace}


def _row(each: _Store, found: Standing) -> dict[str, Any]:
    needs = found.missing[-1].number if found.missing else found.version
    state = "missing" if not found.has_keyspace else "behind" if found.missing else "current"
    return _named(each) | {
        "version": found.version,
        "needs": needs,
        "state": state,
        "why": "" if state == "current" else f"{HOW} --region {each.region}",
    }


def _show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    output.show_list(
        rows,
        output.plain("region", "stack", "keyspace", "version", "needs", "state", "why"),
        as_json=as_json,
        empty="no store here is on Cassandra",
    )

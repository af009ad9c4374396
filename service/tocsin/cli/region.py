"""`tocsin region`: which regions there are, how they are, and a person's words about them."""

import asyncio
import time
from typing import Annotated, Any, Final, NamedTuple

import typer

from tocsin.cli import output
from tocsin.cli.published import Published, addresses
from tocsin.core.statements import PersonWord
from tocsin.settings import Settings
from tocsin.topology import Topology

app = typer.Typer(no_args_is_help=True, help="The regions that hold the same data.")

NOT_RUNNING = "not running"
SILENT_S: Final = 10.0
"""A region whose creators have written nothing for so long is called silent."""
LAST_UNDRAINED: Final = "last-undrained"


class Deed(NamedTuple):
    """A word about a region: the command, what it means, and how it is undone."""

    command: str
    word: PersonWord
    means: str
    undo: str


DRAIN: Final = Deed(
    "drain",
    PersonWord.DRAINED,
    "clients leave it, its ticks no longer hold complete-until, its words no longer vote; it goes on storing",
    "tocsin region join {name}",
)
JOIN: Final = Deed(
    "join",
    PersonWord.JOINED,
    "clients may come back, its ticks hold complete-until, its words vote; let it catch up first (tocsin progress)",
    "tocsin region drain {name}",
)
REMOVE: Final = Deed(
    "remove",
    PersonWord.REMOVED,
    "it does not come back: clients leave it, nobody waits for it, and its words no longer vote",
    "tocsin region join {name}",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The region.")]
Why = Annotated[str, typer.Option("--why", help="The reason, for whoever reads the ledger later.")]
Force = Annotated[bool, typer.Option("--force", help=f"Do it against the rule {LAST_UNDRAINED!r}.")]


@app.callback()
def region() -> None:
    """The regions that hold the same data."""


# ls ------------------------------------------------------------------------------------------------------------------


@app.command("ls")
def list_regions(regions_dir: output.RegionsDir = None, as_json: output.AsJson = False) -> None:
    """List the regions, where their clients find them, and how they are by what their creators wrote down.

    Where a region file leaves a port free, the address is known while `tocsin up` runs.
    """
    settings = Settings.load(regions_dir=regions_dir)
    topology = settings.topology()
    published = Published.read(settings.up_file).regions
    states = asyncio.run(_states(settings, topology))
    rows = [(published.get(one.name) or addresses(one, settings)) | states[one.name] for one in topology.regions]
    output.show_list(
        rows,
        {
            "region": lambda row: row["name"],
            "events": lambda row: row["intake_url"] or NOT_RUNNING,
            "queries": lambda row: row["query_url"] or NOT_RUNNING,
            "state": _spell_state,
        },
        as_json=as_json,
        empty="no regions",
    )


async def _states(settings: Settings, topology: Topology) -> dict[str, dict[str, Any]]:
    """How each region is: drained by anyone's reading of the ledgers, halted and ill by its own creators."""
    from tocsin.engines.errors import EngineError
    from tocsin.ops.documents import drained_regions, statuses
    from tocsin.ops.regions import serving_stores

    states: dict[str, dict[str, Any]] = {}
    drained: set[str] = set()
    read = False
    async with serving_stores(settings, topology) as stores:
        for name, store in stores.items():
            state: dict[str, Any] = {"halted": None, "ill": None, "heard_s": None, "away": None}
            try:
                drained |= set(await drained_regions(store))
                found = await statuses(store)
                read = read or bool(found)
                if found:
                    state["halted"] = sorted({why for status in found for why in status.halted})
                    state["ill"] = any(status.ill for status in found)
                    state["heard_s"] = max(0.0, time.time() - max(status.at_us for status in found) / 1e6)
            except (EngineError, ValueError) as error:
                state["away"] = str(error)
            states[name] = state
    return {name: {"drained": name in drained if read else None} | state for name, state in states.items()}


def _spell_state(row: output.Row) -> str:
    words = ["drained"] if row["drained"] else []
    if row["away"]:
        return ", ".join([*words, f"unknown: {row['away']}"])
    if row["heard_s"] is None:
        return ", ".join([*words, "never ran"])
    if row["heard_s"] > SILENT_S:
        words.append(f"silent, last seen {output.ago(time.time() - row['heard_s'], time.time())}")
    if row["halted"]:
        first, *others = row["halted"]
        words.append(f"halted ({first}{f'; {len(others)} more: tocsin progress' if others else ''})")
    words += ["ill"] if row["ill"] else []
    return ", ".join(words) or "serving"


# import --------------------------------------------------------------------------------------------------------------


@app.command("import")
def import_files(
    file: Annotated[
        typer.FileBinaryRead,
        typer.Argument(metavar="FILE|-", help="What `terraform output -json region_files` printed."),
    ],
    yes: output.Yes = False,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """Take over the region files of a deployed region from Terraform's output, after showing what changes.

    What does not fit together with the region files that are there is refused, and nothing is written. Other files are
    left alone.
    """
    from tocsin.ops.region_import import BYTES_MAX, plan

    settings = Settings.load(regions_dir=regions_dir)
    files = plan(file.read(BYTES_MAX + 1), file.name, settings.regions_dir, settings.overrides)
    changes = [one for one in files if one.old != one.new]
    for one in changes:
        for line in one.diff().splitlines():
            output.note(output.clean(line))
    if changes:
        made = [str(one.path) for one in changes if one.old is None]
        changed = [str(one.path) for one in changes if one.old is not None]
        undo = [f"rm {' '.join(made)}"] if made else []
        if changed:
            undo.append(f"git checkout -- {' '.join(changed)}, or `patch -R` with the difference above")
        output.confirm(f"write {', '.join(made + changed)}", undo="; ".join(undo), yes=yes)
    for one in changes:
        one.write()
    rows = [
        {
            "region": one.path.stem,
            "file": str(one.path),
            "state": "unchanged" if one.old == one.new else "made" if one.old is None else "changed",
        }
        for one in files
    ]
    output.show_list(rows, output.plain("region", "file", "state"), as_json=as_json, empty="no regions")
    if not changes:
        output.note("nothing was to do")


# A person's words ----------------------------------------------------------------------------------------------------


@app.command()
def drain(
    name: Name, why: Why = "", force: Force = False, yes: output.Yes = False, regions_dir: output.RegionsDir = None
) -> None:
    """Take a region out of service: clients leave it and nobody waits for it. It goes on storing what it can."""
    asyncio.run(_say(Settings.load(regions_dir=regions_dir), name, DRAIN, why, force=force, yes=yes))


@app.command()
def join(name: Name, why: Why = "", yes: output.Yes = False, regions_dir: output.RegionsDir = None) -> None:
    """Take a region into service: one that was drained or removed, or one that is new."""
    asyncio.run(_say(Settings.load(regions_dir=regions_dir), name, JOIN, why, force=False, yes=yes))


@app.command()
def remove(
    name: Name, why: Why = "", force: Force = False, yes: output.Yes = False, regions_dir: output.RegionsDir = None
) -> None:
    """Say that a region does not come back."""
    asyncio.run(_say(Settings.load(regions_dir=regions_dir), name, REMOVE, why, force=force, yes=yes))


async def _say(settings: Settings, name: str, deed: Deed, why: str, *, force: bool, yes: bool) -> None:
    """Says a word about a region in all partitions of the first ledger that takes it, another region's if it can."""
    from tocsin.cli.sight import record, sight, speaker
    from tocsin.engines.audit import Deed as Audited
    from tocsin.engines.errors import Unavailable
    from tocsin.ops.ledger import say

    async with sight(settings) as seen:
        founding = {one.name: one.founding for one in seen.topology.regions}
        seen.topology.region(name)
        seen.tell_away()
        if not seen.ledgers.read:
            raise Unavailable("no region's ledger could be read, so no word can be numbered; nothing was said")
        last = seen.ledgers.latest_region_order(name)
        if last is not None and last.word is deed.word and seen.ledgers.is_said_everywhere(last):
            said = output.ago(last.at_us / 1e6, time.time())
            typer.echo(f"region {name} is {last.word} already: {last.by} said so {said}")
            return
        undrained = [one for one, first in founding.items() if not seen.ledgers.is_drained(one, founding=first)]
        _keep_rule(name, deed, undrained, force=force)
        output.confirm(f"{deed.command} region {name}: {deed.means}", undo=deed.undo.format(name=name), yes=yes)
        order = seen.ledgers.region_order(name, deed.word, speaker(why))
        # What a region is cut off from, it cannot tell: others first.
        logs = dict(sorted(seen.reached.logs.items(), key=lambda item: item[0] == name))
        where = await say(logs, seen.topology, {number: [order] for number in range(seen.ledgers.partitions)})
        record(settings, where, Audited.SAID, word=order.word, why=why, about=f"region {name}")
    typer.echo(f"said {order.word} of region {name} in the ledger of region {where}; the mirrors carry it on")


def _keep_rule(name: str, deed: Deed, undrained: list[str], *, force: bool) -> None:
    """Refuses to leave no region that serves."""
    if deed is JOIN or undrained != [name]:
        return
    if force:
        output.note(f"against the rule {LAST_UNDRAINED!r}: after this no region is undrained")
        return
    output.note(
        f"refused by the rule {LAST_UNDRAINED!r}: {name} is the last region that is not drained, and without one "
        "clients have nowhere to go. Join another first (tocsin region join NAME), or say --force. Nothing was done"
    )
    raise typer.Exit(output.Status.DEVIATED)

"""`tocsin progress`: how far each partition is, how fast, and what holds it."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final

import typer

from tocsin.cli import output
from tocsin.cli.sight import now_us
from tocsin.ops.progress import PartitionState, RegionState, SourceState, look, measure_pace
from tocsin.ops.regions import reachable
from tocsin.settings import Settings

HALTS_SHOWN_MAX: Final = 2

app = typer.Typer(help="How far each partition is, and what holds it.")
DECIMAL_MAX: Final = 100.0
"""From here on numbers are shown without decimals."""


@app.callback(invoke_without_command=True)
def progress(
    over_s: Annotated[
        float, typer.Option("--over", min=0.0, max=60.0, help="Measure paces over so many seconds; 0: do not.")
    ] = 1.0,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """Show how far each region is: by partition and source what is done, what waits and how old it is, and the paces.

    Paces come from two looks, --over seconds apart. Spare capacity shows only while there is a backlog to work off.
    """
    states = asyncio.run(_measure(Settings.load(regions_dir=regions_dir), over_s))
    if as_json:
        output.show_json({"over_s": over_s, "regions": [state.as_fields() for state in states]})
    else:
        for state in states:
            _show(state)
    if all(state.away and not _is_read(state) for state in states):
        raise typer.Exit(output.Status.UNKNOWN)


async def _measure(settings: Settings, over_s: float) -> list[RegionState]:
    topology = settings.topology()
    async with reachable(settings, topology) as reached:
        if not over_s or not (reached.logs and reached.stores):
            return await look(reached, topology, now_us())
        began_s = time.monotonic()
        before = await look(reached, topology, now_us())
        await asyncio.sleep(over_s)
        seconds = time.monotonic() - began_s
        after = await look(reached, topology, now_us())
        measure_pace(before, after, seconds)
        return after


def _is_read(state: RegionState) -> bool:
    return any(
        source.low is not None or source.log_end is not None
        for partition in state.partitions
        for source in partition.sources
    )


def _show(state: RegionState) -> None:
    typer.echo(f"region {state.name}: {_until(state)}")
    for why in state.away:
        output.note(f"not read: {output.clean(why)}")
    if _is_read(state):
        for rows in (
            [_row(partition, source) for partition in state.partitions for source in partition.sources],
            [_kept(partition) for partition in state.partitions],
        ):
            output.show_list(rows, output.plain(*rows[0]), as_json=False, empty="")
            typer.echo("")
    remarks = [output.clean(line) for line in _remarks(state)]
    if remarks:
        typer.echo("\n".join(f"  {line}" for line in remarks) + "\n")


def _until(state: RegionState) -> str:
    without = f", but for what {', '.join(state.drained)} holds (drained)" if state.drained else ""
    if state.complete_until_us is None:
        return f"complete until: unknown, some partition has seen no tick yet{without}"
    at_s = state.complete_until_us / 1e6
    return f"complete until {output.utc(at_s)} ({output.ago(at_s, time.time())}){without}"


def _row(partition: PartitionState, source: SourceState) -> dict[str, Any]:
    """What fits into 80 columns; --json has the rest."""
    pace = source.pace
    return {
        "part": partition.partition,
        "source": source.source,
        "done below": _number(source.low),
        "runs": _number(source.runs),
        "lag": _number(source.lag_records),
        "lag s": _number(source.lag_s),
        "in/s": _number(pace.arrival_per_s if pace else None),
        "spare/s": _number(pace.spare_per_s if pace else None),
        "recovers": _span(pace.recover_s if pace else None),
        "headroom": _span(source.headroom_s),
    }


def _kept(partition: PartitionState) -> dict[str, Any]:
    return {
        "part": partition.partition,
        "held": _number(partition.held),
        "set aside": _number(partition.set_aside),
        "quarantined": _number(partition.quarantined),
        "owner": "never" if partition.written_s is None else f"{partition.phase}, {partition.written_s:.0f} s ago",
    }


def _number(value: float | None) -> str:
    """With a decimal only where it says something: the table is to fit a terminal."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if isinstance(value, int) or value >= DECIMAL_MAX else f"{value:,.1f}"


def _span(seconds: float | None) -> str:
    return "-" if seconds is None else output.ago(seconds, 0.0).removeprefix("in ")


def _remarks(state: RegionState) -> Iterator[str]:
    for partition in state.partitions:
        yield from _halts(partition)
        for source in partition.sources:
            yield from _warnings(partition.partition, source)
    if state.budget_spent:
        yield f"the budget is spent; services counted: {', '.join(state.budget_counted)}"
        yield f"  once it is clear whose fault it is: tocsin quarantine release-budget --region {state.name}"
    elif state.budget_counted:
        yield f"services counted in the budget: {', '.join(state.budget_counted)}"
    for lost in state.lost:
        yield (
            f"lost: partition {lost['partition']} of the requests of {lost['source']}, offsets {lost['start']} to "
            f"{lost['end'] - 1}: retention removed them unread; runbooks/TocsinRecordsLost.md says what to do"
        )


def _halts(partition: PartitionState) -> Iterator[str]:
    for why in partition.halted[:HALTS_SHOWN_MAX]:
        yield f"partition {partition.partition} is halted: {why}"
        yield f"  tocsin ledger explain {why.partition(':')[0]}"
    if len(partition.halted) > HALTS_SHOWN_MAX:
        more = output.counted(len(partition.halted) - HALTS_SHOWN_MAX, "more request")
        yield f"partition {partition.partition} is halted by {more}: tocsin quarantine ls --stage held"


def _warnings(partition: int, source: SourceState) -> Iterable[str]:
    place = f"partition {partition}, requests of {source.source}"
    if source.unread:
        yield f"{place}: retention removed {source.unread:,} records before they were read; they will be named as lost"
    if source.pace and source.pace.spare_per_s is not None and source.pace.spare_per_s <= 0:
        yield f"{place}: the backlog does not shrink at this pace"

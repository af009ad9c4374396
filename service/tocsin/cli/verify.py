"""`tocsin verify`: do all regions hold the same? Names each thing that they do not."""

import asyncio
import dataclasses
import time
from typing import Annotated, Any, Final

import typer

from tocsin.cli import output
from tocsin.ops.comparison import Difference
from tocsin.ops.regions import serving_stores
from tocsin.ops.verify import DIFFERENCES_MAX, Counts, Outcome, Report, verify
from tocsin.settings import Settings

app = typer.Typer(help="Compare the regions, row by row.")

COUNTED: Final = tuple(field.name for field in dataclasses.fields(Counts))
SHOWN_AFTER_S: Final = 2.0
STATUS: Final = {
    Outcome.EQUAL: output.Status.HELD,
    Outcome.DIFFERENT: output.Status.DEVIATED,
    Outcome.INCONCLUSIVE: output.Status.UNKNOWN,
}


@app.callback(invoke_without_command=True)
def compare(
    everything: Annotated[
        bool, typer.Option("--all", help="Count also what may still be on its way: for after a quiet time.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Differences shown; all are counted.")] = 50,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """Compare the serving stacks of all regions: entries, incidents, what is quarantined, what is dropped.

    What was received before the regions' common complete-until must be the same everywhere; what is younger may still
    be on its way. Exit status: 0 equal, 1 different, 3 when a store could not be read or there was nothing to compare.
    """
    report = asyncio.run(_compare(Settings.load(regions_dir=regions_dir), everything=everything, limit=limit))
    if as_json:
        output.show_json(as_fields(report))
    else:
        _show(report)
    raise typer.Exit(STATUS[report.outcome])


async def _compare(settings: Settings, *, everything: bool, limit: int) -> Report:
    topology = settings.topology()
    async with serving_stores(settings, topology) as stores:
        return await verify(
            stores,
            partitions=topology.regions[0].partitions,
            everything=everything,
            differences_max=min(limit, DIFFERENCES_MAX),
            told=_Progress(),
        )


class _Progress:
    """Says how far a long comparison is, once a second."""

    def __init__(self) -> None:
        self._next_s = time.monotonic() + SHOWN_AFTER_S

    def __call__(self, rows: int) -> None:
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + 1.0
            output.note(f"{rows:,} rows read")


def as_fields(report: Report) -> dict[str, Any]:
    """The report as JSON knows it."""
    return {
        "outcome": report.outcome,
        "complete_until": output.utc(report.complete_until_us / 1e6) if report.complete_until_us else None,
        "everything": report.everything,
        "differing": report.differing,
        "differences": [difference._asdict() for difference in report.differences],
        "pending": report.pending,
        "not_agreed": [row._asdict() for row in report.not_agreed],
        "regions": {region: dataclasses.asdict(counts) for region, counts in report.regions.items()},
        "lost": {region: [lost._asdict() for lost in some] for region, some in report.lost.items()},
        "unread": report.unread,
    }


def _show(report: Report) -> None:
    rows = [{"region": region} | dataclasses.asdict(counts) for region, counts in report.regions.items()]
    columns = output.plain("region", *COUNTED)
    output.show_list(rows, columns, as_json=False, empty="no store could be read")
    found = [("differs", report.differences), ("not yet agreed", [] if report.everything else report.not_agreed)]
    for heading, differences in found:
        if differences:
            typer.echo(f"\n{heading}:")
            output.show_list(
                [difference._asdict() for difference in differences],
                output.plain(*Difference._fields),
                as_json=False,
                empty="",
            )
    for region, ranges in report.lost.items():
        for lost in ranges:
            typer.echo(
                f"lost in {region}: partition {lost.partition} of the requests of {lost.source}, offsets {lost.start} "
                f"to {lost.end - 1}: retention removed them unread; runbooks/TocsinRecordsLost.md says what to do"
            )
    for region, why in report.unread.items():
        output.note(f"not read to its end: the store of {region}: {output.clean(why)}")
    typer.echo(f"\n{_conclusion(report)}")


def _conclusion(report: Report) -> str:
    if report.everything:
        scope = "everything counted"
    elif report.complete_until_us:
        until = output.utc(report.complete_until_us / 1e6)
        scope = f"what was received before {until} (the common complete-until) compared strictly"
    else:
        scope = "the regions have no complete-until in common yet, so nothing was compared strictly"
    if report.pending:
        scope += f"; {output.counted(report.pending, 'row')} still on the way"
    match report.outcome:
        case Outcome.EQUAL:
            return f"equal: {scope}"
        case Outcome.DIFFERENT:
            more = report.differing - len(report.differences)
            rest = f" ({more:,} of them not shown: see --limit)" if more else ""
            return f"different: {output.counted(report.differing, 'difference')}{rest}; {scope}"
        case Outcome.INCONCLUSIVE:
            why = "a store could not be read" if report.unread else "there was nothing that could be compared"
            return f"inconclusive: {why}; {scope}"

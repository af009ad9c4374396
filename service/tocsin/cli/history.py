"""`tocsin history`: judge what clients of a run were told and could read."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tocsin.cli import output

if TYPE_CHECKING:
    from tocsin.ops.history import Report

app = typer.Typer(no_args_is_help=True, help="Judge the recorded history of a run.")


@app.callback()
def history() -> None:
    """Judge the recorded history of a run: what clients were told, against what could be read."""


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A history, as the demo records one: build/demo/history.jsonl.")],
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="Anomalies shown; all are counted.")] = 50,
    as_json: output.AsJson = False,
) -> None:
    """Judge a history: is anything lost, skipped, diverged, rewritten or late?

    Exit status: 0 valid, 1 invalid (or the file is none that can be read), 3 unknown: it shows nothing wrong, and not
    enough to be sure.
    """
    from tocsin.ops.history import BrokenHistory, Verdict, check_file

    try:
        report = check_file(file, _Progress())
    except BrokenHistory as error:
        output.fail(error)
        raise typer.Exit(output.Status.DEVIATED) from error
    if as_json:
        output.show_json(as_fields(report, limit))
    else:
        _show(report, limit)
    status = {
        Verdict.VALID: output.Status.HELD,
        Verdict.INVALID: output.Status.DEVIATED,
        Verdict.UNKNOWN: output.Status.UNKNOWN,
    }
    raise typer.Exit(status[report.verdict])


class _Progress:
    """Says how far a long file is read, once a second."""

    def __init__(self) -> None:
        self._next_s = time.monotonic() + output.QUIET_S

    def __call__(self, lines: int) -> None:
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + 1.0
            output.note(f"{lines:,} lines read")


def as_fields(report: "Report", limit: int) -> dict[str, Any]:
    """The report as JSON knows it."""
    return {
        "verdict": report.verdict,
        **asdict(report),
        "anomalies": [anomaly._asdict() for anomaly in report.anomalies[:limit]],
    }


def _show(report: "Report", limit: int) -> None:
    rows = [{"operation": call, **ends} for call, ends in report.calls.items()]
    output.show_list(rows, output.plain("operation", "ok", "fail", "info"), as_json=False, empty="")
    waits = [f"{region} {ms / 1000:.1f} s" for region, ms in report.stable_latency_ms_max.items()]
    typer.echo(f"\nfrom acknowledged to there for good, at most: {', '.join(waits)}")
    shown = report.anomalies[:limit]
    for found in shown:
        typer.echo(output.clean(f"{found.kind}: {found.request} in {found.region}: {found.text}"))
    more = sum(report.counts.values()) - len(shown)
    if more:
        typer.echo(f"and {more:,} more that are not shown")
    for why in report.unknown_because:
        typer.echo(f"not known: {output.clean(why)}")
    named = {kind: count for kind, count in report.counts.items() if count}
    told = ", ".join(f"{count:,} {kind}" for kind, count in named.items())
    typer.echo(
        f"\n{report.verdict}{told and ': ' + told}; {output.counted(report.acknowledged, 'request')} acknowledged, "
        f"{report.recovered:,} more recorded of those whose end nobody knew"
    )

"""`tocsin audit`: who was refused, and who changed what."""

import itertools
from typing import Annotated, Final

import typer

from tocsin.cli import output
from tocsin.engines.audit import Deed, lines
from tocsin.engines.opening import audit_path
from tocsin.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The audit trail: refusals, and changes by people.")

LIMIT: Final = 50
LIMIT_MAX: Final = 1_000_000


@app.callback()
def audit() -> None:
    """The audit trail: refusals, and changes by people."""


@app.command("ls")
def list_lines(
    region: Annotated[str | None, typer.Option(help="Of this region alone.")] = None,
    action: Annotated[list[Deed] | None, typer.Option(help="Of this kind alone; several times for several.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="The latest so many of each region.")] = LIMIT,
    as_json: output.AsJson = False,
) -> None:
    """List the lines of the trail, the latest last."""
    settings = Settings.load(region=region)
    topology = settings.topology()
    names = [settings.own_region(topology).name] if settings.region else topology.names
    rows = [
        {"region": name, **line}
        for name in names
        for line in itertools.islice(
            (line for line in lines(audit_path(settings, name)) if not action or line.get("action") in action), limit
        )
    ]
    rows.sort(key=lambda row: row.get("at_us", 0))
    output.show_list(
        rows,
        {
            "at": lambda row: output.utc(row.get("at_us", 0) / 1e6),
            "region": lambda row: row["region"],
            "action": lambda row: row.get("action"),
            "by": lambda row: row.get("by") or row.get("client") or "",
            "token": lambda row: row.get("token_id", ""),
            "what": _what,
        },
        as_json=as_json,
        empty="nothing was refused and nothing changed",
    )


def _what(row: output.Row) -> str:
    """All that has no column of its own."""
    columns = {"at_us", "region", "action", "by", "client", "token_id"}
    return " ".join(f"{name}={value}" for name, value in row.items() if name not in columns and value not in (None, []))

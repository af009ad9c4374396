"""`tocsin region`: which regions there are, and where to find them."""

import json
from pathlib import Path
from typing import Any

import typer

from tocsin.cli import output
from tocsin.config import ConfigError, Problem
from tocsin.settings import Settings
from tocsin.topology import Region

app = typer.Typer(no_args_is_help=True, help="The regions that hold the same data.")

NOT_RUNNING = "not running"


@app.callback()
def region() -> None:
    """The regions that hold the same data."""


@app.command("ls")
def list_regions(regions_dir: output.RegionsDir = None, as_json: output.AsJson = False) -> None:
    """List the regions and where their clients find them.

    Where a region file leaves a port free, the address is known while `tocsin up` runs.
    """
    settings = Settings.load(regions_dir=regions_dir)
    published = read_published(settings.up_file)
    rows = [published.get(region.name) or addresses(region) for region in settings.topology().regions]
    output.show_list(
        rows,
        {
            "region": lambda row: row["name"],
            "events": lambda row: row["intake_url"] or NOT_RUNNING,
            "queries": lambda row: row["query_url"] or NOT_RUNNING,
        },
        as_json=as_json,
        empty="no regions",
    )


def addresses(region: Region) -> dict[str, Any]:
    """Where clients find a region, as far as its file tells."""
    return {
        "name": region.name,
        "intake_url": region.intake.url,
        "query_url": region.querier.url,
        "console_url": None,
        "ca_file": None,
    }


def read_published(up_file: Path) -> dict[str, dict[str, Any]]:
    """What `tocsin up` published of each region; empty when it does not run. Raises ConfigError for anything else."""
    try:
        up = json.loads(up_file.read_bytes())
        return {row["name"]: row for row in up["regions"]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError) as error:
        what = "is not what `tocsin up` writes; remove it, or start `tocsin up` anew"
        raise ConfigError([Problem(str(up_file), "", what)]) from error

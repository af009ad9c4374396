"""`tocsin synthetic`: what the synthetic page needs of the directory."""

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer
import yaml

from tocsin.cli import output
from tocsin.config import ConfigError, Problem
from tocsin.core.events import ROUTING_KEY_LENGTH
from tocsin.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The synthetic page, by which Tocsin itself is watched.")


@app.callback()
def synthetic() -> None:
    """The synthetic page, by which Tocsin itself is watched."""


@app.command()
def init(
    region: Annotated[str, typer.Option(help="The region whose page it is.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Left out, <service>.yaml here.")] = None,
    regions_dir: output.RegionsDir = None,
) -> None:
    """Make the routing key that the region file names, where it is missing, and write the service and the responder
    of the synthetic page into a file for `tocsin directory apply`. Nothing else is changed.
    """
    from tocsin.roles.dead_mans_switch import read_secret
    from tocsin.roles.synthetic_service import KEY, METHOD, name_of

    settings = Settings.load(regions_dir=regions_dir)
    place = settings.topology().region(region)
    section = place.synthetic
    if section is None:
        raise ConfigError([Problem(f"region {region}", "synthetic", "is not set: see docs/synthetic.md")])
    key_file = settings.path(section.routing_key_file)
    if not key_file.exists():
        key_file.parent.mkdir(parents=True, exist_ok=True)
        _write(key_file, secrets.token_hex(ROUTING_KEY_LENGTH // 2) + "\n")
        output.note(f"made a routing key in {key_file}")
    name = name_of(place)
    file = out or Path(f"{name}.yaml")
    service = {"id": name, "name": f"Synthetic page of region {region}", "urgency": "high", "responders": [name]}
    user = {
        "id": name,
        "name": f"Synthetic page of region {region}",
        "email": f"{name}@tocsin.invalid",
        "methods": [{"id": METHOD, "kind": "webhook", "address": section.pages_at}],
        "rules": [{"method": METHOD, "urgency": "high"}],
    }
    content = {"services": [service | {"routing_keys": [read_secret(key_file, KEY)]}], "users": [user]}
    _write(file, yaml.safe_dump(content, sort_keys=False))
    typer.echo(f"wrote {file}, which has the routing key in it; next: tocsin directory apply {file} --region {region}")


def _write(path: Path, text: str) -> None:
    """A new file that its owner alone can read; raises FileExistsError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)

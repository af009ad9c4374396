"""`tocsin config`: is the configuration right, what is in force, and the schema of region files."""

import typer

from tocsin.cli import output
from tocsin.config import ConfigError
from tocsin.settings import Settings
from tocsin.topology import region_schema

app = typer.Typer(no_args_is_help=True, help="The configuration: region files and TOCSIN_* variables.")


@app.command()
def check(regions_dir: output.RegionsDir = None, as_json: output.AsJson = False) -> None:
    """Check the variables and all region files, each by itself and together. Status 1 when a fault is found."""
    try:
        settings = Settings.load(regions_dir=regions_dir)
        topology = settings.topology()
    except ConfigError as error:
        if not as_json:
            raise
        output.show_json({"valid": False, "problems": [problem._asdict() for problem in error.problems]})
        raise typer.Exit(output.Status.DEVIATED) from error
    if as_json:
        output.show_json({"valid": True, "problems": []})
    else:
        partitions = topology.regions[0].partitions
        typer.echo(
            f"{settings.regions_dir}: regions {', '.join(topology.names)} with {partitions} partitions fit together"
        )


@app.command()
def show(regions_dir: output.RegionsDir = None, as_json: output.AsJson = False) -> None:
    """Show what is in force: variables, and region files with defaults and overrides in place."""
    settings = Settings.load(regions_dir=regions_dir)
    in_force = {
        "settings": settings.model_dump(mode="json", exclude={"overrides"}),
        "regions": [region.model_dump(mode="json") for region in settings.topology().regions],
    }
    if as_json:
        output.show_json(in_force)
    else:
        import yaml

        typer.echo(yaml.safe_dump(in_force, sort_keys=False), nl=False)


@app.command()
def schema() -> None:
    """Print the JSON schema of a region file, as regions/region.schema.json has it."""
    output.show_json(region_schema())

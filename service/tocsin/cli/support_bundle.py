"""`tocsin support-bundle`: what an engineer elsewhere needs, in one file, without secrets."""

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from tocsin.cli import output
from tocsin.cli.published import Published, admin_urls
from tocsin.cli.sight import now_us
from tocsin.settings import Settings

app = typer.Typer(help="What an engineer elsewhere needs, in one file, without secrets.")


@app.callback(invoke_without_command=True)
def support_bundle(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Left out, tocsin-support-<time>.tar.gz here.")
    ] = None,
    regions_dir: output.RegionsDir = None,
    as_json: output.AsJson = False,
) -> None:
    """Write what can be found out about this installation into one archive: status, configuration, versions, progress,
    ledger, health and metrics, the ends of logs and audit trails.

    Secrets are taken out, and it changes nothing else. It is bounded in size and time; what was out of reach is named,
    and is no failure. Look into it before you send it: texts of incidents are in its status.
    """
    from tocsin.ops.support import bundle
    from tocsin.ops.support.parts import PARTS, Place

    settings = Settings.load(regions_dir=regions_dir)
    topology = settings.topology()
    place = Place(settings, topology, admin_urls(topology, Published.read(settings.up_file)), now_us)
    path = out or Path(time.strftime("tocsin-support-%Y%m%dT%H%M%SZ.tar.gz", time.gmtime()))
    output.note(f"will write {path}, at most {bundle.TOTAL_BYTES_MAX // 2**20} MiB before it is packed, with:")
    for part in PARTS:
        output.note(f"  {part.name}: {part.what}")
    output.note("without secrets: " + "; ".join(bundle.RULES))
    written = asyncio.run(bundle.write(place, path, lambda text: output.note(output.clean(text))))
    if as_json:
        output.show_json(written._asdict() | {"path": str(written.path)})
        return
    for name, why in written.out_of_reach.items():
        output.note(output.clean(f"not there, or not whole: {name}: {why}"))
    size = sum(written.members.values())
    typer.echo(f"{path}: {output.counted(len(written.members), 'file')}, {size:,} bytes before packing")

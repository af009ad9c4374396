"""`tocsin id`: mint temporal ids, say what is in one, and how likely two are the same."""

import secrets
import time
from typing import Annotated, Any

import typer

from tocsin.cli import output
from tocsin.core.ids import Minter, collision_odds, format_id, id_seconds, parse_id, parse_printed

app = typer.Typer(no_args_is_help=True, help="Temporal ids: 32 bits of Unix seconds, then 32 random bits.")

SECONDS_PER_DAY = 86_400


@app.command()
def new(
    count: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 1, as_json: output.AsJson = False
) -> None:
    """Mint ids of this moment, all different."""
    minter = Minter()
    minted = [format_id(minter.mint(int(time.time()), secrets.randbits(32))) for _ in range(count)]
    if as_json:
        output.show_json(minted)
    else:
        typer.echo("\n".join(minted))


@app.command()
def explain(
    name: Annotated[str, typer.Argument(metavar="ID", help="An id (0x5d684054fc3540a0) or a printed request key.")],
    as_json: output.AsJson = False,
) -> None:
    """Say when an id was minted, and what its bits are."""
    fields = explained(name)
    if not as_json:
        fields["time"] += f" ({output.ago(fields['unix_s'], time.time())})"
    output.show_fields(fields, as_json=as_json)


@app.command()
def odds(
    n: Annotated[int, typer.Argument(min=1, max=2**32, help="Ids minted under one parent in one second.")],
    as_json: output.AsJson = False,
) -> None:
    """Say how likely it is that ids of one parent and second are not all different.

    A collision costs nothing: with the digest in the request key both are kept, and it is counted.
    """
    chance = collision_odds(n)
    fields: dict[str, Any] = {"n": n, "odds": chance, "seconds_per_day": chance * SECONDS_PER_DAY}
    if not as_json:
        fields = {
            "ids of one parent in one second": f"{n:,}",
            "chance that two are the same": f"{chance:.2g}" + (f" (1 in {1 / chance:,.0f})" if chance else ""),
            "seconds a day with a collision": f"{chance * SECONDS_PER_DAY:.2g} at this pace all day",
        }
    output.show_fields(fields, as_json=as_json)


def explained(name: str) -> dict[str, Any]:
    """What an id, or a printed request key, says; raises typer.BadParameter when it is neither."""
    try:
        temporal_id, digest = parse_printed(name) if "." in name else (parse_id(name), None)
    except ValueError as error:
        raise typer.BadParameter(output.clean(str(error))) from error
    seconds = id_seconds(temporal_id)
    fields = {
        "id": format_id(temporal_id),
        "time": output.utc(seconds),
        "unix_s": seconds,
        "random_bits": f"0x{temporal_id & 0xFFFF_FFFF:08x}",
    }
    return fields if digest is None else fields | {"digest_starts": digest.hex()}

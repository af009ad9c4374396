"""Where a command reads and sends, and by which token or routing key: as `tocsin up` published it, unless it is told
otherwise.

    addresses    --url, else the file of `tocsin up`, else region files that fix their ports
    token        --token-file, else TOCSIN_TOKEN, else the one that was published
    routing key  --routing-key, else TOCSIN_ROUTING_KEY, else the one that was published

A secret is read and handed on; no message of any command has one in it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from tocsin.cli.published import Published, addresses
from tocsin.config import ConfigError, Problem, nearest
from tocsin.settings import Settings, variable

if TYPE_CHECKING:
    from tocsin.client.reader import Reader

Url = Annotated[
    list[str] | None, typer.Option("--url", metavar="URL", help="A region's address; again for each further region.")
]
CaFile = Annotated[
    Path | None, typer.Option("--ca-file", metavar="FILE", help="The CA of what --url names; else the system's.")
]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="Holds the text of the token to come with.")
]
UpFile = Annotated[
    Path | None, typer.Option("--up-file", metavar="FILE", help="What `tocsin up` published; build/up.json.")
]
OnlyRegion = Annotated[str | None, typer.Option("--region", metavar="NAME", help="Ask this region, and no other.")]

TOKEN_BYTES_MAX: Final = 4_096


class Asked(NamedTuple):
    """What the options of a command say of where and by what."""

    url: list[str] | None = None
    ca_file: Path | None = None
    token_file: Path | None = None
    up_file: Path | None = None
    region: str | None = None


class _Address(NamedTuple):
    name: str
    url: str
    ca_file: Path | None


def open_reader(asked: Asked) -> "Reader":
    """A reader of the regions. Raises ConfigError when it is not known where they are, or there is no token."""
    from tocsin.client.reader import Place, Reader

    settings = Settings.load(up_file=asked.up_file)
    published = Published.read(settings.up_file)
    places = [Place(*address) for address in _addresses(asked, settings, published, "query_url")]
    token = _token(asked, settings, published)
    try:
        return Reader(places, token)
    except (ValueError, OSError) as error:
        raise _unusable(error, places) from error


class Sending(NamedTuple):
    """What a producer needs. `names` has the region by the address of its intake."""

    names: dict[str, str]
    ca_file: Path | None
    routing_key: str

    def __repr__(self) -> str:
        """Without the routing key."""
        return f"Sending({sorted(self.names)})"


def sending(asked: Asked, routing_key: str | None) -> Sending:
    """Where events go, and by which key. Raises ConfigError when either is not known."""
    settings = Settings.load(up_file=asked.up_file, routing_key=routing_key)
    published = Published.read(settings.up_file)
    found = _addresses(asked, settings, published, "intake_url")
    key = settings.routing_key.get_secret_value() if settings.routing_key else published.routing_key
    if not key:
        what = "no routing key is known: name one with it or --routing-key, or start `tocsin up`, which publishes one"
        raise ConfigError([Problem(variable("routing_key"), "", what)])
    ca_files = {address.ca_file for address in found}
    if len(ca_files) > 1:
        what = "the regions' certificates come from several authorities; name one file that has all of them"
        raise ConfigError([Problem("--ca-file", "", what)])
    return Sending({address.url.rstrip("/"): address.name for address in found}, ca_files.pop(), key)


def _addresses(asked: Asked, settings: Settings, published: Published, field: str) -> Sequence[_Address]:
    found = list(_known(asked, settings, published, field))
    if not found:
        what = (
            "is not there, so no region is known to run: start `tocsin up`, or name a region's address with --url"
            if not published.regions
            else f"names no {field} of any region; wait until all is ready, or name an address with --url"
        )
        raise ConfigError([Problem(str(settings.up_file), "", what)])
    if asked.region is None:
        return found
    only = [address for address in found if address.name == asked.region]
    if not only:
        names = [address.name for address in found]
        what = f"no region {asked.region!r} is known to run{nearest(asked.region, names)}"
        raise ConfigError([Problem("--region", "", what)])
    return only


def _known(asked: Asked, settings: Settings, published: Published, field: str) -> list[_Address]:
    if asked.url:
        return [_Address(url, url, asked.ca_file) for url in asked.url]
    rows: list[dict[str, Any]] = list(published.regions.values())
    if not rows and settings.regions_dir.is_dir():
        rows = [addresses(region, settings) for region in settings.topology().regions]
    return [_Address(row["name"], row[field], asked.ca_file or _path(row.get("ca_file"))) for row in rows if row[field]]


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _token(asked: Asked, settings: Settings, published: Published) -> str:
    if asked.token_file is not None:
        return _token_in(asked.token_file)
    token = settings.token.get_secret_value() if settings.token else published.token
    if not token:
        what = (
            "no token is known: put one there or into a file for --token-file (`tocsin token create` makes one), or "
            "start `tocsin up`, which publishes one"
        )
        raise ConfigError([Problem(variable("token"), "", what)])
    return token


def _token_in(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(TOKEN_BYTES_MAX).decode("ascii").strip()
    except (OSError, ValueError) as error:
        what = "cannot be read as a token" if isinstance(error, ValueError) else str(error.strerror)
        raise ConfigError([Problem(str(path), "", what)]) from error
    if len(text.split()) != 1:
        what = "holds no token: expected the one word that `tocsin token create` shows, and nothing else"
        raise ConfigError([Problem(str(path), "", what)])
    return text


def _unusable(error: Exception, places: Sequence[Any]) -> ConfigError:
    if isinstance(error, OSError):
        files = ", ".join(sorted({str(place.ca_file) for place in places}))
        return ConfigError([Problem(files, "", f"cannot be used as the regions' CA: {error}")])
    return ConfigError([Problem("--url", "", str(error))])

"""How a region's notifier reaches people: the part of a region file that stage two reads."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from tocsin.topology.section import Section


class Webhooks(Section):
    """Webhooks of users, signed after Standard Webhooks."""

    allow_private: bool = False
    """Whether addresses inside this network may be called: for development, and for nobody who takes in users' URLs."""
    ca_file: Path | None = None
    """PEM: whom to trust besides the system's authorities. Relative to the data directory."""


class Delivery(Section):
    """Providers. A method whose kind has none is passed over, and said so."""

    key_file: Path = Path("paging.key")
    """What the secrets of webhooks are derived from: the same in all regions. Made where it is missing. Relative to the
    data directory.
    """
    webhooks: Webhooks = Webhooks()
    queue_max: Annotated[int, Field(strict=True, ge=1)] = 20_000
    """Pages that wait for a provider at one time; one above that is given back at once, for another region to send."""

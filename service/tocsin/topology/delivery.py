"""How a region's notifier reaches people: the part of a region file that stage two reads."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from tocsin.topology.engines import Address, Password, host_and_port
from tocsin.topology.section import Section, is_loopback

Rate = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]
Sender = Annotated[str, StringConstraints(pattern=r"^[!-~]+@[!-~]+$", max_length=254)]


class Smtp(Section):
    """The mail server that pages go out by."""

    server: Address
    """Usually on port 587 (`starttls`) or 465 (`implicit`)."""
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    """How the connection becomes a secret one; `none` is for a server on this machine alone."""
    ca_file: Path | None = None
    """PEM: whom to trust besides the system's authorities. Relative to the data directory."""
    sender: Sender
    """The address that pages come from."""
    login: Password | None = None
    """Who we are to the server; left out, nobody."""
    connections_max: Annotated[int, Field(strict=True, ge=1, le=100)] = 8
    """Connections to it at one time, each with one mail under way."""
    per_s: Rate = 20.0
    """Mails a second at most: what is above waits."""

    @model_validator(mode="after")
    def _is_secret(self) -> Self:
        host, _ = host_and_port(self.server)
        if self.tls == "none" and not is_loopback(host):
            raise ValueError(f"tls is none, and {host} is not this machine: say starttls or implicit")
        return self


class Webhooks(Section):
    """Webhooks of users, signed after Standard Webhooks."""

    allow_private: bool = False
    """Whether addresses inside this network may be called: for development, and for nobody who takes in users' URLs."""
    private_allowed: tuple[Address, ...] = ()
    """Hosts and ports inside this network that may be called all the same: receivers of your own, such as the one of
    the synthetic page.
    """
    ca_file: Path | None = None
    """PEM: whom to trust besides the system's authorities. Relative to the data directory."""
    per_s: Rate = 1_000.0
    """Calls a second at most, of all receivers together: what is above waits."""


class AppriseCalls(Section):
    """What the apprise library reaches, by its URLs."""

    allow_private: bool = False
    """Whether addresses inside this network may be called, by users' apprise URLs: for services of your own."""
    threads_max: Annotated[int, Field(strict=True, ge=1, le=256)] = 16
    """Calls at one time, each in a thread of its own."""
    per_s: Rate = 20.0
    """Calls a second at most: what is above waits."""


class Delivery(Section):
    """Providers. A method whose kind has none is passed over, and said so."""

    key_file: Path = Path("paging.key")
    """What the secrets of webhooks are derived from: the same in all regions. Made where it is missing. Relative to the
    data directory.
    """
    templates_dir: Path | None = None
    """Texts of your own in place of Tocsin's: any of `subject.j2`, `short.j2`, `long.j2`, `spoken.j2`. Relative to the
    data directory.
    """
    smtp: Smtp | None = None
    """Left out, nobody is reached by mail."""
    webhooks: Webhooks = Webhooks()
    apprise: AppriseCalls = AppriseCalls()
    queue_max: Annotated[int, Field(strict=True, ge=1)] = 20_000
    """Pages that wait for a provider at one time; one above that is given back at once, for another region to send."""

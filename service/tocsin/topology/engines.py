"""What a region file says of its engines: which one, where it is, and who we are to it.

A password is never a value of a region file: the file names the file that holds it. Whatever is not on this machine is
spoken to over TLS, and a region file that says otherwise is refused.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, StringConstraints, Tag, model_validator

from tocsin.topology.section import Section, is_loopback

_ADDRESS: Final = re.compile(r"^(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/]+):([0-9]{1,5})$")


def _address(address: str) -> str:
    if not ((found := _ADDRESS.match(address)) and 0 < int(found[2]) < 2**16):
        raise ValueError(f"should be host:port, is {address!r}")
    return address


def _some(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Not by `min_length`, which complains of a list that has a faulty item too."""
    if not addresses:
        raise ValueError("must name at least one host:port")
    return addresses


Address = Annotated[str, AfterValidator(_address), Field(json_schema_extra={"pattern": _ADDRESS.pattern})]
"""`host:port`, with an IPv6 host in brackets."""
Addresses = Annotated[tuple[Address, ...], AfterValidator(_some), Field(json_schema_extra={"minItems": 1})]
Text = Annotated[str, StringConstraints(min_length=1, max_length=256)]


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts of an `Address`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


class ClientTls(Section):
    """How we check an engine that we talk to, and what we show it."""

    ca_file: Path | None = None
    """PEM of the CAs that we trust, relative to the data directory; left out, those that the system does."""
    cert_file: Path | None = None
    """PEM of our own certificate, where the engine asks for one. Relative to the data directory."""
    key_file: Path | None = None
    """PEM of its key, without a password. Relative to the data directory."""

    @model_validator(mode="after")
    def _is_a_pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together: one of them is missing")
        return self


class Password(Section):
    """A name and a password."""

    by: Literal["password"]
    username: Text
    password_file: Path
    """The file that holds the password and nothing else, relative to the data directory."""


class Scram(Section):
    """A name and a password that do not cross the network (RFC 5802)."""

    by: Literal["scram"]
    hash: Literal["sha-256", "sha-512"] = "sha-512"
    username: Text
    password_file: Path
    """The file that holds the password and nothing else, relative to the data directory."""


class AwsIdentity(Section):
    """The identity that AWS gives a process: tokens for Amazon MSK, signatures for Amazon Keyspaces."""

    by: Literal["aws"]
    aws_region: Text
    """Where the service is, e.g. `eu-central-1`."""


class EmbeddedLog(Section):
    """The log of one machine: an SQLite file."""

    engine: Literal["embedded"]
    path: Path
    """Relative to the data directory."""
    retention_s: Annotated[float, Field(gt=0)]
    """How long records of requests are kept, in seconds."""


class SqliteStack(Section):
    """A stack whose outcome store is an SQLite file."""

    engine: Literal["sqlite"]
    path: Path
    """Relative to the data directory."""


def _by(login: Any) -> str:
    return f"[{login.get('by') if isinstance(login, Mapping) else getattr(login, 'by', None)}]"


def _engine(section: Any) -> str:
    return f"[{section.get('engine') if isinstance(section, Mapping) else getattr(section, 'engine', None)}]"


class KafkaLog(Section):
    """The log on Apache Kafka or Amazon MSK; MirrorMaker 2 or MSK Replicator bring the peers' topics."""

    engine: Literal["kafka"]
    bootstrap: Addresses
    """Brokers to begin with, `host:port` each."""
    replication_factor: Annotated[int, Field(strict=True, ge=1, le=15)] = 3
    """How many brokers keep each record, of topics that we make."""
    min_insync_replicas: Annotated[int, Field(strict=True, ge=1, le=15)] = 2
    """How many of them must have a record before it is acknowledged."""
    retention_s: Annotated[float, Field(gt=0)]
    """How long records of requests are kept, in seconds."""
    tls: ClientTls | None = None
    """Left out, no TLS: for brokers on this machine only."""
    login: (
        Annotated[
            Annotated[Scram, Tag("[scram]")] | Annotated[AwsIdentity, Tag("[aws]")],
            Discriminator(_by),
        ]
        | None
    ) = None
    """Who we are to the brokers; left out, nobody, or whom our certificate names."""

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if self.min_insync_replicas > self.replication_factor:
            raise ValueError(
                f"min_insync_replicas is {self.min_insync_replicas}, above replication_factor "
                f"({self.replication_factor}): nothing would ever be acknowledged"
            )
        _refuse_plain_text("bootstrap", self.bootstrap, self.tls)
        return self


class CassandraStack(Section):
    """A stack whose outcome store is Apache Cassandra or Amazon Keyspaces, one of its own in each region."""

    engine: Literal["cassandra"]
    contact_points: Addresses
    """Nodes to begin with, `host:port` each; one port for all."""
    local_dc: Text
    """The data center whose nodes we talk to, and whose quorum acknowledges."""
    keyspace: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
    """Where the tables are: `tocsin store migrate` makes both."""
    replication_factor: Annotated[int, Field(strict=True, ge=1, le=15)] = 3
    """How many nodes keep each row, of a keyspace that we make."""
    flavor: Literal["cassandra", "keyspaces"] = "cassandra"
    """`keyspaces` keeps to what Amazon Keyspaces takes."""
    tls: ClientTls | None = None
    """Left out, no TLS: for nodes on this machine only."""
    login: (
        Annotated[
            Annotated[Password, Tag("[password]")] | Annotated[AwsIdentity, Tag("[aws]")],
            Discriminator(_by),
        ]
        | None
    ) = None
    """Who we are to the nodes; left out, nobody."""

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if len({host_and_port(address)[1] for address in self.contact_points}) > 1:
            raise ValueError("contact_points name several ports: the nodes of a cluster listen on one")
        _refuse_plain_text("contact_points", self.contact_points, self.tls)
        return self


def _refuse_plain_text(field: str, addresses: Sequence[str], tls: ClientTls | None) -> None:
    remote = [address for address in addresses if not is_loopback(host_and_port(address)[0])]
    if remote and tls is None:
        raise ValueError(f"{field} names {remote[0]}, which is not on this machine, and tls is left out; set it")


# The tags tell the alternatives apart by engine, so that a fault is told of the one that was meant.
LogEngine = Annotated[
    Annotated[EmbeddedLog, Tag("[embedded]")] | Annotated[KafkaLog, Tag("[kafka]")],
    Discriminator(_engine),
]
Stack = Annotated[
    Annotated[SqliteStack, Tag("[sqlite]")] | Annotated[CassandraStack, Tag("[cassandra]")],
    Discriminator(_engine),
]

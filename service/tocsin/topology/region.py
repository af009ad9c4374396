"""One region as its file describes it."""

import math
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, Discriminator, Field, StringConstraints, Tag, model_validator

from tocsin.core.limits import Limits
from tocsin.core.paging.limits import PagingLimits
from tocsin.topology.delivery import Delivery
from tocsin.topology.engines import CassandraStack, EmbeddedLog, LogEngine, SqliteStack, Stack
from tocsin.topology.section import Section

REQUESTS: Final = "requests"
"""The topic that this region's intake appends to; a peer's mirrored copy is `<prefix>requests`."""
LEDGER: Final = "ledger"
"""The compacted topic of this region's statements; a peer's mirrored copy is `<prefix>ledger`."""
DIRECTORY: Final = "directory"
"""The compacted topic of services and users that were applied here; a peer's mirrored copy is `<prefix>directory`."""
ASSIGNMENTS: Final = "assignments"
"""The topic of whose each incident is, by user; not mirrored, since each region derives its own."""
FEEDBACK: Final = "feedback"
"""The topic of this region's intents and their ends; a peer's mirrored copy is `<prefix>feedback`."""
PAGES_PATH: Final = "/page"
"""Where the process of the synthetic page takes what comes back."""
MIRRORED: Final = (REQUESTS, LEDGER, DIRECTORY, FEEDBACK)
"""What the mirrors carry to the other regions."""


L = TypeVar("L", Limits, PagingLimits)


def _positive(limits: L) -> L:
    for name in limits.__dataclass_fields__:
        value = getattr(limits, name)
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be a number above 0, is {value}")
    return limits


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
Host = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Port = Annotated[int, Field(strict=True, ge=0, le=65535)]


class Peer(Section):
    """Another region, as this one sees it."""

    name: Name
    """The peer's name, as its own file has it."""
    mirror_prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    """What the mirror puts before the names of the peer's topics in this region's log, e.g. `b.`."""

    @property
    def requests(self) -> str:
        """The mirrored copy of the peer's requests in this region's log."""
        return self.mirror_prefix + REQUESTS

    @property
    def ledger(self) -> str:
        """The mirrored copy of the peer's ledger in this region's log."""
        return self.mirror_prefix + LEDGER

    @property
    def directory(self) -> str:
        """The mirrored copy of the peer's directory in this region's log."""
        return self.mirror_prefix + DIRECTORY

    @property
    def feedback(self) -> str:
        """The mirrored copy of the peer's feedback in this region's log."""
        return self.mirror_prefix + FEEDBACK


def _is_one(host: str) -> bool:
    """Whether it is the address of one host, not of all that this one has."""
    return host not in {"0.0.0.0", "::"}  # noqa: S104 (compared, not bound)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class Process(Section):
    """Where a role of this region listens. Port 0 takes a free one, which `tocsin up` publishes."""

    host: Host = "127.0.0.1"
    admin_port: Port = 0
    """Health and metrics."""

    @property
    def ports(self) -> dict[str, int]:
        """Field to port, of those that are fixed."""
        ports = {"admin_port": self.admin_port}
        return {field: port for field, port in ports.items() if port}

    @property
    def admin_url(self) -> str | None:
        """Where health and metrics are; None while that is not known from the file (a free port, any address)."""
        return f"http://{_in_url(self.host)}:{self.admin_port}" if self.admin_port and _is_one(self.host) else None


class TlsFiles(Section):
    """A certificate that somebody else issues. Its files are read again when they change."""

    cert_file: Path
    """PEM: the certificate, and those between it and its CA. Relative to the data directory."""
    key_file: Path
    """PEM: its key, without a password. Relative to the data directory."""


# The tags tell the two apart by kind, so that a fault is told of the one that was meant.
Tls = Annotated[
    Annotated[Literal["local"], Tag("[local]")] | Annotated[TlsFiles, Tag("[files]")],
    Discriminator(lambda value: "[local]" if isinstance(value, str) else "[files]"),
]


class Server(Process):
    """Where a role with clients of its own listens."""

    port: Port = 0
    """What clients talk to."""
    tls: Tls | None = None
    """What clients are spoken to over: `local` for a certificate of this machine's own authority, or files of one. Left
    out, plain HTTP: for a network where something before us ends TLS.
    """

    @property
    def ports(self) -> dict[str, int]:
        """Field to port, of those that are fixed."""
        return super().ports | ({"port": self.port} if self.port else {})

    @property
    def url(self) -> str | None:
        """Where clients find it; None while that is not known from the file (a free port, any address)."""
        return f"{self.scheme}://{_in_url(self.host)}:{self.port}" if self.port and _is_one(self.host) else None

    @property
    def scheme(self) -> str:
        """How an address of it begins."""
        return "https" if self.tls else "http"


class Synthetic(Server):
    """A page a minute that is sent through everything, and where it comes back (docs/synthetic.md)."""

    every_s: Annotated[float, Field(ge=1, le=3_600, allow_inf_nan=False)] = 60.0
    """How often; where pages are paced more slowly (`paging.pace_s`), it goes by that."""
    routing_key_file: Path
    """The file that holds the routing key of the synthetic service and nothing else, relative to the data directory."""
    ping_url_file: Path | None = None
    """The file that holds the URL of a dead-man's switch outside, called after each page that came. Relative to the
    data directory. Left out, nobody outside watches.
    """
    page_url: Annotated[str, StringConstraints(pattern=r"^https://[^\s]+$")] | None = None
    """Where the notifiers of *all* regions find this process; left out, where it listens."""
    intake_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")] | None = None
    """Where it sends its events; left out, to this region's intake as the file has it."""

    @property
    def pages_at(self) -> str | None:
        """The webhook's address; None when nobody can know it."""
        return self.page_url or (f"{self.url}{PAGES_PATH}" if self.url and self.tls else None)

    @model_validator(mode="after")
    def _can_be_found(self) -> Self:
        if self.pages_at is None:
            raise ValueError(
                "nobody could find it: set host, port and tls, or page_url where something ends TLS before"
            )
        return self


class Region(Section):
    """One region: a place that runs the full set of roles and holds all the data."""

    name: Name
    founding: bool = True
    """Whether the region is there from the start. One that is not counts as drained until a person says `joined`."""
    partitions: Annotated[int, Field(strict=True, ge=1, le=10_000)]
    """How many partitions each topic has: the same in all regions, fixed for the life of the topics."""
    peers: tuple[Peer, ...] = ()
    """Every other region."""
    log: LogEngine
    """What takes this region's records and the mirrored ones of its peers."""
    # What matches no pattern is allowed by JSON schema unless it is said otherwise.
    stacks: Annotated[dict[Name, Stack], Field(min_length=1, json_schema_extra={"additionalProperties": False})]
    """The stacks that can run here: name, and the engine of the outcome store."""
    serving_stack: Name
    """The stack that serves, until a promotion is recorded."""
    intake: Server = Server()
    querier: Server = Server()
    creator: Process = Process()
    notifier: Process = Process()
    directory: Path
    """The file of services and their routing keys, relative to the data directory."""
    limits: Annotated[Limits, AfterValidator(_positive)] = Limits()
    """Bounds of every wait, retry and queue. What is left out has the default shown."""
    paging: Annotated[PagingLimits, AfterValidator(_positive)] = PagingLimits()
    """How pages are paced, bundled and backed up. What is left out has the default shown."""

    delivery: Delivery = Delivery()
    """By which providers pages go out."""
    synthetic: Synthetic | None = None
    """The synthetic page; left out, there is none."""

    @model_validator(mode="after")
    def _refers_to_itself_rightly(self) -> Self:
        if self.serving_stack not in self.stacks:
            raise ValueError(f"serving_stack is {self.serving_stack!r}, which stacks does not list")
        if self.synthetic and not (self.synthetic.intake_url or self.intake.url):
            raise ValueError("synthetic has no intake_url, and intake no fixed port: set one of them")
        names = [peer.name for peer in self.peers]
        if self.name in names:
            raise ValueError(f"peers lists {self.name!r}, the region itself")
        for field, values in (("name", names), ("mirror_prefix", [peer.mirror_prefix for peer in self.peers])):
            if twice := {value for value in values if values.count(value) > 1}:
                raise ValueError(f"peers has the same {field} twice: {', '.join(map(repr, sorted(twice)))}")
        return self

    @property
    def requests(self) -> str:
        """The topic that this region's intake appends to."""
        return REQUESTS

    @property
    def ledger(self) -> str:
        """The topic of this region's statements."""
        return LEDGER

    @property
    def requests_topics(self) -> dict[str, str]:
        """Region of origin to topic in this region's log: its own requests first, then each peer's mirrored copy."""
        return {self.name: self.requests} | {peer.name: peer.requests for peer in self.peers}

    @property
    def ledger_topics(self) -> dict[str, str]:
        """Region of origin to topic in this region's log: its own ledger first, then each peer's mirrored copy."""
        return {self.name: self.ledger} | {peer.name: peer.ledger for peer in self.peers}

    @property
    def directory_topics(self) -> dict[str, str]:
        """Region of origin to topic in this region's log: its own directory first, then each peer's mirrored copy."""
        return {self.name: DIRECTORY} | {peer.name: peer.directory for peer in self.peers}

    @property
    def assignments(self) -> str:
        """The topic of whose each incident is."""
        return ASSIGNMENTS

    @property
    def feedback_topics(self) -> dict[str, str]:
        """Region of origin to topic in this region's log: its own feedback first, then each peer's mirrored copy."""
        return {self.name: FEEDBACK} | {peer.name: peer.feedback for peer in self.peers}

    @property
    def processes(self) -> dict[str, Process]:
        """Role to where it listens."""
        roles = {"intake": self.intake, "querier": self.querier, "creator": self.creator, "notifier": self.notifier}
        return roles | ({"synthetic": self.synthetic} if self.synthetic else {})

    @property
    def files(self) -> dict[str, Path]:
        """Field to file that only this region writes."""
        files = {f"stacks.{name}.path": s.path for name, s in self.stacks.items() if isinstance(s, SqliteStack)}
        return {"log.path": self.log.path} | files if isinstance(self.log, EmbeddedLog) else files

    @property
    def keyspaces(self) -> dict[str, str]:
        """Field to keyspace, told apart by the nodes that it is on, that only this region writes."""
        return {
            f"stacks.{name}.keyspace": f"{stack.keyspace} of {' '.join(sorted(stack.contact_points))}"
            for name, stack in self.stacks.items()
            if isinstance(stack, CassandraStack)
        }

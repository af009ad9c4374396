"""Regions as data: what a region file says, and whether the files of all regions agree.

A region file is the one place where a region is described: its partitions, peers, log, stores and limits. The service
reads it, Terraform reads it, and editors check it by the JSON schema that is made from these models. Two files can each
be right and yet not fit: A mirrors from B, but B does not know A; partition counts differ, so that one parent has two
numbers. Such a pair would run, and lose agreement silently. So the files of a folder are read together, every fault of
every file is collected, and each is named by file and field.
"""

import functools
import ipaddress
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
    model_validator,
)

from tocsin.config import ConfigError, Problem, load_yaml, nearest
from tocsin.core.limits import Limits

REQUESTS: Final = "requests"
"""The topic that this region's intake appends to; a peer's mirrored copy is `<prefix>requests`."""
LEDGER: Final = "ledger"
"""The compacted topic of this region's statements; a peer's mirrored copy is `<prefix>ledger`."""
OVERRIDE_PREFIX: Final = "TOCSIN_REGION__"
"""Variables of this prefix replace fields of region files: TOCSIN_REGION__LIMITS__GRACE_S is `limits.grace_s`."""
VALUE_SHOWN_MAX: Final = 80
"""A refused value is shown up to so many characters."""


def _positive(limits: Limits) -> Limits:
    for name in limits.__dataclass_fields__:
        value = getattr(limits, name)
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be a number above 0, is {value}")
    return limits


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
Host = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Port = Annotated[int, Field(strict=True, ge=0, le=65535)]


class Section(BaseModel):
    """A part of a region file. Unknown fields are refused: a typo must not silently mean the default."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


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
        if self.port == 0 or self.host in {"0.0.0.0", "::"}:  # noqa: S104 (compared, not bound)
            return None
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def scheme(self) -> str:
        """How an address of it begins."""
        return "https" if self.tls else "http"


class Region(Section):
    """One region: a place that runs the full set of roles and holds all the data."""

    name: Name
    founding: bool = True
    """Whether the region is there from the start. One that is not counts as drained until a person says `joined`."""
    partitions: Annotated[int, Field(strict=True, ge=1, le=10_000)]
    """How many partitions each topic has: the same in all regions, fixed for the life of the topics."""
    peers: tuple[Peer, ...] = ()
    """Every other region."""
    log: EmbeddedLog
    # What matches no pattern is allowed by JSON schema unless it is said otherwise.
    stacks: Annotated[dict[Name, SqliteStack], Field(min_length=1, json_schema_extra={"additionalProperties": False})]
    """The stacks that can run here: name, and the engine of the outcome store."""
    serving_stack: Name
    """The stack that serves, until a promotion is recorded."""
    intake: Server = Server()
    querier: Server = Server()
    creator: Process = Process()
    directory: Path
    """The file of services and their routing keys, relative to the data directory."""
    limits: Annotated[Limits, AfterValidator(_positive)] = Limits()
    """Bounds of every wait, retry and queue. What is left out has the default shown."""

    @model_validator(mode="after")
    def _refers_to_itself_rightly(self) -> Self:
        if self.serving_stack not in self.stacks:
            raise ValueError(f"serving_stack is {self.serving_stack!r}, which stacks does not list")
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
    def processes(self) -> dict[str, Process]:
        """Role to where it listens."""
        return {"intake": self.intake, "querier": self.querier, "creator": self.creator}

    @property
    def files(self) -> dict[str, Path]:
        """Field to file that only this region writes."""
        return {"log.path": self.log.path} | {f"stacks.{name}.path": s.path for name, s in self.stacks.items()}


@dataclass(frozen=True, slots=True)
class Topology:
    """All regions of a folder, by name. They fit together: `load_topology` has seen to it."""

    regions: tuple[Region, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the regions, in order."""
        return tuple(region.name for region in self.regions)

    def region(self, name: str) -> Region:
        """The region of this name; raises ConfigError, naming the nearest, when there is none."""
        for region in self.regions:
            if region.name == name:
                return region
        raise ConfigError([Problem("region", "", f"no region {name!r}{nearest(name, self.names)}")])


def region_schema() -> dict[str, Any]:
    """The JSON schema of a region file (draft 2020-12)."""
    schema = Region.model_json_schema()
    for limit in schema["$defs"]["Limits"]["properties"].values():
        limit["exclusiveMinimum"] = 0
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "A region of Tocsin",
    }


def load_region(path: Path, overrides: Mapping[str, Any] | None = None) -> Region:
    """The region that a file describes, with fields replaced by `overrides` (nested as the file is).

    Raises ConfigError with all faults of the file, or of the overrides.
    """
    overrides = overrides or {}
    data = load_yaml(path)
    try:
        return Region.model_validate(_merged(data, overrides))
    except ValidationError as error:
        raise ConfigError(_problems(path, error, overrides)) from error


def load_topology(directory: Path, overrides: Mapping[str, Any] | None = None) -> Topology:
    """All regions of a folder; `overrides` replace fields in each of them.

    Raises ConfigError with all faults of all files; how they fit together is looked at once each is right by itself.
    """
    paths = sorted(path for path in directory.glob("*") if path.suffix in {".yaml", ".yml"})
    if not paths:
        what = "has no region files (*.yaml)" if directory.is_dir() else "no such folder"
        hint = "name the folder with --regions-dir or TOCSIN_REGIONS_DIR"
        raise ConfigError([Problem(str(directory), "", f"{what}; {hint}")])
    loaded: dict[str, Region] = {}
    problems: list[Problem] = []
    for path in paths:
        try:
            loaded[str(path)] = load_region(path, overrides)
        except ConfigError as error:
            problems += error.problems
    if not problems:
        problems = [problem for check in _CHECKS for problem in check(loaded)]
    if problems:
        raise ConfigError(problems)
    return Topology(tuple(sorted(loaded.values(), key=lambda region: region.name)))


# Checks between files ------------------------------------------------------------------------------------------------


def _names_differ(loaded: Mapping[str, Region]) -> Iterator[Problem]:
    yield from _unique(((file, "name", region.name) for file, region in loaded.items()), "the name of two regions")


def _peers_agree(loaded: Mapping[str, Region]) -> Iterator[Problem]:
    files = {region.name: file for file, region in loaded.items()}
    listed = {region.name: {peer.name for peer in region.peers} for region in loaded.values()}
    for file, region in loaded.items():
        for number, peer in enumerate(region.peers):
            if peer.name not in files:
                known = set(files) - {region.name}
                yield Problem(file, f"peers.{number}.name", f"no region {peer.name!r}{nearest(peer.name, known)}")
        for other in sorted(set(files) - {region.name} - listed[region.name]):
            why = (
                f"{files[other]} lists {region.name!r} as its peer"
                if region.name in listed[other]
                else "nothing is passed on from a third region, so each mirrors from every other"
            )
            yield Problem(file, "peers", f"lacks {other!r}: {why}")


def _partitions_agree(loaded: Mapping[str, Region]) -> Iterator[Problem]:
    (first_file, first), *rest = loaded.items()
    for file, region in rest:
        if region.partitions != first.partitions:
            what = (
                f"is {region.partitions}, but {first.partitions} in {first_file}: "
                "a key must have the same partition number in every region"
            )
            yield Problem(file, "partitions", what)


def _ports_differ(loaded: Mapping[str, Region]) -> Iterator[Problem]:
    """A region's processes may share a machine; those of two regions do where both listen on a loopback address."""
    on_loopback: list[tuple[str, str, object]] = []
    for file, region in loaded.items():
        own: dict[tuple[str, str, object], Process] = {
            (file, f"{role}.{field}", port): process
            for role, process in region.processes.items()
            for field, port in process.ports.items()
        }
        clashes = list(_unique(own, "used twice in this region"))
        yield from clashes
        if not clashes:
            on_loopback += [place for place, process in own.items() if is_loopback(process.host)]
    yield from _unique(on_loopback, "used by two regions on this machine")


def _files_differ(loaded: Mapping[str, Region]) -> Iterator[Problem]:
    places = ((file, field, path) for file, region in loaded.items() for field, path in region.files.items())
    yield from _unique(places, "written by two")


_CHECKS: Final[Sequence[Callable[[Mapping[str, Region]], Iterator[Problem]]]] = (
    _names_differ,
    _peers_agree,
    _partitions_agree,
    _ports_differ,
    _files_differ,
)


def _unique(places: Iterable[tuple[str, str, object]], what: str) -> Iterator[Problem]:
    """A problem for each value that an earlier (file, field) has already."""
    first: dict[object, tuple[str, str]] = {}
    for file, field, value in places:
        if value in first:
            yield Problem(file, field, f"{value} is {what}: also {first[value][1]} of {first[value][0]}")
        else:
            first[value] = (file, field)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host, as far as its name says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# Reading one file ----------------------------------------------------------------------------------------------------


def _merged(data: Any, overrides: Any) -> Any:
    if not (isinstance(data, dict) and isinstance(overrides, Mapping)):
        return overrides
    return data | {name: _merged(data[name], value) if name in data else value for name, value in overrides.items()}


def _problems(path: Path, error: ValidationError, overrides: Mapping[str, Any]) -> Iterator[Problem]:
    for fault in error.errors(include_url=False):
        loc = tuple(part for part in fault["loc"] if not str(part).startswith("["))  # [key], or a tag of a union
        field = ".".join(map(str, loc))
        name = str(loc[-1]) if loc else ""
        match fault["type"]:
            case "extra_forbidden" | "unexpected_keyword_argument":
                what = f"no such field{nearest(name, _fields_at(loc[:-1]))}"
            case "missing":
                what = "is required and missing"
            case "value_error":
                what = str(fault["ctx"]["error"])
            case _:
                expected = re.sub("^(Input|String) should", "should", fault["msg"]).replace("tuple", "list")
                what = f"{expected}, is {repr(fault['input'])[:VALUE_SHOWN_MAX]}"
        if _overridden(loc, overrides):
            yield Problem(OVERRIDE_PREFIX + "__".join(map(str, loc)).upper(), "", what)
        else:
            yield Problem(str(path), field, what)


def _overridden(loc: Sequence[int | str], overrides: Any) -> bool:
    """Whether the value at this place came from an override, not from the file."""
    for name in loc:
        if not isinstance(overrides, Mapping):
            return True
        if name not in overrides:
            return False
        overrides = overrides[name]
    return bool(loc)


def _fields_at(loc: Sequence[int | str]) -> list[str]:
    """The fields that the section at this place of a region file may have."""
    schema = _schema()
    definitions = schema["$defs"]
    for name in loc:
        if isinstance(name, int):
            schema = schema["items"]
        elif "patternProperties" in schema:
            (schema,) = schema["patternProperties"].values()
        else:
            schema = schema["properties"][name]
        reference = _reference(schema)
        if reference:
            schema = definitions[reference.rpartition("/")[2]]
    return list(schema["properties"])


def _reference(schema: Mapping[str, Any]) -> str:
    """The section that a schema, or one of its alternatives, refers to; empty when there is none."""
    if "$ref" in schema:
        return str(schema["$ref"])
    alternatives = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return next(filter(None, map(_reference, alternatives)), "")


@functools.cache
def _schema() -> dict[str, Any]:
    return region_schema()

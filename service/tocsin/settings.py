"""Settings: what the environment tells one process, on top of the region files.

Region files say what a region is, and are the same for every process of it. What differs from process to process, or
from one machine to the next, comes as `TOCSIN_*` variables: which region and stack this process serves, where data
lies, where it listens. Any field of the region files can be replaced for a trial by `TOCSIN_REGION__` and the field's
path in upper case, the value in YAML: `TOCSIN_REGION__LIMITS__GRACE_S=2`. It replaces the field in *every* region file
that the process reads, and the files are checked as they are then.

A variable that nobody reads is a mistake that shows weeks later. So an unknown `TOCSIN_*` variable is refused.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tocsin.config import ConfigError, Problem, nearest, parse_yaml
from tocsin.topology import OVERRIDE_PREFIX, Process, Region, Server, Stack, Topology, load_topology

PREFIX: Final = "TOCSIN_"
CA_FILE: Final = "ca.pem"
"""The certificate of the local authority, in `authority_dir`."""
P = TypeVar("P", bound=Process)
_Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """One process's settings. `Settings.load()` reads the environment; each field is the variable TOCSIN_<FIELD>."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    region: str | None = None
    """The region that this process serves."""
    stack: str | None = None
    """The stack that this process belongs to; left out, the region's serving stack."""
    regions_dir: Path = Path("regions/local")
    """The folder of region files."""
    data_dir: Path = Path("build/local")
    """Where paths of region files, and the relative ones below, begin."""
    up_file: Path = Path("build/up.json")
    """Where `tocsin up` publishes what runs where. Not relative to the data directory."""
    token_file: Path = Path("tokens.json")
    """The tokens that the querier accepts."""
    token: SecretStr | None = None
    """The token by which commands read and act; left out, the one that `tocsin up` published. Never shown."""
    routing_key: SecretStr | None = None
    """The routing key by which commands send events; left out, the one that `tocsin up` published. Never shown."""
    authority_dir: Path = Path("authority")
    """Where this machine's own authority has its CA: for servers with `tls: local`."""
    faults_file: Path | None = None
    """The rules of the fault switch; left out, there is no switch around the engines."""
    journal: bool = False
    """Whether the embedded store logs every write of an entry, in a table of its own."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The lowest level that is logged."""
    host: str | None = None
    """Where this process listens, in place of the region file's host of its role."""
    port: _Port | None = None
    """What clients of this process talk to, in place of the region file's port of its role."""
    admin_port: _Port | None = None
    """Health and metrics of this process, in place of the region file's admin port of its role."""
    metrics_token: SecretStr | None = None
    """The token by which others than this machine's programs read a process's metrics; left out, nobody else does."""
    otlp_endpoint: Annotated[str, Field(pattern=r"^https?://[^\s/]+")] | None = None
    """The base URL of a collector that takes metrics and traces by OTLP over HTTP; left out, nothing is sent."""
    otlp_headers: SecretStr | None = None
    """Headers of calls to the collector, as `name=value,name=value`. Never shown."""
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Of the events whose senders do not ask for it so many are followed, where a collector is set."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Fields of region files to replace, nested as they are there: from TOCSIN_REGION__* variables."""

    @classmethod
    def load(cls, **given: Any) -> Self:
        """The settings of this process; what is given (options of a command) goes before the environment.

        Raises ConfigError that names every variable at fault. An option that is None was not given.
        """
        environ = {name.upper(): value for name, value in os.environ.items()}
        _refuse_unknown(environ)
        given = {name: value for name, value in given.items() if value is not None}
        try:
            return cls(overrides=_overrides(environ), **given)
        except ValidationError as error:
            raise ConfigError(
                Problem(
                    variable(str(fault["loc"][0])), "", f"{fault['msg'].removeprefix('Input ')}, is {fault['input']!r}"
                )
                for fault in error.errors(include_url=False)
            ) from error

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (as the base class)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, and nothing else: no file that somebody forgot lying about."""
        return init_settings, env_settings

    def topology(self) -> Topology:
        """The regions of `regions_dir`, with the overrides in place; raises ConfigError."""
        return load_topology(self.regions_dir, self.overrides)

    def own_region(self, topology: Topology) -> Region:
        """The region that this process serves; raises ConfigError when none is set, or there is none of that name."""
        if self.region is None:
            known = ", ".join(topology.names)
            raise ConfigError(
                [Problem(variable("region"), "", f"is not set: name the region with it or --region; known: {known}")]
            )
        return topology.region(self.region)

    def own_stack(self, region: Region) -> tuple[str, Stack]:
        """Name and description of the stack that this process belongs to; raises ConfigError for an unknown one."""
        name = self.stack or region.serving_stack
        if name not in region.stacks:
            what = f"region {region.name!r} has no stack {name!r}{nearest(name, region.stacks)}"
            raise ConfigError([Problem(variable("stack"), "", what)])
        return name, region.stacks[name]

    def listening(self, process: P) -> P:
        """Where this process listens: what the region file says of its role, with this process's host and ports.

        Raises ConfigError when a port for clients is set and the role has no clients.
        """
        if self.port is not None and not isinstance(process, Server):
            raise ConfigError(
                [Problem(variable("port"), "", "is set, but this role has no clients; use TOCSIN_ADMIN_PORT")]
            )
        given = {"host": self.host, "port": self.port, "admin_port": self.admin_port}
        return process.model_copy(update={name: value for name, value in given.items() if value is not None})

    def ca_file(self, region: Region) -> Path | None:
        """What clients of a region check its certificates by; None for what their system trusts, or without TLS.

        It is there once one of the region's servers was started.
        """
        is_local = "local" in (region.intake.tls, region.querier.tls)
        return (self.path(self.authority_dir) / CA_FILE).resolve() if is_local else None

    def headers_for_collector(self) -> dict[str, str]:
        """The headers of `otlp_headers` by name; raises ConfigError."""
        text = self.otlp_headers.get_secret_value() if self.otlp_headers else ""
        headers = [part.partition("=") for part in text.split(",") if part.strip()]
        if not all(name.strip() and value.strip() for name, _, value in headers):
            raise ConfigError([Problem(variable("otlp_headers"), "", "must be name=value, parted by commas")])
        return {name.strip(): value.strip() for name, _, value in headers}

    def path(self, relative: Path) -> Path:
        """A path of a region file, or of these settings, from the data directory; an absolute one stays."""
        return self.data_dir / relative


def variable(field: str) -> str:
    """The name of the variable that sets a field."""
    return PREFIX + field.upper()


def variables() -> dict[str, str]:
    """Variable to meaning, of all that there are."""
    fields = {name: field.description or "" for name, field in Settings.model_fields.items() if name != "overrides"}
    return {variable(name): text for name, text in fields.items()}


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = variables()
    unknown = sorted(
        name
        for name in environ
        if name.startswith(PREFIX) and not name.startswith(OVERRIDE_PREFIX) and name not in known
    )
    if unknown:
        raise ConfigError(
            Problem(name, "", f"no such setting{nearest(name, [*known, OVERRIDE_PREFIX])}") for name in unknown
        )


def _overrides(environ: Mapping[str, str]) -> dict[str, Any]:
    """The TOCSIN_REGION__* variables as a mapping nested like a region file."""
    overrides: dict[str, Any] = {}
    for name in sorted(name for name in environ if name.startswith(OVERRIDE_PREFIX)):
        *sections, field = name.removeprefix(OVERRIDE_PREFIX).lower().split("__")
        place = overrides
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ConfigError([Problem(name, "", "a shorter variable replaces the whole section already")])
        place[field] = parse_yaml(environ[name], name)
    return overrides

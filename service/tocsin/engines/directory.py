"""The directory: which services there are, by which routing keys they are reached, and what they want of an ack.

A port, because the directory will come from a mirrored topic; today it is a YAML file that is read again when it
changes. A routing key is looked up by its hash: how long the look-up takes then says nothing of how much of a guessed
key was right, since nobody can steer the bytes of a hash.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from tocsin.config import ConfigError, Problem, nearest, parse_yaml
from tocsin.core.events import ROUTING_KEY_LENGTH
from tocsin.core.rates import EVENTS_PER_MIN_MAX
from tocsin.engines.watched import Watched


class Ack(StrEnum):
    """What must have a request before it is answered with 202."""

    REGION = "region"
    """The log of the region that it came to."""
    ALL_REGIONS = "all-regions"
    """The logs of all regions: losing a region then loses nothing that was accepted."""


class PeerUnreachable(StrEnum):
    """What is done with an event for all regions while a peer's log cannot be reached."""

    REFUSE = "refuse"
    """503: the client keeps it, and tries again or elsewhere."""
    ACCEPT = "accept"
    """Taken as for `region`, and the answer says so."""


Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
RoutingKey = Annotated[str, StringConstraints(pattern=rf"^[!-~]{{{ROUTING_KEY_LENGTH}}}$")]


class Service(BaseModel):
    """A service: what an event is for."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    id: Id
    """Part of every parent, so it never changes."""
    name: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    routing_keys: Annotated[tuple[RoutingKey, ...], Field(min_length=1)]
    """Several, so that one can be replaced without an interruption."""
    ack: Ack = Ack.REGION
    when_peer_unreachable: PeerUnreachable = PeerUnreachable.REFUSE
    events_per_min_max: Annotated[int, Field(strict=True, ge=1)] = EVENTS_PER_MIN_MAX
    """In any 60 seconds one intake process takes no more events than this; what is above is told when to come again."""


class Directory(Protocol):
    """What intake and querier ask. Every call is quick and none does I/O worth waiting for."""

    def service_of(self, routing_key: str) -> Service | None:
        """The service that a routing key belongs to."""

    def service(self, id: str) -> Service | None:
        """The service of this id."""

    @property
    def problems(self) -> list[str]:
        """Why the directory may not be up to date, empty when it is."""


class FileDirectory:
    """The directory of a YAML file: `services`, a list."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError when the file cannot be used; later faults leave the last good content in force."""
        self._watched = Watched(path, lambda raw: _parse(raw, str(path)))
        self._watched.get()

    def service_of(self, routing_key: str) -> Service | None:
        """The service that a routing key belongs to."""
        return self._watched.get().by_key.get(_hash(routing_key))

    def service(self, id: str) -> Service | None:
        """The service of this id."""
        return self._watched.get().by_id.get(id)

    @property
    def problems(self) -> list[str]:
        """Why the directory may not be up to date, empty when it is."""
        return self._watched.problems


class _Content(NamedTuple):
    by_id: Mapping[str, Service]
    by_key: Mapping[bytes, Service]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    services: tuple[Service, ...]


def _parse(raw: bytes, where: str) -> _Content:
    try:
        services = _File.model_validate(parse_yaml(raw, where)).services
    except ValidationError as error:
        raise ConfigError(_problems(where, error)) from error
    # Numbers, not the keys: a secret does not belong into an error.
    ids = [service.id for service in services]
    keys = [(n, _hash(key)) for n, service in enumerate(services) for key in service.routing_keys]
    users = Counter(key for _, key in keys)
    problems = [Problem(where, "services", f"two services have the id {id!r}") for id in _twice(ids)]
    problems += [
        Problem(where, f"services.{n}.routing_keys", "holds a routing key that is used twice in this file")
        for n, key in keys
        if users[key] > 1
    ]
    if problems:
        raise ConfigError(problems)
    return _Content(
        {service.id: service for service in services},
        {_hash(key): service for service in services for key in service.routing_keys},
    )


def _problems(where: str, error: ValidationError) -> Iterable[Problem]:
    for fault in error.errors(include_url=False, include_input=False):
        field = ".".join(map(str, fault["loc"]))
        known = Service.model_fields if fault["loc"][:1] == ("services",) else _File.model_fields
        if fault["type"] == "extra_forbidden":
            yield Problem(where, field, f"no such field{nearest(str(fault['loc'][-1]), known)}")
        elif "routing_keys" in fault["loc"] and fault["type"] == "string_pattern_mismatch":
            yield Problem(where, field, f"must have {ROUTING_KEY_LENGTH} printable ASCII characters")
        else:
            yield Problem(where, field, fault["msg"])


def _twice(values: Iterable[str]) -> list[str]:
    return [value for value, times in Counter(values).items() if times > 1]


def _hash(routing_key: str) -> bytes:
    return hashlib.sha256(routing_key.encode()).digest()

"""The directory: which services there are, by which routing keys they are reached, what they want of an ack; and users.

A port, because the directory will come from a mirrored topic; today it is a YAML file that is read again when it
changes. A routing key is looked up by its hash: how long the look-up takes then says nothing of how much of a guessed
key was right, since nobody can steer the bytes of a hash.

A key is replaced without an interruption: the new one joins `routing_keys`, the old one moves to `retiring_keys` with
the moment up to which it is still good.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, NamedTuple, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

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
EMAIL: Final = r"^[^\s@]+@[^\s@]+$"
RoutingKey = Annotated[str, StringConstraints(pattern=rf"^[!-~]{{{ROUTING_KEY_LENGTH}}}$")]


class RetiringKey(BaseModel):
    """A routing key that is good for a while yet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: RoutingKey
    until: AwareDatetime


class Service(BaseModel):
    """A service: what an event is for."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    id: Id
    """Part of every parent, so it never changes."""
    name: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    routing_keys: Annotated[tuple[RoutingKey, ...], Field(min_length=1)]
    """Several, so that one can be replaced without an interruption."""
    retiring_keys: tuple[RetiringKey, ...] = ()
    """Routing keys that are being replaced: `key`, and `until` when it is good, with its zone."""
    ack: Ack = Ack.REGION
    when_peer_unreachable: PeerUnreachable = PeerUnreachable.REFUSE
    events_per_min_max: Annotated[int, Field(strict=True, ge=1)] = EVENTS_PER_MIN_MAX
    """In any 60 seconds one intake process takes no more events than this; what is above is told when to come again."""


class User(BaseModel):
    """A person."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    id: Id
    name: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    email: Annotated[str, StringConstraints(pattern=EMAIL, max_length=255)]
    """By which the REST interface knows who acts."""


class Directory(Protocol):
    """What intake and querier ask. Every call is quick and none does I/O worth waiting for."""

    def service_of(self, routing_key: str) -> Service | None:
        """The service that a routing key belongs to."""

    def service(self, id: str) -> Service | None:
        """The service of this id."""

    def services(self) -> Sequence[Service]:
        """All services, by id."""

    def users(self) -> Sequence[User]:
        """All users, by id."""

    def user_of(self, email: str) -> User | None:
        """The user of this address, whatever the case of its letters."""

    @property
    def problems(self) -> list[str]:
        """Why the directory may not be up to date, empty when it is."""


class FileDirectory:
    """The directory of a YAML file: `services` and `users`, lists."""

    def __init__(self, path: Path, clock_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        """Raises ConfigError when the file cannot be used; later faults leave the last good content in force."""
        self._clock_us = clock_us
        self._watched = Watched(path, lambda raw: _parse(raw, str(path)))
        self._watched.get()

    def service_of(self, routing_key: str) -> Service | None:
        """The service that a routing key belongs to."""
        found = self._watched.get().by_key.get(_hash(routing_key))
        if found is None or (found.until_us is not None and self._clock_us() >= found.until_us):
            return None
        return found.service

    def service(self, id: str) -> Service | None:
        """The service of this id."""
        return self._watched.get().by_id.get(id)

    def services(self) -> Sequence[Service]:
        """All services, by id."""
        return list(self._watched.get().by_id.values())

    def users(self) -> Sequence[User]:
        """All users, by id."""
        return list(self._watched.get().by_email.values())

    def user_of(self, email: str) -> User | None:
        """The user of this address."""
        return self._watched.get().by_email.get(email.lower())

    @property
    def problems(self) -> list[str]:
        """Why the directory may not be up to date, empty when it is."""
        return self._watched.problems


class _Key(NamedTuple):
    service: Service
    until_us: int | None


class _Content(NamedTuple):
    by_id: Mapping[str, Service]
    by_key: Mapping[bytes, _Key]
    by_email: Mapping[str, User]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    services: tuple[Service, ...]
    users: tuple[User, ...] = ()


def _parse(raw: bytes, where: str) -> _Content:
    try:
        file = _File.model_validate(parse_yaml(raw, where))
    except ValidationError as error:
        raise ConfigError(_problems(where, error)) from error
    # Numbers, not the keys: a secret does not belong into an error.
    keys = [
        (f"services.{n}.{field}", key, _Key(service, until_us))
        for n, service in enumerate(file.services)
        for field, key, until_us in _keys(service)
    ]
    users = Counter(key for _, key, _ in keys)
    problems = [
        Problem(where, field, f"two {field} have the {name} {value!r}")
        for field, name, values in (
            ("services", "id", [service.id for service in file.services]),
            ("users", "id", [user.id for user in file.users]),
            ("users", "email", [user.email.lower() for user in file.users]),
        )
        for value in _twice(values)
    ]
    problems += [
        Problem(where, field, "holds a routing key that is used twice in this file")
        for field, key, _ in keys
        if users[key] > 1
    ]
    if problems:
        raise ConfigError(problems)
    return _Content(
        {service.id: service for service in sorted(file.services, key=lambda service: service.id)},
        {key: known for _, key, known in keys},
        {user.email.lower(): user for user in sorted(file.users, key=lambda user: user.id)},
    )


def _keys(service: Service) -> Iterable[tuple[str, bytes, int | None]]:
    """The field, hash and end of each key of a service."""
    for key in service.routing_keys:
        yield "routing_keys", _hash(key), None
    for retiring in service.retiring_keys:
        yield "retiring_keys", _hash(retiring.key), int(retiring.until.timestamp() * 1_000_000)


_FIELDS: Final[Mapping[int | str, Iterable[str]]] = {"services": Service.model_fields, "users": User.model_fields}


def _problems(where: str, error: ValidationError) -> Iterable[Problem]:
    for fault in error.errors(include_url=False, include_input=False):
        field = ".".join(map(str, fault["loc"]))
        known = _FIELDS.get(fault["loc"][0] if len(fault["loc"]) > 1 else "", _File.model_fields)
        if fault["type"] == "extra_forbidden":
            yield Problem(where, field, f"no such field{nearest(str(fault['loc'][-1]), known)}")
        elif {"routing_keys", "retiring_keys"} & set(fault["loc"]) and fault["type"] == "string_pattern_mismatch":
            yield Problem(where, field, f"must have {ROUTING_KEY_LENGTH} printable ASCII characters")
        else:
            yield Problem(where, field, fault["msg"])


def _twice(values: Iterable[str]) -> list[str]:
    return [value for value, times in Counter(values).items() if times > 1]


def _hash(routing_key: str) -> bytes:
    return hashlib.sha256(routing_key.encode()).digest()

"""The directory as roles ask it: which services there are, by which routing keys they are reached, and who is who.

A port. `FileDirectory` is a YAML file that is read again when it changes, for what runs without a log;
`log_directory.py` has the one of a region, the file overlaid by what was applied. A routing key is looked up by its
hash (`core/directory.py`).
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from tocsin.core.directory import Body, Name, Service, hash_key
from tocsin.core.paging.people import Person
from tocsin.engines.directory_file import Content, parse_directory
from tocsin.engines.errors import Refused
from tocsin.engines.watched import Watched


class Directory(Protocol):
    """What roles ask. Every call is quick and none does I/O worth waiting for."""

    def service_of(self, routing_key: str) -> Service | None:
        """The service that a routing key belongs to."""

    def service(self, id: str) -> Service | None:
        """The service of this id."""

    def services(self) -> Sequence[Service]:
        """All services, by id."""

    def user(self, id: str) -> Person | None:
        """The user of this id."""

    def users(self) -> Sequence[Person]:
        """All users, by id."""

    def user_of(self, email: str) -> Person | None:
        """The user of this address, whatever the case of its letters."""

    async def put(self, bodies: Iterable[Body], gone: Iterable[Name] = ()) -> None:
        """Makes services and users be so from now on, over what is known here, and removes those of these names.

        Returns once this region's log has it; the others hear of it by their mirrors. Raises `Refused` where the
        directory cannot be changed, and every other `EngineError` when it may be changed or not.
        """

    @property
    def problems(self) -> list[str]:
        """Why the directory may not be up to date, empty when it is."""

    @property
    def unready(self) -> list[str]:
        """Those of the problems for which clients should ask another region: it may lack what was applied long ago."""


class _Owner(NamedTuple):
    service: Service
    until_us: int | None


class View:
    """Services and users, found by whatever they are asked for; of two that claim one key or address the later counts.

    It never changes: what changes is which view is in force.
    """

    def __init__(self, services: Iterable[Service], users: Iterable[Person]) -> None:
        """In the order in which the later counts."""
        services, users = tuple(services), tuple(users)
        self.services: Mapping[str, Service] = {one.id: one for one in sorted(services, key=lambda one: one.id)}
        self.users: Mapping[str, Person] = {one.id: one for one in sorted(users, key=lambda one: one.id)}
        self._by_key = {key.hash: _Owner(one, key.until_us) for one in services for key in one.keys}
        self._by_email = {one.email.lower(): one for one in users}

    def service_of(self, routing_key: str, now_us: int) -> Service | None:
        """The service that a routing key belongs to at this time."""
        found = self._by_key.get(hash_key(routing_key))
        if found is None or (found.until_us is not None and now_us >= found.until_us):
            return None
        return found.service

    def user_of(self, email: str) -> Person | None:
        """The user of this address."""
        return self._by_email.get(email.lower())


class FileDirectory:
    """The directory of a YAML file: `services` and `users`, lists."""

    def __init__(self, path: Path, clock_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        """Raises ConfigError when the file cannot be used; later faults leave the last good content in force."""
        self._clock_us = clock_us
        self._watched = Watched(path, lambda raw: parse_directory(raw, str(path)))
        self._content: Content | None = None
        self._view = View((), ())
        self._now()

    @property
    def content(self) -> Content:
        """What the file holds."""
        return self._watched.get()

    def _now(self) -> View:
        content = self._watched.get()
        if content is not self._content:
            self._content, self._view = content, View(*content)
        return self._view

    def service_of(self, routing_key: str) -> Service | None:
        """The service that a routing key belongs to."""
        return self._now().service_of(routing_key, self._clock_us())

    def service(self, id: str) -> Service | None:
        """The service of this id."""
        return self._now().services.get(id)

    def services(self) -> Sequence[Service]:
        """All services, by id."""
        return list(self._now().services.values())

    def user(self, id: str) -> Person | None:
        """The user of this id."""
        return self._now().users.get(id)

    def users(self) -> Sequence[Person]:
        """All users, by id."""
        return list(self._now().users.values())

    def user_of(self, email: str) -> Person | None:
        """The user of this address."""
        return self._now().user_of(email)

    async def put(self, bodies: Iterable[Body], gone: Iterable[Name] = ()) -> None:
        """Never: a file is changed by whoever edits it."""
        del bodies, gone
        raise Refused(f"this directory is the file {self._watched.path} alone: change that")

    @property
    def problems(self) -> list[str]:
        """Why the directory may not be up to date, empty when it is."""
        return self._watched.problems

    @property
    def unready(self) -> list[str]:
        """The same: a region whose file is broken may know less than the others."""
        return self.problems

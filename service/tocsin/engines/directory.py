"""The directory as roles ask it: which services there are, by which routing keys they are reached, and who is who.

A port. `FileDirectory` is a YAML file that is read again when it changes, for what runs without a log;
`log_directory.py` has the one of a region, the file overlaid by what was applied. A routing key is looked up by its
hash (`core/directory.py`).
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from tocsin.core.directory import Body, DirectoryRecord, Kind, Name, Service, hash_key, of_file
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


class View:
    """Services and users, found by whatever they are asked for. Of two that claim one key or address, the one that was
    changed last has it.
    """

    def __init__(self, records: Iterable[DirectoryRecord] = ()) -> None:
        self._services: dict[str, Service] = {}
        self._users: dict[str, Person] = {}
        self._changed: dict[Name, tuple[int, str]] = {}
        self._by_key: dict[bytes, set[str]] = defaultdict(set)
        self._by_email: dict[str, set[str]] = defaultdict(set)
        self._lists: tuple[list[Service], list[Person]] | None = None
        for record in records:
            self.put(record)

    def put(self, record: DirectoryRecord) -> None:
        """Has this record be what there is of its name."""
        name = record.name
        self._lists = None
        self._changed[name] = record.updated_us, record.region
        if name.kind is Kind.SERVICE:
            gone = self._services.pop(name.id, None)
            _unlink(self._by_key, [key.hash for key in gone.keys] if gone else [], name.id)
        else:
            left = self._users.pop(name.id, None)
            _unlink(self._by_email, [left.email.lower()] if left else [], name.id)
        match record.body:
            case Service() as service:
                self._services[name.id] = service
                for key in service.keys:
                    self._by_key[key.hash].add(name.id)
            case Person() as person:
                self._users[name.id] = person
                self._by_email[person.email.lower()].add(name.id)

    def service(self, id: str) -> Service | None:
        """The service of this id."""
        return self._services.get(id)

    def user(self, id: str) -> Person | None:
        """The user of this id."""
        return self._users.get(id)

    def service_of(self, routing_key: str, now_us: int) -> Service | None:
        """The service that a routing key belongs to at this time."""
        digest = hash_key(routing_key)
        ids = self._by_key.get(digest)
        if not ids:
            return None
        service = self._services[self._latest(Kind.SERVICE, ids)]
        is_good = any(key.hash == digest and (key.until_us is None or now_us < key.until_us) for key in service.keys)
        return service if is_good else None

    def user_of(self, email: str) -> Person | None:
        """The user of this address."""
        ids = self._by_email.get(email.lower())
        return self._users[self._latest(Kind.USER, ids)] if ids else None

    def _latest(self, kind: Kind, ids: Iterable[str]) -> str:
        return max(ids, key=lambda id: (self._changed[Name(kind, id)], id))

    def lists(self) -> tuple[list[Service], list[Person]]:
        """All services and all users, by id."""
        if self._lists is None:
            services = sorted(self._services.values(), key=lambda one: one.id)
            self._lists = services, sorted(self._users.values(), key=lambda one: one.id)
        return self._lists


K = TypeVar("K", bytes, str)


def _unlink(index: dict[K, set[str]], keys: Iterable[K], id: str) -> None:
    for key in keys:
        index[key].discard(id)
        if not index[key]:
            del index[key]


class FileDirectory:
    """The directory of a YAML file: `services` and `users`, lists."""

    def __init__(self, path: Path, clock_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        """Raises ConfigError when the file cannot be used; later faults leave the last good content in force."""
        self._clock_us = clock_us
        self._watched = Watched(path, lambda raw: parse_directory(raw, str(path)))
        self._content: Content | None = None
        self._view = View()
        self._now()

    @property
    def content(self) -> Content:
        """What the file holds."""
        return self._watched.get()

    def _now(self) -> View:
        content = self._watched.get()
        if content is not self._content:
            self._content, self._view = content, View(map(of_file, content.bodies))
        return self._view

    def service_of(self, routing_key: str) -> Service | None:
        """The service that a routing key belongs to."""
        return self._now().service_of(routing_key, self._clock_us())

    def service(self, id: str) -> Service | None:
        """The service of this id."""
        return self._now().service(id)

    def services(self) -> Sequence[Service]:
        """All services, by id."""
        return self._now().lists()[0]

    def user(self, id: str) -> Person | None:
        """The user of this id."""
        return self._now().user(id)

    def users(self) -> Sequence[Person]:
        """All users, by id."""
        return self._now().lists()[1]

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

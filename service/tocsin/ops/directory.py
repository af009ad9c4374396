"""Applying a directory file: what would change, whether it all fits together, and saying it in one region's topic.

A file is a *part* of the directory: what it does not name stays, unless `prune` is asked for, which removes it. What is
checked is the directory as it would be afterwards: a responder may be in the file or known before.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import msgspec

from tocsin.config import ConfigError, Problem, nearest
from tocsin.core.directory import Body, DirectoryRecord, Name, RoutingKey, Service, faults, name_of
from tocsin.core.paging.people import Person
from tocsin.engines.audit import Deed
from tocsin.engines.directory_file import Content
from tocsin.engines.errors import EngineError, Unavailable
from tocsin.engines.log_directory import LogDirectory
from tocsin.engines.opening import absent_log, audit_trail, open_log
from tocsin.settings import Settings
from tocsin.topology import Topology

READ_BACK_S_MAX: Final = 30.0
LOOK_AGAIN_S: Final = 0.05
HASH_SHOWN: Final = 12
Known = Mapping[Name, DirectoryRecord]


class Change(NamedTuple):
    """What becomes of one name. `verb`: added, changed or removed; `fields`: what of it changes, in words."""

    name: Name
    verb: str
    fields: tuple[str, ...]
    body: Body | None


class Opened(NamedTuple):
    """A region's directory, read to its end, and the regions before it that could not be, with the reasons."""

    region: str
    directory: LogDirectory
    away: dict[str, str]


@asynccontextmanager
async def opened(settings: Settings, topology: Topology, only: str | None) -> AsyncIterator[Opened]:
    """The directory of this region, or of the first one that can be read. Raises `Unavailable` when none can."""
    away: dict[str, str] = {}
    for region in [topology.region(only)] if only else topology.regions:
        if why := absent_log(region, settings):
            away[region.name] = why
            continue
        log = open_log(region, settings)
        try:
            directory = LogDirectory(log, region, settings.path(region.directory))
            try:
                await directory.look()
            except EngineError as error:
                away[region.name] = str(error)
                continue
            yield Opened(region.name, directory, away)
        finally:
            await log.close()
        return
    reasons = "; ".join(f"region {name}: {why}" for name, why in away.items())
    raise Unavailable(f"no region's directory can be read ({reasons}). Nothing was done")


# The plan ------------------------------------------------------------------------------------------------------------


def plan(known: Known, content: Content, where: str, *, prune: bool) -> list[Change]:
    """What applying this content changes; raises ConfigError, naming the fields, when it does not fit together."""
    wanted: dict[Name, Body] = {name_of(body): body for body in content.bodies}
    before = {name: record.body for name, record in known.items() if record.body is not None}
    after = wanted if prune else before | wanted
    if problems := [Problem(where, field, what) for field, what in _misfits(content, after)]:
        raise ConfigError(problems)
    changes = [
        Change(name, "changed" if name in before else "added", tuple(differences(before.get(name), body)), body)
        for name, body in wanted.items()
        if before.get(name) != body
    ]
    return changes + [Change(name, "removed", (), None) for name in sorted(before) if prune and name not in wanted]


def remaining_faults(known: Known, changes: Iterable[Change]) -> list[str]:
    """What people should mend once these changes are made."""
    after = {name: record.body for name, record in known.items()} | {one.name: one.body for one in changes}
    users = {body.id: body for body in after.values() if isinstance(body, Person)}
    return faults([body for body in after.values() if isinstance(body, Service)], users.get)


def _misfits(content: Content, after: Mapping[Name, Body]) -> Iterator[tuple[str, str]]:
    """The fields of the file, and what is wrong, that only show beside what is known already."""
    users = {body.id: body for body in after.values() if isinstance(body, Person)}
    named = {name_of(body) for body in content.bodies}
    others = [body for name, body in after.items() if name not in named]
    owners = {key.hash: one.id for one in others if isinstance(one, Service) for key in one.keys}
    addresses = {one.email.lower(): one.id for one in others if isinstance(one, Person)}
    for n, service in enumerate(content.services):
        for m, responder in enumerate(service.responders):
            if responder not in users:
                yield f"services.{n}.responders.{m}", f"no user has the id {responder!r}{nearest(responder, users)}"
        for taken in sorted({owners[key.hash] for key in service.keys if key.hash in owners}):
            yield f"services.{n}.routing_keys", f"holds a routing key of the service {taken!r}"
    for n, user in enumerate(content.users):
        if owner := addresses.get(user.email.lower()):
            yield f"users.{n}.email", f"is the address of the user {owner!r}"


def differences(before: Body | None, body: Body) -> Iterator[str]:
    """What is different, in words; of a routing key or an address nothing but that it is."""
    if before is None:
        before = Service(body.id, "") if isinstance(body, Service) else Person(body.id)
    for field in body.__struct_fields__:
        old, new = getattr(before, field), getattr(body, field)
        if new != old:
            yield f"{field} {_difference(old, new)}"


def _difference(old: Any, new: Any) -> str:
    if not isinstance(new, tuple):
        return f"{old} -> {new}" if old != "" else str(new)
    was, now = {_called(one): one for one in old}, {_called(one): one for one in new}
    return (
        " ".join(
            [f"+{name}" for name in now if name not in was]
            + [f"-{name}" for name in was if name not in now]
            + [f"~{name}" for name in now if name in was and now[name] != was[name]]
        )
        or "in another order"
    )


def _called(part: Any) -> str:
    match part:
        case RoutingKey(hash=digest):
            return digest.hex()[:HASH_SHOWN]
        case str():
            return part
        case _:
            return str(part.id)


# Saying it -----------------------------------------------------------------------------------------------------------


async def apply(settings: Settings, place: Opened, changes: Sequence[Change], by: str) -> list[DirectoryRecord]:
    """Says the changes in the region's topic, and returns once the region reads them back.

    Raises `EngineError` when they may not all be said: saying them again does no harm.
    """
    records = place.directory.changes(
        [one.body for one in changes if one.body is not None], [one.name for one in changes if one.body is None]
    )
    trail = audit_trail(settings, place.region)
    try:
        for part in _in_order(records):
            await place.directory.append(part)
    except EngineError:
        for one in changes:
            trail.changed(Deed.DIRECTORY, by=by, does=one.verb, record=str(one.name), outcome="unknown")
        raise
    for one in changes:
        trail.changed(Deed.DIRECTORY, by=by, does=one.verb, record=str(one.name), outcome="recorded")
    try:
        async with asyncio.timeout(READ_BACK_S_MAX):
            while True:
                await place.directory.look()
                if place.directory.has(records):
                    return records
                await asyncio.sleep(LOOK_AGAIN_S)
    except TimeoutError as error:
        message = (
            f"region {place.region} took the changes, and does not read them back within {READ_BACK_S_MAX:g} s: look "
            "with `tocsin directory ls`, and apply the file again if they are not there"
        )
        raise Unavailable(message) from error


def _in_order(records: Sequence[DirectoryRecord]) -> Iterator[list[DirectoryRecord]]:
    """Users before the services that they respond for, and what goes last: nobody is named before being known."""
    yield [one for one in records if isinstance(one.body, Person)]
    yield [one for one in records if isinstance(one.body, Service)]
    yield [one for one in records if one.body is None]


def jsonable(body: Body) -> dict[str, Any]:
    """A service or a person as JSON has it; a key is the begin of its hash."""
    fields: dict[str, Any] = msgspec.to_builtins(body, builtin_types=(bytes,))
    if isinstance(body, Service):
        keys = [{"hash": key.hash.hex()[:HASH_SHOWN], "until_us": key.until_us} for key in body.keys]
        fields |= {"keys": keys}
    return fields

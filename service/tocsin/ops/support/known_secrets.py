"""What is known to be secret in an installation: by settings, by the files that they name, and by the directory.

What cannot be read here holds nothing that could get into a bundle from here, so it is passed over.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr

from tocsin.config import ConfigError, load_yaml
from tocsin.core.paging.people import MethodKind, Person
from tocsin.settings import Settings
from tocsin.topology import Topology

PART_LENGTH_MIN: Final = 8
"""A shorter part of an address is a word like any other."""
_BETWEEN: Final = re.compile(r"[/?&=:@#]")
FILE_BYTES_MAX: Final = 64 * 1024
SECRET_FILES: Final = ("password_file", "key_file", "routing_key_file", "ping_url_file")
"""Fields of region files that name a file whose content is secret."""
SECRET_KINDS: Final = frozenset({MethodKind.WEBHOOK, MethodKind.APPRISE})
"""Methods whose address is one: whoever knows it can use it."""


def known_secrets(settings: Settings, topology: Topology) -> Iterator[str | bytes]:
    """Secrets of settings, region files, `tocsin up` and the directories' files."""
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
    yield from _published(settings.up_file)
    for region in topology.regions:
        for path in _secret_files(region):
            yield from _content(settings.path(path))
        yield from _directory(settings.path(region.directory))


def addresses(people: Iterable[Person]) -> Iterator[str]:
    """The addresses of people's methods that are secrets themselves."""
    for person in people:
        for method in person.methods:
            if method.kind in SECRET_KINDS:
                yield from _parts(method.kind, method.address)


def _published(up_file: Path) -> Iterator[str]:
    try:
        up = json.loads(up_file.read_bytes())
    except (OSError, ValueError):
        return
    yield from (str(up[name]) for name in ("routing_key", "token") if isinstance(up, dict) and up.get(name))


def _secret_files(section: BaseModel) -> Iterator[Path]:
    """The files that a section, or one within it, names."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        if name in SECRET_FILES and isinstance(value, Path):
            yield value
        for inner in value.values() if isinstance(value, dict) else (value,):
            if isinstance(inner, BaseModel):
                yield from _secret_files(inner)


def _content(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX)
    except OSError:
        return
    yield content
    yield content.strip()


def _directory(path: Path) -> Iterator[str]:
    """The routing keys of a directory's file, and the addresses of its users, whether it is right or not."""
    try:
        content = load_yaml(path)
    except ConfigError:
        return
    for service in _listed(content, "services"):
        yield from (str(key) for key in service.get("routing_keys") or ())
        yield from (
            str(one["key"]) for one in service.get("retiring_keys") or () if isinstance(one, dict) and "key" in one
        )
    for user in _listed(content, "users"):
        for method in _listed(user, "methods"):
            if method.get("kind") in SECRET_KINDS:
                yield from _parts(str(method["kind"]), str(method.get("address", "")))


def _parts(kind: str, address: str) -> Iterator[str]:
    """An address, and what in it may be a secret by itself: of a webhook's, whose host is none, what follows that."""
    yield address
    rest = address.partition("://")[2]
    secret = rest.partition("/")[2] if kind == MethodKind.WEBHOOK else rest
    yield from (part for part in _BETWEEN.split(secret) if len(part) >= PART_LENGTH_MIN)


def _listed(mapping: dict[Any, Any], name: str) -> list[dict[Any, Any]]:
    found = mapping.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

"""What a set of local regions finds on its first start: a directory of services, a token, and one supervisor alone.

Keys and tokens are made at random when the files are, so that no two installations share one and none is in the source.
"""

import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from tocsin.config import load_yaml
from tocsin.core.events import ROUTING_KEY_LENGTH
from tocsin.engines.audit import Deed
from tocsin.engines.directory import FileDirectory
from tocsin.engines.errors import Misconfigured, Owned
from tocsin.engines.opening import audit_tokens
from tocsin.engines.tokens import Scope, TokenFile
from tocsin.settings import Settings
from tocsin.topology import Topology

DEMO_SERVICE: Final = "demo"
"""The service whose routing key `tocsin up` publishes."""
SERVICES: Final = {
    DEMO_SERVICE: "Demo",
    "checkout": "Checkout",
    "database": "Databases",
    "legacy-monitor": "Legacy monitor",
    "mail": "Mail delivery",
    "network": "Network",
    "search": "Search",
    "storage": "Storage",
}
"""Id and name of the services that the first start makes: so many that neither the budget's five nor half is all."""
ON_CALL: Final = "on-call"
USERS: Final[list[dict[str, Any]]] = [
    {
        "id": ON_CALL,
        "name": "On Call",
        "email": "on-call@example.org",
        "methods": [{"id": "inbox", "kind": "inbox", "address": ON_CALL}],
        "rules": [{"method": "inbox", "urgency": "high"}, {"method": "inbox", "urgency": "low"}],
    }
]
"""Who is paged for the demo service: into a file, since nothing else is certain to be there."""
TOKEN_NAME: Final = "tocsin up"  # noqa: S105 (a name)
LOCK: Final = "supervisor.lock"
_HEADING: Final = """\
# The services, the routing keys by which events reach them, and users; read again when it changes. Made by the first
# start.
"""


@contextmanager
def alone(data_dir: Path) -> Iterator[None]:
    """Holds a data directory against other supervisors.

    Raises `Owned`, naming the process that has it, or `Misconfigured` where nothing can be written.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        opened = (data_dir / LOCK).open("a+b")
    except OSError as error:
        raise Misconfigured(
            f"the data directory {data_dir} cannot be written to ({error.strerror}): mend it, or choose another with "
            "TOCSIN_DATA_DIR"
        ) from error
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read(32).decode() or "that has just started"
            raise Owned(
                f"process {owner} runs the regions of {data_dir} already: end it first, or choose another data "
                "directory with TOCSIN_DATA_DIR"
            ) from None
        lock.truncate(0)
        lock.write(b"%d" % os.getpid())
        lock.flush()
        yield
        lock.truncate(0)


def clear(data_dir: Path) -> None:
    """Removes all that earlier runs left in a data directory, for the one that holds it `alone`; raises OSError."""
    for path in data_dir.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def make_directories(settings: Settings, topology: Topology) -> dict[str, str]:
    """Makes the regions' directories where they are missing, all alike; returns service id to routing key.

    Raises ConfigError when one that is there cannot be used.
    """
    paths = list(dict.fromkeys(settings.path(region.directory) for region in topology.regions))
    there = [path for path in paths if path.exists()]
    content = load_yaml(there[0]) if there else _new_directory()
    for path in paths:
        if not path.exists():
            _write(path, _HEADING + yaml.safe_dump(content, sort_keys=False))
        FileDirectory(path)  # refuses one that the intake would refuse
    return {service["id"]: service["routing_keys"][0] for service in content["services"]}


@contextmanager
def own_token(settings: Settings) -> Iterator[str]:
    """The text of a token to read and to act with, good until the end; one that an earlier supervisor left goes too."""
    tokens = TokenFile(settings.path(settings.token_file))
    for token in tokens.ls():
        if token.name == TOKEN_NAME:
            tokens.revoke(token.id, now_us=_now_us())
    made, text = tokens.create(TOKEN_NAME, Scope.WRITE, now_us=_now_us())
    audit_tokens(settings, Deed.TOKEN_CREATED, TOKEN_NAME, made)
    try:
        yield text
    finally:
        if tokens.revoke(made.id, now_us=_now_us()):
            audit_tokens(settings, Deed.TOKEN_REVOKED, TOKEN_NAME, made)


def _new_directory() -> dict[str, Any]:
    services = [
        {"id": id, "name": name, "routing_keys": [secrets.token_hex(ROUTING_KEY_LENGTH // 2)]}
        for id, name in SERVICES.items()
    ]
    for service in services:
        if service["id"] == DEMO_SERVICE:
            service["responders"] = [ON_CALL]
    return {"services": services, "users": USERS}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=path.name, dir=path.parent)  # readable by its owner alone: it has keys in it
    with os.fdopen(handle, "w") as file:
        file.write(text)
    Path(name).replace(path)


def _now_us() -> int:
    return time.time_ns() // 1000

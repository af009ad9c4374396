"""A responder of a drill in the directory, applied as anybody's are: with a rule that leads to a page, or without."""

import secrets
from typing import Any, Final

import yaml

from tocsin.core.events import ROUTING_KEY_LENGTH
from tocsin.engines.directory_file import parse_directory
from tocsin.ops import directory
from tocsin.settings import Settings
from tocsin.topology import Topology

NAME: Final = "drill-responder"
BY: Final = "tocsin drill"


async def put_stranded(settings: Settings, topology: Topology, url: str, *, reachable: bool) -> None:
    """Puts the responder and a service of theirs into the directory of the first region that answers.

    Raises `EngineError`, and ConfigError when the form is none that the directory takes.
    """
    user: dict[str, Any] = {
        "id": NAME,
        "name": NAME,
        "email": f"{NAME}@example.org",
        "methods": [{"id": "hook", "kind": "webhook", "address": f"{url}/{NAME}"}],
        "rules": [{"method": "hook"}] if reachable else [],
    }
    service = {
        "id": NAME,
        "name": NAME,
        "routing_keys": [secrets.token_hex(ROUTING_KEY_LENGTH // 2)],
        "responders": [NAME],
        "urgency": "high",
    }
    content = parse_directory(yaml.safe_dump({"services": [service], "users": [user]}).encode(), NAME)
    async with directory.opened(settings, topology, None) as place:
        changes = directory.plan(place.directory.records(), content, NAME, prune=False)
        await directory.apply(settings, place, changes, by=BY)

"""PagerDuty's client for JavaScript in a process of Node.js, called from here."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from tests.acceptance.clients.regions import Regions
from tests.acceptance.conftest import REPOSITORY

SERVICE = "database"
MODULES = REPOSITORY / "build" / "clients" / "pdjs" / "node_modules"
CALLS = Path(__file__).parent / "javascript" / "calls.cjs"


class Pdjs:
    """Calls it, one call at a time."""

    def __init__(self, ca_file: str) -> None:
        self._node = subprocess.Popen(
            ["node", CALLS],
            env=os.environ | {"NODE_PATH": str(MODULES), "NODE_EXTRA_CA_CERTS": ca_file},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._node.kill()
        self._node.communicate()

    def call(self, name: str, *given: Any) -> dict[str, Any]:
        """`{status, body}` of an answer, or `{error}`."""
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        self._node.stdin.write(json.dumps({"name": name, "with": given}) + "\n")
        self._node.stdin.flush()
        answer = self._node.stdout.readline()
        assert answer, "Node.js has ended"
        return dict(json.loads(answer))


def event(regions: Regions, region: str, **data: Any) -> dict[str, Any]:
    """The parameters of a call that sends one."""
    data["routing_key"] = regions.routing_key(SERVICE)
    return {"server": urlsplit(regions.intake(region)).netloc, "data": data}


def payload(summary: str) -> dict[str, str]:
    return {"summary": summary, "source": "db-1", "severity": "error"}


def rest(regions: Regions, region: str) -> dict[str, Any]:
    """The parameters of calls of the REST API."""
    return {"server": urlsplit(regions.querier(region)).netloc, "token": regions.token}

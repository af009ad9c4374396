"""The regions that clients are tried against: where they are, and what each shows of a service."""

import json
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import yaml

from tests.acceptance.conftest import children_of, tocsin, until

SEEN_S_MAX = 20.0
PAGE = 100


class Shown(NamedTuple):
    """What both regions must show alike of an incident."""

    incident_key: str
    id: str
    title: str
    status: str
    triggers: int
    entries: int


class Regions:
    """`tocsin up` with its two regions, a and b."""

    def __init__(self, up: subprocess.Popen[str], env: Mapping[str, str]) -> None:
        self._up = up
        published = json.loads(Path(env["TOCSIN_UP_FILE"]).read_bytes())
        self._urls = {region["name"]: region for region in published["regions"]}
        services = yaml.safe_load((Path(env["TOCSIN_DATA_DIR"]) / "directory.yaml").read_text())["services"]
        self._routing_keys: dict[str, str] = {service["id"]: service["routing_keys"][0] for service in services}
        self.ca_file: str = self._urls["a"]["ca_file"]
        self.tls = ssl.create_default_context(cafile=self.ca_file)
        self.token: str = json.loads(tocsin(env, "token", "create", "--scope", "write", "--json"))["token"]
        self._http = httpx2.Client(headers={"Authorization": f"Token token={self.token}"}, timeout=10, verify=self.tls)

        until("the token counts", lambda: all(self._is_let_in(region) for region in "ab"), 5)  # within half a second

    def close(self) -> None:
        self._http.close()

    # Where they are ----------------------------------------------------------------------------------------------

    def intake(self, region: str) -> str:
        return str(self._urls[region]["intake_url"])

    def querier(self, region: str) -> str:
        return str(self._urls[region]["query_url"])

    def routing_key(self, service: str) -> str:
        return self._routing_keys[service]

    def process(self, role: str, region: str) -> int:
        """The pid of one."""
        running = {tuple(words[4:7]): pid for pid, words in children_of(self._up.pid).items()}
        return running[role, "--region", region]

    # What they show ----------------------------------------------------------------------------------------------

    def shown(self, region: str, service: str) -> list[Shown]:
        """All incidents of a service, by key."""
        return sorted(
            Shown(
                *(incident[name] for name in ("incident_key", "id", "title", "status")),
                *(incident["tocsin"][name] for name in ("triggers", "entries")),
            )
            for incident in self._all("incidents", region, {"service_ids[]": service})
        )

    def _is_let_in(self, region: str) -> bool:
        return self._http.get(f"{self.querier(region)}/incidents").is_success

    def _all(self, path: str, region: str, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            page = self._http.get(
                f"{self.querier(region)}/{path}", params={**params, "limit": str(PAGE), "offset": str(offset)}
            )
            assert page.status_code == 200, page.text
            body = page.json()
            yield from body[path]
            offset += len(body[path])
            if not body["more"]:
                return

    def until_both_show(
        self,
        what: str,
        service: str,
        is_so: Callable[[list[Shown]], bool],
        *,
        of: Callable[[Shown], bool] | None = None,
    ) -> list[Shown]:
        """The incidents of a service (those of interest: `of`), once both regions show them alike and as wanted."""

        def look() -> list[Shown] | None:
            a, b = ([one for one in self.shown(region, service) if of is None or of(one)] for region in "ab")
            return a if a == b and is_so(a) else None

        return until(f"{what} in both regions", look, SEEN_S_MAX)

    def until_both_are(self, status: str, service: str, dedup_key: str) -> Shown:
        """The one incident of a dedup key, once both regions show it with a status."""
        (incident,) = self.until_both_show(
            f"{dedup_key} of {service} {status}",
            service,
            lambda found: [incident.status for incident in found] == [status],
            of=lambda incident: incident.incident_key == dedup_key,
        )
        return incident

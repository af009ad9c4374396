"""Debian's Alertmanager with a receiver for each door that it can find."""

import hashlib
import re
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import httpx2
import yaml

from tests.acceptance.clients.regions import Regions
from tests.acceptance.clients.tunnel import Tunnel
from tests.acceptance.conftest import until

PROGRAM = "prometheus-alertmanager"
SERVICES = {"v2": "network", "webhook": "storage", "v1": "mail", "both": "search"}
"""Of each door the service whose incidents come through it."""
_LISTENS = re.compile(r"address=(127\.0\.0\.1:\d+)")


class Alertmanager:
    """One that runs. An alert goes through the door that its label `door` names; a group is one name of alerts.

    All doors are region A's, but for `both`: there the one receiver tells A by PagerDuty's events, and B by webhook.
    """

    def __init__(self, regions: Regions, folder: Path) -> None:
        self._folder = folder
        self.tunnel = Tunnel(regions.intake("a"))
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(_config(regions, self.tunnel.url)))
        self._http = httpx2.Client(timeout=10)

    def __enter__(self) -> Self:
        log = self._folder / "alertmanager.log"
        with log.open("w") as out:
            self._running = subprocess.Popen(
                [
                    PROGRAM,
                    f"--config.file={self._folder / 'alertmanager.yml'}",
                    f"--storage.path={self._folder / 'alertmanager'}",
                    "--web.listen-address=127.0.0.1:0",
                    "--cluster.listen-address=",
                ],
                stdout=out,
                stderr=out,
            )
        self._address = until("Alertmanager listens", lambda: _LISTENS.search(log.read_text()), 10)[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._running.kill()
        self._running.wait()
        self.tunnel.close()
        self._http.close()

    def fire(self, door: str, names: Iterable[str], **labels: str) -> None:
        """One alert more of each name."""
        self._post({"alertname": name, "door": door, **labels} for name in names)

    def end(self, door: str, names: Iterable[str], **labels: str) -> None:
        """What was fired with the same labels is over."""
        over = datetime.now(UTC) - timedelta(milliseconds=1)
        self._post(({"alertname": name, "door": door, **labels} for name in names), endsAt=over.isoformat())

    def requests(self, integration: str) -> tuple[int, int]:
        """How many of its requests were taken, and how many were not."""
        metrics = self._http.get(f"http://{self._address}/metrics").text

        def count(what: str) -> int:
            name = f'alertmanager_notification_{what}_total{{integration="{integration}"}} '
            return next(int(line.removeprefix(name)) for line in metrics.splitlines() if line.startswith(name))

        failed = count("requests_failed")
        return count("requests") - failed, failed

    def _post(self, alerts: Iterable[dict[str, str]], **more: Any) -> None:
        body = [{"labels": labels, "annotations": {"summary": "it is made up"}, **more} for labels in alerts]
        answer = self._http.post(f"http://{self._address}/api/v2/alerts", json=body)
        assert answer.status_code == 200, answer.text


def dedup_key(door: str, name: str) -> str:
    """What names a group of alerts at whichever door: the hash of Alertmanager's own key of it."""
    return hashlib.sha256(f'{{}}/{{door="{door}"}}:{{alertname="{name}"}}'.encode()).hexdigest()


def _config(regions: Regions, tunnel: str) -> dict[str, Any]:
    keys = {door: regions.routing_key(service) for door, service in SERVICES.items()}
    over_tls = {"tls_config": {"ca_file": regions.ca_file}}

    def events(door: str) -> dict[str, Any]:
        return {"routing_key": keys[door], "url": f"{regions.intake('a')}/v2/enqueue", "http_config": over_tls}

    def webhook(door: str, region: str) -> dict[str, Any]:
        return {"url": f"{regions.intake(region)}/v1/alertmanager/{keys[door]}", "http_config": over_tls}

    # The address of its v1 mode is fixed. What can be set is a proxy, and the name that is looked for in a certificate.
    v1 = {
        "service_key": keys["v1"],
        "http_config": {
            "proxy_url": tunnel,
            "tls_config": {"ca_file": regions.ca_file, "server_name": "localhost"},
        },
    }
    return {
        "route": {
            "receiver": "nobody",
            "group_by": ["alertname"],
            "group_wait": "100ms",
            "group_interval": "500ms",
            "routes": [{"receiver": door, "matchers": [f'door="{door}"']} for door in SERVICES],
        },
        "receivers": [
            {"name": "nobody"},
            {"name": "v2", "pagerduty_configs": [events("v2")]},
            {"name": "webhook", "webhook_configs": [webhook("webhook", "a")]},
            {"name": "v1", "pagerduty_configs": [v1]},
            {"name": "both", "pagerduty_configs": [events("both")], "webhook_configs": [webhook("both", "b")]},
        ],
    }

"""Clients that people have, unmodified, and our own, against `tocsin up` over TLS; an intake is killed in mid-play."""

import json
import os
import signal
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pagerduty
import pytest

from tests.acceptance.conftest import START_S_MAX, children_of, until
from tocsin.client import Producer, Receipt

SEEN_S_MAX = 15.0


class Regions:
    """What is published of the regions, and PagerDuty's clients for them."""

    def __init__(self, up_file: Path) -> None:
        published = json.loads(up_file.read_bytes())
        self.urls: dict[str, dict[str, Any]] = {region["name"]: region for region in published["regions"]}
        self.routing_key: str = published["routing_key"]
        self.token: str = published["token"]
        self.ca_file: str = self.urls["a"]["ca_file"]
        self.tls = ssl.create_default_context(cafile=self.ca_file)

    def events(self, region: str) -> Any:
        return pagerduty.EventsApiV2Client(self.routing_key, base_url=self.urls[region]["intake_url"], verify=self.tls)

    def rest(self, region: str) -> Any:
        return pagerduty.RestApiV2Client(self.token, base_url=self.urls[region]["query_url"], verify=self.tls)

    def incidents(self, region: str) -> dict[str, dict[str, Any]]:
        """Dedup key to incident, as PagerDuty's client pages through them."""
        with self.rest(region) as rest:
            return {incident["incident_key"]: incident for incident in rest.iter_all("incidents")}

    def until_incidents(self, what: str, region: str, is_so: Callable[[dict[str, dict[str, Any]]], bool]) -> None:
        until(f"{what} in region {region}", lambda: is_so(self.incidents(region)), SEEN_S_MAX)


@pytest.fixture
def regions(
    up: subprocess.Popen[str], env: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Regions:
    caplog.set_level("WARNING", logger="httpx2")  # a line a request would hide what failed
    up_file = Path(env["TOCSIN_UP_FILE"])
    until("all is ready", lambda: up_file.exists() or up.poll() is not None, START_S_MAX)
    assert up.poll() is None, (tmp_path / "out").read_text()
    return Regions(up_file)


def test_pagerdutys_own_client_triggers_acknowledges_resolves_and_reads_over_tls(regions: Regions) -> None:
    with regions.events("a") as events:
        key = events.trigger("Disk full", "db-1", severity="error", custom_details={"free": "2 %"})
        assert key
        for region in "ab":
            regions.until_incidents("it", region, lambda found: found.get(key, {}).get("status") == "triggered")
        assert events.acknowledge(key) == key
        regions.until_incidents("it", "b", lambda found: found[key]["status"] == "acknowledged")
        assert events.resolve(key) == key
        for region in "ab":
            regions.until_incidents("it", region, lambda found: found[key]["status"] == "resolved")

    with regions.rest("b") as rest:
        incident = rest.rget(regions.incidents("b")[key]["self"])
    assert (incident["title"], incident["service"]["id"]) == ("Disk full", "demo")


def test_with_an_intake_killed_in_mid_play_neither_pagerdutys_client_nor_ours_loses_anything(
    regions: Regions, up: subprocess.Popen[str], tmp_path: Path
) -> None:
    sent: list[str] = []
    receipts: list[Receipt] = []
    are_done = threading.Event()

    def play_theirs() -> None:
        with regions.events("a") as events:
            events.sleep_timer = 0.5  # its documented setting; it doubles with each of its retries
            while not are_done.is_set():
                sent.append(events.trigger("Disk full", "db-1", dedup_key=f"theirs/{len(sent)}"))

    def play_ours() -> None:
        intakes = [regions.urls[name]["intake_url"] for name in "ab"]
        with Producer(intakes, regions.routing_key, tmp_path / "spool", ca_file=regions.ca_file) as producer:
            while not are_done.is_set():
                receipts.append(producer.trigger("Disk full", "db-2", "error", f"ours/{len(receipts)}"))
            assert producer.flush(10) == 0

    threads = [threading.Thread(target=play) for play in (play_theirs, play_ours)]
    for thread in threads:
        thread.start()
    try:
        until("some are sent", lambda: len(sent) > 20 and len(receipts) > 20, SEEN_S_MAX)
        (intake,) = [pid for pid, words in children_of(up.pid).items() if words[4:7] == ["intake", "--region", "a"]]
        os.kill(intake, signal.SIGKILL)
        at_kill = len(sent), len(receipts)
        until("both go on", lambda: len(sent) > at_kill[0] + 20 and len(receipts) > at_kill[1] + 20, SEEN_S_MAX)
    finally:
        are_done.set()
        for thread in threads:
            thread.join()

    assert {receipt.region_url for receipt in receipts} >= {regions.urls[name]["intake_url"] for name in "ab"}
    expected = {*sent, *(receipt.dedup_key for receipt in receipts)}
    for region in "ab":
        regions.until_incidents("all", region, lambda found: found.keys() >= expected)
    found = regions.incidents("b")
    assert {found[receipt.dedup_key]["id"] for receipt in receipts} == {receipt.id for receipt in receipts}

"""Alertmanager with its own templates and hashes: what it sends through each door is one incident a group."""

import pytest

from tests.acceptance.clients.alertmanager import SERVICES, Alertmanager, dedup_key
from tests.acceptance.clients.regions import Regions


@pytest.mark.parametrize("door", SERVICES)
def test_a_group_that_grows_and_ends_is_one_incident_in_both_regions(
    alertmanager: Alertmanager, regions: Regions, door: str
) -> None:
    service, key = SERVICES[door], dedup_key(door, "DiskFull")

    alertmanager.fire(door, ["DiskFull"], instance="db-1")
    opened = regions.until_both_are("triggered", service, key)
    assert opened.title.startswith("[FIRING:1] DiskFull")

    alertmanager.fire(door, ["DiskFull"], instance="db-2")
    regions.until_both_show(
        "the second trigger",
        service,
        lambda found: [(incident.id, incident.status) for incident in found] == [(opened.id, "triggered")],
        of=lambda incident: incident.incident_key == key and incident.triggers > opened.triggers,
    )

    for instance in ("db-1", "db-2"):
        alertmanager.end(door, ["DiskFull"], instance=instance)
    resolved = regions.until_both_are("resolved", service, key)
    assert resolved.id == opened.id
    assert alertmanager.tunnel.asked == ({"events.pagerduty.com:443"} if door == "v1" else set())

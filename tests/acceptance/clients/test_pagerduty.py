"""PagerDuty's client for Python, and the one before it, over TLS: they send, acknowledge, resolve and read."""

from datetime import UTC, datetime

import pagerduty
import pdpyras  # type: ignore[import-untyped] # says nothing of its types
import pytest

from tests.acceptance.clients.python import EVENTS, READS, SERVICES, pagerduty_events
from tests.acceptance.clients.regions import Regions

LINKS = [{"href": "https://example.net/runbook", "text": "Runbook"}]
IMAGES = [{"src": "https://example.net/graph.png", "alt": "the last hour"}]


@pytest.mark.parametrize("client", SERVICES)
def test_it_triggers_acknowledges_and_resolves_and_both_regions_show_it(regions: Regions, client: str) -> None:
    service = SERVICES[client]
    with EVENTS[client](regions, "a") as events:
        key = events.trigger(
            "Disk full", "db-1", severity="error", custom_details={"free": "2 %"}, links=LINKS, images=IMAGES
        )
        opened = regions.until_both_are("triggered", service, key)
        assert events.trigger("Disk full", "db-1", dedup_key=key) == key
        assert events.acknowledge(key) == key
        acknowledged = regions.until_both_are("acknowledged", service, key)
        assert events.resolve(key) == key
        resolved = regions.until_both_are("resolved", service, key)
    assert opened.title == "Disk full"
    assert (opened.triggers, acknowledged.triggers, resolved.entries) == (1, 2, 4)
    assert opened.id == acknowledged.id == resolved.id


@pytest.mark.parametrize("client", SERVICES)
def test_it_pages_through_incidents_and_reads_one_with_its_log_entries(regions: Regions, client: str) -> None:
    service = SERVICES[client]
    with EVENTS[client](regions, "a") as events:
        keys = [events.trigger("Read me", "db-1", f"read/{client}/{number}", links=LINKS) for number in range(5)]
        events.acknowledge(keys[0])
    regions.until_both_are("acknowledged", service, keys[0])
    for key in keys[1:]:
        regions.until_both_are("triggered", service, key)

    for region in "ab":
        with READS[client](regions, region) as reads:
            found = {
                incident["incident_key"]: incident
                for incident in reads.iter_all("incidents", params={"service_ids[]": [service]}, page_size=2)
            }
            assert found.keys() >= set(keys)
            one = reads.rget(found[keys[0]]["self"])
            assert (one["incident_key"], one["status"], one["service"]["id"]) == (keys[0], "acknowledged", service)
            entries = list(reads.iter_all(f"incidents/{one['id']}/log_entries"))
            assert sorted(entry["type"] for entry in entries) == ["acknowledge_log_entry", "trigger_log_entry"]


@pytest.mark.parametrize("client", SERVICES)
def test_it_is_told_what_is_wrong_with_an_event(regions: Regions, client: str) -> None:
    with EVENTS[client](regions, "a") as events, pytest.raises((pagerduty.Error, pdpyras.PDClientError)) as refused:
        events.trigger("Disk full", "db-1", severity="terrible")
    assert refused.value.response.status_code == 400
    assert "severity" in refused.value.response.json()["errors"][0]


def test_its_change_events_are_taken(regions: Regions) -> None:
    with pagerduty_events(regions, "a") as events:
        events.submit("Deployed 1.2.3", "ci", links=LINKS, timestamp=datetime.now(UTC).isoformat())

"""PagerDuty's client for Python, and the one before it, over TLS: they send, acknowledge, resolve and read."""

from datetime import UTC, datetime
from typing import Any

import pagerduty
import pdpyras  # type: ignore[import-untyped] # says nothing of its types
import pytest

from tests.acceptance.clients.regions import Regions

LINKS = [{"href": "https://example.net/runbook", "text": "Runbook"}]
IMAGES = [{"src": "https://example.net/graph.png", "alt": "the last hour"}]


def pagerduty_events(regions: Regions, region: str) -> Any:
    key = regions.routing_key(SERVICES["pagerduty"])
    return pagerduty.EventsApiV2Client(key, base_url=regions.intake(region), verify=regions.tls)


def pagerduty_reads(regions: Regions, region: str) -> Any:
    return pagerduty.RestApiV2Client(regions.token, base_url=regions.querier(region), verify=regions.tls)


def pdpyras_events(regions: Regions, region: str) -> Any:
    return pointed(pdpyras.EventsAPISession(regions.routing_key(SERVICES["pdpyras"])), regions, regions.intake(region))


def pdpyras_reads(regions: Regions, region: str) -> Any:
    return pointed(pdpyras.APISession(regions.token), regions, regions.querier(region))


def pointed(session: Any, regions: Regions, url: str) -> Any:
    session.url = url
    session.verify = regions.ca_file
    session.trust_env = False  # to requests, a CA_BUNDLE variable of this machine would count for more than `verify`
    return session


SERVICES = {"pagerduty": "demo", "pdpyras": "checkout"}
EVENTS = {"pagerduty": pagerduty_events, "pdpyras": pdpyras_events}
READS = {"pagerduty": pagerduty_reads, "pdpyras": pdpyras_reads}


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
            assert (one["incident_key"], one["status"]) == (keys[0], "acknowledged")
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

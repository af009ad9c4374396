"""PagerDuty's client for Python, and the one before it, over TLS: they send, acknowledge, resolve and read."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pagerduty
import pdpyras  # type: ignore[import-untyped] # says nothing of its types
import pytest

from tests.acceptance.clients.python import EVENTS, PERSON, READS, SERVICES, pagerduty_events, pagerduty_reads
from tests.acceptance.clients.regions import Regions

LINKS = [{"href": "https://example.net/runbook", "text": "Runbook"}]
NAMES = {"demo": "Demo", "checkout": "Checkout"}
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
def test_it_counts_searches_and_reads_one_log_entry(regions: Regions, client: str) -> None:
    service = SERVICES[client]
    with EVENTS[client](regions, "a") as events:
        key = events.trigger("Count me", "db-1", f"count/{client}")
    id = regions.until_both_are("triggered", service, key).id
    with READS[client](regions, "b") as reads:
        assert reads.get("incidents", params={"incident_key": key, "total": True}).json()["total"] == 1
        assert reads.find("services", NAMES[service])["id"] == service
        assert reads.find("users", "On Call")["type"] == "user"
        (entry,) = [entry for entry in reads.iter_all("log_entries", since_a_moment()) if is_of(id, entry)]
        assert reads.rget(entry["self"])["type"] == "trigger_log_entry"


def test_it_reads_a_stretch_of_history_and_asks_for_abilities(regions: Regions) -> None:
    with pagerduty_events(regions, "a") as events:
        key = events.trigger("Remember me", "db-1")
    id = regions.until_both_are("triggered", SERVICES["pagerduty"], key).id
    with pagerduty_reads(regions, "b") as reads:
        now = datetime.now(UTC)
        history = reads.iter_history("log_entries", now - timedelta(seconds=10), now + timedelta(seconds=1))
        assert sum(is_of(id, entry) for entry in history) == 1
        assert reads.account_has_ability("urgencies")
        assert not reads.account_has_ability("teleportation")


def since_a_moment() -> dict[str, str]:
    return {"since": (datetime.now(UTC) - timedelta(seconds=10)).isoformat()}


def is_of(incident_id: str, entry: dict[str, Any]) -> bool:
    return bool(entry["incident"]) and entry["incident"]["id"] == incident_id


@pytest.mark.parametrize("client", SERVICES)
def test_a_person_opens_acknowledges_annotates_and_resolves_with_it_in_either_region(
    regions: Regions, client: str
) -> None:
    service = SERVICES[client]
    new = {"type": "incident", "title": "The floor is wet", "service": {"id": service, "type": "service_reference"}}
    with READS[client](regions, "a") as here, READS[client](regions, "b") as there:
        opened = here.rpost("incidents", json=new)
        id, key = opened["id"], opened["incident_key"]
        assert regions.until_both_are("triggered", service, key).id == id

        reference = {"id": id, "type": "incident_reference"}
        (acknowledged,) = there.rput("incidents", json=[{**reference, "status": "acknowledged"}])
        assert acknowledged["status"] == "acknowledged"
        regions.until_both_are("acknowledged", service, key)
        assert here.rget(f"incidents/{id}")["acknowledgements"][0]["acknowledger"]["summary"] == PERSON

        assert there.rpost(f"incidents/{id}/notes", json={"content": "Mopped"})["content"] == "Mopped"
        assert here.rput(f"incidents/{id}", json={**reference, "status": "resolved"})["status"] == "resolved"
        regions.until_both_show(
            "what was done to it",
            service,
            lambda found: [(incident.status, incident.entries) for incident in found] == [("resolved", 4)],
            of=lambda incident: incident.incident_key == key,
        )
        for region in (here, there):
            entries = list(region.iter_all(f"incidents/{id}/log_entries"))
            acts = {entry["type"].removesuffix("_log_entry"): entry["agent"]["summary"] for entry in entries}
            assert acts == dict.fromkeys(["trigger", "acknowledge", "annotate", "resolve"], PERSON)
            assert [note["content"] for note in region.rget(f"incidents/{id}/notes")] == ["Mopped"]

        with pytest.raises((pagerduty.HttpError, pdpyras.PDHTTPError)) as refused:
            there.rput(f"incidents/{id}", json={**reference, "status": "acknowledged"})
        assert refused.value.response.json()["error"]["code"] == 1001


@pytest.mark.parametrize("client", SERVICES)
def test_it_is_told_what_is_wrong_with_an_event(regions: Regions, client: str) -> None:
    with EVENTS[client](regions, "a") as events, pytest.raises((pagerduty.Error, pdpyras.PDClientError)) as refused:
        events.trigger("Disk full", "db-1", severity="terrible")
    assert refused.value.response.status_code == 400
    assert "severity" in refused.value.response.json()["errors"][0]


def test_its_change_events_are_taken(regions: Regions) -> None:
    with pagerduty_events(regions, "a") as events:
        events.submit("Deployed 1.2.3", "ci", links=LINKS, timestamp=datetime.now(UTC).isoformat())

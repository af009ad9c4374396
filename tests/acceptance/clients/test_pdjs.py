"""PagerDuty's client for JavaScript: it sends, acknowledges, resolves and reads."""

from urllib.parse import urlsplit

from tests.acceptance.clients.pdjs import SERVICE, Pdjs, event, payload
from tests.acceptance.clients.regions import Regions


def test_it_triggers_acknowledges_resolves_and_reads_in_both_regions(pdjs: Pdjs, regions: Regions) -> None:
    triggered = pdjs.call("trigger", event(regions, "a", payload=payload("Disk full")))
    assert triggered["status"] == 202
    key = triggered["body"]["dedup_key"]
    regions.until_both_are("triggered", SERVICE, key)
    for act, status in (("acknowledge", "acknowledged"), ("resolve", "resolved")):
        assert pdjs.call(act, event(regions, "a", dedup_key=key))["status"] == 202
        regions.until_both_are(status, SERVICE, key)

    for region in "ab":
        api = {"server": urlsplit(regions.querier(region)).netloc, "token": regions.token}
        found = pdjs.call("api.get", api, "/incidents", {"data": {"incident_key": key}})["body"]["incidents"]
        assert [(incident["title"], incident["status"]) for incident in found] == [("Disk full", "resolved")]
        entries = pdjs.call("api.get", api, f"/incidents/{found[0]['id']}/log_entries")["body"]["log_entries"]
        assert {entry["type"].removesuffix("_log_entry") for entry in entries} == {"trigger", "acknowledge", "resolve"}


def test_it_is_told_what_is_wrong_with_an_event_and_its_change_events_are_taken(pdjs: Pdjs, regions: Regions) -> None:
    refused = pdjs.call("trigger", event(regions, "a", payload=payload("")))
    assert (refused["status"], refused["body"]["status"]) == (400, "invalid event")
    assert "summary" in refused["body"]["errors"][0]

    taken = pdjs.call("change", event(regions, "a", payload={"summary": "Deployed 1.2.3", "source": "ci"}))
    assert (taken["status"], taken["body"]["status"]) == (202, "success")

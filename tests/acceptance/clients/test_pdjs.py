"""PagerDuty's client for JavaScript: it sends, acknowledges, resolves and reads."""

from typing import Any

from tests.acceptance.clients.pdjs import SERVICE, Pdjs, event, payload, rest
from tests.acceptance.clients.python import PERSON
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
        api = rest(regions, region)
        found = pdjs.call("api.get", api, "/incidents", {"data": {"incident_key": key}})["body"]["incidents"]
        assert [(incident["title"], incident["status"]) for incident in found] == [("Disk full", "resolved")]
        entries = pdjs.call("api.get", api, f"/incidents/{found[0]['id']}/log_entries")["body"]["log_entries"]
        assert {entry["type"].removesuffix("_log_entry") for entry in entries} == {"trigger", "acknowledge", "resolve"}


def test_a_person_opens_acknowledges_annotates_and_resolves_with_it(pdjs: Pdjs, regions: Regions) -> None:
    def ask(method: str, region: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = pdjs.call(f"api.{method}", rest(regions, region), path, {"data": body, "headers": {"From": PERSON}})
        assert answer["status"] in {200, 201}, answer
        return dict(answer["body"])

    service = {"id": SERVICE, "type": "service_reference"}
    new = {"type": "incident", "title": "The floor is wet", "service": service}
    opened = ask("post", "a", "/incidents", {"incident": new})["incident"]
    path, key = f"/incidents/{opened['id']}", opened["incident_key"]
    regions.until_both_are("triggered", SERVICE, key)
    for region, status in (("b", "acknowledged"), ("a", "resolved")):
        change = {"type": "incident_reference", "status": status}
        assert ask("put", region, path, {"incident": change})["incident"]["status"] == status
        regions.until_both_are(status, SERVICE, key)
    assert ask("post", "b", f"{path}/notes", {"note": {"content": "Mopped"}})["note"]["content"] == "Mopped"


def test_it_cannot_page_by_itself_through_hosts_that_do_not_end_in_com(pdjs: Pdjs, regions: Regions) -> None:
    for number in range(2):
        pdjs.call("trigger", event(regions, "a", dedup_key=f"page/{number}", payload=payload("Read me")))
        regions.until_both_are("triggered", SERVICE, f"page/{number}")
    paged = pdjs.call("api.all", rest(regions, "a"), "/incidents", {"data": {"limit": 1, "service_ids[]": SERVICE}})
    assert "null" in paged["error"]
    pages = [
        pdjs.call("api.get", rest(regions, "a"), "/incidents", {"data": {"limit": 1, "offset": offset}})["body"]
        for offset in range(2)
    ]
    assert pages[0]["more"]
    assert pages[0]["incidents"] != pages[1]["incidents"]


def test_it_is_told_what_is_wrong_with_an_event_and_its_change_events_are_taken(pdjs: Pdjs, regions: Regions) -> None:
    refused = pdjs.call("trigger", event(regions, "a", payload=payload("")))
    assert (refused["status"], refused["body"]["status"]) == (400, "invalid event")
    assert "summary" in refused["body"]["errors"][0]

    taken = pdjs.call("change", event(regions, "a", payload={"summary": "Deployed 1.2.3", "source": "ci"}))
    assert (taken["status"], taken["body"]["status"]) == (202, "success")

"""What the REST interface shows of pages: each is a log entry of the incidents that it was about."""

from tests.unit.roles.conftest import NOW_S
from tests.unit.roles.rest.conftest import TRIGGER, Desk
from tocsin.core.entries import Entry
from tocsin.core.events import entry_of
from tocsin.core.ids import format_id
from tocsin.core.notices import requests_of
from tocsin.core.paging.assignments import Assignment
from tocsin.core.paging.effects import Item
from tocsin.core.paging.feedback import ChannelKey, End, Intent, IntentId, Outcome


async def test_a_page_is_a_log_entry_of_its_incident_in_pagerdutys_shape(desk: Desk) -> None:
    await desk.hold(TRIGGER)
    told = requests_of(*page_about(TRIGGER))
    await desk.hold(*map(entry_of, told))
    await desk.tick(NOW_S)
    for path in (f"/incidents/{format_id(TRIGGER.key.id)}/log_entries", "/log_entries"):
        shown = (await desk.get(path)).json()["log_entries"]
        assert [one["type"] for one in shown] == ["notify_log_entry", "trigger_log_entry"]
        assert shown[0]["summary"] == "Notified Ann by box: delivered"
        assert (shown[0]["user"]["id"], shown[0]["user"]["type"]) == ("ann", "user_reference")
        assert shown[0]["channel"]["notification"]["status"] == "delivered"
        assert shown[0]["incident"]["id"] == format_id(TRIGGER.key.id)
    overview = (await desk.get("/log_entries", is_overview="true")).json()["log_entries"]
    assert [one["type"] for one in overview] == ["trigger_log_entry"]
    one = (await desk.get(f"/log_entries/{told[0].key.printed}")).json()["log_entry"]
    assert one["tocsin"]["event"]["bundle"] == "a-1-0-ann"


def page_about(opening: Entry) -> tuple[Intent, End, list[Item], int]:
    """A page to Ann about the incident of this entry, which was delivered ten seconds after it."""
    at_us = opening.received_us + 10_000_000
    channel = ChannelKey("ann", "box", "high")
    intent = Intent(IntentId("a", 1, 0), channel, b"", at_us, at_us, 0, "due")
    end = End(intent.id, channel, Outcome.DELIVERED, at_us, "box")
    assignment = Assignment("ann", opening.key, opening.received_us, "triggered", "high", "disk", "web-01", "demo", 1)
    return intent, end, [Item(assignment, is_new=True)], at_us


async def test_a_notice_that_was_damaged_by_hand_is_still_shown(desk: Desk) -> None:
    [told] = map(entry_of, requests_of(*page_about(TRIGGER)))
    await desk.hold(TRIGGER, told._replace(body=b"[" * 5_000))
    await desk.tick(NOW_S)
    shown = (await desk.get("/log_entries")).json()["log_entries"]
    assert [one["type"] for one in shown] == ["notify_log_entry", "trigger_log_entry"]

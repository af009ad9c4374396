"""Change events: what their door takes, what the creator takes, and that no incident comes of them."""

import json
from typing import Any

import pytest

from tests.unit.core.test_events import ROUTING_KEY
from tocsin.core.entries import Entry
from tocsin.core.events import (
    EVENT_BYTES_MAX,
    InvalidEvent,
    TooLarge,
    change_dedup_key,
    client_digest,
    entry_of,
    given_dedup_key,
    parse_change_event,
    parse_event,
    request_body,
)
from tocsin.core.ids import Parent, RequestKey
from tocsin.core.incidents import fold
from tocsin.core.requests import SCHEMA, Request

ID = 0x5D684054FC3540A0
CHANGE: dict[str, Any] = {
    "routing_key": ROUTING_KEY,
    "payload": {
        "summary": "Build Success - Increase snapshot create timeout to 30 seconds",
        "timestamp": "2026-11-22T13:33:00.000Z",
        "source": "acme-build-pipeline-tool-default-i-9999",
        "custom_details": {"build_state": "passed", "build_number": "2"},
    },
    "links": [{"href": "https://example.org/build/2", "text": "View more details"}],
    "images": [{"src": "https://example.org/i.png"}],
}


def parsed(value: Any) -> dict[str, Any]:
    return parse_change_event(json.dumps(value).encode())


def entry(event: dict[str, Any]) -> Entry:
    parent = Parent("demo", change_dedup_key(ID))
    body = request_body(event, parent.dedup_key)
    return entry_of(Request(RequestKey(parent, ID, client_digest(parent, body)), 1, "a", SCHEMA, body))


def test_the_example_of_the_documents_is_kept_whole_under_a_parent_of_its_own() -> None:
    change = entry(parsed(CHANGE))
    body = json.loads(change.body)

    assert change.action == "change"
    assert change.key.parent == Parent("demo", "change/0x5d684054fc3540a0")
    assert {name: body[name] for name in ("payload", "links", "images")} == {
        name: value for name, value in CHANGE.items() if name != "routing_key"
    }
    assert ROUTING_KEY not in change.body.decode()


def test_a_summary_is_enough() -> None:
    assert entry(parsed({"routing_key": ROUTING_KEY, "payload": {"summary": "deployed"}})).action == "change"


def test_no_incident_comes_of_a_change_nor_does_it_change_one() -> None:
    change = entry(parsed(CHANGE))
    trigger = change._replace(
        action="trigger", received_us=0, key=change.key._replace(id=1), body=b'{"payload":{"summary":"s"}}'
    )

    assert fold([change]) == []
    assert fold([trigger, change]) == fold([trigger])


def test_what_a_client_says_of_action_and_key_means_nothing() -> None:
    event = parsed({**CHANGE, "event_action": "trigger", "dedup_key": "disk/web-01", "more": 1})

    assert (event["event_action"], given_dedup_key(event), event["more"]) == ("change", None, 1)


def test_the_door_for_alerts_takes_no_change() -> None:
    with pytest.raises(InvalidEvent, match="one of the following: 'trigger', 'acknowledge', 'resolve'"):
        parse_event(json.dumps({**CHANGE, "event_action": "change", "dedup_key": "k"}).encode())


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ([], "the body must be a JSON object"),
        ({**CHANGE, "routing_key": "short"}, "Length of 'routing_key' is incorrect (should be 32 characters)"),
        ({**CHANGE, "payload": None}, "'payload' is missing or blank"),
        ({**CHANGE, "payload": {}}, "'payload.summary' is missing or blank"),
        ({**CHANGE, "payload": {"summary": "s" * 1025}},
         "'payload.summary' is too long (maximum is 1024 characters, this has 1025)"),
        ({**CHANGE, "payload": {"summary": "s", "source": 5}}, "'payload.source' must be a string, not a number"),
        ({**CHANGE, "payload": {"summary": "s", "timestamp": "yesterday"}},
         "'payload.timestamp' is not an ISO 8601 date and time within the years 1 to 9999"),
        ({**CHANGE, "links": [{}]}, "'links[0].href' is missing or blank"),
        ({**CHANGE, "images": [{"src": "http://x"}]}, "'images[0].src' must start with https://"),
    ],
)  # fmt: skip
def test_a_member_that_breaks_its_rule_is_named(value: Any, error: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        parsed(value)
    assert caught.value.errors == [error]


def test_a_body_over_the_limit_is_refused_by_its_size() -> None:
    with pytest.raises(TooLarge):
        parse_change_event(b" " * (EVENT_BYTES_MAX + 1))

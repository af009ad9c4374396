"""Events API v1: the documents' example, what Alertmanager and pdagent really send, and what is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.test_events import JSON
from tocsin.core.dialects.events_v1 import parse_v1_event
from tocsin.core.events import EVENT_BYTES_MAX, InvalidEvent, TooLarge, parse_event, request_body

KEY = "e93facc04764012d7bfb002500d5d1a6"
DOCUMENTED = {
    "service_key": KEY,
    "event_type": "trigger",
    "description": "FAILURE for production/HTTP on machine srv01.example.org",
    "client": "Sample Monitoring Service",
    "client_url": "https://monitoring.example.org",
    "details": {"ping time": "1500ms", "load avg": 0.75},
    "contexts": [
        {"type": "link", "href": "http://example.org", "text": "View in custom tool"},
        {"type": "link", "href": "http://example.org/2"},
        {"type": "image", "src": "https://example.org/chart.png", "alt": "chart"},
    ],
}
ALERTMANAGER_FIRING = {
    "service_key": KEY,
    "incident_key": "4f4a54d5e6e8b7f2c4a7b3b8b9d4f0d1c1a2b3c4d5e6f708192a3b4c5d6e7f80",
    "event_type": "trigger",
    "description": "[FIRING:1] InstanceDown (node web-01:9100 critical)",
    "event_action": "",
    "payload": None,
    "client": "Alertmanager",
    "client_url": "http://alertmanager:9093/#/alerts?receiver=page",
    "details": {"firing": "Labels:\n - alertname = InstanceDown\n", "num_firing": "1", "num_resolved": "0"},
}
PDAGENT = {
    "service_key": KEY,
    "event_type": "resolve",
    "incident_key": "event_source=host;host_name=web-01",
    "details": {"HOSTNAME": "web-01", "pd_nagios_object": "host"},
    "agent": {"agent_id": "b1b2", "queued_by": "pd-nagios", "queued_at": "2026-11-22T13:33:00Z"},
}


def parsed(value: Any) -> dict[str, Any]:
    return parse_v1_event(json.dumps(value).encode())


def errors_of(value: Any) -> list[str]:
    with pytest.raises(InvalidEvent) as caught:
        parsed(value)
    return caught.value.errors


def test_the_example_of_the_documents_becomes_an_event_of_version_2() -> None:
    assert parsed(DOCUMENTED) == {
        "routing_key": KEY,
        "event_action": "trigger",
        "payload": {
            "summary": "FAILURE for production/HTTP on machine srv01.example.org",
            "source": "Sample Monitoring Service",
            "severity": "error",
            "custom_details": {"ping time": "1500ms", "load avg": 0.75},
        },
        "client": "Sample Monitoring Service",
        "client_url": "https://monitoring.example.org",
        "links": [{"href": "http://example.org", "text": "View in custom tool"}, {"href": "http://example.org/2"}],
        "images": [{"src": "https://example.org/chart.png", "alt": "chart"}],
    }


def test_what_alertmanager_sends_of_version_2_along_means_nothing() -> None:
    event = parsed(ALERTMANAGER_FIRING)

    assert event["event_action"] == "trigger"
    assert event["dedup_key"] == ALERTMANAGER_FIRING["incident_key"]
    assert event["payload"]["custom_details"]["num_firing"] == "1"
    assert "v1" not in event


def test_members_without_a_meaning_are_kept_apart_from_those_of_version_2() -> None:
    event = parsed({**PDAGENT, "payload": {"summary": "other"}, "routing_key": "secret", "links": 5})

    assert event["v1"] == {"agent": PDAGENT["agent"], "payload": {"summary": "other"}, "links": 5}
    assert event["payload"]["custom_details"] == PDAGENT["details"]
    assert b"secret" not in request_body(event, "k")


def test_no_key_of_a_service_stays_in_the_request() -> None:
    assert KEY.encode() not in request_body(parsed(DOCUMENTED), "k")


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_an_acknowledge_and_a_resolve_need_no_more_than_their_key(action: str) -> None:
    event = parsed({"service_key": KEY, "event_type": action, "incident_key": "srv01/HTTP"})

    assert (event["event_action"], event["dedup_key"]) == (action, "srv01/HTTP")


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ([], "the body must be a JSON object"),
        ({**DOCUMENTED, "service_key": None}, "'service_key' is missing or blank"),
        ({**DOCUMENTED, "service_key": "short"}, "Length of 'service_key' is incorrect (should be 32 characters)"),
        ({**DOCUMENTED, "event_type": "page"},
         "'event_type' is invalid (must be one of the following: 'trigger', 'acknowledge', 'resolve')"),
        ({**DOCUMENTED, "event_type": "change"},
         "'event_type' is invalid (must be one of the following: 'trigger', 'acknowledge', 'resolve')"),
        ({**DOCUMENTED, "event_type": ["trigger"]},
         "'event_type' is invalid (must be one of the following: 'trigger', 'acknowledge', 'resolve')"),
        ({**DOCUMENTED, "event_type": "resolve"}, "'incident_key' is missing or blank"),
        ({**DOCUMENTED, "incident_key": "k" * 256},
         "'incident_key' is too long (maximum is 255 characters, this has 256)"),
        ({**DOCUMENTED, "description": " "}, "'description' is missing or blank"),
        ({**DOCUMENTED, "description": "d" * 1025},
         "'description' is too long (maximum is 1024 characters, this has 1025)"),
        ({**DOCUMENTED, "details": 5}, "'details' must be an object, an array or a string, not a number"),
        ({**DOCUMENTED, "details": {"x": "\0"}}, "'details.x' holds a NUL character"),
        ({**DOCUMENTED, "client": 5}, "'client' must be a string, not a number"),
        ({**DOCUMENTED, "contexts": {}}, "'contexts' must be an array, not an object"),
        ({**DOCUMENTED, "contexts": [5]}, "'contexts[0]' must be an object, not a number"),
        ({**DOCUMENTED, "contexts": [{}]}, "'contexts[0].type' is missing or blank"),
        ({**DOCUMENTED, "contexts": [{"type": "video"}]},
         "'contexts[0].type' is invalid (must be one of the following: 'link', 'image')"),
        ({**DOCUMENTED, "contexts": [{"type": "link"}]}, "'contexts[0].href' is missing or blank"),
        ({**DOCUMENTED, "contexts": [{"type": "image", "src": "http://x"}]},
         "'contexts[0].src' must start with https://"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named_as_version_1_names_it(value: Any, error: str) -> None:
    assert errors_of(value) == [error]


def test_a_body_over_the_limit_is_refused_by_its_size() -> None:
    with pytest.raises(TooLarge, match="shorten 'details'"):
        parse_v1_event(b" " * (EVENT_BYTES_MAX + 1))


@given(
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.builds(
        lambda name, value, more: json.dumps({**DOCUMENTED, name: value, "more": more}).encode(),
        st.sampled_from([*DOCUMENTED, "incident_key"]),
        JSON,
        JSON,
    )
)
def test_any_bytes_are_an_event_of_version_2_or_refused(body: bytes) -> None:
    event, errors = None, [""]
    try:
        event = parse_v1_event(body)
    except InvalidEvent as error:
        errors = error.errors
    assert errors
    assert event is None or parse_event(json.dumps(event).encode()) == event

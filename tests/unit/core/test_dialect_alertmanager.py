"""Alertmanager's webhook: a body as it sends it, what becomes of groups in all their states, what is refused."""

import copy
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.test_events import JSON
from tocsin.core.dialects.alertmanager import ALERTS_BYTES_MAX, BODY_BYTES_MAX, parse_alertmanager_event
from tocsin.core.events import InvalidEvent, TooLarge, parse_event, request_body

KEY = "e93facc04764012d7bfb002500d5d1a6"
GROUP_KEY = '{}/{severity="critical"}:{alertname="HighLatency", cluster="eu"}'
BODY: dict[str, Any] = {
    "receiver": "tocsin",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "HighLatency", "cluster": "eu", "instance": "api-1:8080", "severity": "critical"},
            "annotations": {"summary": "p99 is above a second", "runbook_url": "https://runbooks.example.org/latency"},
            "startsAt": "2026-11-22T13:31:02.417Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph?g0.expr=latency",
            "fingerprint": "1d3ecf10d7f3bd8c",
        },
        {
            "status": "resolved",
            "labels": {"alertname": "HighLatency", "cluster": "eu", "instance": "api-2:8080", "severity": "critical"},
            "annotations": {"summary": "p99 is above a second", "runbook_url": "https://runbooks.example.org/latency"},
            "startsAt": "2026-11-22T13:30:02.417Z",
            "endsAt": "2026-11-22T13:33:02.417Z",
            "generatorURL": "http://prometheus:9090/graph?g0.expr=latency",
            "fingerprint": "7b2a1b4a4a7f9c55",
        },
    ],
    "groupLabels": {"alertname": "HighLatency", "cluster": "eu"},
    "commonLabels": {"alertname": "HighLatency", "cluster": "eu", "severity": "critical"},
    "commonAnnotations": {"summary": "p99 is above a second", "runbook_url": "https://runbooks.example.org/latency"},
    "externalURL": "http://alertmanager:9093",
    "version": "4",
    "groupKey": GROUP_KEY,
    "truncatedAlerts": 0,
}


def parsed(value: Any, routing_key: str = KEY) -> dict[str, Any]:
    return parse_alertmanager_event(json.dumps(value).encode(), routing_key)


def errors_of(value: Any, routing_key: str = KEY) -> list[str]:
    with pytest.raises(InvalidEvent) as caught:
        parsed(value, routing_key)
    return caught.value.errors


def body(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(BODY), **changes}


def labelled(*severities: str | None) -> list[dict[str, Any]]:
    """Firing alerts with these severities."""
    return [{"status": "firing", "labels": {} if word is None else {"severity": word}} for word in severities]


def test_a_firing_group_is_a_trigger_that_says_what_is_the_matter() -> None:
    assert parsed(BODY) == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": hashlib.sha256(GROUP_KEY.encode()).hexdigest(),
        "payload": {
            "summary": "[FIRING:1] HighLatency eu: p99 is above a second",
            "source": "eu",
            "severity": "critical",
            "class": "HighLatency",
            "custom_details": {**BODY, "alerts_left_out": 0, "num_firing": 1, "num_resolved": 1},
        },
        "client": "Alertmanager",
        "client_url": "http://alertmanager:9093",
        "links": [{"href": "https://runbooks.example.org/latency", "text": "Runbook"}],
    }


def test_whatever_changes_in_a_group_it_stays_one_incident() -> None:
    again = body(alerts=BODY["alerts"][:1], truncatedAlerts=1, notification_reason="repeat interval elapsed")
    resolved = body(status="resolved", alerts=[{**alert, "status": "resolved"} for alert in BODY["alerts"]])

    assert parsed(again)["dedup_key"] == parsed(resolved)["dedup_key"] == parsed(BODY)["dedup_key"]
    assert parsed(again)["event_action"] == "trigger"
    assert parsed(resolved)["event_action"] == "resolve"
    assert parsed(resolved)["payload"]["summary"].startswith("[RESOLVED] HighLatency eu")
    assert parsed(body(groupKey="{}:{}"))["dedup_key"] != parsed(BODY)["dedup_key"]


def test_members_without_a_meaning_are_kept() -> None:
    details = parsed(body(notification_reason="first notification", more=[1]))["payload"]["custom_details"]

    assert (details["notification_reason"], details["more"], details["version"]) == ("first notification", [1], "4")


def test_alerts_that_alertmanager_left_out_are_shown() -> None:
    payload = parsed(body(truncatedAlerts=7))["payload"]

    assert payload["summary"].startswith("[FIRING:1+] ")
    assert payload["custom_details"]["truncatedAlerts"] == 7


@pytest.mark.parametrize(
    ("word", "severity"),
    [("critical", "critical"), ("Page", "critical"), ("P2", "error"), ("warn", "warning"), ("none", "info"),
     ("purple", "error"), ("", "error")],
)  # fmt: skip
def test_the_common_severity_is_read_whatever_its_word(word: str, severity: str) -> None:
    assert parsed(body(commonLabels={"severity": word}, alerts=[]))["payload"]["severity"] == severity


def test_alerts_of_several_severities_are_as_bad_as_the_worst_that_fires() -> None:
    alerts = [*labelled("info", "warning", None), {"status": "resolved", "labels": {"severity": "critical"}}]

    assert parsed(body(commonLabels={}, alerts=alerts))["payload"]["severity"] == "warning"
    assert parsed(body(commonLabels={}, alerts=labelled(None)))["payload"]["severity"] == "error"


@pytest.mark.parametrize(
    ("common", "source"),
    [({"instance": "i", "job": "j"}, "i"), ({"job": "j"}, "j"), ({}, "http://alertmanager:9093")],
)
def test_the_source_is_the_nearest_that_all_alerts_have_in_common(common: dict[str, str], source: str) -> None:
    assert parsed(body(commonLabels=common))["payload"]["source"] == source


def test_a_group_that_says_nothing_of_itself_has_the_name_of_its_key() -> None:
    bare = {"groupKey": "{}:{}", "status": "firing", "alerts": []}

    assert parsed(bare)["payload"]["summary"] == "[FIRING:0] {}:{}"
    assert parsed(bare)["payload"]["source"] == "Alertmanager"


def test_a_summary_is_one_line_of_at_most_1024_characters() -> None:
    summary = parsed(body(commonAnnotations={"summary": "a\n b " * 1_000}))["payload"]["summary"]

    assert summary.startswith("[FIRING:1] HighLatency eu: a b a b")
    assert len(summary) == 1024


def test_of_a_group_too_large_for_an_event_the_first_alerts_are_kept_and_the_rest_counted() -> None:
    alert = {**BODY["alerts"][0], "annotations": {"summary": "s" * 2_000}}
    event = parsed(body(alerts=[alert] * 500))
    details = event["payload"]["custom_details"]

    assert 0 < len(details["alerts"]) < 500
    assert len(json.dumps(details["alerts"])) < ALERTS_BYTES_MAX * 1.1
    assert details["alerts_left_out"] == 500 - len(details["alerts"])
    assert details["num_firing"] == 500
    assert len(request_body(event, "k")) < 512_000


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ([], "the body must be a JSON object"),
        (body(groupKey=""), "'groupKey' is missing or blank"),
        (body(groupKey=5), "'groupKey' must be a string, not a number"),
        (body(status="pending"), "'status' is invalid (must be one of the following: 'firing', 'resolved')"),
        (body(alerts=None), "'alerts' is missing or blank"),
        (body(alerts={}), "'alerts' must be an array, not an object"),
        (body(alerts=[5]), "'alerts[0]' must be an object, not a number"),
        (body(alerts=[{}]), "'alerts[0].status' is missing or blank"),
        (body(alerts=[{"status": "firing", "labels": {"severity": 5}}]),
         "'alerts[0].labels.severity' must be a string, not a number"),
        (body(commonLabels={"a": None}), "'commonLabels.a' must be a string, not null"),
        (body(commonAnnotations=[]), "'commonAnnotations' must be an object, not an array"),
        (body(truncatedAlerts="7"), "'truncatedAlerts' must be a number, not a string"),
        (body(externalURL={}), "'externalURL' must be a string, not an object"),
        (body(receiver="\0"), "'receiver' holds a NUL character"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named_as_alertmanager_names_it(value: Any, error: str) -> None:
    assert errors_of(value) == [error]


@pytest.mark.parametrize(
    ("routing_key", "error"),
    [
        ("", "'routing_key' is missing or blank"),
        ("a", "Length of 'routing_key' is incorrect (should be 32 characters)"),
    ],
)
def test_a_path_without_a_routing_key_is_refused(routing_key: str, error: str) -> None:
    assert errors_of(BODY, routing_key) == [error]


def test_a_member_that_happens_to_be_named_as_one_of_version_2_means_nothing() -> None:
    assert parsed(BODY | {"event_action": "resolve"})["event_action"] == "trigger"


def test_a_body_over_the_limit_is_refused_and_told_how_to_be_smaller() -> None:
    with pytest.raises(TooLarge, match="set 'max_alerts'"):
        parse_alertmanager_event(b" " * (BODY_BYTES_MAX + 1), KEY)


@given(
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.builds(
        lambda name, value, more: json.dumps({**BODY, name: value, "more": more}).encode(),
        st.sampled_from(sorted(BODY)),
        JSON,
        JSON,
    ),
    st.sampled_from([KEY, "", "x"]),
)
def test_any_bytes_are_an_event_of_version_2_or_refused(raw: bytes, routing_key: str) -> None:
    event, errors = None, [""]
    try:
        event = parse_alertmanager_event(raw, routing_key)
    except InvalidEvent as error:
        errors = error.errors
    assert errors
    assert event is None or parse_event(json.dumps(event).encode()) == event

"""Nagios: the forms that PagerDuty's script posts, and what is refused of them."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.strategies import WORDS
from tocsin.core.dialects.nagios import FIELDS_MAX, parse_nagios_event
from tocsin.core.events import EVENT_BYTES_MAX, InvalidEvent, TooLarge, parse_event

KEY = "e93facc04764012d7bfb002500d5d1a6"
SERVICE = {
    "CONTACTPAGER": KEY,
    "NOTIFICATIONTYPE": "PROBLEM",
    "pd_nagios_object": "service",
    "HOSTNAME": "web-01",
    "HOSTDISPLAYNAME": "web-01",
    "HOSTSTATE": "UP",
    "SERVICEDESC": "Disk Space",
    "SERVICEDISPLAYNAME": "Disk Space",
    "SERVICESTATE": "CRITICAL",
    "SERVICEOUTPUT": "DISK CRITICAL - free space: / 12 MB (1% inode=90%)",
    "NAGIOS_SERVER": "nagios.example.org",
    "pd_version": "1.0",
}
HOST = {
    "CONTACTPAGER": KEY,
    "NOTIFICATIONTYPE": "PROBLEM",
    "pd_nagios_object": "host",
    "HOSTNAME": "web-01",
    "HOSTSTATE": "DOWN",
    "HOSTOUTPUT": "PING CRITICAL - Packet loss = 100%",
    "HOSTGROUPNAMES": "web,prod",
}


def parsed(fields: dict[str, str]) -> dict[str, Any]:
    return parse_nagios_event(urlencode(fields).encode())


def test_a_problem_of_a_service_is_a_trigger() -> None:
    assert parsed(SERVICE) == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "event_source=service;host_name=web-01;service_desc=Disk Space",
        "payload": {
            "summary": "Disk Space on web-01 is CRITICAL: DISK CRITICAL - free space: / 12 MB (1% inode=90%)",
            "source": "web-01",
            "severity": "critical",
            "component": "Disk Space",
            "custom_details": {name: value for name, value in SERVICE.items() if name != "CONTACTPAGER"},
        },
        "client": "Nagios",
    }


def test_a_problem_of_a_host_is_a_trigger() -> None:
    event = parsed(HOST)

    assert event["dedup_key"] == "event_source=host;host_name=web-01"
    assert event["payload"]["summary"] == "web-01 is DOWN: PING CRITICAL - Packet loss = 100%"
    assert (event["payload"]["severity"], event["payload"]["group"]) == ("critical", "web,prod")
    assert "component" not in event["payload"]


@pytest.mark.parametrize(
    ("notification", "action"),
    [("PROBLEM", "trigger"), ("ACKNOWLEDGEMENT", "acknowledge"), ("RECOVERY", "resolve")],
)
def test_all_notifications_of_a_problem_are_about_one_incident(notification: str, action: str) -> None:
    event = parsed({**SERVICE, "NOTIFICATIONTYPE": notification, "SERVICESTATE": "OK"})

    assert (event["event_action"], event["dedup_key"]) == (action, parsed(SERVICE)["dedup_key"])


@pytest.mark.parametrize(
    ("state", "severity"),
    [("CRITICAL", "critical"), ("critical", "critical"), ("WARNING", "warning"), ("UNKNOWN", "error"), ("", "error")],
)
def test_the_state_is_the_severity(state: str, severity: str) -> None:
    assert parsed({**SERVICE, "SERVICESTATE": state})["payload"]["severity"] == severity


def test_a_problem_without_state_and_output_is_still_a_page() -> None:
    least = {name: SERVICE[name] for name in ("CONTACTPAGER", "NOTIFICATIONTYPE", "pd_nagios_object", "HOSTNAME")}

    assert parsed({**least, "SERVICEDESC": "ssh"})["payload"]["summary"] == "ssh on web-01"


def test_output_that_is_not_utf_8_is_taken_as_far_as_it_can_be_read() -> None:
    body = urlencode(SERVICE).encode() + b"&SERVICEOUTPUT=Sp%fcllauf+\xfc"

    assert parse_nagios_event(body)["payload"]["custom_details"]["SERVICEOUTPUT"] == "Sp\ufffdllauf \ufffd"


def test_a_long_summary_is_cut_and_a_long_key_is_hashed() -> None:
    event = parsed({**SERVICE, "SERVICEDESC": "d" * 300, "SERVICEOUTPUT": "o" * 5_000})
    other = parsed({**SERVICE, "SERVICEDESC": "d" * 301, "SERVICEOUTPUT": "o" * 5_000})

    assert len(event["payload"]["summary"]) == 1024
    assert len(event["dedup_key"]) == 64
    assert event["dedup_key"] != other["dedup_key"]
    assert len(event["payload"]["custom_details"]["SERVICEOUTPUT"]) == 5_000


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({**SERVICE, "CONTACTPAGER": ""}, "'CONTACTPAGER' is missing or blank"),
        ({**SERVICE, "CONTACTPAGER": "short"}, "Length of 'CONTACTPAGER' is incorrect (should be 32 characters)"),
        ({**SERVICE, "NOTIFICATIONTYPE": "FLAPPINGSTART"},
         "'NOTIFICATIONTYPE' is invalid (must be one of the following: 'PROBLEM', 'ACKNOWLEDGEMENT', 'RECOVERY')"),
        ({**SERVICE, "pd_nagios_object": "contact"},
         "'pd_nagios_object' is invalid (must be one of the following: 'host', 'service')"),
        ({**SERVICE, "HOSTNAME": " "}, "'HOSTNAME' is missing or blank"),
        ({**SERVICE, "SERVICEDESC": ""}, "'SERVICEDESC' is missing or blank"),
        ({**SERVICE, "HOSTNAME": "a\0b"}, "'HOSTNAME' holds a NUL character"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named_by_its_field(fields: dict[str, str], error: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        parsed(fields)
    assert caught.value.errors == [error]


def test_size_and_number_of_fields_are_bounded() -> None:
    with pytest.raises(TooLarge, match="fewer fields"):
        parse_nagios_event(b"a" * (EVENT_BYTES_MAX + 1))
    with pytest.raises(InvalidEvent, match=f"more than {FIELDS_MAX} fields"):
        parse_nagios_event(b"a=1&" * FIELDS_MAX + b"b=1")


@given(
    st.binary()
    | st.builds(
        lambda name, value, more: urlencode({**SERVICE, name: value, **more}).encode(),
        st.sampled_from(sorted(SERVICE)),
        st.text(st.characters(exclude_categories=["Cs"])),
        st.dictionaries(WORDS, WORDS, max_size=3),
    )
)
def test_any_bytes_are_an_event_of_version_2_or_refused(body: bytes) -> None:
    event, errors = None, [""]
    try:
        event = parse_nagios_event(body)
    except InvalidEvent as error:
        errors = error.errors
    assert errors
    assert event is None or parse_event(json.dumps(event).encode()) == event

"""What is refused, in its exact words: people and clients read them, and PagerDuty's clients compare some of them.

Also the last size that is still taken: a limit that is off by one is found here.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from tocsin.core.acts import Agent, act_body
from tocsin.core.dialects import alertmanager, events_v1, nagios
from tocsin.core.documents import RegionWords, decode_document
from tocsin.core.events import (
    DEDUP_KEY_LENGTH_MAX,
    EVENT_BYTES_MAX,
    REQUEST_BYTES_MAX,
    InvalidEvent,
    TooLarge,
    checked_act,
    checked_event,
    client_digest,
    derived_dedup_key,
    entry_of,
    parse_change_event,
    parse_event,
    request_body,
)
from tocsin.core.idempotency import client_id
from tocsin.core.ids import Parent, RequestKey, digest, parse_id, parse_printed, partition_of
from tocsin.core.json_rules import (
    DEPTH_MAX,
    ERRORS_MAX,
    INT_MAX,
    INT_MIN,
    NAME_LENGTH_MAX,
    Link,
    NotJson,
    at,
    bounded,
    decode,
)
from tocsin.core.requests import Request

KEY = "e93facc04764012d7bfb002500d5d1a6"
ID = 0x5D684054FC3540A0
Parse = Callable[[bytes], Any]
JSON_DOORS: list[tuple[Parse, str, int, str]] = [
    (parse_event, "the body", EVENT_BYTES_MAX, "shorten 'payload.custom_details'"),
    (parse_change_event, "the body", EVENT_BYTES_MAX, "shorten 'payload.custom_details'"),
    (events_v1.parse_v1_event, "the body", EVENT_BYTES_MAX, events_v1.SMALLER),
    (nagios.parse_nagios_event, "the form", EVENT_BYTES_MAX, nagios.SMALLER),
    (
        lambda body: alertmanager.parse_alertmanager_event(body, KEY),
        "the body",
        alertmanager.BODY_BYTES_MAX,
        alertmanager.SMALLER,
    ),
]


def refused(parse: Parse, body: bytes) -> tuple[str, str, list[str]]:
    with pytest.raises(InvalidEvent) as caught:
        parse(body)
    return caught.value.status, caught.value.message, caught.value.errors


@pytest.mark.parametrize(("parse", "what", "bytes_max", "advice"), JSON_DOORS)
def test_a_body_one_byte_too_large_is_refused_by_its_size(parse: Parse, what: str, bytes_max: int, advice: str) -> None:
    with pytest.raises(TooLarge):
        parse(b" " * (bytes_max + 1))
    assert refused(parse, b" " * (bytes_max + 1)) == (
        "invalid event",
        "Event object is too large",
        [f"{what} has {bytes_max + 1} bytes, more than the {bytes_max} that are taken; {advice}"],
    )
    with pytest.raises(InvalidEvent) as caught:
        parse(b" " * bytes_max)
    assert not isinstance(caught.value, TooLarge)


def test_a_header_that_is_no_id_is_refused_as_an_event_is() -> None:
    with pytest.raises(InvalidEvent) as caught:
        client_id(["0x1"], now_s=0, retention_s=0)
    assert (caught.value.status, caught.value.message) == ("invalid event", "Event object is invalid")
    assert caught.value.errors[0].startswith("header 'Idempotency-Key' is not a temporal id: '0x1' (")


def test_an_id_older_than_the_log_is_told_why_and_what_to_do() -> None:
    with pytest.raises(InvalidEvent) as caught:
        client_id(["0x0000000000000001"], now_s=100, retention_s=60)
    [error] = caught.value.errors
    assert error == (
        "header 'Idempotency-Key' was minted 100 s ago, and the log keeps requests for 60 s: "
        "whether this one was taken before can no longer be known; mint a new id"
    )


def test_what_is_no_id_or_key_or_parent_is_shown_in_short() -> None:
    with pytest.raises(ValueError, match=r"^not a temporal id: 'x{80}' \(expected 0x and 16 lower-case hex digits\)$"):
        parse_id("x" * 100)
    with pytest.raises(ValueError, match=r"^not a request key: 'x{80}' \(expected 0x<16 hex>\.<12 hex>, as intake"):
        parse_printed("x" * 100)
    with pytest.raises(ValueError, match=r"^not a parent: expected service NUL dedup_key in UTF-8$"):
        Parent.decode(b"none")


def test_a_form_of_too_many_fields_is_refused() -> None:
    fields = "&".join(f"f{number}=" for number in range(nagios.FIELDS_MAX + 1))
    assert refused(nagios.parse_nagios_event, fields.encode()) == (
        "invalid event",
        "Event object is invalid",
        ["the form has more than 1000 fields"],
    )


# Nagios and Alertmanager, to the letter ------------------------------------------------------------------------------

FORM = {"CONTACTPAGER": KEY, "NOTIFICATIONTYPE": "PROBLEM", "pd_nagios_object": "host", "HOSTNAME": "web-01"}


def test_a_field_of_a_form_that_is_blank_or_no_utf_8_is_kept() -> None:
    event = nagios.parse_nagios_event(urlencode(FORM).encode() + b"&EMPTY=&ODD=%ff")
    assert event["payload"]["custom_details"] == {
        **{name: value for name, value in FORM.items() if name != "CONTACTPAGER"},
        "EMPTY": "",
        "ODD": "\ufffd",
    }
    assert event["payload"]["summary"] == "web-01"


@pytest.mark.parametrize("over", [0, 1])
def test_a_key_of_a_host_is_its_name_until_that_is_too_long_for_one(over: int) -> None:
    host = "h" * (DEDUP_KEY_LENGTH_MAX + over - len("event_source=host;host_name="))
    key = f"event_source=host;host_name={host}"
    event = nagios.parse_nagios_event(urlencode(FORM | {"HOSTNAME": host}).encode())
    assert event["dedup_key"] == (hashlib.sha256(key.encode()).hexdigest() if over else key)


def group(**more: Any) -> dict[str, Any]:
    body = {"groupKey": "{}", "status": "firing", "alerts": [{"status": "firing"}], **more}
    return alertmanager.parse_alertmanager_event(json.dumps(body).encode(), KEY)


@pytest.mark.parametrize(
    ("more", "summary"),
    [
        ({"groupLabels": {"alertname": "A"}, "commonLabels": {"alertname": "B"}}, "[FIRING:1] A"),
        ({"groupLabels": {"cluster": "eu"}, "commonLabels": {"alertname": "B"}}, "[FIRING:1] B eu"),
        ({"commonLabels": {"alertname": "B"}}, "[FIRING:1] B"),
        ({"commonAnnotations": {"summary": "s", "description": "d"}}, "[FIRING:1] {}: s"),
        ({"commonAnnotations": {"description": "d"}}, "[FIRING:1] {}: d"),
    ],
)
def test_the_summary_of_a_group_is_its_name_and_what_its_rule_says(more: dict[str, Any], summary: str) -> None:
    assert group(**more)["payload"]["summary"] == summary


def test_a_blank_source_is_passed_over() -> None:
    assert group(commonLabels={"instance": " "}, externalURL="http://am")["payload"]["source"] == "http://am"


@pytest.mark.parametrize(("room", "kept"), [(0, 1), (-1, 0)])
def test_alerts_are_kept_up_to_the_last_byte_of_their_room(
    room: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert = json.dumps({"status": "firing"}, separators=(",", ":"))
    monkeypatch.setattr(alertmanager, "ALERTS_BYTES_MAX", len(alert) + 1 + room)
    assert len(group()["payload"]["custom_details"]["alerts"]) == kept


# What follows from bytes, pinned: a change of it would rename requests that logs hold ------------------------------


def test_digests_partitions_and_derived_keys_stay_what_they_are() -> None:
    assert (
        digest(b"ab", b"c").hex()
        == hashlib.blake2b((2).to_bytes(8, "big") + b"ab" + (1).to_bytes(8, "big") + b"c", digest_size=16).hexdigest()
    )
    assert [partition_of(Parent("demo", f"disk-{number}"), 1_000) for number in range(4)] == [
        int.from_bytes(hashlib.blake2b(f"demo\0disk-{number}".encode(), digest_size=8).digest(), "big") % 1_000
        for number in range(4)
    ]
    event = {"event_action": "trigger", "payload": {}}
    assert derived_dedup_key(event, ID) == digest(ID.to_bytes(8, "big"), request_body(event, "")).hex()
    assert request_body(event, "") == b'{"dedup_key":"","event_action":"trigger","payload":{}}'


# Unknown actions are judged by what all events have in common -------------------------------------------------------


@pytest.mark.parametrize("judge", [checked_event, checked_act])
def test_an_unknown_action_is_named_with_all_else_that_is_missing(judge: Callable[[dict[str, Any]], Any]) -> None:
    with pytest.raises(InvalidEvent) as caught:
        judge({"event_action": "explode"})
    assert len(caught.value.errors) == 2
    assert any("'event_action' is invalid" in error for error in caught.value.errors)


# JSON ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [10**19, INT_MAX])
def test_an_integer_of_twenty_digits_is_judged_by_its_value_beside_a_flaw(number: int) -> None:
    value, errors = decode(b'{"a":%d,"b":"\\u0000"}' % number)
    assert value["a"] == number
    assert errors == ["'b' holds a NUL character"]
    assert decode(b'{"a":%d}' % (INT_MAX + 1))[1] == ["'a' is an integer that does not fit in 64 bits"]
    assert decode(b'{"a":%d}' % 10**20)[1] == ["'a' is an integer that does not fit in 64 bits"]


def test_the_place_of_nesting_without_end_is_spelt_out() -> None:
    assert decode(b"[" * (DEPTH_MAX + 1))[1] == [f"'{'[0]' * DEPTH_MAX}' is nested deeper than 64 levels"]


def test_an_image_that_is_no_link_is_refused_in_the_same_words() -> None:
    body = {
        "routing_key": KEY,
        "event_action": "trigger",
        "payload": {"summary": "s", "source": "s", "severity": "info"},
        "images": [{"src": 7}, {"src": "http://x"}],
    }
    assert refused(parse_event, json.dumps(body).encode())[2] == [
        "'images[0].src' must be a string, not a number",
        "'images[1].src' must start with https://",
    ]


@pytest.mark.parametrize("body", [b'{"a":"\\ud800', b'{"a":1e400,}'])
def test_what_is_no_json_says_where_that_shows(body: bytes) -> None:
    with pytest.raises(NotJson, match=r"\(char \d+\)"):
        decode(body)


def test_a_flaw_of_the_whole_body_is_told_of_the_body() -> None:
    assert decode(b'"\\u0000"')[1] == ["the body holds a NUL character"]


def test_the_smallest_integer_is_taken_beside_a_flaw() -> None:
    assert decode(b'{"a":%d,"b":"\\u0000"}' % INT_MIN)[1] == ["'b' holds a NUL character"]


def test_the_place_of_nesting_has_the_names_as_they_are_written() -> None:
    deep = b'{"Xa":' * (DEPTH_MAX + 1)
    assert decode(deep)[1][0].startswith("'Xa.Xa.Xa.")
    assert decode(b"{" * (DEPTH_MAX + 1))[1] == ["the body is nested deeper than 64 levels"]


def test_up_to_fifty_flaws_are_all_told() -> None:
    flaws = [str(number) for number in range(ERRORS_MAX + 1)]
    assert bounded(flaws[:-1]) == flaws[:-1]
    assert bounded(flaws) == [*flaws[:-1], "and 1 more"]


def test_a_link_of_several_schemes_names_them_all() -> None:
    errors: list[str] = []
    Link(("https://", "mailto:")).check("ftp://x", "href", errors)
    assert errors == ["'href' must start with https:// or mailto:"]


# Requests ------------------------------------------------------------------------------------------------------------


def big_event(size: int) -> dict[str, Any]:
    """An event whose canonical form with the dedup key `k` has this many bytes."""
    event = {"event_action": "trigger", "payload": {"summary": "s", "source": "s", "severity": "info", "component": ""}}
    event["payload"]["component"] = "x" * (size - len(request_body(event, "k")))  # type: ignore[index]
    return event


def test_a_request_is_taken_up_to_the_last_byte() -> None:
    body = request_body(big_event(REQUEST_BYTES_MAX), "k")
    assert len(body) == REQUEST_BYTES_MAX
    parent = Parent("demo", "k")
    request = Request(RequestKey(parent, ID, client_digest(parent, body)), 1, "a", 1, body)
    assert entry_of(request).body == body
    with pytest.raises(TooLarge) as caught:
        entry_of(request._replace(body=body + b" "))
    too_large = f"has {REQUEST_BYTES_MAX + 1} bytes, more than the {REQUEST_BYTES_MAX} that are taken; "
    assert caught.value.errors == [f"the request {too_large}shorten 'payload.custom_details'"]
    with pytest.raises(TooLarge) as caught:
        request_body(big_event(REQUEST_BYTES_MAX + 1), "k")
    text = f"the event with its numbers written out {too_large}shorten 'payload.custom_details'"
    assert caught.value.errors == [text]


def test_a_request_under_another_parent_is_refused() -> None:
    body = request_body(big_event(200), "k")
    parent = Parent("demo", "other")
    with pytest.raises(InvalidEvent) as caught:
        entry_of(Request(RequestKey(parent, ID, client_digest(parent, body)), 1, "a", 1, body))
    assert caught.value.errors == ["'dedup_key' is not that of the request's parent"]


def test_an_act_without_incident_or_note_says_nothing_of_them() -> None:
    body = act_body("trigger", Agent("ann@example.org"), payload={"summary": "s"})
    assert body == {
        "event_action": "user_trigger",
        "agent": {"email": "ann@example.org"},
        "payload": {"summary": "s"},
    }


def test_a_path_without_a_routing_key_is_refused_as_an_event_is() -> None:
    with pytest.raises(InvalidEvent) as caught:
        alertmanager.parse_alertmanager_event(b"{}", "")
    assert (caught.value.status, caught.value.message) == ("invalid event", "Event object is invalid")


def test_an_event_v1_without_a_client_has_a_source_all_the_same() -> None:
    body = {"service_key": KEY, "event_type": "trigger", "description": "d"}
    assert events_v1.parse_v1_event(json.dumps(body).encode())["payload"]["source"] == events_v1.NOBODY


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ({}, ["service_key", "event_type"]),
        ({"service_key": KEY, "event_type": "trigger"}, ["description"]),
        ({"service_key": KEY, "event_type": "acknowledge"}, ["incident_key"]),
        ({"service_key": KEY, "event_type": "resolve"}, ["incident_key"]),
    ],
)
def test_what_an_event_v1_lacks_is_named_as_version_1_names_it(body: dict[str, Any], missing: list[str]) -> None:
    errors = refused(events_v1.parse_v1_event, json.dumps(body).encode())[2]
    assert errors == [f"'{name}' is missing or blank" for name in missing]


def test_a_document_without_end_is_told_to_be_that() -> None:
    with pytest.raises(ValueError, match=r"^the document is nested without end$"):
        decode_document(b'{"x":' + b"[" * 50_000, RegionWords)


@pytest.mark.parametrize("number", [INT_MIN, INT_MAX])
def test_the_smallest_and_the_largest_integer_need_no_second_look(number: int) -> None:
    assert decode(b"[%d]" % number) == ([number], [])


def test_a_place_is_named_as_its_sender_wrote_it_where_that_can_be_printed() -> None:
    assert at("payload", "größe") == "payload.größe"
    assert at("", "a\x07b") == r"a\x07b"
    assert at("links", 3) == "links[3]"


def test_a_place_with_a_long_name_is_cut_and_shows_it() -> None:
    longest = "x" * NAME_LENGTH_MAX
    assert at("", longest) == longest
    assert at("", longest + "y") == longest[:-3] + "..."

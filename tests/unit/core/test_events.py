"""Events: what is taken, what is refused and in which words, and that both doors judge alike."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.real_data import alerts, webhook_payloads
from tests.unit.core.strategies import WORDS
from tocsin.core.entries import Entry
from tocsin.core.events import (
    EVENT_BYTES_MAX,
    REQUEST_BYTES_MAX,
    InvalidEvent,
    TooLarge,
    client_digest,
    entry_of,
    given_dedup_key,
    parse_event,
    request_body,
)
from tocsin.core.ids import Parent, RequestKey
from tocsin.core.json_rules import DEPTH_MAX, ERRORS_MAX, INT_MAX, INT_MIN
from tocsin.core.requests import SCHEMA, Request

ROUTING_KEY = "0123456789abcdef0123456789abcdef"
PARENT = Parent("demo", "disk/web-01")
INVALID = "invalid event", "Event object is invalid"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(INT_MIN, INT_MAX) | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


def event(**changes: Any) -> dict[str, Any]:
    """A trigger with the changes; None leaves a member out."""
    whole = {
        "routing_key": ROUTING_KEY,
        "event_action": "trigger",
        "dedup_key": PARENT.dedup_key,
        "payload": {"summary": "disk full", "source": "web-01", "severity": "critical"},
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def with_payload(**changes: Any) -> dict[str, Any]:
    payload = {"summary": "disk full", "source": "web-01", "severity": "critical", **changes}
    return event(payload={name: value for name, value in payload.items() if value is not None})


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def refusal(body: bytes) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        parse_event(body)
    return caught.value


def errors_of(value: Any) -> list[str]:
    error = refusal(encoded(value))
    assert (error.status, error.message) == INVALID
    return error.errors


def details(raw: bytes) -> bytes:
    """A trigger whose custom details hold these bytes of JSON as member `x`."""
    return encoded(with_payload(custom_details={"x": "HERE"})).replace(b'"HERE"', raw)


def request_of(body: bytes, parent: Parent = PARENT) -> Request:
    key = RequestKey(parent, 5, client_digest(parent, body))
    return Request(key, 1_700_000_000_000_000, "a", SCHEMA, body)


# What is taken --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_an_acknowledge_or_resolve_needs_no_payload(action: str) -> None:
    assert parse_event(encoded(event(event_action=action, payload=None)))["event_action"] == action


@pytest.mark.parametrize("payload", [{}, {"summary": ""}, "none", {"severity": "fatal"}])
def test_a_payload_sent_with_a_resolve_is_kept_and_not_looked_into(payload: Any) -> None:
    assert parse_event(encoded(event(event_action="resolve", payload=payload)))["payload"] == payload


@pytest.mark.parametrize("dedup_key", [None, "", "  "])
def test_a_trigger_needs_no_dedup_key(dedup_key: str | None) -> None:
    assert given_dedup_key(parse_event(encoded({**event(), "dedup_key": dedup_key}))) is None


def test_a_dedup_key_is_taken_as_it_is_given() -> None:
    assert given_dedup_key(parse_event(encoded(event(dedup_key=" k ")))) == " k "


@pytest.mark.parametrize(
    "timestamp",
    ["2026-11-22T13:33:00Z", "2026-11-22T13:33:00.123456Z", "2026-11-22T13:33:00+00:00", "2026-11-22T13:33:00+00:00Z",
     "2026-11-22T13:33:00.123+0000", "2026-11-22T13:33:00-05:00", "2026-11-22T13:33:00.123456789Z", "2026-11-22", None,
     ""],
)  # fmt: skip
def test_the_forms_of_time_that_clients_send_are_taken(timestamp: str | None) -> None:
    parse_event(encoded(with_payload(timestamp=timestamp)))


@pytest.mark.parametrize("value", [{}, {"a": {"b": [1, None]}}, [], ["a"], "text", "", None])
def test_custom_details_may_be_object_array_or_text(value: Any) -> None:
    parse_event(encoded(with_payload(custom_details=value)))


def test_all_members_of_the_documents_are_taken() -> None:
    whole = event(
        payload={
            "summary": "s" * 1024, "source": "web-01", "severity": "info", "timestamp": "2026-11-22T13:33:00Z",
            "component": "disk", "group": "prod", "class": "full", "custom_details": {"free": 0},
        },
        images=[{"src": "https://example.org/i.png", "href": "https://example.org", "alt": "graph"}],
        links=[{"href": "https://example.org", "text": "runbook"}, {"href": "https://example.org/2"}],
        client="Monitor",
        client_url="https://example.org",
        dedup_key="k" * 255,
    )  # fmt: skip

    assert parse_event(encoded(whole)) == whole


def test_null_counts_as_absent() -> None:
    whole = {**event(), "images": None, "links": None, "client": None}

    assert parse_event(encoded(whole)) == whole


@given(JSON, JSON)
def test_unknown_members_are_kept_and_ignored(one: Any, other: Any) -> None:
    whole = event(unknown=one)
    whole["payload"]["unknown"] = other
    parsed = parse_event(encoded(whole))
    body = request_body(parsed, PARENT.dedup_key)

    assert json.loads(body) == {name: value for name, value in whole.items() if name != "routing_key"}


@pytest.mark.parametrize("number", [INT_MIN, INT_MAX, -1, 0, 2**63, 1e308, -1.5, 1e-400])
def test_numbers_of_64_bits_are_taken(number: float) -> None:
    parse_event(details(encoded(number)))


def test_of_equal_keys_the_last_counts() -> None:
    body = encoded(event()).replace(b'"trigger"', b'"trigger", "event_action": "resolve"')

    assert parse_event(body)["event_action"] == "resolve"


def test_a_backslash_before_u0000_is_no_nul() -> None:
    assert parse_event(details(rb'"C:\\u0000"'))["payload"]["custom_details"]["x"] == r"C:\u0000"


def test_nesting_is_taken_up_to_the_limit() -> None:
    inner = DEPTH_MAX - 3  # the body, the payload and the details are three
    parse_event(details(b"[" * inner + b"]" * inner))

    assert refusal(details(b"[" * (inner + 1) + b"]" * (inner + 1))).errors


def test_many_brackets_side_by_side_are_no_nesting() -> None:
    parse_event(details(b"[" + b",".join([b"[]"] * 1_000) + b"]"))


def test_a_body_of_exactly_the_size_limit_is_taken() -> None:
    body = encoded(event()).ljust(EVENT_BYTES_MAX)

    assert parse_event(body)
    with pytest.raises(TooLarge) as caught:
        parse_event(body + b" ")
    assert "524289" in caught.value.errors[0]
    assert "524288" in caught.value.errors[0]


def test_all_real_alerts_with_real_payloads_as_details_are_taken() -> None:
    payloads = webhook_payloads()
    for n, alert in enumerate(alerts()):
        severity = alert["severity"] if alert["severity"] in ("critical", "warning", "info") else "error"
        trigger = with_payload(
            summary=alert["name"], source=alert["service"], severity=severity,
            custom_details=payloads[n % len(payloads)],
        )  # fmt: skip
        body = request_body(parse_event(encoded(trigger)), PARENT.dedup_key)
        assert entry_of(request_of(body)).body == body


# What is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b" ", b"{", b"nul", b'{"a":1,}', b"{} {}", b"'x'", b'{"a":01}', b'{"a":"\x01"}',
                                  b"\xef\xbb\xbf{}", b'{"a":"\xff"}', b'{"\xed\xa0\x80":1}'])  # fmt: skip
def test_what_is_no_json_is_answered_as_pagerduty_does(body: bytes) -> None:
    error = refusal(body)

    assert (error.status, error.message) == ("Unrecognized object", "Event object format is unrecognized")
    assert error.errors[0].startswith("JSON parse error: ")


def test_bytes_that_are_not_utf_8_are_named() -> None:
    assert refusal(b'{"a": "\xff"}').errors == ["JSON parse error: byte 0xff at 7 is not UTF-8 (invalid start byte)"]


@pytest.mark.parametrize("value", [[], "x", 5, None, True])
def test_a_body_that_is_no_object_is_refused(value: Any) -> None:
    assert errors_of(value) == ["the body must be a JSON object"]


def test_an_empty_object_lacks_everything() -> None:
    assert errors_of({}) == ["'routing_key' is missing or blank", "'event_action' is missing or blank"]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (event(routing_key="short"), "Length of 'routing_key' is incorrect (should be 32 characters)"),
        (event(routing_key=5), "'routing_key' must be a string, not a number"),
        (event(routing_key=None), "'routing_key' is missing or blank"),
        (event(event_action="annotate"),
         "'event_action' is invalid (must be one of the following: 'trigger', 'acknowledge', 'resolve')"),
        (event(event_action=["trigger"]),
         "'event_action' is invalid (must be one of the following: 'trigger', 'acknowledge', 'resolve')"),
        (event(event_action="resolve", dedup_key=None), "'dedup_key' is missing or blank"),
        (event(event_action="acknowledge", dedup_key=" "), "'dedup_key' is missing or blank"),
        (event(dedup_key="k" * 256), "'dedup_key' is too long (maximum is 255 characters, this has 256)"),
        (event(dedup_key=7), "'dedup_key' must be a string, not a number"),
        (event(payload=None), "'payload' is missing or blank"),
        (event(payload=[]), "'payload' must be an object, not an array"),
        (with_payload(summary=None), "'payload.summary' is missing or blank"),
        (with_payload(summary="  "), "'payload.summary' is missing or blank"),
        (with_payload(summary="s" * 1025),
         "'payload.summary' is too long (maximum is 1024 characters, this has 1025)"),
        (with_payload(source=None), "'payload.source' is missing or blank"),
        (with_payload(source={}), "'payload.source' must be a string, not an object"),
        (with_payload(severity=None), "'payload.severity' is missing or blank"),
        (with_payload(severity="fatal"),
         "'payload.severity' is invalid (must be one of the following: 'critical', 'error', 'warning', 'info')"),
        (with_payload(timestamp="99999-01-01T00:00:00Z"),
         "'payload.timestamp' is not an ISO 8601 date and time within the years 1 to 9999"),
        (with_payload(timestamp="yesterday"),
         "'payload.timestamp' is not an ISO 8601 date and time within the years 1 to 9999"),
        (with_payload(timestamp=1_700_000_000), "'payload.timestamp' must be an ISO 8601 string, not a number"),
        (with_payload(component=True), "'payload.component' must be a string, not a boolean"),
        (with_payload(group=[]), "'payload.group' must be a string, not an array"),
        (event(payload={"summary": "s", "source": "s", "severity": "info", "class": 1}),
         "'payload.class' must be a string, not a number"),
        (with_payload(custom_details=5),
         "'payload.custom_details' must be an object, an array or a string, not a number"),
        (event(images={}), "'images' must be an array, not an object"),
        (event(images=["x"]), "'images[0]' must be an object, not a string"),
        (event(images=[{"src": "https://x"}, {}]), "'images[1].src' is missing or blank"),
        (event(images=[{"src": "http://x"}]), "'images[0].src' must start with https://"),
        (event(images=[{"src": "https://x", "alt": 1}]), "'images[0].alt' must be a string, not a number"),
        (event(links=[{"text": "t"}]), "'links[0].href' is missing or blank"),
        (event(links=[None]), "'links[0]' must be an object, not null"),
        (event(client=1), "'client' must be a string, not a number"),
        (event(client_url=[]), "'client_url' must be a string, not an array"),
    ],
)  # fmt: skip
def test_a_member_that_breaks_its_rule_is_named(value: Any, error: str) -> None:
    assert errors_of(value) == [error]


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (rb'[0, {"y": "a\u0000b"}]', "'payload.custom_details.x[1].y' holds a NUL character"),
        (rb'{"a\u0000": 1}', r"'payload.custom_details.x.a\x00' has a NUL character in its name"),
        (rb'"\ud800"', "'payload.custom_details.x' holds a lone surrogate, half of a character"),
        (rb'"\udc00\ud800"', "'payload.custom_details.x' holds a lone surrogate, half of a character"),
        (rb'{"\ud800": 1}', r"'payload.custom_details.x.\ud800' has a lone surrogate, half of a character in its name"),
        (b"%d" % (INT_MAX + 1), "'payload.custom_details.x' is an integer that does not fit in 64 bits"),
        (b"%d" % (INT_MIN - 1), "'payload.custom_details.x' is an integer that does not fit in 64 bits"),
        (b"9" * 100_000, "'payload.custom_details.x' is an integer that does not fit in 64 bits"),
        (b"1e400", "'payload.custom_details.x' is a number that is not finite or too large for 64 bits"),
        (b"[-1e400]", "'payload.custom_details.x[0]' is a number that is not finite or too large for 64 bits"),
        (b"NaN", "'payload.custom_details.x' is a number that is not finite or too large for 64 bits"),
        (b"-Infinity", "'payload.custom_details.x' is a number that is not finite or too large for 64 bits"),
    ],
)
def test_what_not_every_store_takes_is_refused_and_its_place_named(raw: bytes, error: str) -> None:
    assert refusal(details(raw)).errors == [error]


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b"[" * 10_000 + b"]" * 10_000, "payload.custom_details.x[0][0]"),
        (b"[" * 10_000, "payload.custom_details.x[0][0]"),
        (b'["a", 1, ' + b'{"y":' * 10_000 + b"1" + b"}" * 10_000 + b"]", "payload.custom_details.x[2].y.y"),
        (b"[[], {}, [" + b"[" * 80 + b"]" * 80 + b"]]", "payload.custom_details.x[2][0][0]"),
    ],
)
def test_nesting_without_end_is_refused_and_its_place_named(raw: bytes, place: str) -> None:
    (error,) = refusal(details(raw)).errors

    assert error.startswith(f"'{place}")
    assert error.endswith("' is nested deeper than 64 levels")
    assert len(error) < 250


def test_all_flaws_of_a_body_are_told_at_once() -> None:
    body = encoded(event(routing_key="x", images=5)).replace(b'"disk full"', rb'"a\u0000"')

    assert refusal(body).errors == [
        "'payload.summary' holds a NUL character",
        "Length of 'routing_key' is incorrect (should be 32 characters)",
        "'images' must be an array, not a number",
    ]


def test_the_number_and_length_of_errors_are_bounded() -> None:
    flaws = b'{"' + b"k" * 5_000 + b'": [' + b",".join([rb'"\u0000"'] * 10_000) + b"]}"
    errors = refusal(details(flaws)).errors

    assert len(errors) == ERRORS_MAX + 1
    assert errors[-1] == "and 9950 more"
    assert max(map(len, errors)) < 250


@given(st.binary() | JSON.map(encoded) | st.builds(lambda value: details(encoded(value)), JSON))
def test_any_bytes_are_an_event_or_refused_with_errors_in_utf_8(body: bytes) -> None:
    errors: list[str] = []
    try:
        parsed = parse_event(body)
    except InvalidEvent as error:
        parsed, errors = {}, error.errors
    json.dumps(errors, ensure_ascii=False).encode()
    assert (parsed.get("event_action") == "trigger") == (errors == [])


# The request and the creator's door -----------------------------------------------------------------------------


@given(JSON, st.randoms())
def test_the_order_and_spelling_of_a_body_do_not_change_its_request(value: Any, chance: Any) -> None:
    whole = event(more=value)
    items = list(whole.items())
    chance.shuffle(items)
    spellings = [json.dumps(dict(items)), json.dumps(whole, indent=2, ensure_ascii=False)]

    bodies = {request_body(parse_event(spelling.encode()), PARENT.dedup_key) for spelling in spellings}

    assert len(bodies) == 1
    assert len({client_digest(PARENT, body) for body in bodies}) == 1


def test_a_request_never_holds_the_routing_key() -> None:
    assert ROUTING_KEY.encode() not in request_body(parse_event(encoded(event())), PARENT.dedup_key)


def test_a_generated_dedup_key_is_part_of_the_request() -> None:
    body = request_body(parse_event(encoded(event(dedup_key=None))), "generated")

    assert json.loads(body)["dedup_key"] == "generated"
    assert entry_of(request_of(body, Parent("demo", "generated"))).body == body


def test_an_event_that_grows_past_a_records_size_is_refused() -> None:
    body = details(b"[" + b",".join([b"1e15"] * 90_000) + b"]")
    assert len(body) < EVENT_BYTES_MAX

    with pytest.raises(TooLarge, match=f"more than the {REQUEST_BYTES_MAX}"):
        request_body(parse_event(body), "k")


@given(JSON, st.sampled_from(["trigger", "acknowledge", "resolve"]))
def test_what_intake_takes_the_creator_takes(value: Any, action: str) -> None:
    body = request_body(parse_event(encoded(event(more=value, event_action=action))), PARENT.dedup_key)
    request = request_of(body)

    assert entry_of(request) == Entry(request.key, request.received_us, "a", SCHEMA, action, body)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "JSON parse error"),
        (b"[]", "must be a JSON object"),
        (encoded(event(dedup_key=None)), "'dedup_key' is missing"),
        (encoded(event(dedup_key="other")), "'dedup_key' is not that of the request's parent"),
        (encoded(event(event_action="page")), "'event_action' is invalid"),
        (encoded(with_payload(summary=None)), "'payload.summary' is missing"),
        (details(rb'"\u0000"'), "holds a NUL character"),
        (b" " * (REQUEST_BYTES_MAX + 1), "the request has 1000001 bytes"),
    ],
)
def test_what_a_foreign_producer_got_wrong_is_refused_at_the_creators_door(body: bytes, error: str) -> None:
    with pytest.raises(InvalidEvent, match=error):
        entry_of(request_of(body))


def test_the_digest_covers_parent_and_body() -> None:
    digests = {client_digest(Parent(*parent), body) for parent in (("a", "b"), ("a", "c")) for body in (b"1", b"2")}

    assert len(digests) == 4


def test_a_record_whose_header_has_another_digest_is_refused_by_the_creator() -> None:
    request = request_of(request_body(event(), "disk/db-1"), Parent("demo", "disk/db-1"))
    foreign = request._replace(key=request.key._replace(digest=bytes(16)))
    with pytest.raises(InvalidEvent) as refused:
        entry_of(foreign)
    assert refused.value.errors == ["the digest in the record's header is not that of the request"]


def test_all_that_is_wrong_with_an_event_is_told_in_one_line() -> None:
    assert str(InvalidEvent(*INVALID, ["this", "that"])) == "this; that"

"""Events: the bodies of PagerDuty's Events API v2, judged by one table, for intake and creator alike.

Theory
------
There is one judge of validity. Intake answers 400 by it, and the creators of every region check by it again what comes
out of a log, so that a rejection there is a fault of ours or of a foreign producer. The client's part of a request is
the event as canonical JSON (keys sorted, no spaces) without its routing key, which is a secret and has done its work,
and with its dedup key. Members that have no meaning here are kept and ignored.

To add an action is to add a row to `ACTIONS`. Those of `ALERT_ACTIONS` are what a client may ask for; those of people
(`acts.py`) come through the REST interface alone, and notices (`notices.py`) from notifiers; a `change` is what comes
through the door for change events. It is kept in the log under a parent of its own, `change/<id>`, so that it can
neither open an incident nor land in one, and so that the many of a deployment spread over all partitions.

Where PagerDuty's documents are silent: null and blank count as absent; a payload that comes with an acknowledge or a
resolve is not looked into; custom details may be an object, an array or a string, since senders that put text there
are common and a page must not be lost for its decoration.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from tocsin.core import acts, notices
from tocsin.core.entries import Entry
from tocsin.core.ids import Parent, digest, format_id
from tocsin.core.json_rules import (
    Array,
    Choice,
    Kinds,
    Link,
    Member,
    Moment,
    NotJson,
    Object,
    Text,
    bounded,
    check_members,
    decode,
    is_absent,
)
from tocsin.core.requests import Request

EVENT_BYTES_MAX: Final = 524_288
"""Of a body as the client sends it."""
REQUEST_BYTES_MAX: Final = 1_000_000
"""Of the canonical form: it can be longer (`1e15` is written out), and must fit in a record of any log."""
DEDUP_KEY_LENGTH_MAX: Final = 255
SUMMARY_LENGTH_MAX: Final = 1_024
ROUTING_KEY_LENGTH: Final = 32
SEVERITIES: Final = ("critical", "error", "warning", "info")
ALERT_ACTIONS: Final = ("trigger", "acknowledge", "resolve")
CHANGE: Final = "change"
SMALLER: Final = "shorten 'payload.custom_details'"
"""What to do about a body that is too large."""

_ENCODER: Final = msgspec.json.Encoder(order="sorted")


class InvalidEvent(Exception):
    """A body that is no valid event. `status`, `message` and `errors` are those of PagerDuty's answer."""

    def __init__(self, status: str, message: str, errors: list[str]) -> None:
        super().__init__("; ".join(errors))
        self.status = status
        self.message = message
        self.errors = errors


class TooLarge(InvalidEvent):
    """A body over the size limit."""

    def __init__(self, what: str, size: str, size_max: int, *, advice: str = SMALLER) -> None:
        super().__init__(
            "invalid event",
            "Event object is too large",
            [f"{what} has {size} bytes, more than the {size_max} that are taken; {advice}"],
        )


class Action(NamedTuple):
    """What an event of one action must hold."""

    members: tuple[Member, ...] = ()
    needs_dedup_key: bool = True
    schema: int = 1
    """The schema version of the requests that hold it: one that knows the action."""


_TEXT: Final = Text()
_SUMMARY: Final = Member("summary", Text(length_max=SUMMARY_LENGTH_MAX), required=True)
_TIMESTAMP: Final = Member("timestamp", Moment())
DETAILS: Final = Kinds("an object, an array or a string", (dict, list, str))
"""What custom details may be."""
_PAYLOAD: Final = Object(
    (
        _SUMMARY,
        Member("source", _TEXT, required=True),
        Member("severity", Choice(SEVERITIES), required=True),
        _TIMESTAMP,
        Member("component", _TEXT),
        Member("group", _TEXT),
        Member("class", _TEXT),
        Member("custom_details", DETAILS),
    )
)
_CHANGE_PAYLOAD: Final = Object((_SUMMARY, Member("source", _TEXT), _TIMESTAMP, Member("custom_details", DETAILS)))
_IMAGE: Final = Object((Member("src", Link(("https://",)), required=True), Member("href", _TEXT), Member("alt", _TEXT)))
_LINK: Final = Object((Member("href", _TEXT, required=True), Member("text", _TEXT)))

_ATTACHED: Final = (Member("images", Array(_IMAGE)), Member("links", Array(_LINK)))

ACTIONS: Final[dict[str, Action]] = {
    "trigger": Action(
        (
            Member("payload", _PAYLOAD, required=True),
            *_ATTACHED,
            Member("client", _TEXT),
            Member("client_url", _TEXT),
        ),
        needs_dedup_key=False,
    ),
    "acknowledge": Action(),
    "resolve": Action(),
    CHANGE: Action((Member("payload", _CHANGE_PAYLOAD, required=True), *_ATTACHED)),
    "user_trigger": Action((acts.AGENT, Member("payload", _PAYLOAD, required=True)), schema=acts.SCHEMA),
    "user_acknowledge": Action((acts.AGENT, acts.INCIDENT, acts.NOTE), schema=acts.SCHEMA),
    "user_resolve": Action((acts.AGENT, acts.INCIDENT, acts.NOTE), schema=acts.SCHEMA),
    "user_annotate": Action((acts.AGENT, acts.INCIDENT, acts.NEEDED_NOTE), schema=acts.SCHEMA),
    notices.NOTIFY: Action(notices.MEMBERS, schema=notices.SCHEMA),
}

_ASKED_ACTION: Final = Member("event_action", Choice(ALERT_ACTIONS), required=True)
_ACTION: Final = Member("event_action", Choice(tuple(ACTIONS)), required=True)
_ROUTING_KEY: Final = Member("routing_key", Text(length=ROUTING_KEY_LENGTH), required=True)


def _dedup_key(*, required: bool) -> Member:
    return Member("dedup_key", Text(length_max=DEDUP_KEY_LENGTH_MAX), required)


# The two doors: what a client sends has a routing key and, on a trigger, perhaps no dedup key; a request has been
# given one.
_AT_INTAKE: Final = {
    name: (
        _ROUTING_KEY,
        _ASKED_ACTION,
        _dedup_key(required=ACTIONS[name].needs_dedup_key),
        *ACTIONS[name].members,
    )
    for name in ALERT_ACTIONS
}
EVENT_MEMBERS: Final[Mapping[str, tuple[Member, ...]]] = _AT_INTAKE
"""Action to members, of what clients send."""
_AT_INTAKE_UNKNOWN: Final = (_ROUTING_KEY, _ASKED_ACTION, _dedup_key(required=False))
CHANGE_EVENT_MEMBERS: Final = (_ROUTING_KEY, *ACTIONS[CHANGE].members)
"""The members of a change event."""
_AT_CREATOR: Final = {name: (_ACTION, _dedup_key(required=True), *action.members) for name, action in ACTIONS.items()}
_AT_CREATOR_UNKNOWN: Final = (_ACTION, _dedup_key(required=True))


def parse_event(body: bytes) -> dict[str, Any]:
    """The event of a client's body. Raises `InvalidEvent` with all that is wrong with it, `TooLarge` by its size."""
    if len(body) > EVENT_BYTES_MAX:
        raise TooLarge("the body", str(len(body)), EVENT_BYTES_MAX)
    return checked(body, _AT_INTAKE, _AT_INTAKE_UNKNOWN)


def parse_change_event(body: bytes) -> dict[str, Any]:
    """The event of a change event's body. Raises as `parse_event` does.

    What it is, and under which key it is kept, is decided here: members of these names that a client sent mean nothing.
    """
    if len(body) > EVENT_BYTES_MAX:
        raise TooLarge("the body", str(len(body)), EVENT_BYTES_MAX)
    return {**checked(body, {}, CHANGE_EVENT_MEMBERS), "event_action": CHANGE, "dedup_key": None}


def checked_event(event: dict[str, Any]) -> dict[str, Any]:
    """An event that was translated from another dialect, judged as if a client had sent it. Raises `InvalidEvent`."""
    return checked(_ENCODER.encode(event), _AT_INTAKE, _AT_INTAKE_UNKNOWN)


def checked_act(event: dict[str, Any]) -> dict[str, Any]:
    """An act with its dedup key, judged as the creator will judge it. Raises `InvalidEvent`."""
    return checked(_ENCODER.encode(event), _AT_CREATOR, _AT_CREATOR_UNKNOWN)


def given_dedup_key(event: dict[str, Any]) -> str | None:
    """The dedup key of a valid event, None when the client gave none."""
    key = event.get("dedup_key")
    return None if is_absent(key) else key


def change_dedup_key(temporal_id: int) -> str:
    """The key that a change event is kept under."""
    return f"{CHANGE}/{format_id(temporal_id)}"


def derived_dedup_key(event: dict[str, Any], temporal_id: int) -> str:
    """The key of a valid event that came with an id of the client's and without a dedup key.

    Whoever sends the same event with the same id again must get the same request, so the key follows from the two.
    """
    return digest(temporal_id.to_bytes(8, "big"), request_body(event, "")).hex()


def request_body(event: dict[str, Any], dedup_key: str) -> bytes:
    """The client's part of a valid event's request. Raises `TooLarge` when its canonical form is."""
    part = {**event, "dedup_key": dedup_key}
    part.pop("routing_key", None)
    body = _ENCODER.encode(part)
    if len(body) > REQUEST_BYTES_MAX:
        raise TooLarge("the event with its numbers written out", str(len(body)), REQUEST_BYTES_MAX)
    return body


def client_digest(parent: Parent, body: bytes) -> bytes:
    """The digest of a request: over the client's part, so neither arrival time nor region."""
    return digest(parent.encode(), body)


def entry_of(request: Request) -> Entry:
    """The entry of a request: the creator's door. Raises `InvalidEvent`."""
    body = request.body
    if len(body) > REQUEST_BYTES_MAX:
        raise TooLarge("the request", str(len(body)), REQUEST_BYTES_MAX)
    event = checked(body, _AT_CREATOR, _AT_CREATOR_UNKNOWN)
    if event["dedup_key"] != request.key.parent.dedup_key:
        raise _invalid(["'dedup_key' is not that of the request's parent"])
    if client_digest(request.key.parent, body) != request.key.digest:
        raise _invalid(["the digest in the record's header is not that of the request"])
    action = event["event_action"]
    if request.schema < ACTIONS[action].schema:
        raise _invalid([f"'event_action' is {action!r}, which schema version {request.schema} does not have"])
    # What a person does is to the fold what a machine does; that it was a person stands in the body.
    does = action.removeprefix(acts.PREFIX)
    return Entry(request.key, request.received_us, request.region, request.schema, does, body)


def checked(
    body: bytes, doors: Mapping[str, tuple[Member, ...]], otherwise: tuple[Member, ...], by: str = "event_action"
) -> dict[str, Any]:
    """The object of a JSON body, once its members are what they must be. Raises `InvalidEvent` with all its flaws.

    The value of the member named `by` says which members of `doors` hold; `otherwise` hold for any other value.
    """
    try:
        event, errors = decode(body)
    except NotJson as error:
        raise InvalidEvent(
            "Unrecognized object", "Event object format is unrecognized", [f"JSON parse error: {error}"]
        ) from error
    if type(event) is not dict:
        raise _invalid(errors or ["the body must be a JSON object"])
    kind = event.get(by)
    check_members(event, doors.get(kind, otherwise) if type(kind) is str else otherwise, "", errors)
    if errors:
        raise _invalid(errors)
    return event


def _invalid(errors: list[str]) -> InvalidEvent:
    return InvalidEvent("invalid event", "Event object is invalid", bounded(errors))

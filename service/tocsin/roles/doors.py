"""Doors: where intake takes events in which dialect, and how it answers so that each sender does what it should.

Senders read answers by a table of their own. What must be sent again is 429 to a client of version 2, 403 to one of
version 1; Alertmanager's webhook receiver sends again what was answered 5xx and *drops* a 429; the Nagios script drops
all 4xx but those in which it reads `retry later`, so that stands in each answer of this kind. What was refused for good
is 400 everywhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict

from tocsin.core.dialects import alertmanager, events_v1, nagios
from tocsin.core.events import (
    CHANGE_EVENT_MEMBERS,
    EVENT_BYTES_MAX,
    EVENT_MEMBERS,
    SMALLER,
    InvalidEvent,
    TooLarge,
    parse_change_event,
    parse_event,
)
from tocsin.core.ids import format_id
from tocsin.core.json_rules import Member
from tocsin.roles.minting import ACK_HEADER, Accepted, NotTaken
from tocsin.roles.openapi import schema_of_members
from tocsin.roles.web import answer

ROUTING_KEY: Final = "routing_key"
"""The parameter of a path that holds the routing key."""


class TooMany(Exception):
    """An event over the rate of its service; in `wait_s` seconds there is room for one."""

    def __init__(self, reason: str, wait_s: int) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class NoSuchService(Exception):
    """No service of the directory has this routing key."""


@dataclass(frozen=True, slots=True)
class Door:
    """How one dialect is spoken. `parse` makes an event of a body and the routing key of the path, where it has one."""

    path: str
    parse: Callable[[bytes, str], dict[str, Any]]
    body_bytes_max: int = EVENT_BYTES_MAX
    smaller: str = SMALLER
    """What a client can do about a body that is too large."""
    key_name: str = "routing key"
    accepted: int = 202
    message: str = "Event processed"
    dedup_member: str = "dedup_key"
    limited: int = 429
    """The status that makes senders of this dialect wait and send again."""
    kinds: Mapping[str, tuple[Member, ...]] = field(default_factory=dict)
    """The members of a body, by the value of the one that says which kind it is."""
    by: str = ""
    """The name of that one; empty where all bodies are of one kind."""
    media_type: str = "application/json"

    @property
    def name(self) -> str:
        """The path as documents show it."""
        return self.path.replace(":path", "")

    def success(self, accepted: Accepted) -> Response:
        """The answer to an event that was taken."""
        parent = accepted.key.parent
        body = {
            "status": "success",
            "message": self.message,
            self.dedup_member: parent.dedup_key,
            "parent": str(parent),
            "id": format_id(accepted.key.id),
            "request": accepted.key.printed,
        }
        return answer(self.accepted, body, {ACK_HEADER: accepted.ack})

    def invalid(self, error: InvalidEvent) -> Response:
        """The answer to what is no event, or too large to be one."""
        return _refusal(413 if isinstance(error, TooLarge) else 400, error.status, error.message, error.errors)

    def unread(self, size: str) -> Response:
        """The answer to a body over the limit, which is not read to its end."""
        error = TooLarge("the body", size, self.body_bytes_max, advice=self.smaller)
        return _refusal(413, error.status, error.message, error.errors, {"Connection": "close"})

    def slow(self, reason: str) -> Response:
        """The answer to a body that did not arrive."""
        message = "The body did not arrive in time; retry later"
        return _refusal(408, "timeout", message, [reason], {"Connection": "close"})

    def unknown(self) -> Response:
        """The answer to a routing key that nobody has."""
        return _refusal(400, "invalid event", "Event object is invalid", [f"Invalid {self.key_name}"])

    def too_many(self, error: TooMany) -> Response:
        """The answer to an event over the rate of its service."""
        message = "Too many events; this one is not recorded, retry later"
        return _refusal(self.limited, "throttled", message, [str(error)], {"Retry-After": str(error.wait_s)})

    def unavailable(self, error: NotTaken, retry_after_s: int) -> Response:
        """The answer while the log cannot take an event."""
        if error.may_be_recorded:
            advice = "it may be recorded or not: send it again with the same dedup key, or retry later"
        else:
            advice = "it is not recorded: send it again to another region now, or retry later"
        message = f"Event is not accepted; {advice}"
        return _refusal(503, "unavailable", message, [str(error)], {"Retry-After": str(retry_after_s)})


DOORS: Final = (
    Door("/v2/enqueue", lambda body, _: parse_event(body), kinds=EVENT_MEMBERS, by="event_action"),
    Door(
        "/v2/change/enqueue",
        lambda body, _: parse_change_event(body),
        message="Change event processed",
        kinds={"": CHANGE_EVENT_MEMBERS},
    ),
    Door(
        f"/v1/alertmanager/{{{ROUTING_KEY}:path}}",
        alertmanager.parse_alertmanager_event,
        body_bytes_max=alertmanager.BODY_BYTES_MAX,
        smaller=alertmanager.SMALLER,
        kinds={"": alertmanager.MEMBERS},
        limited=503,
    ),
    Door(
        "/generic/2010-04-15/create_event.json",
        lambda body, _: events_v1.parse_v1_event(body),
        smaller=events_v1.SMALLER,
        kinds=events_v1.MEMBERS,
        by="event_type",
        key_name="service key",
        accepted=200,
        dedup_member="incident_key",
        limited=403,
    ),
    Door(
        "/nagios/2010-04-15/create_event",
        lambda body, _: nagios.parse_nagios_event(body),
        smaller=nagios.SMALLER,
        kinds=nagios.MEMBERS,
        by="pd_nagios_object",
        media_type="application/x-www-form-urlencoded",
        key_name="CONTACTPAGER: no service has this key",
        accepted=200,
        dedup_member="incident_key",
        limited=403,
    ),
)


class Taken(BaseModel):
    """The body of an answer to an event that was taken: `dedup_key`, or its name in the dialect, beside these."""

    model_config = ConfigDict(extra="allow")

    status: Literal["success"]
    message: str
    parent: str
    id: str
    request: str


class Refusal(BaseModel):
    """The body of every other answer."""

    status: str
    message: str
    errors: list[str]


def described(door: Door) -> dict[str, Any]:
    """How the route of a door is described; what it does, the door says by itself."""
    kinds = [_kind(door, kind, members) for kind, members in door.kinds.items()]
    schema = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    refused = {status: {"model": Refusal, "description": meaning} for status, meaning in _REFUSED.items()}
    limited = {door.limited: {"model": Refusal, "description": "The service sends too much, or the log is away."}}
    has_key_in_path = f"{{{ROUTING_KEY}" in door.path
    key = {"in": "path", "name": ROUTING_KEY, "required": True, "schema": {"type": "string"}}
    return {
        "summary": door.message,
        "status_code": door.accepted,
        "responses": {door.accepted: {"model": Taken, "description": door.message}, **refused, **limited},
        "openapi_extra": {
            "requestBody": {"required": True, "content": {door.media_type: {"schema": schema}}},
            **({"parameters": [key]} if has_key_in_path else {}),
        },
    }


def _kind(door: Door, kind: str, members: tuple[Member, ...]) -> dict[str, Any]:
    schema = schema_of_members(members)
    if door.by:
        schema["properties"][door.by] = {"const": kind}
    return schema


_REFUSED: Final = {
    408: "The body did not arrive in time.",
    413: "The body is too large.",
}


def error_body(status: int, text: str) -> dict[str, Any]:
    """The body of an answer that no door gave."""
    words = {404: "not found", 405: "method not allowed", 500: "error"}
    return {"status": words.get(status, "invalid request"), "message": text, "errors": [text]}


def _refusal(
    status: int, word: str, message: str, errors: list[str], headers: Mapping[str, str] | None = None
) -> Response:
    return answer(status, {"status": word, "message": message, "errors": errors}, headers)

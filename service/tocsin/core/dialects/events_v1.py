"""Events API v1, PagerDuty's older dialect: what pdagent and Alertmanager's `service_key` mode still send.

| v1             | v2                                  |
|----------------|-------------------------------------|
| `service_key`  | `routing_key`                       |
| `event_type`   | `event_action`                      |
| `incident_key` | `dedup_key`                         |
| `description`  | `payload.summary`                   |
| `details`      | `payload.custom_details`            |
| `client`       | `client`, and `payload.source`      |
| `client_url`   | `client_url`                        |
| `contexts`     | `links` and `images`, by their type |

Version 1 knows no severity: an event counts as an `error`, as with Alertmanager. Other members are kept, in a member
`v1`: some have names of version 2 and another meaning (Alertmanager sends an empty `event_action` along).
"""

from typing import Any, Final, NamedTuple

from tocsin.core.events import (
    ALERT_ACTIONS,
    DEDUP_KEY_LENGTH_MAX,
    DETAILS,
    EVENT_BYTES_MAX,
    ROUTING_KEY_LENGTH,
    SUMMARY_LENGTH_MAX,
    TooLarge,
    checked,
    checked_event,
)
from tocsin.core.json_rules import Array, Choice, Link, Member, Object, Text, check_members, is_absent

SMALLER: Final = "shorten 'details'"
"""What to do about a body that is too large."""
SEVERITY: Final = "error"
NOBODY: Final = "Events API v1"
"""The source of an event whose client does not say its name."""
_SECRETS: Final = ("service_key", "routing_key")
_TEXT: Final = Text()


class _Context(NamedTuple):
    """An object whose `type` says which members it has."""

    members: dict[str, tuple[Member, ...]]

    def check(self, value: Any, name: str, errors: list[str]) -> None:
        """Adds what is wrong with the value."""
        Object((Member("type", Choice(tuple(self.members)), required=True),)).check(value, name, errors)
        if type(value) is dict and type(kind := value.get("type")) is str:
            check_members(value, self.members.get(kind, ()), name, errors)


_CONTEXT: Final = _Context(
    {
        "link": (Member("href", _TEXT, required=True), Member("text", _TEXT)),
        "image": (
            Member("src", Link(("https://",)), required=True),
            Member("href", _TEXT),
            Member("alt", _TEXT),
        ),
    }
)
_PLURAL: Final = {"link": "links", "image": "images"}


def _members(action: str | None) -> tuple[Member, ...]:
    is_later = action in ("acknowledge", "resolve")
    return (
        Member("service_key", Text(length=ROUTING_KEY_LENGTH), required=True),
        Member("event_type", Choice(ALERT_ACTIONS), required=True),
        Member("incident_key", Text(length_max=DEDUP_KEY_LENGTH_MAX), required=is_later),
        Member("description", Text(length_max=SUMMARY_LENGTH_MAX), required=action == "trigger"),
        Member("details", DETAILS),
        Member("client", _TEXT),
        Member("client_url", _TEXT),
        Member("contexts", Array(_CONTEXT)),
    )


MEMBERS: Final = {action: _members(action) for action in ALERT_ACTIONS}
_UNKNOWN: Final = _members(None)
_KNOWN: Final = frozenset(member.name for member in _UNKNOWN)


def parse_v1_event(body: bytes) -> dict[str, Any]:
    """The event of a v1 body. Raises `InvalidEvent` with all that is wrong with it, `TooLarge` by its size."""
    if len(body) > EVENT_BYTES_MAX:
        raise TooLarge("the body", str(len(body)), EVENT_BYTES_MAX, advice=SMALLER)
    return checked_event(_translated(checked(body, MEMBERS, _UNKNOWN, by="event_type")))


def _translated(v1: dict[str, Any]) -> dict[str, Any]:
    given = _present(v1)
    event = {
        "routing_key": given["service_key"],
        "event_action": given["event_type"],
        "dedup_key": given.get("incident_key"),
        "payload": _present(
            {
                "summary": given.get("description"),
                "source": given.get("client", NOBODY),
                "severity": SEVERITY,
                "custom_details": given.get("details"),
            }
        ),
        "client": given.get("client"),
        "client_url": given.get("client_url"),
        "v1": {name: value for name, value in given.items() if name not in _KNOWN and name not in _SECRETS} or None,
    }
    for context in given.get("contexts", ()):
        attached = {name: value for name, value in context.items() if name != "type"}
        event.setdefault(_PLURAL[context["type"]], []).append(attached)
    return _present(event)


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if not is_absent(value)}

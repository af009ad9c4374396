"""Nagios: the form that PagerDuty's script `pagerduty_nagios.pl` posts, for Nagios and Icinga.

The script sends Nagios' macros by their names, as far as its configuration lets them through: the service key is the
pager of the contact, `pd_nagios_object` says whether a host or a service is meant. Keys are those that PagerDuty makes
of the same fields, and that its later agents send themselves, so one problem is one incident whichever of them reports
it. All fields but the key are kept as custom details.

Output of plugins comes in any encoding. Bytes that are not UTF-8 are replaced, for a page must not be lost for them.
"""

import hashlib
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from tocsin.core.events import (
    DEDUP_KEY_LENGTH_MAX,
    EVENT_BYTES_MAX,
    ROUTING_KEY_LENGTH,
    SUMMARY_LENGTH_MAX,
    InvalidEvent,
    TooLarge,
    checked,
    checked_event,
)
from tocsin.core.json_rules import Choice, Member, Text, is_absent

SMALLER: Final = "let the script pass on fewer fields"
"""What to do about a body that is too large."""
ACTIONS: Final = {"PROBLEM": "trigger", "ACKNOWLEDGEMENT": "acknowledge", "RECOVERY": "resolve"}
"""Notification types to actions. Flapping, downtime and custom notifications are none: the script's contact
definition does not ask for them.
"""
SEVERITIES: Final = {"CRITICAL": "critical", "DOWN": "critical", "WARNING": "warning", "UNREACHABLE": "error"}
SEVERITY: Final = "error"
"""Of a state that says nothing, as `UNKNOWN`, or that was not sent."""
FIELDS_MAX: Final = 1_000
_REQUIRED: Final = Text()
_ANY: Final = (
    Member("CONTACTPAGER", Text(length=ROUTING_KEY_LENGTH), required=True),
    Member("NOTIFICATIONTYPE", Choice(tuple(ACTIONS)), required=True),
    Member("pd_nagios_object", Choice(("host", "service")), required=True),
    Member("HOSTNAME", _REQUIRED, required=True),
)
MEMBERS: Final = {"host": _ANY, "service": (*_ANY, Member("SERVICEDESC", _REQUIRED, required=True))}


def parse_nagios_event(body: bytes) -> dict[str, Any]:
    """The event of a form. Raises `InvalidEvent` with all that is wrong with it, `TooLarge` by its size."""
    if len(body) > EVENT_BYTES_MAX:
        raise TooLarge("the form", str(len(body)), EVENT_BYTES_MAX, advice=SMALLER)
    # By way of JSON, so that the laws that hold for any value are those of any other event.
    fields = checked(msgspec.json.encode(_form(body)), MEMBERS, _ANY, by="pd_nagios_object")
    return checked_event(_translated(fields))


def _form(body: bytes) -> dict[str, str]:
    text = body.decode(errors="replace")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=FIELDS_MAX))
    except ValueError as error:
        raise InvalidEvent(
            "invalid event", "Event object is invalid", [f"the form has more than {FIELDS_MAX} fields"]
        ) from error


def _translated(fields: dict[str, str]) -> dict[str, Any]:
    is_service = fields["pd_nagios_object"] == "service"
    host = fields["HOSTNAME"]
    service = fields["SERVICEDESC"] if is_service else ""
    state = fields.get("SERVICESTATE" if is_service else "HOSTSTATE", "").upper()
    output = fields.get("SERVICEOUTPUT" if is_service else "HOSTOUTPUT", "")
    what = f"{service} on {host}" if is_service else host
    summary = f"{what} is {state}" if state else what
    payload = {
        "summary": (f"{summary}: {output}" if output else summary)[:SUMMARY_LENGTH_MAX],
        "source": host,
        "severity": SEVERITIES.get(state, SEVERITY),
        "component": service,
        "group": fields.get("HOSTGROUPNAMES"),
        "custom_details": {name: value for name, value in fields.items() if name != "CONTACTPAGER"},
    }
    return {
        "routing_key": fields["CONTACTPAGER"],
        "event_action": ACTIONS[fields["NOTIFICATIONTYPE"]],
        "dedup_key": _dedup_key(host, service),
        "payload": {name: value for name, value in payload.items() if not is_absent(value)},
        "client": "Nagios",
    }


def _dedup_key(host: str, service: str) -> str:
    key = (
        f"event_source=service;host_name={host};service_desc={service}"
        if service
        else f"event_source=host;host_name={host}"
    )
    return key if len(key) <= DEDUP_KEY_LENGTH_MAX else hashlib.sha256(key.encode()).hexdigest()

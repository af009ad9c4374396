"""Notices: what the log says of each page, by an entry of each incident that the page was about.

Theory
------
A notice belongs to the incident that it names and changes nothing of it but the count of its entries: told or not told,
it is where it is. So no assignment follows from it, and paging cannot feed itself.

It is a request like any other, made by the region that sent the page and mirrored to all. Its id and its body follow
from the intent, the end and the incident, so that whoever says it again changes nothing: the first to arrive counts.
Older code does not know the action; the schema version makes it set such a request aside instead of refusing it.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec

from tocsin.core.entries import Entry
from tocsin.core.ids import SECONDS_MAX, Parent, RequestKey, digest, format_id, parse_id
from tocsin.core.json_rules import Member, Text
from tocsin.core.paging.effects import Item
from tocsin.core.paging.feedback import End, Intent
from tocsin.core.requests import Request

NOTIFY: Final = "notify"
SCHEMA: Final = 3
"""The schema version from which on there are notices."""
TEXT_MAX: Final = 1_024
_TEXT: Final = Text(length_max=TEXT_MAX)
MEMBERS: Final = tuple(
    Member(name, _TEXT, required=True) for name in ("incident", "user", "method", "outcome", "region", "bundle")
)
"""What the creator asks of one; the rest is for people."""
_ENCODER: Final = msgspec.json.Encoder(order="sorted")


class Notice(msgspec.Struct, frozen=True):
    """Of a notice's body what it says. `incident` is a printed id. Times are Unix microseconds.

    `method` was to be used, `taken_by` is the one that took it in the end, empty if none did. `size` is how many
    incidents the page was about, and `is_new` is False for one that it only named as still open.
    """

    event_action: str
    incident: str
    user: str
    method: str
    outcome: str
    region: str
    bundle: str
    place: int = 0
    why: str = ""
    urgency: str = ""
    taken_by: str = ""
    reason: str = ""
    due_us: int = 0
    at_us: int = 0
    ended_us: int = 0
    size: int = 1
    is_new: bool = True

    @property
    def incident_id(self) -> int:
        """The id of the incident that is meant; raises ValueError."""
        return parse_id(self.incident)


_NOTICE: Final = msgspec.json.Decoder(Notice)


def notice_of(entry: Entry) -> Notice | None:
    """What a notice says; None of any other entry."""
    if entry.action != NOTIFY:
        return None
    try:
        notice = _NOTICE.decode(entry.body)
        parse_id(notice.incident)
    except (ValueError, RecursionError):
        return None
    return notice


def requests_of(intent: Intent, end: End, items: Sequence[Item], received_us: int) -> list[Request]:
    """The requests that tell of a page's end, one an incident that it was about. `received_us`: they are made now."""
    return [_request(intent, end, item, len(items), received_us) for item in items]


def _request(intent: Intent, end: End, item: Item, size: int, received_us: int) -> Request:
    incident = item.assignment.incident
    said: dict[str, Any] = {
        "event_action": NOTIFY,
        "dedup_key": incident.parent.dedup_key,
        "incident": format_id(incident.id),
        "user": intent.channel.user[:TEXT_MAX],
        "method": intent.channel.method[:TEXT_MAX],
        "outcome": end.outcome.value,
        "region": intent.id.region,
        "bundle": intent.name[:TEXT_MAX],
        "place": intent.place,
        "why": intent.why,
        "urgency": intent.channel.urgency,
        "taken_by": end.method[:TEXT_MAX],
        "reason": end.reason[:TEXT_MAX],
        "due_us": intent.due_us,
        "at_us": intent.at_us,
        "ended_us": end.at_us,
        "size": size,
        "is_new": item.is_new,
    }
    body = _ENCODER.encode(said)
    return Request(
        _key(intent.name, end, incident.parent, incident.id, body), received_us, intent.id.region, SCHEMA, body
    )


def _key(name: str, end: End, parent: Parent, incident: int, body: bytes) -> RequestKey:
    state = blake2b(f"{name}\0".encode(), digest_size=4, person=b"notice")
    state.update(parent.encode() + incident.to_bytes(8, "big"))
    second = min(max(end.at_us // 1_000_000, 0), SECONDS_MAX)
    return RequestKey(parent, second << 32 | int.from_bytes(state.digest(), "big"), digest(parent.encode(), body))

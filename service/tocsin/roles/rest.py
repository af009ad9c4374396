"""The shapes of PagerDuty's REST API v2: incidents, log entries, references and errors as JSON.

What Tocsin knows beyond them is in a member `tocsin` of each object, so that no client meets a name it could mistake.
Arrays are never null, other members may be; `self` begins with the host that was asked, because clients compare it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from tocsin.core.entries import Entry
from tocsin.core.ids import format_id
from tocsin.core.incidents import Incident, Status
from tocsin.engines.directory import Directory

INVALID: Final = 2001
UNAUTHENTICATED: Final = 2006
DENIED: Final = 2010
TOO_SLOW: Final = 2016
NOT_FOUND: Final = 2100
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)


class RestError(Exception):
    """An answer that is an error: HTTP status, PagerDuty's code, message and errors."""

    def __init__(
        self, status: int, code: int, message: str, errors: list[str], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = error_body(code, message, errors)


def error_body(code: int, message: str, errors: list[str]) -> dict[str, Any]:
    """The body of an error."""
    return {"error": {"message": message, "code": code, "errors": errors}}


def moment(us: int) -> str:
    """Unix microseconds as ISO 8601 in UTC; what lies beyond the year 9999 is shown as its end."""
    try:
        at = _EPOCH + timedelta(microseconds=us)
    except OverflowError:
        at = _LATEST
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def microseconds(at: datetime) -> int:
    """Unix microseconds of a moment; one without a zone is in UTC."""
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)


class Shapes:
    """Renders for one request: `base_url` is how the client reached us, without a slash at its end."""

    def __init__(self, base_url: str, directory: Directory) -> None:
        self._base_url = base_url
        self._directory = directory

    def incident(self, incident: Incident) -> dict[str, Any]:
        """An incident, without its wrapper."""
        changed_us = incident.resolved_us or incident.acknowledged_us or incident.created_us
        is_resolved = incident.status == Status.RESOLVED
        opening = {
            "id": incident.key.printed,
            "type": "trigger_log_entry_reference",
            "summary": incident.title,
            "self": None,
            "html_url": None,
        }
        return {
            "id": format_id(incident.key.id),
            "type": "incident",
            "summary": incident.title,
            "self": self._incident_url(incident),
            "html_url": None,
            "title": incident.title,
            "created_at": moment(incident.created_us),
            "updated_at": moment(incident.updated_us),
            "status": incident.status,
            "incident_key": incident.parent.dedup_key,
            "service": self._service(incident.parent.service),
            "assignments": [],
            "acknowledgements": [],
            "last_status_change_at": moment(changed_us),
            "resolved_at": None if incident.resolved_us is None else moment(incident.resolved_us),
            "first_trigger_log_entry": opening,
            "alert_counts": {"all": 1, "triggered": int(not is_resolved), "resolved": int(is_resolved)},
            "teams": [],
            "urgency": incident.urgency,
            "tocsin": {
                "request": incident.key.printed,
                "severity": incident.severity,
                "source": incident.source,
                "triggers": incident.triggers,
                "entries": incident.entries,
                "aliases": [format_id(alias) for alias in incident.aliases],
            },
        }

    def log_entry(self, entry: Entry, incident: Incident) -> dict[str, Any]:
        """A log entry of an incident, without its wrapper."""
        event = _event(entry.body)
        given = event.get("payload")
        payload: dict[str, Any] = given if isinstance(given, dict) else {}
        summary = payload.get("summary") or f"{entry.action} through the API"
        service = self._service(entry.key.parent.service)
        return {
            "id": entry.key.printed,
            "type": f"{entry.action}_log_entry",
            "summary": summary,
            "self": None,
            "html_url": None,
            "created_at": moment(entry.received_us),
            "agent": service,
            "channel": {"type": "api", "summary": summary, "details": payload.get("custom_details")},
            "service": service,
            "incident": {
                "id": format_id(incident.key.id),
                "type": "incident_reference",
                "summary": incident.title,
                "self": self._incident_url(incident),
                "html_url": None,
            },
            "teams": [],
            "contexts": _contexts(event),
            "event_details": {"description": summary},
            "tocsin": {"region": entry.region, "event": event},
        }

    def _incident_url(self, incident: Incident) -> str:
        return f"{self._base_url}/incidents/{format_id(incident.key.id)}"

    def _service(self, service_id: str) -> dict[str, Any]:
        service = self._directory.service(service_id)
        return {
            "id": service_id,
            "type": "service_reference",
            "summary": service.name if service else service_id,
            "self": None,
            "html_url": None,
        }


def _event(body: bytes) -> dict[str, Any]:
    try:
        event = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return {}  # cannot pass the creator; a row that was changed by hand is still shown
    return event if isinstance(event, dict) else {}


def _contexts(event: dict[str, Any]) -> list[dict[str, Any]]:
    """The links and images of an event; those of a type that only a damaged row can have are left out."""
    return [
        {"type": kind, **context}
        for kind, name in (("link", "links"), ("image", "images"))
        if isinstance(contexts := event.get(name), list)
        for context in contexts
        if isinstance(context, dict)
    ]

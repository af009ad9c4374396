"""The shapes of PagerDuty's REST API v2: incidents, log entries, notes, services, users and references as JSON.

What Tocsin knows beyond them is in a member `tocsin` of each object, so that no client meets a name it could mistake.
Arrays are never null, other members may be; `self` begins with the host that was asked, because clients compare it.
`html_url` is the same address: clients cut the account's name out of it, so it must be one.

An incident's number is its id without the lowest 11 bits, random ones. So it is the same in every region and for ever,
no region has to ask another for the next one, it grows with time, and it fits in the 53 bits that JavaScript keeps of
a number. Two incidents of one second share a number once in two million pairs; nothing is looked up by it.
"""

from collections.abc import Collection
from typing import Any, Final

import msgspec

from tocsin.core.acts import ANNOTATE, Agent, act_of
from tocsin.core.directory import Service, ServiceUrgency, unreachable
from tocsin.core.entries import Entry
from tocsin.core.ids import format_id
from tocsin.core.incidents import Incident, Status
from tocsin.core.notices import NOTIFY, Notice, notice_of
from tocsin.core.paging.people import Method, Person, Rule
from tocsin.engines.addresses import shown
from tocsin.engines.directory import Directory
from tocsin.roles.rest.directory_models import METHOD_TYPES, RULE_TYPE
from tocsin.roles.rest.moments import moment

URGENCIES: Final = {
    ServiceUrgency.HIGH: "high",
    ServiceUrgency.LOW: "low",
    ServiceUrgency.BY_SEVERITY: "severity_based",
}
"""A service's urgency, and PagerDuty's word for it."""
NUMBER_SHIFT: Final = 11
AUTO_RESOLVE_S: Final = None
"""Nothing ends an incident but a resolve."""
_DEEDS: Final = {"trigger": "Triggered", "acknowledge": "Acknowledged", "resolve": "Resolved", ANNOTATE: "Note added"}


def incident_number(temporal_id: int) -> int:
    """The number that people call an incident by."""
    return temporal_id >> NUMBER_SHIFT


class Shapes:
    """Renders for one request: `base_url` is how the client reached us, without a slash at its end.

    `include` are the kinds of objects to show whole in place of references, as in `include[]`.
    """

    def __init__(self, base_url: str, directory: Directory, include: Collection[str] = ()) -> None:
        self._base_url = base_url
        self._directory = directory
        self._include = include

    # Incidents ---------------------------------------------------------------------------------------------------

    def incident(
        self, incident: Incident, opening: Entry | None = None, pending: Collection[str] = ()
    ) -> dict[str, Any]:
        """An incident, without its wrapper. `opening`: its opening entry, to be shown whole; `pending`: the printed
        keys of requests that it shows and that are on their way.
        """
        is_resolved = incident.status == Status.RESOLVED
        changed_us = incident.resolved_us or incident.acknowledged_us or incident.created_us
        changed_by = incident.resolved_by if is_resolved else incident.acknowledged_by
        return {
            **self._reference("incident", format_id(incident.key.id), self._incident_summary(incident)),
            "incident_number": incident_number(incident.key.id),
            "title": incident.title,
            "description": incident.title,
            "created_at": moment(incident.created_us),
            "updated_at": moment(incident.updated_us),
            "status": incident.status,
            "incident_key": incident.parent.dedup_key,
            "service": self._service_of(incident),
            "assignments": [],
            "assigned_via": "direct_assignment",
            "last_status_change_at": moment(changed_us),
            "last_status_change_by": self._actor(changed_by, incident),
            "resolved_at": None if incident.resolved_us is None else moment(incident.resolved_us),
            "first_trigger_log_entry": (
                self._reference("trigger_log_entry_reference", incident.key.printed, incident.title)
                if opening is None
                else self.log_entry(opening, incident)
            ),
            "alert_counts": {"all": 1, "triggered": int(not is_resolved), "resolved": int(is_resolved)},
            "is_mergeable": False,
            "escalation_policy": None,
            "teams": [],
            "pending_actions": [],
            "acknowledgements": self._acknowledgements(incident),
            "urgency": incident.urgency,
            "priority": None,
            "resolve_reason": None,
            "tocsin": {
                "request": incident.key.printed,
                "severity": incident.severity,
                "source": incident.source,
                "triggers": incident.triggers,
                "entries": incident.entries,
                "aliases": [format_id(alias) for alias in incident.aliases],
                "pending": list(pending),
            },
        }

    def _incident_summary(self, incident: Incident) -> str:
        return f"[#{incident_number(incident.key.id)}] {incident.title}"

    def _acknowledgements(self, incident: Incident) -> list[dict[str, Any]]:
        if incident.status != Status.ACKNOWLEDGED or incident.acknowledged_us is None:
            return []
        by = self._actor(incident.acknowledged_by, incident, whole="acknowledgers")
        return [{"at": moment(incident.acknowledged_us), "acknowledger": by}]

    def _actor(self, email: str, incident: Incident, whole: str = "users") -> dict[str, Any]:
        """Who did it: the person of this address, or the service when it was a machine."""
        return self._person(Agent(email), whole) if email else self._service_of(incident, whole="")

    # Log entries -------------------------------------------------------------------------------------------------

    def log_entry(self, entry: Entry, incident: Incident | None) -> dict[str, Any]:
        """A log entry, without its wrapper, of an incident or of none."""
        notice = notice_of(entry)
        if notice:
            return self._notice(entry, notice, incident)
        event = _event(entry.body)
        given = event.get("payload")
        payload: dict[str, Any] = given if isinstance(given, dict) else {}
        act = act_of(entry)
        service = self._service(entry.key.parent.service)
        if act and entry.action != "trigger":
            summary = f"{_DEEDS[entry.action]} by {act.agent.name or act.agent.email}"
        else:
            summary = _text(payload.get("summary")) or f"{entry.action} through the API"
        return {
            **self._reference(f"{entry.action}_log_entry", entry.key.printed, summary, at="log_entries"),
            "created_at": moment(entry.received_us),
            "agent": self._person(act.agent) if act else service,
            "channel": {
                "type": "note" if entry.action == ANNOTATE else "api",
                "summary": act.note if act and act.note else summary,
                "details": payload.get("custom_details"),
            },
            "service": service,
            "incident": None if incident is None else self._incident_reference(incident),
            "teams": [],
            "contexts": _contexts(event),
            "acknowledgement_timeout": None,
            "note": act.note if act and act.note else None,
            "event_details": {"description": summary},
            "tocsin": {"region": entry.region, "event": event},
        }

    def _notice(self, entry: Entry, notice: Notice, incident: Incident | None) -> dict[str, Any]:
        """An entry that tells of a page: the user is who was paged, the channel is the notification."""
        user = self._directory.user(notice.user)
        name = user.name if user else notice.user
        method = user.method(notice.taken_by or notice.method) if user else None
        kind = method.kind if method else notice.taken_by or notice.method
        service = self._service(entry.key.parent.service)
        summary = f"Notified {name} by {kind}: {notice.outcome}"
        return {
            **self._reference(f"{NOTIFY}_log_entry", entry.key.printed, summary, at="log_entries"),
            "created_at": moment(entry.received_us),
            "agent": service,
            "channel": {
                "type": "auto",
                "notification": {"type": kind, "status": notice.outcome, "address": None},
                "summary": summary,
                "details": None,
            },
            "service": service,
            "incident": None if incident is None else self._incident_reference(incident),
            "teams": [],
            "contexts": [],
            "acknowledgement_timeout": None,
            "note": None,
            "event_details": {"description": summary},
            "user": self._person_of(notice.user, name),
            "tocsin": {"region": entry.region, "event": _event(entry.body)},
        }

    def _person_of(self, id: str, name: str) -> dict[str, Any]:
        user = self._directory.user(id)
        if user and "users" in self._include:
            return self.user(user)
        return self._reference("user_reference", id, name, at="users" if user else "")

    def _incident_reference(self, incident: Incident) -> dict[str, Any]:
        if "incidents" in self._include:
            return self.incident(incident)
        id, summary = format_id(incident.key.id), self._incident_summary(incident)
        return self._reference("incident_reference", id, summary)

    def note(self, entry: Entry) -> dict[str, Any]:
        """The note that an entry holds."""
        act = act_of(entry)
        return {
            "id": entry.key.printed,
            "user": self._person(act.agent) if act else None,
            "channel": {"summary": "The REST interface"},
            "content": act.note if act else "",
            "created_at": moment(entry.received_us),
        }

    # Services and users ------------------------------------------------------------------------------------------

    def service(self, service: Service) -> dict[str, Any]:
        """A service, without its wrapper."""
        return {
            **self._reference("service", service.id, service.name),
            "name": service.name,
            "description": None,
            "status": "active",
            "created_at": None,
            "auto_resolve_timeout": AUTO_RESOLVE_S,
            "acknowledgement_timeout": None,
            "alert_creation": "create_alerts_and_incidents",
            "escalation_policy": None,
            "teams": [],
            "integrations": [],
            "addons": [],
            "incident_urgency_rule": {"type": "constant", "urgency": URGENCIES[service.urgency]},
            "tocsin": {
                "ack": service.ack,
                "events_per_min_max": service.events_per_min_max,
                "responders": list(service.responders),
                "unreachable": [f"{one.user} {one.why}" for one in unreachable(service, self._directory.user)],
            },
        }

    def user(self, user: Person) -> dict[str, Any]:
        """A user, without its wrapper."""
        return {
            **self._reference("user", user.id, user.name),
            "name": user.name,
            "email": user.email,
            "time_zone": "Etc/UTC",
            "role": "user",
            "invitation_sent": False,
            "contact_methods": [
                self._reference(
                    f"{METHOD_TYPES[one.kind]}_reference", one.id, one.id, at=f"users/{user.id}/contact_methods"
                )
                for one in user.methods
                if one.kind in METHOD_TYPES
            ],
            "notification_rules": [
                self._reference(
                    f"{RULE_TYPE}_reference", one.id, _rule_summary(one), at=f"users/{user.id}/notification_rules"
                )
                for one in user.rules
            ],
            "teams": [],
        }

    def method(self, user: Person, method: Method) -> dict[str, Any]:
        """A contact method, without its wrapper; what is secret of its address is left out."""
        kind = METHOD_TYPES.get(method.kind, f"{method.kind}_contact_method")
        return {
            **self._reference(kind, method.id, method.id, at=f"users/{user.id}/contact_methods"),
            "label": method.id,
            "address": shown(method),
            "tocsin": {"verified": method.verified, "blocked": method.blocked},
        }

    def rule(self, user: Person, rule: Rule) -> dict[str, Any]:
        """A notification rule, without its wrapper."""
        method = user.method(rule.method)
        kind = METHOD_TYPES.get(method.kind, "contact_method") if method else "contact_method"
        at = f"users/{user.id}/contact_methods"
        return {
            **self._reference(RULE_TYPE, rule.id, _rule_summary(rule), at=f"users/{user.id}/notification_rules"),
            "start_delay_in_minutes": rule.delay_s / 60,
            "urgency": rule.urgency,
            "contact_method": self._reference(f"{kind}_reference", rule.method, rule.method, at=at),
        }

    def _service_of(self, incident: Incident, whole: str = "services") -> dict[str, Any]:
        return self._service(incident.parent.service, whole)

    def _service(self, service_id: str, whole: str = "services") -> dict[str, Any]:
        service = self._directory.service(service_id)
        if service and whole in self._include:
            return self.service(service)
        return self._reference("service_reference", service_id, service.name if service else service_id)

    def _person(self, agent: Agent, whole: str = "users") -> dict[str, Any]:
        """A reference to a person; one whom the directory does not know goes by the address."""
        user = self._directory.user_of(agent.email)
        if user and whole in self._include:
            return self.user(user)
        if user:
            return self._reference("user_reference", user.id, user.name)
        return self._reference("user_reference", agent.id or agent.email, agent.name or agent.email, at="")

    def _reference(self, kind: str, id: str, summary: str, *, at: str | None = None) -> dict[str, Any]:
        """`at`: the collection that the object is found in; empty for one that cannot be asked for."""
        if at is None:
            bare = kind.removesuffix("_reference")
            at = "log_entries" if bare.endswith("_log_entry") else f"{bare}s"
        url = f"{self._base_url}/{at}/{id}" if at else None
        return {"id": id, "type": kind, "summary": summary, "self": url, "html_url": url}


def _rule_summary(rule: Rule) -> str:
    return f"{rule.delay_s / 60:g} min: {rule.method}, {rule.urgency} urgency"


def _event(body: bytes) -> dict[str, Any]:
    try:
        event = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return {}  # cannot pass the creator; a row that was changed by hand is still shown
    return event if isinstance(event, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _contexts(event: dict[str, Any]) -> list[dict[str, Any]]:
    """The links and images of an event; those of a type that only a damaged row can have are left out."""
    return [
        {"type": kind, **context}
        for kind, name in (("link", "links"), ("image", "images"))
        if isinstance(contexts := event.get(name), list)
        for context in contexts
        if isinstance(context, dict)
    ]

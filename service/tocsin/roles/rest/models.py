"""What the REST interface takes and gives, as models: bodies are checked by them, and the description shows them.

Answers are not made from these, for speed; a test holds the answers to them. Members of a request that are not here
mean nothing and are let be, as PagerDuty does.
"""

from functools import cache
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema, create_model

from tocsin.core.acts import NOTE_LENGTH_MAX
from tocsin.core.events import DEDUP_KEY_LENGTH_MAX, SUMMARY_LENGTH_MAX

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]
NoteText = Annotated[Text, StringConstraints(max_length=NOTE_LENGTH_MAX)]


# What is given -------------------------------------------------------------------------------------------------------


class ErrorDetail(BaseModel):
    """What is wrong: PagerDuty's code, and in words."""

    message: str
    code: int
    errors: list[str]


class ErrorBody(BaseModel):
    """The body of every error."""

    error: ErrorDetail


class Pending(BaseModel):
    """An id that is not here, and may be on its way."""

    status: Literal["pending"]
    id: str
    message: str


class Reference(BaseModel):
    """Another object."""

    model_config = ConfigDict(extra="allow")

    id: str
    type: str
    summary: str
    self: str | None
    html_url: str | None


class Acknowledgement(BaseModel):
    """Who is on it, and since when."""

    at: str
    acknowledger: Reference


class AlertCounts(BaseModel):
    """An incident has one alert here."""

    all: int
    triggered: int
    resolved: int


class Incident(Reference):
    """An incident: the fold of its log entries."""

    type: Literal["incident"]
    incident_number: int
    title: str
    description: str
    created_at: str
    updated_at: str
    status: Literal["triggered", "acknowledged", "resolved"]
    incident_key: str
    service: Reference
    assignments: list[Any]
    assigned_via: str
    last_status_change_at: str
    last_status_change_by: Reference
    resolved_at: str | None
    first_trigger_log_entry: Reference
    alert_counts: AlertCounts
    is_mergeable: bool
    escalation_policy: Reference | None
    teams: list[Reference]
    pending_actions: list[Any]
    acknowledgements: list[Acknowledgement]
    urgency: Literal["high", "low"]
    priority: Reference | None
    resolve_reason: str | None
    tocsin: dict[str, Any]


class Channel(BaseModel):
    """By what an entry came."""

    model_config = ConfigDict(extra="allow")

    type: Literal["api", "note", "auto"]
    summary: str
    details: Any


class EventDetails(BaseModel):
    """What happened, in words."""

    description: str


class LogEntry(Reference):
    """A log entry: one immutable row of the incident log."""

    type: Literal[
        "trigger_log_entry", "acknowledge_log_entry", "resolve_log_entry", "annotate_log_entry", "notify_log_entry"
    ]
    created_at: str
    agent: Reference
    channel: Channel
    service: Reference
    incident: Reference | None
    teams: list[Reference]
    contexts: list[dict[str, Any]]
    note: str | None
    event_details: EventDetails
    tocsin: dict[str, Any]


class NoteChannel(BaseModel):
    """By what a note came."""

    summary: str


class Note(BaseModel):
    """What a person wrote about an incident."""

    id: str
    user: Reference | None
    channel: NoteChannel
    content: str
    created_at: str


Responses = dict[int | str, dict[str, Any]]
_PENDING: Final[Responses] = {202: {"model": Pending, "description": "Not here, but it may be on its way."}}
_ABSENT: Final[Responses] = {404: {"model": ErrorBody, "description": "Not here, nor on its way."}}


def _wrapper(name: str, **members: Any) -> type[BaseModel]:
    return create_model(name, **members)


@cache
def one(name: str, model: type[BaseModel], status: int = 200) -> Responses:
    """The answers to a request for one object."""
    wrapped = _wrapper(f"One{model.__name__}", **{name: (model, ...)})
    return {status: {"model": wrapped, "description": "It."}, **_PENDING, **_ABSENT}


@cache
def listed(name: str, model: type[BaseModel]) -> Responses:
    """The answers to a request for a page of a list."""
    page = _wrapper(
        f"{model.__name__}Page",
        **{name: (list[model], ...)},  # type: ignore[valid-type]
        limit=(int, ...),
        offset=(int, ...),
        more=(bool, ...),
        total=(int | None, ...),
    )
    return {200: {"model": page, "description": "A page."}, **_PENDING, **_ABSENT}


@cache
def unpaged(name: str, model: type[BaseModel]) -> Responses:
    """The answers to a request for a whole list."""
    whole = _wrapper(f"All{model.__name__}s", **{name: (list[model], ...)})  # type: ignore[valid-type]
    return {200: {"model": whole, "description": "All of them."}, **_PENDING, **_ABSENT}


@cache
def abilities() -> Responses:
    """The answer to a request for the abilities."""
    return {200: {"model": _wrapper("Abilities", abilities=(list[str], ...)), "description": "All of them."}}


# What is taken -------------------------------------------------------------------------------------------------------


class Taken(BaseModel):
    """What bodies have in common."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)


class Change(Taken):
    """What is to become of an incident."""

    status: Annotated[str, WithJsonSchema({"type": "string", "enum": ["acknowledged", "resolved"]})] | None = None
    """Where the incident is to go. Another word is an error with a code of its own, so it is not refused here."""
    note: NoteText | None = None
    """Kept with the change, or alone."""
    resolution: NoteText | None = None
    """The same, by PagerDuty's name for it on a resolve."""


class NamedChange(Change):
    """The same, of an incident that it names."""

    id: Text


class OneChange(Taken):
    """The body of a change of one incident."""

    incident: Change


class ManyChanges(Taken):
    """The body of a change of many incidents."""

    incidents: Annotated[list[NamedChange], Field(min_length=1)]


class ServiceReference(Taken):
    """A service, by its id."""

    id: Text


class IncidentBody(Taken):
    """More about a new incident."""

    details: str | None = None


class NewIncident(Taken):
    """An incident that a person opens."""

    type: Literal["incident"] = "incident"
    title: Annotated[Text, StringConstraints(max_length=SUMMARY_LENGTH_MAX)]
    service: ServiceReference
    urgency: Literal["high", "low"] = "high"
    body: IncidentBody | None = None
    incident_key: Annotated[Text, StringConstraints(max_length=DEDUP_KEY_LENGTH_MAX)] | None = None


class OneNewIncident(Taken):
    """The body that opens an incident."""

    incident: NewIncident


class NewNote(Taken):
    """A note, to be written."""

    content: NoteText


class OneNewNote(Taken):
    """The body that writes a note."""

    note: NewNote


TAKEN: Final[tuple[type[BaseModel], ...]] = (OneChange, ManyChanges, OneNewIncident, OneNewNote)

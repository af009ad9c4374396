"""What the REST interface takes and gives of services, users and how users are reached, as `models.py` has the rest."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, StringConstraints

from tocsin.roles.rest.models import Reference, Taken, Text

METHOD_TYPES: Final = {
    "email": "email_contact_method",
    "webhook": "webhook_contact_method",
    "apprise": "apprise_contact_method",
    "inbox": "inbox_contact_method",
}
"""A method's kind, and PagerDuty's word; it has the first alone."""
RULE_TYPE: Final = "assignment_notification_rule"
MethodType = Literal["email_contact_method", "webhook_contact_method", "apprise_contact_method", "inbox_contact_method"]
Name = Annotated[Text, StringConstraints(max_length=255)]

# What is given -------------------------------------------------------------------------------------------------------


class UrgencyRule(BaseModel):
    """How much a service's incidents matter."""

    type: Literal["constant"]
    urgency: Literal["high", "low", "severity_based"]


class Service(Reference):
    """A service, of which incidents are."""

    type: Literal["service"]
    name: str
    status: Literal["active"]
    teams: list[Reference]
    integrations: list[Reference]
    incident_urgency_rule: UrgencyRule
    tocsin: dict[str, Any]


class ContactMethod(Reference):
    """One way to reach a person."""

    type: MethodType
    label: str
    address: str
    tocsin: dict[str, Any]


class NotificationRule(Reference):
    """So long after an incident was assigned, if it is still open, use this method."""

    type: Literal["assignment_notification_rule"]
    start_delay_in_minutes: float
    urgency: Literal["high", "low"]
    contact_method: Reference


class User(Reference):
    """A person."""

    type: Literal["user"]
    name: str
    email: str
    role: str
    contact_methods: list[Reference]
    notification_rules: list[Reference]
    teams: list[Reference]


# What is taken -------------------------------------------------------------------------------------------------------


class NewUser(Taken):
    """A person, to be known from now on."""

    name: Name
    email: Text


class ChangedUser(Taken):
    """What is to become of a person; what is left out stays."""

    name: Name | None = None
    email: Text | None = None


class MethodState(Taken):
    """What Tocsin knows of a method beyond PagerDuty's members."""

    verified: bool | None = None
    blocked: bool | None = None


class GivenMethod(Taken):
    """A way to reach a person. Of a type that carries a URL the address is one; as it is shown, it stays as it is."""

    type: MethodType
    address: str
    tocsin: MethodState = MethodState()


class MethodReference(Taken):
    """A contact method of the same user, by its id."""

    id: Text


class GivenRule(Taken):
    """A rule by which a person wants to be reached."""

    start_delay_in_minutes: Annotated[float, Field(ge=0)] = 0.0
    contact_method: MethodReference
    urgency: Literal["high", "low"] = "high"


class ServiceExtras(Taken):
    """What a service has beyond PagerDuty's members: who is told of its incidents."""

    responders: list[Text] | None = None


class ChangedService(Taken):
    """What is to become of a service; what is left out stays."""

    name: Name | None = None
    incident_urgency_rule: UrgencyRule | None = None
    tocsin: ServiceExtras = ServiceExtras()


class OneNewUser(Taken):
    """The body that makes a user known."""

    user: NewUser


class OneUser(Taken):
    """The body that changes a user."""

    user: ChangedUser


class OneMethod(Taken):
    """The body that makes or changes a contact method."""

    contact_method: GivenMethod


class OneRule(Taken):
    """The body that makes or changes a notification rule."""

    notification_rule: GivenRule


class OneService(Taken):
    """The body that changes a service."""

    service: ChangedService


TAKEN: Final[tuple[type[BaseModel], ...]] = (OneNewUser, OneUser, OneMethod, OneRule, OneService)

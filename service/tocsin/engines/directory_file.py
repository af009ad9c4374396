"""The directory as people write it: YAML with `services` and `users`, checked as a whole.

Every fault is told with the field it is in, and what a field hides (a routing key, an address with a token in it) is
told of none. What the file says is turned into what travels: a routing key becomes its hash.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, NamedTuple

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from tocsin.config import ConfigError, Problem, nearest, parse_yaml
from tocsin.core.directory import Ack, Body, PeerUnreachable, RoutingKey, Service, ServiceUrgency, hash_key
from tocsin.core.events import ROUTING_KEY_LENGTH
from tocsin.core.paging.people import DELAY_S_MAX, METHODS_MAX, RULES_MAX, Method, MethodKind, Person, Rule, Urgency
from tocsin.core.rates import EVENTS_PER_MIN_MAX
from tocsin.engines.addresses import EMAIL, EMAIL_LENGTH_MAX, fault_of

FILE_BYTES_MAX: Final = 4 * 1024 * 1024
RESPONDERS_MAX: Final = 100
KEYS_MAX: Final = 100

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Key = Annotated[str, StringConstraints(pattern=rf"^[!-~]{{{ROUTING_KEY_LENGTH}}}$")]
Flag = Annotated[bool, Field(strict=True)]


class Content(NamedTuple):
    """What a file holds."""

    services: tuple[Service, ...] = ()
    users: tuple[Person, ...] = ()

    @property
    def bodies(self) -> tuple[Body, ...]:
        """All of it."""
        return (*self.services, *self.users)


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class RetiringKeyForm(_Form):
    """A routing key that is good for a while yet."""

    key: Key
    until: AwareDatetime


class ServiceForm(_Form):
    """A service: what an event is for."""

    id: Id
    """Part of every parent, so it never changes."""
    name: Text
    routing_keys: Annotated[tuple[Key, ...], Field(min_length=1, max_length=KEYS_MAX)]
    """Several, so that one can be replaced without an interruption."""
    retiring_keys: Annotated[tuple[RetiringKeyForm, ...], Field(max_length=KEYS_MAX)] = ()
    """Routing keys that are being replaced: `key`, and `until` when it is good, with its zone."""
    ack: Ack = Ack.REGION
    when_peer_unreachable: PeerUnreachable = PeerUnreachable.REFUSE
    events_per_min_max: Annotated[int, Field(strict=True, ge=1)] = EVENTS_PER_MIN_MAX
    """In any 60 seconds one intake process takes no more events than this; what is above is told when to come again."""
    responders: Annotated[tuple[Id, ...], Field(max_length=RESPONDERS_MAX)] = ()
    """The ids of the users who are told of its incidents."""
    urgency: ServiceUrgency = ServiceUrgency.BY_SEVERITY
    """`high`, `low`, or `by-severity`: critical and error are high."""

    @property
    def keys(self) -> Iterator[tuple[str, RoutingKey]]:
        """The field and the hash of each key."""
        for key in self.routing_keys:
            yield "routing_keys", RoutingKey(hash_key(key))
        for retiring in self.retiring_keys:
            yield "retiring_keys", RoutingKey(hash_key(retiring.key), int(retiring.until.timestamp() * 1_000_000))

    @property
    def service(self) -> Service:
        """The service that is meant."""
        return Service(
            id=self.id,
            name=self.name,
            keys=tuple(key for _, key in self.keys),
            ack=self.ack,
            when_peer_unreachable=self.when_peer_unreachable,
            events_per_min_max=self.events_per_min_max,
            responders=self.responders,
            urgency=self.urgency,
        )


class MethodForm(_Form):
    """One way to reach a person."""

    id: Id
    kind: MethodKind
    """`email`, `webhook` (an https URL), `apprise` (an apprise URL), `inbox` (for development)."""
    address: str = ""
    verified: Flag = True
    """Whether it was shown to reach its owner; it is not used before."""
    blocked: Flag = False
    """Whether its owner asked to be left in peace there."""

    @field_validator("address")
    @classmethod
    def _is_what_its_kind_takes(cls, address: str, info: ValidationInfo) -> str:
        kind = info.data.get("kind")
        if kind is not None and (fault := fault_of(kind, address)):
            raise ValueError(fault)
        return address

    @property
    def method(self) -> Method:
        """The method that is meant."""
        return Method(self.id, self.kind, self.address, self.verified, self.blocked)


class RuleForm(_Form):
    """So long after the assignment, if the incident is still open, use this method."""

    method: Id
    delay_s: Annotated[float, Field(ge=0, le=DELAY_S_MAX, allow_inf_nan=False)] = 0.0
    urgency: Urgency = Urgency.HIGH
    """Of incidents of this urgency, `high` or `low`."""

    @property
    def rule(self) -> Rule:
        """The rule that is meant. Its id is what it says: written again it is the same rule, and pages nobody anew."""
        return Rule(f"{self.method}-{self.delay_s:g}s-{self.urgency}", self.method, self.delay_s, self.urgency)


class UserForm(_Form):
    """A person."""

    id: Id
    name: Text
    email: Annotated[str, StringConstraints(pattern=EMAIL, max_length=EMAIL_LENGTH_MAX)]
    """By which the REST interface knows who acts. To be paged there, it needs a method of its own."""
    methods: Annotated[tuple[MethodForm, ...], Field(max_length=METHODS_MAX)] = ()
    rules: Annotated[tuple[RuleForm, ...], Field(max_length=RULES_MAX)] = ()

    @property
    def person(self) -> Person:
        """The person who is meant."""
        methods, rules = tuple(one.method for one in self.methods), tuple(one.rule for one in self.rules)
        return Person(self.id, self.name, self.email, methods, rules)


class FileForm(_Form):
    """The file."""

    services: tuple[ServiceForm, ...]
    users: tuple[UserForm, ...] = ()


def parse_directory(raw: bytes, where: str) -> Content:
    """What a directory file holds; raises ConfigError with every fault that was found."""
    if len(raw) > FILE_BYTES_MAX:
        what = f"has {len(raw):,} bytes, more than {FILE_BYTES_MAX:,}: split it and apply the parts"
        raise ConfigError([Problem(where, "", what)])
    value = parse_yaml(raw, where)
    try:
        place = _cycle(value)
    except RecursionError as error:
        raise ConfigError([Problem(where, "", "is nested too deeply")]) from error
    if place:
        what = "contains itself: a YAML alias (*name) that stands within its own anchor (&name)"
        raise ConfigError([Problem(where, place, what)])
    try:
        form = FileForm.model_validate(value)
    except ValidationError as error:
        problems = list(_problems(where, error))
        raise ConfigError(problems) from None  # what pydantic says shows what was put in: keys, and all of an alias
    if problems := [Problem(where, field, what) for field, what in _faults(form)]:
        raise ConfigError(problems)
    return Content(tuple(one.service for one in form.services), tuple(one.person for one in form.users))


def faults_of_person(person: Person) -> Iterator[tuple[str, str]]:
    """The field and what is wrong, of what no field shows by itself: what is there twice, and a rule's method."""
    yield from _twice_named("methods", "id", [method.id for method in person.methods])
    known = {method.id for method in person.methods}
    for n, rule in enumerate(person.rules):
        if rule.method not in known:
            yield f"rules.{n}.method", f"no method of this user has the id {rule.method!r}{nearest(rule.method, known)}"
    said = Counter((rule.method, rule.delay_s, rule.urgency) for rule in person.rules)
    for (method, delay_s, urgency), times in said.items():
        if times > 1:
            yield "rules", f"two rules say the same: {method} after {delay_s:g} s for {urgency} urgency"


def _faults(form: FileForm) -> Iterator[tuple[str, str]]:
    """The fields and what is wrong, of what only shows in the whole."""
    for field, name, values in (
        ("services", "id", [service.id for service in form.services]),
        ("users", "id", [user.id for user in form.users]),
        ("users", "email", [user.email.lower() for user in form.users]),
    ):
        yield from _twice_named(field, name, values)
    # Numbers, not the keys: a secret does not belong into an error.
    keys = [
        (f"services.{n}.{field}", key.hash) for n, service in enumerate(form.services) for field, key in service.keys
    ]
    uses = Counter(key for _, key in keys)
    for field, key in keys:
        if uses[key] > 1:
            yield field, "holds a routing key that is used twice in this file"
    for n, service in enumerate(form.services):
        for _, what in _twice_named("", "responder", service.responders):
            yield f"services.{n}.responders", what
    for n, user in enumerate(form.users):
        for field, what in faults_of_person(user.person):
            yield f"users.{n}.{field}", what


def _twice_named(field: str, name: str, values: Iterable[str]) -> Iterator[tuple[str, str]]:
    for value, times in Counter(values).items():
        if times > 1:
            yield field, f"two {field} have the {name} {value!r}".replace("  ", " ")


def _cycle(value: Any) -> str | None:
    """The place of a list or mapping that contains itself, None when there is none; each is looked at once."""
    inside: set[int] = set()
    done: set[int] = set()

    def look(at: Any, place: str) -> str | None:
        if not isinstance(at, dict | list) or id(at) in done:
            return None
        if id(at) in inside:
            return place or "the whole"
        inside.add(id(at))
        parts: Iterable[tuple[Any, Any]] = at.items() if isinstance(at, dict) else enumerate(at)
        found = next((cycle for name, part in parts if (cycle := look(part, f"{place}.{name}".lstrip(".")))), None)
        inside.discard(id(at))
        done.add(id(at))
        return found

    return look(value, "")


_FORMS: Final[Mapping[str, type[BaseModel]]] = {
    "services": ServiceForm,
    "users": UserForm,
    "methods": MethodForm,
    "rules": RuleForm,
    "retiring_keys": RetiringKeyForm,
}


def _problems(where: str, error: ValidationError) -> Iterator[Problem]:
    for fault in error.errors(include_url=False, include_input=False):
        place = fault["loc"]
        field = ".".join(map(str, place))
        if fault["type"] == "extra_forbidden":
            around = next((str(name) for name in reversed(place[:-1]) if name in _FORMS), "")
            known = _FORMS.get(around, FileForm).model_fields
            yield Problem(where, field, f"no such field{nearest(str(place[-1]), known)}")
        elif {"routing_keys", "retiring_keys"} & set(place) and fault["type"] == "string_pattern_mismatch":
            yield Problem(where, field, f"must have {ROUTING_KEY_LENGTH} printable ASCII characters")
        else:
            yield Problem(where, field, fault["msg"].removeprefix("Value error, "))

"""Short words for the people, incidents and times of paging tests."""

from tocsin.core.effects import Now
from tocsin.core.ids import Parent, RequestKey
from tocsin.core.paging.assignments import Assignment
from tocsin.core.paging.people import Method, MethodKind, Person, Rule

START_S = 1_790_000_000
"""Unix seconds of a test's zero."""


def us(at_s: float) -> int:
    """Unix microseconds of a test's second."""
    return round((START_S + at_s) * 1e6)


def now(at_s: float) -> Now:
    return Now(1000.0 + at_s, us(at_s))


def key(n: int, parent: str = "") -> RequestKey:
    return RequestKey(Parent("web", parent or f"alert {n}"), n, n.to_bytes(32, "big"))


def assigned(
    n: int,
    since_s: float,
    *,
    user: str = "ann",
    status: str = "triggered",
    version: int = 1,
    urgency: str = "high",
    parent: str = "",
    aliases: tuple[int, ...] = (),
) -> Assignment:
    """Incident n, as it concerns a user since then."""
    incident = key(n, parent)
    return Assignment(user, incident, us(since_s), status, urgency, f"#{n}", "host", "web", version, aliases)


def person(
    user: str = "ann", *rules: tuple[str, float], kind: str = MethodKind.EMAIL, methods: tuple[str, ...] = ("phone",)
) -> Person:
    """A person with rules (method, delay in seconds) for high urgency; each method is of the kind."""
    return Person(
        user,
        methods=tuple(Method(name, kind, f"{name} of {user}") for name in methods),
        rules=tuple(Rule(f"rule {n}", method, delay_s) for n, (method, delay_s) in enumerate(rules)),
    )

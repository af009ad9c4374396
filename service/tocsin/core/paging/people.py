"""People as the notifier needs them: by which methods they can be reached, and by which rules they want to be.

Theory
------
A *rule* says: so long after an incident was assigned to me, if it is still open, use this method. A person without a
rule that leads to a usable method is *unreachable*, and that is told to people who are, before it matters. Bounds hold
where the directory is written; here, whatever was written must still lead to a page.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec

METHODS_MAX: Final = 20
RULES_MAX: Final = 100
DELAY_S_MAX: Final = 24 * 3600.0
"""A rule that waits longer than a day wakes nobody."""


class MethodKind(StrEnum):
    """How a contact method reaches somebody."""

    EMAIL = "email"
    WEBHOOK = "webhook"
    APPRISE = "apprise"
    """Whatever the apprise library reaches, by its URL."""
    INBOX = "inbox"
    """A list in the notifier's own region, for development."""


class Urgency(StrEnum):
    """How much an incident matters; the two never mix."""

    HIGH = "high"
    LOW = "low"


class Method(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """One way to reach a person. `address` is what its kind takes: a mail address, a URL, an apprise URL."""

    id: str
    kind: str
    address: str
    verified: bool = True
    blocked: bool = False

    @property
    def is_usable(self) -> bool:
        """Whether it may be used: it was shown to reach its owner, who has not asked to be left in peace."""
        return self.verified and not self.blocked and self.kind in KINDS


class Rule(msgspec.Struct, frozen=True):
    """So long after the assignment, use this method for incidents of this urgency. Seconds."""

    id: str
    method: str
    delay_s: float = 0.0
    urgency: str = Urgency.HIGH


class Person(msgspec.Struct, frozen=True):
    """A person, with all that the notifier needs: one record of the directory."""

    id: str
    name: str = ""
    email: str = ""
    methods: tuple[Method, ...] = ()
    rules: tuple[Rule, ...] = ()

    def method(self, id: str) -> Method | None:
        """The method of this id, None when there is none (any more)."""
        return next((method for method in self.methods if method.id == id), None)

    def reached_by(self, urgency: str) -> Iterator[tuple[Rule, Method]]:
        """The rules of an urgency that lead somewhere, each with its method, at most `RULES_MAX`.

        A person with none but with a usable method is reached by the first of those at once: a rule for a method that
        was deleted, or no rule at all, is a mistake, and a page that comes is better than the mistake kept to.
        """
        found = [
            (rule, method)
            for rule in self.rules[:RULES_MAX]
            if rule.urgency == urgency and (method := self.method(rule.method)) is not None and method.is_usable
        ]
        if not found:
            usable = next((method for method in self.methods if method.is_usable), None)
            found = [(Rule(DEFAULT_RULE, usable.id, 0.0, urgency), usable)] if usable else []
        yield from found


DEFAULT_RULE: Final = "default"
"""The id of the rule that stands in where a person has none that leads anywhere."""
KINDS: Final = frozenset(MethodKind)

"""Acts: what a person does to an incident through the REST interface, and how its entry says so.

Theory
------
An act is an entry like any other, but for two things. It names its *agent*, the person, and it names its *incident*.
A machine's `resolve` means whatever is open under its dedup key when it comes; a person means the incident on the
screen. If that one ended meanwhile, in another region or by the machine, the act must not fall on the next: nobody has
seen that. So an act is taken by the incident that it names, or by none.

Who may say that a person did something is not left to the body alone: what comes through the doors for events keeps
members of any name, `agent` too. Acts have event actions of their own, `user_...`, which those doors refuse, and come
in requests of schema version 2, which an older creator sets aside instead of refusing.
"""

from typing import Any, Final

import msgspec

from tocsin.core.entries import Entry
from tocsin.core.ids import parse_id
from tocsin.core.json_rules import Member, Object, Rule, Text

SCHEMA: Final = 2
"""The schema version from which on there are acts."""
PREFIX: Final = "user_"
ANNOTATE: Final = "annotate"
NOTE_LENGTH_MAX: Final = 25_000
PERSON_LENGTH_MAX: Final = 255


class Agent(msgspec.Struct, frozen=True):
    """The person who acts: the address that the request came from, and what the directory knows of it."""

    email: str
    id: str = ""
    name: str = ""


class Act(msgspec.Struct, frozen=True):
    """Of an act's body what goes beyond an event. `incident` is the printed id of the one that is meant; a trigger
    means none.
    """

    agent: Agent
    event_action: str = ""
    incident: str = ""
    note: str = ""

    @property
    def incident_id(self) -> int | None:
        """The id of the incident that is meant."""
        return parse_id(self.incident) if self.incident else None


class _PrintedId:
    """The printed form of a temporal id."""

    def check(self, value: Any, name: str, errors: list[str]) -> None:
        """Adds what is wrong with the value."""
        try:
            parse_id(value)
        except (TypeError, ValueError):
            errors.append(f"'{name}' must be a temporal id, 0x and 16 lower-case hex digits")


_PERSON: Final = Text(length_max=PERSON_LENGTH_MAX)
AGENT: Final = Member(
    "agent",
    Object((Member("email", _PERSON, required=True), Member("id", _PERSON), Member("name", _PERSON))),
    required=True,
)
INCIDENT: Final = Member("incident", _PrintedId(), required=True)
_NOTE_RULE: Final[Rule] = Text(length_max=NOTE_LENGTH_MAX)
NOTE: Final = Member("note", _NOTE_RULE)
NEEDED_NOTE: Final = Member("note", _NOTE_RULE, required=True)

_ACT: Final = msgspec.json.Decoder(Act)


def act_of(entry: Entry) -> Act | None:
    """What a person did; None of a machine's entry."""
    if entry.schema < SCHEMA:
        return None
    try:
        act = _ACT.decode(entry.body)
        is_named = not act.incident or act.incident_id is not None
    except (ValueError, RecursionError):
        return None  # a machine's: it has no agent of this form, and the creator refuses an act that is wrong
    return act if is_named and act.event_action.startswith(PREFIX) else None


def act_body(
    action: str, agent: Agent, *, incident: str = "", note: str = "", payload: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The event of an act. `action` is what it does: trigger, acknowledge, resolve or annotate."""
    given = {"incident": incident, "note": note, "payload": payload}
    return {
        "event_action": f"{PREFIX}{action}",
        "agent": {name: value for name, value in msgspec.structs.asdict(agent).items() if value},
        **{name: value for name, value in given.items() if value},
    }

"""What goes into a user partition's machine (`pager.py`) and what comes out: plain values, as with `core/effects.py`.

The shell does the I/O. What has an answer is answered by exactly one input; what was not answered before a crash is
found again after it, from the kept users and the three topics.
"""

from collections.abc import Sequence
from typing import NamedTuple

from tocsin.core.paging.assignments import Assignment
from tocsin.core.paging.feedback import End, Feedback, Intent, IntentId, Outcome, Pulse
from tocsin.core.paging.people import Method, Person

# Inputs ---------------------------------------------------------------------------------------------------------


class Assigned(NamedTuple):
    """Assignments that were read, in log order."""

    assignments: Sequence[Assignment]


class PersonIs(NamedTuple):
    """A user as the directory now has it; None: deleted."""

    user: str
    person: Person | None


class FeedbackRead(NamedTuple):
    """What was read of `feedback`, own and mirrored."""

    said: Sequence[Feedback]


class CaughtUp(NamedTuple):
    """All three topics were read to the ends seen at assignment: from now on it may send."""


class IntentSaid(NamedTuple):
    """An intent of ours is on the log: only now may a provider be called."""

    id: IntentId


class IntentRefused(NamedTuple):
    """An intent of ours is not on the log, or may not be: nothing is handed over for it."""

    id: IntentId


class Ended(NamedTuple):
    """Stage two is done with an intent. `method` took it, if any did."""

    id: IntentId
    outcome: Outcome
    method: str
    reason: str


class Kept(NamedTuple):
    """A `Keep` ended."""

    number: int
    ok: bool


class Tick(NamedTuple):
    """Time has passed. `fit` is how the region is; `lag_s` the age of the oldest readable record not yet applied."""

    fit: bool
    lag_s: float = 0.0


class Stop(NamedTuple):
    """Begin nothing more, and keep what changed."""


Input = Assigned | PersonIs | FeedbackRead | CaughtUp | IntentSaid | IntentRefused | Ended | Kept | Tick | Stop

# Effects --------------------------------------------------------------------------------------------------------


class Item(NamedTuple):
    """One incident of a bundle. `is_new`: it is what the page is about, else it is named as still open from before."""

    assignment: Assignment
    is_new: bool


class Bundle(NamedTuple):
    """What stage two renders and delivers: an intent, to whom, by which method and which else if that fails."""

    intent: Intent
    person: Person
    method: Method
    fallbacks: tuple[Method, ...]
    items: tuple[Item, ...]


class SayIntents(NamedTuple):
    """Append these to our own `feedback`, fenced by our epoch. Each is answered by `IntentSaid` or `IntentRefused`."""

    intents: Sequence[Intent]


class HandOver(NamedTuple):
    """Deliver the bundle. Answered by `Ended`, within `end_s_max`."""

    bundle: Bundle


class SayEnd(NamedTuple):
    """Append an entry a covered incident to the log, then this end to our own `feedback`. Until it is there: again.

    That the end is read again tells that the entries are there too.
    """

    end: End
    items: Sequence[Item]
    intent: Intent


class SayPulse(NamedTuple):
    """Append this to our own `feedback`. Not answered, nor repeated when it fails."""

    pulse: Pulse


class UserRow(NamedTuple):
    """What is to be kept of one user: opaque to the shell. Empty: forget the user."""

    user: str
    state: bytes


class Keep(NamedTuple):
    """Keep these users (`Store.keep_users`), then the input positions as they were when this came out. Answered by
    `Kept`. `more`: other users changed too and follow, so the positions stay as they were kept before.
    """

    number: int
    rows: Sequence[UserRow]
    more: bool = False


class Alarm(NamedTuple):
    """Something that a person should know: a stable action word, what it is about, and the text."""

    action: str
    subject: str
    text: str


Effect = SayIntents | HandOver | SayEnd | SayPulse | Keep | Alarm

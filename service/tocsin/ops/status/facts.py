"""Facts: what could be found out about a set of regions, as plain values. Nothing here says what they mean.

A figure without its age is a rumour: during an incident half of what one looks at was written before it. So each has
the moment at which it was so, and where it was read when that is not the region's own. None means: not known.

All times are Unix microseconds, all durations seconds.
"""

from enum import StrEnum
from typing import Final

import msgspec

SILENT_S: Final = 10.0
"""A region whose creators have said and written nothing for so long is called silent: ten heartbeats."""


class State(StrEnum):
    """How a region is."""

    SERVING = "serving"
    HALTED = "halted"
    """It takes no new sets of a partition: a serving peer stored what it refuses, or its budget is spent."""
    ILL = "ill"
    """Its own store has answered nothing for longer than the grace."""
    DRAINED = "drained"
    """A person took it out of service."""
    SILENT = "silent"
    """Its creators have written and said nothing for longer than they may."""
    NEVER_RAN = "never ran"
    UNKNOWN = "unknown"


class Health(StrEnum):
    """How a role's process is."""

    READY = "ready"
    NOT_READY = "not ready"
    NO_ANSWER = "no answer"
    UNKNOWN = "not known"
    """Nobody said where its admin port is."""


class Figure(msgspec.Struct, frozen=True):
    """A number, when it was so, and where it was read: empty for the region's own store and log."""

    value: float
    at_us: int
    source: str = ""


class Role(msgspec.Struct, frozen=True):
    """A role's process, asked at the time of the facts."""

    name: str
    health: Health
    reasons: tuple[str, ...] = ()


class Peer(msgspec.Struct, frozen=True):
    """Another region, as this one's log has it."""

    name: str
    heard_us: int | None
    """When the peer said the latest heartbeat that was mirrored here, by the peer's clock."""
    behind_s: float | None
    """By how much the latest one in the peer's own log is younger; None when that log could not be read."""


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """How a region is, by what it wrote into its store, or else by its latest heartbeat in any ledger that was read."""

    state: State
    at_us: int | None = None
    source: str = ""
    """Where it was read, empty for the region's own store."""
    since_us: int | None = None
    """Since when it is so, None when that is not known."""
    why: tuple[str, ...] = ()
    """Of a halted region `<request>: <row of the verdict table>`, each once."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The requests of a region that are not stored, and since when the oldest of each stage is there."""

    held: int = 0
    held_since_us: int | None = None
    set_aside: int = 0
    set_aside_since_us: int | None = None
    quarantined: int = 0
    quarantined_latest_us: int | None = None
    """Since when the *latest* is there: what has stood there for weeks is no news."""
    too_new: int = 0
    """Of those set aside, the ones with a schema version above what the region reads."""
    crashed: int = 0
    """Of all, the ones that ended or hung the process that tried them."""
    example: str = ""
    """The printed key of the oldest one that is held, else set aside, else quarantined."""


class Region(msgspec.Struct, kw_only=True):
    """One region, as far as it could be looked at."""

    name: str
    condition: Condition = Condition(state=State.UNKNOWN)
    lag_records: Figure | None = None
    lag_s: Figure | None = None
    headroom_s: Figure | None = None
    """How long the log's retention still leaves the oldest record that is not done; None too when none waits."""
    complete_until_us: int | None = None
    kept: Kept | None = None
    budget_counted: tuple[str, ...] | None = None
    budget_spent: bool = False
    budget_max: int = 0
    lost_us: tuple[int, ...] = ()
    """When each range was found that retention had removed unread."""
    peers: list[Peer] = []
    roles: list[Role] = []
    read_us: int = 0
    """When its store and its log were read."""
    away: dict[str, str] = {}
    """What of it could not be read (`store`, `log`), and why."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page to one person."""

    user: str
    method: str
    outcome: str
    region: str
    at_us: int
    due_us: int
    why: str
    """What made the moment, as the intent has it: only one that was merely `due` can be late."""
    reason: str = ""


class Next(msgspec.Struct, frozen=True, kw_only=True):
    """When a person is paged next by a method, in words why then."""

    user: str
    method: str
    at_us: int | None
    because: str


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """An open incident: who was told, and what comes next."""

    id: str
    title: str
    service: str
    urgency: str
    created_us: int
    acknowledged_us: int | None = None
    acknowledged_by: str = ""
    pages: tuple[Page, ...] = ()
    next: tuple[Next, ...] = ()
    obstacles: tuple[str, ...] = ()
    """Why nobody, or not everybody, will be told."""


class Paging(msgspec.Struct, kw_only=True):
    """The open incidents, as one region has them, and the latest pages of all."""

    region: str = ""
    """Empty when no region's store could be read."""
    triggered: int = 0
    acknowledged: int = 0
    oldest_us: int | None = None
    incidents: list[Incident] = []
    """Some of the open ones: first those that nobody acknowledged, the newest first."""
    pages: list[Page] = []
    """Of the last minutes, the latest first."""
    unreachable: list[str] = []
    """Responders whom nothing would reach, in words."""
    away: dict[str, str] = {}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a person did to Tocsin itself."""

    at_us: int
    by: str
    what: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the incident log, in a few words, and the region where it came in."""

    at_us: int
    region: str
    what: str


class Facts(msgspec.Struct, kw_only=True):
    """Everything, at one time."""

    at_us: int
    only: str = ""
    """The region that alone was asked, of itself and of its peers; empty: all were."""
    regions: list[Region] = []
    paging: Paging = msgspec.field(default_factory=Paging)
    changes: list[Change] = []
    """Oldest first."""
    entries: list[Entry] | None = None
    """Oldest first; None when no region's log could be read."""

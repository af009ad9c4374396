"""What a drill needs of the thing that it is run against.

Probes and actions are written against this, so the same file runs on embedded engines, on real servers, and in a unit
test in no time. Whatever is counted, is counted from `begin` on: a target outlives its drills.

Each call may raise `EngineError` or `OSError` when the target cannot do it or does not answer: a probe then has no
value, and a fault counts as not injected.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tocsin.ops.alerts.evaluation import Series

Role = Literal["intake", "creator", "querier", "notifier"]
StageName = Literal["held", "set_aside", "quarantined"]
Spoiling = Literal["refuse", "refuse-all", "crash", "full"]


class DrillError(Exception):
    """The target cannot do what the drill asks; the message says what, and what to do."""


@dataclass(frozen=True, slots=True)
class Requests:
    """What became of the requests that clients sent during a drill."""

    accepted: int = 0
    lost: int = 0
    """Acknowledged, and at the end in no region, or not in all."""
    diverged: int = 0
    """That ended differently in the regions, or whose rows differ."""
    duplicated: int = 0
    """Recorded, though their client was never told so: it sent them again."""
    late: int = 0
    """Missing from a read that claimed to be complete."""
    indeterminate: int = 0
    """Sends whose end nobody knows: a 503, a broken connection."""


@dataclass(frozen=True, slots=True)
class Pages:
    """What became of the pages that were due during a drill. Due are pairs of an incident and a person."""

    due: int = 0
    sent: int = 0
    """Pages that came; one can tell of several incidents."""
    lost: int = 0
    duplicated: int = 0
    """Pages that told somebody what an earlier one had."""
    excused: int = 0
    """So many more while the regions could not hear each other: once a side is what is promised then."""
    late: int = 0
    """Pairs told later than the drill's limit."""
    indeterminate: int = 0
    """Hand-overs whose end nobody knows; each may be repeated once."""


@dataclass(frozen=True, slots=True)
class Account:
    """What users saw, from the beginning to the end of a drill."""

    requests: Requests = Requests()
    pages: Pages = Pages()
    slowest_page_s: float | None = None
    """From the acceptance of an alert to the page, at worst; None when no page was due."""
    unknown_because: Sequence[str] = ()
    """Why the history could not be judged, where it could not."""
    harm: Sequence[str] = ()
    """What was promised and not kept, a sentence each; empty when users lost nothing."""
    waits: Sequence[tuple[float, float]] = ()
    """Of each page (Unix time of the alert's acceptance, seconds until the page), for the timeline."""


class Target(Protocol):
    """Regions that can be broken, under load, and looked at."""

    name: str
    regions: Sequence[str]

    @property
    def identity(self) -> Mapping[str, Any]:
        """What it is: engines, versions, configuration, and how faults are made on it."""

    # A drill on it -----------------------------------------------------------------------------------------------

    async def begin(self, drill: str, events_per_s: float) -> None:
        """A drill begins: counts start anew, and a steady trickle of events and alerts enters at all regions."""

    async def settle(self) -> None:
        """The trickle ends; returns when nobody sends any more."""

    async def unfinished(self) -> str:
        """What has not come about yet of all that was sent, in words; empty when the regions agree on everything."""

    async def account(self, *, page_s: float) -> Account:
        """What users saw. A page counts as late after `page_s`."""

    # Breaking it -------------------------------------------------------------------------------------------------

    async def kill_role(self, region: str, role: str, *, hold: bool) -> None:
        """Kill -9 of a process; whoever supervises it starts it again, unless it is held down."""

    async def start_role(self, region: str, role: str) -> None:
        """Starts what was held down; returns when it listens. Nothing when it runs."""

    async def kill_region(self, region: str) -> None:
        """Kill -9 of every process of a region and, where it has servers of its own, of those; all stay down."""

    async def start_region(self, region: str) -> None:
        """Starts all of it again."""

    async def stop_store(self, region: str) -> None:
        """The region's outcome store answers nothing any more."""

    async def start_store(self, region: str) -> None:
        """It answers again."""

    async def cut_mirror(self, source: str, target: str) -> None:
        """Nothing that enters at `source` reaches `target`."""

    async def slow_mirror(self, source: str, target: str, delay_s: float) -> None:
        """What enters at `source` reaches `target` so much later."""

    async def heal_mirror(self, source: str, target: str) -> None:
        """All passes again, at its usual pace."""

    async def spoil(self, region: str, how: Spoiling) -> None:
        """The region's store refuses the entries of one service, or of all; or kills who writes one of that service; or
        takes no write at all.
        """

    async def mend(self, region: str, how: Spoiling) -> None:
        """It takes them again."""

    async def refuse_pages(self, region: str) -> None:
        """Whom this region's notifier pages through answers 503."""

    async def take_pages(self, region: str) -> None:
        """It takes pages again."""

    # Sending to it -----------------------------------------------------------------------------------------------

    async def send(self, region: str, *, spoilt: bool, count: int) -> None:
        """Sends events to one region, of the service that `spoil` is about or of others."""

    async def append_rubbish(self, region: str) -> None:
        """Appends a record to the region's log that nobody can decode."""

    async def append_newer(self, region: str) -> None:
        """Appends a request to the region's log of a schema version that no region reads."""

    async def drop_newer(self) -> None:
        """A person gives those requests up, by the command for it."""

    async def forget_unread(self, region: str) -> None:
        """Retention takes from all logs what they hold of requests, also what this region has not read of it."""

    async def refill_log(self, region: str) -> None:
        """What was taken is put into the region's log again, from what its peers have. Nothing when nothing was."""

    async def skew_clock(self, region: str, ahead_s: float) -> None:
        """The region's ticks lie so far in the future."""

    async def set_clock(self, region: str) -> None:
        """They are right again."""

    async def put_responder(self, *, reachable: bool) -> None:
        """The directory names a responder of a service, with a way to reach them or with none."""

    async def by_hand(self, command: str) -> None:
        """What a person types: one of our commands, without `tocsin`; raises `DrillError` when it does not end well."""

    # Looking at it -----------------------------------------------------------------------------------------------

    async def pause(self, seconds: float) -> None:
        """Lets time pass, by the target's clock."""

    async def unready(self, region: str) -> Mapping[str, Sequence[str]]:
        """Role to why it is not ready; roles that are ready are not in it."""

    async def metric(self, region: str, role: str, name: str) -> float | None:
        """The highest value that a role shows of a metric, by its name in Prometheus; None when it shows none."""

    async def scrape(self, names: Collection[str]) -> Sequence[Series]:
        """What a Prometheus would read of all roles now, of these names; `up` is its own, 0 for who does not answer."""

    async def starts(self, region: str, role: str) -> int:
        """How often the role's process was started again."""

    async def status_of_intake(self, region: str) -> int | None:
        """What the intake answers to an event: a status; None when it does not answer."""

    async def stored_after_s(self, at: str, read: str, within_s: float) -> float | None:
        """How long until an event that enters at one region is read in another; None when not within that time."""

    async def paged_after_s(self, at: str, within_s: float) -> float | None:
        """How long until everybody is paged for an alert that enters at a region; None when not within that time."""

    async def open_requests(self, region: str) -> int:
        """How many requests are held or set aside in the region's store, since whenever."""

    async def kept(self, region: str, stage: str) -> int:
        """How many requests that failed since the drill began are at this stage in the region's store."""

    async def decided(self, region: str, verdict: str) -> int:
        """On how many requests that failed since the drill began the region gave this verdict."""

    async def budget_spent(self, region: str) -> bool:
        """Whether the region has stopped skipping what it cannot store, until a person releases its budget."""

    async def records_behind(self, region: str) -> int:
        """How many records of its own and its peers' the region has not worked off."""

    async def removed_unread(self, region: str) -> int:
        """How many records retention took that the region had not read, and has not named as lost yet."""

    async def lost_unnamed(self, region: str) -> int:
        """So many fewer records the region has named as lost than were taken from it unread since the drill began."""

    async def copied(self, source: str, target: str) -> int:
        """How many records of `source` the mirror has brought to `target`, ever."""

    async def pages_sent(self, region: str) -> int:
        """How many pages of this region came."""

    async def pages_refused(self, region: str) -> int:
        """How many pages of this region were answered 503."""

    async def pages_overdue(self, after_s: float) -> int:
        """How many people have not been told, so long after an alert was accepted."""

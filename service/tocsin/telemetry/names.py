"""The metrics that there are: what is not named here is not measured.

A name is for good: alerts, dashboards and other people's searches hold on to it. It is OpenTelemetry's, dotted, the
unit beside it in UCUM; in Prometheus it is the same word by the rules between the two (`prometheus_name`):
`tocsin.creator.lag_time` in `s` is `tocsin_creator_lag_time_seconds`.

Three kinds: what is *counted* since the process began, what *is so* when somebody asks, and how long things *took*,
told by how many took no longer than so. Labels come from small fixed sets (a partition, a kind, a region), never from
what clients send: each combination is a series that somebody keeps for weeks.
"""

from enum import Enum, StrEnum
from typing import Final, NamedTuple

QUICK_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper edges for an answer that somebody waits for."""
SLOW_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0)
"""Upper edges for what may take its time, and at last must not: through two regions, or an outage."""


class Instrument(NamedTuple):
    """One metric: its stable name, its unit (UCUM, as OpenTelemetry asks), its meaning and labels."""

    name: str
    unit: str
    description: str


class Timing(NamedTuple):
    """A metric of durations: as an instrument, with the upper edges of its buckets in its unit, ascending."""

    name: str
    unit: str
    description: str
    edges: tuple[float, ...]


class Counter(Enum):
    """What is counted since the process began."""

    ACCEPTED = Instrument("tocsin.intake.accepted", "{request}", "Events answered with 202")
    REFUSED = Instrument("tocsin.intake.refused", "{request}", "Events not taken, by HTTP status")
    STORED = Instrument("tocsin.creator.stored", "{entry}", "Entries that the store acknowledged, by partition")
    FAILED = Instrument("tocsin.creator.failed", "{request}", "Attempts that failed, by kind")
    DECIDED = Instrument("tocsin.creator.decided", "{request}", "Verdicts on failed requests, by verdict")
    SAID = Instrument("tocsin.ledger.said", "{statement}", "Statements appended to the own ledger, by word")
    DISPUTED = Instrument(
        "tocsin.creator.disputed", "{request}", "Requests said to be stored here that every undrained peer refused"
    )
    COLLIDED = Instrument("tocsin.creator.collided", "{entry}", "Entries with the id of another one of their parent")
    PAGES_DECIDED = Instrument("tocsin.notifier.decided", "{page}", "Pages decided, by what made the moment")
    PAGES_ENDED = Instrument("tocsin.notifier.ended", "{page}", "Pages that ended, by outcome")
    CALLS = Instrument("tocsin.notifier.calls", "{call}", "Calls of providers, by kind of method and outcome")
    READ = Instrument("tocsin.querier.read", "{request}", "Reads answered, by HTTP status")


class Gauge(Enum):
    """What is so at the moment."""

    LAG_MESSAGES = Instrument("tocsin.creator.lag", "{record}", "Records above what is done, by partition and source")
    LAG_S = Instrument("tocsin.creator.lag_time", "s", "Age of the oldest record not done, by partition and source")
    KEPT = Instrument("tocsin.creator.kept", "{request}", "Failed requests kept, by partition and stage")
    PAGER = Instrument("tocsin.notifier.holds", "{item}", "What a user partition holds, by what")
    FEED_LAG = Instrument("tocsin.notifier.lag_time", "s", "Age of the oldest input not taken, by partition and topic")
    BREAKERS = Instrument("tocsin.notifier.breakers", "{target}", "Targets that are only probed, by kind of method")
    MIRROR_LAG = Instrument("tocsin.mirror.lag", "{record}", "A peer's records not copied yet, by topic and partition")
    MIRROR_LAG_S = Instrument(
        "tocsin.mirror.lag_time", "s", "Age of the latest of a peer's ticks copied here, by source"
    )
    USED = Instrument("tocsin.bound.used", "{item}", "How much of a bound is used, by bound")
    MAX = Instrument("tocsin.bound.max", "{item}", "How much of it there is; at that, work waits or is turned away")
    ARRIVAL_RATE = Instrument(
        "tocsin.creator.arrival_rate",
        "{record}/s",
        "Records that come, ticks and peers' copies too, by partition",
    )
    CAPACITY = Instrument(
        "tocsin.creator.capacity", "{record}/s", "Records done when there is enough to do, by partition"
    )
    RECOVER_S = Instrument(
        "tocsin.creator.recover_time",
        "s",
        "Till the lag is gone at the present arrival rate, by partition; +Inf: never",
    )
    HEADROOM_S = Instrument(
        "tocsin.creator.headroom_time", "s", "Till retention takes the oldest record held or unread, by partition"
    )
    LOST = Instrument("tocsin.creator.lost", "{record}", "Records that retention took unread, by partition and source")
    HALTED = Instrument("tocsin.creator.halted", "{partition}", "1 while a partition halts: it takes no new requests")
    SET_ASIDE_S = Instrument("tocsin.creator.set_aside_age", "s", "Age of the oldest request set aside, by partition")
    REGION_STATE = Instrument("tocsin.region.state", "{region}", "1 for the state that the region is in, else 0")
    PEER_SILENCE_S = Instrument("tocsin.region.peer_silence", "s", "Since a peer was last heard of, by peer")
    CLOCK_OFFSET_S = Instrument("tocsin.region.clock_offset", "s", "How far this clock is behind a peer's, at least")
    BUDGET_SPENT = Instrument("tocsin.budget.spent", "{budget}", "1 once the budget has stopped the skipping")
    UNREACHABLE = Instrument("tocsin.directory.unreachable", "{user}", "Responders without a rule or a verified method")
    SYNTHETIC_AGE_S = Instrument(
        "tocsin.synthetic.age", "s", "Since the last synthetic page arrived at the receiving end"
    )
    READY = Instrument("tocsin.role.ready", "{process}", "1 while the process is ready, as /health/ready says")


class Histogram(Enum):
    """How long things took."""

    ANSWER_S = Timing("tocsin.intake.answer_time", "s", "From request to answer, by class of status (2xx)", QUICK_S)
    STORED_S = Timing(
        "tocsin.creator.stored_time", "s", "From received-at to stored and acknowledged, by origin (own, peer)", SLOW_S
    )
    LATE_S = Timing("tocsin.notifier.late_time", "s", "From the moment of a page until a provider took it", SLOW_S)


class Bound(StrEnum):
    """What is limited so that nothing grows without end: the label `bound` of `Gauge.USED` and `Gauge.MAX`."""

    SETS = "sets_in_flight"
    """Message sets of a partition that are being written."""
    HELD = "held"
    """Failed requests of a partition that are not decided, or because of which it halts."""
    INBOX = "inbox"
    """Inputs that wait for a partition's state machine."""
    FOLDINGS = "foldings"
    """Parents of a partition that are kept folded in memory."""
    STATEMENTS = "statements"
    """Statements of a partition that wait for the ledger: has no number of its own, cases and questions bound it."""
    BUDGET = "budget_services"
    """Services of which requests were skipped."""
    SERVICES_SEEN = "services_seen"
    """Services that are remembered for the budget."""
    TRIALS = "trials"
    """Suspects that are tried in a child process."""
    PAGER_INBOX = "pager_inbox"
    """Inputs that wait for a user partition's machine: a set of each topic, and answers of what is under way."""
    PAGES = "pages_in_flight"
    """Pages of a user partition that stage two has: has no number of its own, a channel has one."""
    WORDS = "feedback_waiting"
    """Intents and ends of a user partition that wait for the log: has no number of its own, as its pages."""
    DELIVERIES = "deliveries"
    """Pages that wait for a provider or are with one."""
    CALLS = "provider_calls"
    """Calls of the providers of one kind that are under way."""
    THREADS = "provider_threads"
    """Threads of providers that block, those included whose calls hang and are not waited for any more."""
    EVENTS = "events_in_flight"
    """Events of an intake whose append is not acknowledged yet."""
    REQUESTS = "http_requests"
    """Requests of clients that are being answered."""
    CONNECTIONS = "http_connections"
    """Connections of clients."""


_SUFFIXES: Final = {"s": "_seconds", "{record}/s": "_per_second"}


def prometheus_name(metric: Counter | Gauge | Histogram) -> str:
    """What Prometheus calls it, by OpenTelemetry's rules: dots to underscores, the unit spelled out at the end, and
    `_total` for what is counted. A unit in braces is a remark and is left out.
    """
    name = metric.value.name.replace(".", "_") + _SUFFIXES.get(metric.value.unit, "")
    return f"{name}_total" if isinstance(metric, Counter) else name

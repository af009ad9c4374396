"""The world of the notifiers: regions, mirrors, people, and incidents that open and end.

What creators would do, the world does: each region has an incident's assignments a moment after it opened there, later
where the mirror brings it, and not while its creators are away or the mirror is cut. A region's word on its own fitness
is the document that its creators would write.
"""

import itertools
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple
from unittest import mock

from tests.simulation.loop import EPOCH_S, PROCESS, VirtualLoop
from tests.simulation.mirror import Link
from tests.simulation.network import Surrounding
from tests.simulation.paging.outside import Outside
from tests.simulation.paging.site import NOTIFIERS, STACK, PagingSite
from tocsin.core.directory import DirectoryRecord, encode_directory, name_of
from tocsin.core.documents import PartitionStatus
from tocsin.core.ids import Parent, RequestKey, digest
from tocsin.core.paging.assignments import Assignment, encode_assignment, user_partition
from tocsin.core.paging.feedback import Feedback, decode_feedback
from tocsin.core.paging.limits import PagingLimits
from tocsin.core.paging.people import Method, MethodKind, Person, Rule
from tocsin.core.requests import Record
from tocsin.engines.directory import FileDirectory
from tocsin.engines.store import Document
from tocsin.roles import user_partition as shell
from tocsin.topology import ASSIGNMENTS, DIRECTORY, FEEDBACK, REQUESTS, Region, Topology

LIMITS: Final = PagingLimits(
    pace_s=6.0,
    look_ahead_s=2.0,
    backstop_s=3.0,
    silence_s=2.5,
    step_in_s=1.5,
    pulse_every_s=0.5,
    end_s_max=12.0,
    catch_up_s=5.0,
    refused_s=0.5,
    keep_every_s=0.5,
)
"""Short, so that a run of two minutes holds many pages, lapses and silences."""
TICK_S: Final = 0.2
"""The machines' own pace: a quarter of production's, which costs little accuracy and most of the time."""
CREATE_EVERY_S: Final = 0.1
STATUS_EVERY_S: Final = 1.0
APPLY_S: Final = (0.02, 0.4)
MIRROR_S: Final = (0.02, 0.8)
MIRRORED: Final = (DIRECTORY, FEEDBACK)
STORY_MAX: Final = 5_000
NOBODY: Final = Path(__file__).parent / "directory.yaml"
"""A file without users: people come by the topic."""


@dataclass(frozen=True)
class Shape:
    """How large a world is, and how its log lends partitions."""

    regions: str
    partitions: int
    session_s: float
    users: int


class Alert(NamedTuple):
    """An incident: who is told of it, and when it opened and ended, in true time (None: it stays open)."""

    key: RequestKey
    users: tuple[str, ...]
    urgency: str
    region: str
    since_us: int
    opened_s: float
    closed_s: float | None
    closed_in: str


class News(NamedTuple):
    """What a region's creators are still to apply."""

    ready_s: float
    origin: str
    alert: Alert
    closes: bool


class Said(NamedTuple):
    """A fact that came to stand in a region's log: its own, or a copy of another's."""

    at_s: float
    source: str
    partition: int
    what: Feedback


@dataclass
class Knowledge:
    """What one region's creators came to."""

    news: list[News] = field(default_factory=list)
    opened: set[RequestKey] = field(default_factory=set)
    closed: set[RequestKey] = field(default_factory=set)
    applied_s: dict[RequestKey, float] = field(default_factory=dict)
    """When the opening was."""
    version: int = 0
    away: int = 0
    """Faults that hold its creators."""
    halted: int = 0
    """Faults because of which it says that it has halted."""


class PagingWorld:
    """Everything that there is in one run."""

    def __init__(self, loop: VirtualLoop, seed: int, shape: Shape) -> None:
        self.loop = loop
        self.shape = shape
        self.around = Surrounding(loop, random.Random(f"{seed}/net"))
        self.outside = Outside()
        self.topology = _topology(shape)
        self.chance = random.Random(f"{seed}/world")
        self.breaches: list[str] = []
        self.story: list[str] = []
        self.clocks_off = False
        """Whether clocks have differed by more than the bound: then no time vouches for anything."""
        self.alerts: list[Alert] = []
        self.said: dict[str, list[Said]] = {name: [] for name in shape.regions}
        """What stands in a region's log, own and copied, in order."""
        self.sites = {
            region.name: PagingSite(
                region,
                self.topology,
                loop,
                self.around,
                self.chance,
                self.tell,
                self.outside,
                FileDirectory(NOBODY),
                session_s=shape.session_s,
            )
            for region in self.topology.regions
        }
        self.links = {
            (source, target): Link(
                source, target, self.around, lambda name: self.sites[name].records, lambda n: self.sites[n].log_answers
            )
            for source, target in itertools.permutations(self.sites, 2)
        }
        self.knowledge = {name: Knowledge() for name in self.sites}
        self.people = {person.id: person for person in map(self._person, range(shape.users))}
        self.volatile: set[str] = set()
        """Users whose records changed in the run."""
        self._changes = 0
        for site in self.sites.values():
            site.records.appended.append(self._appended_in(site.name))

    async def open(self) -> None:
        """Topics, people, notifiers; from then on creators work."""
        for site in self.sites.values():
            await site.open()
        for person in self.people.values():
            self.say_person(min(self.sites), person)
        for site in self.sites.values():
            for name in NOTIFIERS:
                site.start(name)
        self.around.later(0.0, self._create)
        self.around.later(0.0, self._write_statuses)

    # The story ----------------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """True time since the start."""
        return self.loop.now_s

    def tell(self, who: str, text: str) -> None:
        """Writes a line of the story."""
        self.around.trace.add(f"{self.now_s:.6f} {who}: {text}")
        if len(self.story) < STORY_MAX:
            self.story.append(f"{self.now_s:9.3f} s  {who:<14} {text}")

    def breach(self, promise: str, text: str) -> None:
        """A promise is broken."""
        self.breaches.append(f"{promise}: {text}")
        self.tell("BREACH", self.breaches[-1])

    # People and incidents -----------------------------------------------------------------------------------------

    def _person(self, number: int) -> Person:
        chance, id = self.chance, f"user-{number}"
        kinds = (MethodKind.EMAIL, MethodKind.WEBHOOK, MethodKind.EMAIL)[: chance.choice((1, 2, 2, 3))]
        methods = tuple(Method(f"m{n}", kind, f"{id}.{n}@example.org") for n, kind in enumerate(kinds))
        rules = tuple(
            Rule(f"r{n}", chance.choice(methods).id, chance.choice((0.0, 0.0, 3.0, 10.0, 20.0)), urgency)
            for n, urgency in enumerate(chance.choices(("high", "low"), (3, 1), k=chance.randint(1, 4)))
        )
        return Person(id, id, f"{id}@example.org", methods, rules)

    def say_person(self, region: str, person: Person | None, id: str = "") -> None:
        """Puts what a user is now into a region's directory."""
        self._changes += 1
        name = name_of(person or self.people[id])
        record = DirectoryRecord(name, self._changes, region, person)
        partition = user_partition(name.id, self.shape.partitions)
        self.sites[region].records.append(DIRECTORY, partition, [Record(*encode_directory(record))])

    def change_person(self, region: str) -> str:
        """Somebody's record changes, or is deleted, or comes back; returns what was done."""
        person = self.people[self.chance.choice(sorted(self.people))]
        self.volatile.add(person.id)
        if self.chance.random() < 0.3:
            self.say_person(region, None, person.id)
            return f"{person.id} is deleted"
        number = int(person.id.rpartition("-")[2])
        self.people[person.id] = changed = self._person(number)
        self.say_person(region, changed)
        return f"{person.id} has {len(changed.methods)} methods and {len(changed.rules)} rules now"

    def open_alert(self, longest_s: float) -> None:
        """An incident opens somewhere, and perhaps ends by itself within the time."""
        chance, now_s = self.chance, self.now_s
        up = [name for name, site in self.sites.items() if site.log_answers]
        if not up:
            return
        region = chance.choice(up)
        since_us = round((EPOCH_S + now_s + self.sites[region].skew_s) * 1e6)
        text = f"alert {len(self.alerts)}"
        key = RequestKey(
            Parent("service", text), (since_us // 1_000_000 << 32) + len(self.alerts), digest(text.encode())
        )
        users = tuple(chance.sample(sorted(self.people), chance.choice((1, 1, 2))))
        closed_s = now_s + chance.choice((1.0, 4.0, 12.0, 30.0)) * chance.random() if chance.random() < 0.5 else None
        if closed_s is not None and closed_s > longest_s:
            closed_s = None
        alert = Alert(
            key, users, chance.choice(("high", "high", "low")), region, since_us, now_s, closed_s, chance.choice(up)
        )
        self.alerts.append(alert)
        self.tell(region, f"{text} opens, for {', '.join(users)} ({alert.urgency})")
        self._spread(alert, region, closes=False)
        if closed_s is not None:
            self.around.later(closed_s - now_s, self._close, alert)

    def _close(self, alert: Alert) -> None:
        self.tell(alert.closed_in, f"{alert.key.parent.dedup_key} is acknowledged")
        self._spread(alert, alert.closed_in, closes=True)

    def _spread(self, alert: Alert, origin: str, *, closes: bool) -> None:
        for name, known in self.knowledge.items():
            later_s = self.chance.uniform(*APPLY_S) + (self.chance.uniform(*MIRROR_S) if name != origin else 0.0)
            known.news.append(News(self.now_s + later_s, origin, alert, closes))

    # What creators do ---------------------------------------------------------------------------------------------

    def _create(self) -> None:
        for name, known in self.knowledge.items():
            if known.away or not self.sites[name].log_answers:
                continue
            for news in list(known.news):
                if news.ready_s <= self.now_s and not self._is_cut(news.origin, name):
                    known.news.remove(news)
                    self._apply(name, known, news)
        self.around.later(CREATE_EVERY_S, self._create)

    def _is_cut(self, source: str, target: str) -> bool:
        return source != target and self.links[source, target].is_cut(REQUESTS)

    def _apply(self, region: str, known: Knowledge, news: News) -> None:
        """The region's fold of the incident is another now, and is assigned."""
        alert = news.alert
        (known.closed if news.closes else known.opened).add(alert.key)
        if alert.key not in known.opened:
            return  # an end without its beginning is no incident yet
        known.applied_s.setdefault(alert.key, self.now_s)
        known.version += 1
        status = "acknowledged" if alert.key in known.closed else "triggered"
        for user in alert.users:
            assignment = Assignment(
                user, alert.key, alert.since_us, status, alert.urgency, alert.key.parent.dedup_key, "simulation",
                "service", known.version,
            )  # fmt: skip
            partition = user_partition(user, self.shape.partitions)
            self.sites[region].records.append(ASSIGNMENTS, partition, [Record(*encode_assignment(assignment))])

    def _write_statuses(self) -> None:
        for name, known in self.knowledge.items():
            site = self.sites[name]
            if not (known.away or site.lost or any(one.is_dead for one in site.database.server.ailments)):
                self._write_status(site, known)
        self.around.later(STATUS_EVERY_S, self._write_statuses)

    def _write_status(self, site: PagingSite, known: Knowledge) -> None:
        at_us = round((EPOCH_S + self.now_s + site.skew_s) * 1e6)
        waiting = [self.now_s - news.ready_s for news in known.news if not self._is_cut(news.origin, site.name)]
        for partition in range(self.shape.partitions):
            status = PartitionStatus(
                partition=partition, at_us=at_us, epoch=1, phase="running", halted=("it halts",) * bool(known.halted),
                ill=False, store_answers=True, lag_records=len(waiting), lag_s=max([0.0, *waiting]), held=0,
                set_aside=0, quarantined=0, incarnation=1,
            )  # fmt: skip
            rows = site.database.rows
            there = rows.documents.get(status.name)
            rows.put_document(Document(status.name, (there.version if there else 0) + 1, status.encode()), None)

    # The logs -----------------------------------------------------------------------------------------------------

    def _appended_in(self, region: str) -> Callable[[str, int, int, Sequence[Record]], None]:
        def appended(topic: str, partition: int, _first: int, records: Sequence[Record]) -> None:
            source, _, copied = topic.rpartition(".")
            if copied == FEEDBACK:
                for record in records:
                    what = decode_feedback(record.value)
                    if what is not None:
                        self.said[region].append(Said(self.now_s, source or region, partition, what))
            if not source and topic in MIRRORED:
                for link in self.links.values():
                    if link.source == region:
                        link.news(topic, partition)

        return appended

    def heal_links(self, region: str = "") -> None:
        """What was held up goes on."""
        for link in self.links.values():
            if region in ("", link.source, link.target):
                for topic, partition in itertools.product(MIRRORED, range(self.shape.partitions)):
                    link.news(topic, partition)

    # The frame ----------------------------------------------------------------------------------------------------

    @contextmanager
    def real_roles_in_it(self) -> Iterator[None]:
        """Within it what the roles log goes into the story, and their machines tick at the world's pace."""
        handler = _StoryTeller(self)
        logger = logging.getLogger("tocsin")
        logger.addHandler(handler)
        propagates, logger.propagate = logger.propagate, False
        level = logger.level
        logger.setLevel(logging.INFO)
        try:
            with mock.patch.object(shell, "TICK_S", TICK_S):
                yield
        finally:
            logger.removeHandler(handler)
            logger.propagate = propagates
            logger.setLevel(level)


class _StoryTeller(logging.Handler):
    """Puts what the roles log into the story."""

    def __init__(self, world: PagingWorld) -> None:
        super().__init__(logging.INFO)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        process = PROCESS.get()
        self._world.tell(process.name if process else "world", record.getMessage())


def _topology(shape: Shape) -> Topology:
    def region(name: str) -> Region:
        peers = [{"name": peer, "mirror_prefix": f"{peer}."} for peer in shape.regions if peer != name]
        return Region.model_validate(
            {
                "name": name,
                "partitions": shape.partitions,
                "peers": peers,
                "log": {"engine": "embedded", "path": f"{name}.log", "retention_s": 3600},
                "stacks": {STACK: {"engine": "sqlite", "path": f"{name}.db"}},
                "serving_stack": STACK,
                "directory": "directory.yaml",
                "paging": LIMITS,
            }
        )

    return Topology(tuple(region(name) for name in shape.regions))

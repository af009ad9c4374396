"""The world of one run: regions, mirrors, what was accepted, what people said, and the story of it all."""

import asyncio
import itertools
import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from unittest import mock

from tests.simulation.log import SimLog
from tests.simulation.loop import PROCESS, VirtualLoop
from tests.simulation.mirror import Link
from tests.simulation.network import Server, Surrounding
from tests.simulation.releases import releases
from tests.simulation.site import STACK, Site, child_starter
from tocsin.core.ids import RequestKey, partition_of
from tocsin.core.limits import Limits
from tocsin.core.requests import Record, Tick, decode_record
from tocsin.core.statements import PersonWord, RegionOrder, RequestOrder, Statement, encode_statement
from tocsin.topology import LEDGER, REQUESTS, Region, Topology

LIMITS: Final = Limits(
    grace_s=4.0,
    answer_deadline_s=6.0,
    ask_limit_s=4.0,
    retry_max_s=2.0,
    aside_retry_first_s=1.0,
    aside_retry_max_s=8.0,
)
"""Short, so that a run of two minutes holds many of them."""
STORY_MAX: Final = 5_000


@dataclass(frozen=True)
class Shape:
    """How large a world is, and how its engines are."""

    regions: str = "ab"
    partitions: int = 2
    creators: int = 1
    session_s: float = 0.0
    """After how long without a sign the log takes a process's claims away; 0: claims are file locks."""
    limits: Limits = LIMITS


class World:
    """Everything that there is in one run."""

    def __init__(self, loop: VirtualLoop, seed: int, shape: Shape) -> None:
        self.loop = loop
        self.seed = seed
        self.shape = shape
        self.around = Surrounding(loop, random.Random(f"{seed}/net"))
        self.trace = self.around.trace
        self.topology = _topology(shape)
        chance = random.Random(f"{seed}/sites")
        self.sites = {
            region.name: Site(region, self.topology, loop, self.around, chance, self.tell, session_s=shape.session_s)
            for region in self.topology.regions
        }
        self.links = {
            (source, target): Link(source, target, self.around, lambda name: self.sites[name].records, self._up)
            for source, target in itertools.permutations(self.sites, 2)
        }
        self.peer_servers: dict[tuple[str, str], Server] = {}
        """What a region's intake reaches a peer's log by."""
        self.accepted: dict[RequestKey, tuple[str, int]] = {}
        """What was answered with 202: where, and when it was received there (Unix microseconds)."""
        self.known: dict[RequestKey, str] = {}
        """Everything that stands in any region's own requests, by the region."""
        self.orders: dict[RequestKey, int] = {}
        self.region_orders: dict[str, int] = {}
        self.clocks_off = False
        """Whether clocks have differed by more than the bound: then no time vouches for anything."""
        self.breaches: list[str] = []
        self.story: list[str] = []
        for site in self.sites.values():
            site.records.appended.append(self._appended_in(site.name))
            self._connect(site)

    def _connect(self, site: Site) -> None:
        for peer in self.sites.values():
            if peer is not site:
                server = Server(f"{peer.name}.log from {site.name}", self.around, behind=peer.log)
                self.peer_servers[site.name, peer.name] = server
                site.peer_logs[peer.name] = SimLog(peer.records, server)

    def _up(self, region: str) -> bool:
        site = self.sites[region]
        return not (site.lost or any(ailment.is_dead for ailment in site.log.ailments))

    def _appended_in(self, region: str) -> Any:
        def appended(topic: str, partition: int, _first: int, records: Sequence[Record]) -> None:
            if topic not in (REQUESTS, LEDGER):
                return
            for link in self.links.values():
                if link.source == region:
                    link.news(topic, partition)
            if topic == REQUESTS:
                for record in records:
                    content = decode_record(record)
                    if not isinstance(content, Tick):
                        self.known.setdefault(content.key, region)

        return appended

    # The story ----------------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """True time since the start."""
        return self.loop.now_s

    def tell(self, who: str, text: str) -> None:
        """Writes a line of the story."""
        self.trace.add(f"{self.now_s:.6f} {who}: {text}")
        if len(self.story) < STORY_MAX:
            self.story.append(f"{self.now_s:9.3f} s  {who:<14} {text}")

    def breach(self, promise: str, text: str) -> None:
        """A promise is broken."""
        self.breaches.append(f"{promise}: {text}")
        self.tell("BREACH", self.breaches[-1])

    # What people do -----------------------------------------------------------------------------------------------

    def order(self, region: str, key: RequestKey, word: PersonWord, number: int | None = None) -> None:
        """A person says a word on a request, in one region."""
        number = self.orders.get(key, 0) + 1 if number is None else number
        self.orders[key] = max(number, self.orders.get(key, 0))
        at_us = round(1e6 * self.now_s)
        partition = partition_of(key.parent, self.shape.partitions)
        self.tell(region, f"a person says {word} of {key}, number {number}")
        self._say(region, partition, RequestOrder(key, number, word, "eve", at_us))

    def order_region(self, region: str, about: str, word: PersonWord) -> None:
        """A person says a word on a region, in one region, in each ledger partition."""
        number = self.region_orders[about] = self.region_orders.get(about, 0) + 1
        at_us = round(1e6 * self.now_s)
        self.tell(region, f"a person says {word} of region {about}")
        for partition in range(self.shape.partitions):
            self._say(region, partition, RegionOrder(about, number, word, "eve", at_us))

    def _say(self, region: str, partition: int, statement: Statement) -> None:
        records = self.sites[region].records
        if (LEDGER, partition) in records.parts:
            records.append(LEDGER, partition, [Record(*encode_statement(statement))])

    # The frame ----------------------------------------------------------------------------------------------------

    @contextmanager
    def real_roles_in_it(self) -> Iterator[None]:
        """Within it the real code is surrounded by this world: releases, children, and a log that is told here."""
        handler = _StoryTeller(self)
        logger = logging.getLogger("tocsin")
        logger.addHandler(handler)
        propagates, logger.propagate = logger.propagate, False
        level = logger.level
        logger.setLevel(logging.INFO)
        try:
            with releases(), mock.patch.object(asyncio, "create_subprocess_exec", child_starter(self.sites)):
                yield
        finally:
            logger.removeHandler(handler)
            logger.propagate = propagates
            logger.setLevel(level)


class _StoryTeller(logging.Handler):
    """Puts what the roles log into the story."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.INFO)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        process = PROCESS.get()
        partition = getattr(record, "partition", None)
        where = "" if partition is None else f"[{partition}] "
        request = getattr(record, "request", "")
        text = f"{where}{record.getMessage()}{f' ({request})' if request else ''}"
        self._world.tell(process.name if process else "world", text)
        if record.exc_info and record.levelno >= logging.ERROR:
            self._world.tell("", f"because {record.exc_info[1]!r}")


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
                "limits": shape.limits,
            }
        )

    return Topology(tuple(region(name) for name in shape.regions))

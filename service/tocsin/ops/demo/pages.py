"""The demo's pages: who is to be told of what, what came, and the account of both.

The people are in the directory as anybody's are: applied as a file, on the mirrored topic. Each has a webhook of the
receiver. What is due is known from what was sent and accepted; what came, from the receiver; which pages were in flight
when a region was killed, from the regions' own feedback.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import yaml

from tocsin.core.events import ROUTING_KEY_LENGTH
from tocsin.core.paging.assignments import user_partition
from tocsin.core.paging.feedback import ChannelKey, End, Intent, IntentId, Outcome, decode_feedback
from tocsin.core.paging.limits import PagingLimits
from tocsin.engines.directory_file import parse_directory
from tocsin.engines.log import Log
from tocsin.ops import directory
from tocsin.ops.demo.receiver import Bundle, Pair, Receiver
from tocsin.settings import Settings
from tocsin.topology import Region, Topology

SERVICE: Final = "on-call-demo"
PEOPLE_A_PARTITION: Final = 3
BATCH_RECORDS: Final = 1_000
OVERRIDES: Final = {
    "PAGING__PACE_S": 2.0,
    "PAGING__LOOK_AHEAD_S": 0.5,
    "PAGING__BACKSTOP_S": 3.0,
    "PAGING__SILENCE_S": 3.0,
    "PAGING__STEP_IN_S": 1.0,
    "PAGING__END_S_MAX": 20.0,
    "DELIVERY__WEBHOOKS__ALLOW_PRIVATE": True,
}
"""The demo's limits of paging: shorter than a deployment's, for nobody learns more by waiting longer."""


@dataclass(slots=True)
class Account:
    """What build/demo.json says of pages. Pairs are (incident, person); `in_flight`: pages whose end nobody knows."""

    due: int
    sent: int
    """Bundles that came."""
    duplicate: int
    """Bundles that told somebody what an earlier one had, but for those of the cut."""
    duplicate_cut: int
    in_flight: int
    missed: int
    late_p99_ms: float
    """From the moment when the channel wanted to page to the receiver, backstops included."""
    shares: dict[str, float]
    """What part of the pages each region sent while both served."""

    @property
    def ok(self) -> bool:
        """Whether all came, and nothing twice but what may."""
        fair = all(share >= SHARE_MIN for share in self.shares.values())
        return not self.missed and self.duplicate <= self.in_flight and fair


SHARE_MIN: Final = 0.4


@dataclass(slots=True)
class Pages:
    """What is due by now. `calm` and `cut` are of the scenes in which all is well, and in which mirrors are cut."""

    receiver: Receiver
    routing_key: str
    people: tuple[str, ...]
    regions: tuple[str, ...]
    limits: PagingLimits
    due: set[Pair] = field(default_factory=set)
    calm: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)

    def expect(self, request: str, *, scene: set[str] | None = None) -> None:
        """An accepted trigger of the service: all its people are to be told of it."""
        incident = request.partition(".")[0]
        self.due |= {Pair(incident, user) for user in self.people}
        if scene is not None:
            scene.add(incident)

    def missing(self) -> list[Pair]:
        """What is due and did not come yet."""
        return sorted(self.due - self.receiver.told().keys())

    def account(self, feedback: Iterable[Intent | End]) -> Account:
        """The whole, once all is quiet."""
        told = {pair: bundles for pair, bundles in self.receiver.told().items() if pair in self.due}
        again = {bundle.id: pair.incident in self.cut for pair, found in told.items() for bundle in _later(found)}
        bundles = {bundle.id: bundle for found in told.values() for bundle in found}
        late_ms = sorted((one.received_us - one.due_us) / 1e3 for one in bundles.values())
        in_cut = sum(again.values())
        return Account(
            due=len(self.due),
            sent=len(bundles),
            duplicate=len(again) - in_cut,
            duplicate_cut=in_cut,
            in_flight=len(unended(feedback)),
            missed=len(self.missing()),
            late_p99_ms=round(late_ms[int(0.99 * (len(late_ms) - 1))], 1) if late_ms else 0.0,
            shares=self._shares(bundles.values()),
        )

    def _shares(self, bundles: Iterable[Bundle]) -> dict[str, float]:
        calm = [one.region for one in bundles if self.calm.intersection(one.new)]
        return {region: round(calm.count(region) / max(len(calm), 1), 2) for region in self.regions}


def _later(bundles: Iterable[Bundle]) -> list[Bundle]:
    """All but the first that came."""
    return sorted(bundles, key=lambda one: one.received_us)[1:]


def unended(feedback: Iterable[Intent | End]) -> set[tuple[IntentId, ChannelKey]]:
    """The intents that have no end that anybody is sure of. An id alone is unique within one user partition only."""
    intents: set[tuple[IntentId, ChannelKey]] = set()
    sure: set[tuple[IntentId, ChannelKey]] = set()
    for said in feedback:
        match said:
            case Intent():
                intents.add((said.id, said.channel))
            case End(outcome=outcome) if outcome is not Outcome.UNKNOWN:
                sure.add((said.id, said.channel))
    return intents - sure


async def read_feedback(logs: Mapping[str, Log], regions: Iterable[Region]) -> list[Intent | End]:
    """All that each region's notifiers said in its own log."""
    found: list[Intent | End] = []
    for region in regions:
        topic, log = region.feedback_topics[region.name], logs[region.name]
        for partition in range(region.partitions):
            offset, end = await log.bounds(topic, partition)
            while offset < end:
                fetched = await log.fetch(
                    topic, partition, offset, records_max=BATCH_RECORDS, bytes_max=4 * 1024 * 1024, wait_s=0
                )
                said = (decode_feedback(one.record.value) for one in fetched.records)
                found += [one for one in said if isinstance(one, Intent | End)]
                offset = fetched.next_offset
    return found


async def hire(settings: Settings, topology: Topology, receiver: Receiver) -> Pages:
    """Puts the people and their service into the directory of one region; the mirror brings them to the others."""
    routing_key = secrets.token_hex(ROUTING_KEY_LENGTH // 2)
    people = _named(topology.regions[0].partitions)
    form = yaml.safe_dump(_form(people, receiver.url, routing_key))
    content = parse_directory(form.encode(), "the demo's people")
    async with directory.opened(settings, topology, None) as place:
        changes = directory.plan(place.directory.records(), content, "the demo's people", prune=False)
        await directory.apply(settings, place, changes, by="tocsin demo")
    return Pages(receiver, routing_key, people, topology.names, topology.regions[0].paging)


def _named(partitions: int) -> tuple[str, ...]:
    """As many people in each user partition: which region sends first is settled by partition."""
    found: dict[int, list[str]] = {number: [] for number in range(partitions)}
    for number in count():
        name = f"person-{number:02}"
        some = found[user_partition(name, partitions)]
        if len(some) < PEOPLE_A_PARTITION:
            some.append(name)
        if all(len(names) == PEOPLE_A_PARTITION for names in found.values()):
            break
    return tuple(sorted(name for names in found.values() for name in names))


def _form(people: Iterable[str], url: str, routing_key: str) -> dict[str, Any]:
    service = {
        "id": SERVICE,
        "name": "Paged in the demo",
        "routing_keys": [routing_key],
        "responders": list(people),
        "urgency": "high",
    }
    users = [
        {
            "id": name,
            "name": name,
            "email": f"{name}@example.org",
            "methods": [{"id": "hook", "kind": "webhook", "address": f"{url}/{name}"}],
            "rules": [{"method": "hook"}],
        }
        for name in people
    ]
    return {"services": [service], "users": users}

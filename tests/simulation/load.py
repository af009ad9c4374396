"""The load: what clients, people and foreign producers send, and which of it was accepted.

A client makes the id of what it sends (most of the time), and when it gets no answer it sends the same again, to
another region perhaps: so one request stands in several logs with several arrival times. What was answered with 202 is
accepted, what was refused is not, and what got no answer may be anywhere: it is then bound by agreement alone.
"""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any, Final

from tests.simulation.loop import EPOCH_S
from tests.simulation.releases import POISON, TAR
from tests.simulation.world import World
from tocsin.core.acts import Agent, act_body
from tocsin.core.directory import Ack, PeerUnreachable, RoutingKey, Service, hash_key
from tocsin.core.events import InvalidEvent, checked_act, client_digest, request_body
from tocsin.core.ids import Parent, RequestKey, format_id, partition_of
from tocsin.core.requests import Record, Request, encode_request
from tocsin.roles.minting import Accepted, NotTaken
from tocsin.topology import REQUESTS

ANSWER_S_MAX: Final = 5.0
TRIES_MAX: Final = 4
PARENTS: Final = 40
KEYS: Final = {f"s{n}": f"{n:032d}" for n in range(8)}
SERVICES: Final = tuple(
    Service(
        id=id,
        name=f"Service {n}",
        keys=(RoutingKey(hash_key(key)),),
        ack=Ack.ALL_REGIONS if n in (6, 7) else Ack.REGION,
        when_peer_unreachable=PeerUnreachable.ACCEPT if n == 7 else PeerUnreachable.REFUSE,  # the last
    )
    for n, (id, key) in enumerate(KEYS.items())
)


class Load:
    """What is sent in one run."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.sent = 0
        self._world = world
        self._chance = chance
        self._tasks: set[asyncio.Task[None]] = set()
        self._ids: list[tuple[Parent, int]] = []

    # Clients ------------------------------------------------------------------------------------------------------

    def send(self, dedup_key: str | None = None, service: Service | None = None, given_id: int | None = None) -> None:
        """A client sends an event; it is told to nobody how that ends."""
        chance = self._chance
        self.sent += 1
        service = service or chance.choice(SERVICES)
        event = self._event(service, dedup_key or f"alert-{chance.randrange(PARENTS)}")
        if given_id is None and chance.random() < 0.7:  # the rest lets intake make it
            given_id = int(EPOCH_S + self._world.now_s) << 32 | chance.getrandbits(32)
        regions = sorted(self._world.sites)
        chance.shuffle(regions)
        self._start(self._send(service, event, given_id, regions))

    def send_pair(self, kind: str) -> None:
        """Two events with one id under one parent: different ones (a collision), or the same in two regions."""
        chance, service = self._chance, self._chance.choice(SERVICES)
        given_id = int(EPOCH_S + self._world.now_s) << 32 | chance.getrandbits(32)
        dedup_key = f"alert-{chance.randrange(PARENTS)}"
        event = self._event(service, dedup_key)
        other = self._event(service, dedup_key) if kind == "collision" else event
        first, *rest = sorted(self._world.sites)
        self.sent += 2
        self._start(self._send(service, event, given_id, [first]))
        self._start(self._send(service, other, given_id, rest))

    def _event(self, service: Service, dedup_key: str) -> dict[str, Any]:
        chance = self._chance
        if self._ids and chance.random() < 0.12:  # some people act
            return self._act(dedup_key)
        action = chance.choices(("trigger", "acknowledge", "resolve"), (6, 2, 3))[0]
        event: dict[str, Any] = {
            "routing_key": KEYS[service.id],
            "event_action": action,
            "dedup_key": dedup_key,
        }
        if action == "trigger":
            event["payload"] = {"summary": f"n {self.sent}", "source": "sim", "severity": "error"}
        else:
            event["n"] = self.sent  # or two of them would be one
        return event

    def _act(self, dedup_key: str) -> dict[str, Any]:
        """What a person does through the REST interface: schema version 2."""
        agent = Agent(email="eve@example.org")
        if self._chance.random() < 0.4:
            payload = {"summary": f"by hand {self.sent}", "source": "eve", "severity": "info"}
            act = act_body("trigger", agent, payload=payload)
        else:
            parent, id = self._chance.choice(self._ids)
            dedup_key = parent.dedup_key
            action = self._chance.choice(("acknowledge", "resolve", "annotate"))
            act = act_body(action, agent, incident=format_id(id), note=f"note {self.sent}")
        return checked_act({**act, "dedup_key": dedup_key})

    async def _send(self, service: Service, event: dict[str, Any], given_id: int | None, regions: list[str]) -> None:
        """Tries region after region until one accepts it or refuses it for good."""
        for attempt in range(TRIES_MAX):
            region = regions[attempt % len(regions)]
            try:
                async with asyncio.timeout(ANSWER_S_MAX):
                    accepted = await self._post(region, service, event, given_id)
            except InvalidEvent as error:
                raise AssertionError(f"the load sends what is no event: {error.errors}") from error
            except (NotTaken, TimeoutError):
                await asyncio.sleep(self._chance.uniform(0.1, 1.0))
                continue
            request = accepted.request
            self._world.accepted[accepted.key] = region, request.received_us
            self._ids.append((accepted.key.parent, accepted.key.id))
            return

    async def _post(self, region: str, service: Service, event: dict[str, Any], given_id: int | None) -> Accepted:
        """What an intake answers, if it is there and lives to do so."""
        site = self._world.sites[region]
        process, mint = site.process("intake"), site.mint
        if process is None or mint is None:
            raise NotTaken("connection refused", may_be_recorded=False)
        loop = self._world.loop
        answer: asyncio.Future[Accepted] = loop.create_future()

        async def handle() -> None:
            try:
                result = await mint.record(service, event, given_id)
            except (NotTaken, InvalidEvent) as error:
                if not answer.done():
                    answer.set_exception(error)
                return
            if not answer.done():
                answer.set_result(result)

        loop.spawn(process, handle())
        return await answer

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Waits until everybody has their answer."""
        await asyncio.gather(*self._tasks)

    # Foreign producers --------------------------------------------------------------------------------------------

    def append_bad(self, region: str, kind: str, service: str) -> None:
        """A producer that is not ours appends what no creator can store, or what kills it."""
        chance = self._chance
        self.sent += 1
        name = {"poison": POISON, "tar": TAR}.get(kind, "bad")
        parent = Parent(service, f"{name}-{chance.randrange(1_000_000)}")
        id = int(EPOCH_S + self._world.now_s) << 32 | chance.getrandbits(32)
        payload = {"summary": name, "source": "foreign", "severity": "info"}
        event = {"event_action": "trigger", "dedup_key": parent.dedup_key, "payload": payload}
        body = b"{" + chance.randbytes(8) if kind == "invalid" else request_body(event, parent.dedup_key)
        digest = chance.randbytes(16) if kind == "digest" else client_digest(parent, body)
        at_us = round((EPOCH_S + self._world.now_s) * 1e6)
        record = encode_request(Request(RequestKey(parent, id, digest), at_us, region, 1, body))
        if kind == "garbage":
            record = Record(parent.encode(), chance.randbytes(20), (), 0)
        records = self._world.sites[region].records
        partition = partition_of(parent, self._world.shape.partitions)
        if (REQUESTS, partition) in records.parts:
            records.append(REQUESTS, partition, [record])


BAD_KINDS: Final = ("invalid", "garbage", "digest", "poison", "tar")

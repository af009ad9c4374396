"""The outside: providers, and the people behind them. What arrived there, and when, is what pages are judged by."""

import asyncio
import random
from dataclasses import dataclass
from typing import Final, NamedTuple

from tests.simulation.ailments import Ailment
from tests.simulation.network import FINE, Fate, Server
from tocsin.core.ids import RequestKey
from tocsin.core.paging.feedback import Outcome
from tocsin.core.paging.people import Method, MethodKind
from tocsin.engines.errors import Refused, Unavailable
from tocsin.roles.delivery.message import Message
from tocsin.roles.delivery.provider import Delivery

CALL_S: Final = (0.02, 0.6)
FOR_EVER_S: Final = 1e6


class Receipt(NamedTuple):
    """A page that arrived: true time, from which region, the bundle's name, and the incidents that it told as new."""

    at_s: float
    region: str
    page: str
    user: str
    incidents: frozenset[RequestKey]


class Outside:
    """Everybody who is told."""

    def __init__(self) -> None:
        self.receipts: list[Receipt] = []
        self._pages: set[str] = set()

    def take(self, at_s: float, region: str, message: Message) -> None:
        """A page arrives. One that comes again by its name is known to be the same."""
        if message.id not in self._pages:
            self._pages.add(message.id)
            new = frozenset(item.assignment.incident for item in message.bundle.items if item.is_new)
            self.receipts.append(Receipt(at_s, region, message.id, message.bundle.person.id, new))


@dataclass(frozen=True)
class Moody(Ailment):
    """A provider that refuses some calls, takes some and does not say so, and loses some."""

    refuses_share: float
    unsure: float

    def fate(self, op: str, net: random.Random) -> Fate:
        if net.random() < self.unsure:
            return Fate(0.5 * net.random(), "no answer", applied=net.random() < 0.5)
        return FINE


@dataclass(frozen=True)
class Hanging(Ailment):
    """A provider that takes pages, or not, and never answers."""

    def fate(self, op: str, net: random.Random) -> Fate:
        return Fate(FOR_EVER_S, "never answers", applied=net.random() < 0.5)


class SimProvider:
    """What a region calls to reach people by one kind of method."""

    def __init__(self, region: str, kind: MethodKind, server: Server, outside: Outside) -> None:
        self._region = region
        self._kind = kind
        self._server = server
        self._outside = outside

    async def deliver(self, message: Message, method: Method) -> Delivery:
        """See `Provider`. A mail that may have gone is not sent again; a webhook's receiver knows a repeat."""
        around = self._server.around

        def arrive() -> None:
            shares = [one.refuses_share for one in self._server.ailments if isinstance(one, Moody)]
            if any(around.net.random() < share for share in shares):
                raise Refused("not taken")
            self._outside.take(around.now_s, self._region, message)

        await asyncio.sleep(around.net.uniform(*CALL_S))
        try:
            await self._server.call(f"deliver {message.id} {method.id}", arrive)
        except Refused:
            return Delivery(Outcome.FAILED, "not taken")
        except Unavailable as error:
            return Delivery(Outcome.UNKNOWN, str(error), may_repeat=self._kind is MethodKind.WEBHOOK)
        return Delivery(Outcome.DELIVERED)

    async def close(self) -> None:
        """There is nothing to free."""

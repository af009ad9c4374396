"""What is seen while it happens: the states that a region's pages are in, and promises that can be judged at once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from unittest import mock

from tests.simulation.loop import PROCESS
from tests.simulation.paging.outside import SimProvider
from tests.simulation.paging.world import PagingWorld
from tocsin.core.effects import Now
from tocsin.core.ids import RequestKey
from tocsin.core.paging.effects import Assigned, CaughtUp, Effect, Ended, HandOver, Input, SayIntents
from tocsin.core.paging.feedback import End, Feedback, Intent, decode_feedback
from tocsin.core.paging.pager import Pager
from tocsin.core.paging.people import Method
from tocsin.core.requests import Record
from tocsin.roles.delivery.message import Message
from tocsin.roles.delivery.provider import Delivery
from tocsin.topology import FEEDBACK

STATES: Final = ("decided", "logged", "in call", "ended", "catching up", "waiting", "quiet")
"""Of the pages of a region: decided and not on the log; on the log and not called; with a provider; ended, and the end
not on the log. Of an owner: it reads and does not send yet. `waiting`: channels leave their moment to another region.
"""


class PagingWatch:
    """Watches all pagers and providers of a world."""

    def __init__(self, world: PagingWorld, seen: Callable[[str, frozenset[str]], None]) -> None:
        """`seen` is told of the states of a region whenever they may have changed."""
        self._world = world
        self._seen = seen
        self._pages: dict[str, dict[str, str]] = {name: {} for name in world.sites}
        """Page to state."""
        self._closed: dict[Pager, set[tuple[str, RequestKey]]] = {}
        self._starting: dict[str, set[Pager]] = {name: set() for name in world.sites}
        self._waiting: dict[Pager, bool] = {}
        for name, site in world.sites.items():
            site.records.appended.append(self._logged_in(name))

    def present(self, region: str) -> frozenset[str]:
        """The states that there are now."""
        states = set(self._pages[region].values())
        if self._starting[region]:
            states.add("catching up")
        if any(waiting for pager, waiting in self._waiting.items() if pager._region == region):
            states.add("waiting")
        return frozenset(states or {"quiet"})

    @contextmanager
    def over_machines(self) -> Iterator[None]:
        """Within it every step and every call is seen."""
        step, deliver = Pager.step, SimProvider.deliver

        def stepped(pager: Pager, event: Input, now: Now) -> list[Effect]:
            effects = step(pager, event, now)
            self._stepped(pager, event, effects)
            return effects

        async def delivered(provider: SimProvider, message: Message, method: Method) -> Delivery:
            self._called(provider._region, message)
            delivery = await deliver(provider, message, method)
            self._put(provider._region, message.id, "logged")
            return delivery

        with mock.patch.object(Pager, "step", stepped), mock.patch.object(SimProvider, "deliver", delivered):
            yield

    def died(self, region: str) -> None:
        """What its processes had in hand is gone."""
        self._pages[region].clear()
        self._starting[region].clear()
        for pager in [pager for pager in self._waiting if pager._region == region]:
            del self._waiting[pager]

    def _put(self, region: str, page: str, state: str) -> None:
        if state:
            self._pages[region][page] = state
        else:
            self._pages[region].pop(page, None)
        self._seen(region, self.present(region))

    def _stepped(self, pager: Pager, event: Input, effects: list[Effect]) -> None:
        region = pager._region
        closed = self._closed.get(pager)
        if closed is None:
            closed = self._closed[pager] = set()
            self._starting[region].add(pager)
        match event:
            case Assigned(assignments):
                closed.update((one.user, one.incident) for one in assignments if not one.is_open)
            case CaughtUp():
                self._starting[region].discard(pager)
            case Ended(id):
                for page in [page for page in self._pages[region] if page.startswith(f"{id}-")]:
                    self._put(region, page, "ended")
        for effect in effects:
            if isinstance(effect, SayIntents):
                for intent in effect.intents:
                    self._put(region, intent.name, "decided")
                    what = f"{intent.why}, place {intent.place}, {len(intent.pairs)} pairs"
                    self._world.tell(region, f"decides {intent.name} by {intent.channel.method}: {what}")
            elif isinstance(effect, HandOver):
                user = effect.bundle.person.id
                stale = [one for one in effect.bundle.items if (user, one.assignment.incident) in closed]
                if stale:
                    self._world.breach("10, never what is closed", f"{effect.bundle.intent.name} hands over {stale}")
        if self._waiting.get(pager, False) != (pager._agenda.waiting > 0):
            self._waiting[pager] = pager._agenda.waiting > 0
            self._seen(region, self.present(region))

    def _called(self, region: str, message: Message) -> None:
        process = PROCESS.get()
        self._world.tell(process.name if process else region, f"calls a provider with {message.id}")
        said = (one.what for one in self._world.said[region] if one.source == region)
        if message.bundle.intent not in (one for one in said if isinstance(one, Intent)):
            self._world.breach("10, intent before call", f"{message.id} is with a provider, and not on the log")
        self._put(region, message.id, "in call")

    def _logged_in(self, region: str) -> Callable[[str, int, int, Sequence[Record]], None]:
        def logged(topic: str, _partition: int, _first: int, records: Sequence[Record]) -> None:
            if topic == FEEDBACK:
                for record in records:
                    self._logged(region, decode_feedback(record.value))

        return logged

    def _logged(self, region: str, what: Feedback | None) -> None:
        if isinstance(what, Intent) and self._pages[region].get(what.name) == "decided":
            self._put(region, what.name, "logged")
        elif isinstance(what, End):
            page = f"{what.id}-{what.channel.user}"
            if self._pages[region].get(page) == "ended":
                self._put(region, page, "")

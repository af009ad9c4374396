"""Calls over a simulated network: they take time, they can be lost on the way there or back, and what is under way when
the caller dies arrives all the same.

A server (a log, a store) is code that runs in the world, in no process. A call is two messages: what the caller asked
for is applied when the first arrives, be the caller alive or not, and the caller learns of it when the second does.
Ailments stand before the server: each may delay a call, or take it or its answer away.
"""

import asyncio
import contextvars
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from tests.simulation.loop import PROCESS
from tocsin.core.ids import Parent
from tocsin.engines.errors import EngineError, Unavailable

T = TypeVar("T")
LATENCY_S: Final = (0.0005, 0.004)
BACK_CHANCE: Final = 0.15
"""So often the way back takes a time of its own; else it is counted with the way there."""


class Trace:
    """A digest of everything that happened, in order: equal for two runs exactly when they were the same run."""

    def __init__(self) -> None:
        self.digest = 0
        self.events = 0

    def add(self, event: str) -> None:
        """Takes one event in."""
        self.digest = zlib.crc32(event.encode("utf-8", "backslashreplace"), self.digest)
        self.events += 1


@dataclass
class Surrounding:
    """What every simulated part leans on."""

    loop: asyncio.AbstractEventLoop
    net: random.Random
    """Chance on the network: latencies, losses."""
    trace: Trace = field(default_factory=Trace)
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    """The world's own: what runs in it belongs to no process."""

    @property
    def now_s(self) -> float:
        """True time since the start."""
        return self.loop.time()

    def later(self, delay_s: float, act: Callable[..., Any], *args: Any) -> None:
        """Has the world do something later."""
        self.loop.call_later(delay_s, act, *args, context=self.context)


@dataclass(frozen=True)
class Fate:
    """What becomes of one call: it waits, and then perhaps it is not answered; `applied`, but it took effect."""

    delay_s: float = 0.0
    lost: str = ""
    """Why there is no answer; empty when there is one."""
    applied: bool = False


FINE: Final = Fate()


class Ailment(Protocol):
    """Something wrong with a server."""

    @property
    def is_dead(self) -> bool:
        """Whether nothing is answered at all."""

    def fate(self, op: str, net: random.Random) -> Fate:
        """What becomes of such a call."""

    def refuses(self, table: str, parent: Parent) -> bool:
        """Whether this row is refused on its merits."""

    def silent(self, table: str, parent: Parent) -> bool:
        """Whether there is no answer for this row."""


class Server:
    """What calls arrive at."""

    def __init__(self, name: str, around: Surrounding, behind: "Server | None" = None) -> None:
        """`behind`: the server that this one only leads to, so that what ails that one is felt here, too."""
        self.name = name
        self.around = around
        self.ailments: list[Ailment] = []
        self.generation = 0
        """Calls that were made to an earlier one have no effect any more."""
        self._behind = behind

    async def call(self, op: str, act: Callable[[], T]) -> T:
        """Asks the server for something; raises what it raises, and `Unavailable` when no answer comes."""
        around = self.around
        process = PROCESS.get()
        answer: asyncio.Future[T] = around.loop.create_future()
        who = process.name if process else "world"
        made_to = self.generation

        def arrived() -> T:
            if made_to != self.generation:
                raise Unavailable(f"{self.name} was put in the place of the one that was asked")
            return act()

        around.later(around.net.uniform(*LATENCY_S), self._arrive, op, arrived, answer, who)
        return await answer

    def _arrive(self, op: str, act: Callable[[], T], answer: "asyncio.Future[T]", who: str) -> None:
        around = self.around
        around.trace.add(f"{around.now_s:.6f} {who} {self.name} {op}")
        fate = self._fate(op)
        if fate.lost:
            if fate.applied:
                self._apply(act)
            around.later(fate.delay_s, _settle, answer, None, Unavailable(f"{self.name}: {fate.lost}"))
        elif fate.delay_s:
            around.later(fate.delay_s, self._answer, act, answer)
        else:
            self._answer(act, answer)

    def _fate(self, op: str) -> Fate:
        ailments = self.ailments if self._behind is None else [*self.ailments, *self._behind.ailments]
        if not ailments:
            return FINE
        delay_s = 0.0
        for ailment in ailments:
            fate = ailment.fate(op, self.around.net)
            if fate.lost:
                return fate
            delay_s += fate.delay_s
        return Fate(delay_s) if delay_s else FINE

    def _apply(self, act: Callable[[], T]) -> tuple[T | None, EngineError | None]:
        try:
            return act(), None
        except EngineError as error:
            return None, error

    def _answer(self, act: Callable[[], T], answer: "asyncio.Future[T]") -> None:
        result, error = self._apply(act)
        if self.around.net.random() < BACK_CHANCE:
            self.around.later(self.around.net.uniform(*LATENCY_S), _settle, answer, result, error)
        else:
            _settle(answer, result, error)


def _settle(answer: "asyncio.Future[Any]", result: Any, error: EngineError | None) -> None:
    if answer.done():
        return  # the caller has given up
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
        answer.exception()  # taken: if the caller is dead, nobody else will

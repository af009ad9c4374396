"""Virtual time, and processes that can end between any two steps.

Theory
------
An asyncio program is a sequence of *handles*: callbacks that the loop takes from a queue. If the loop decides what time
it is, and nothing outside of it can put a handle in, the whole program is a function of its inputs. So this loop has no
selector and no clock: when nothing is ready, time jumps to the next timer.

A *process* is what lives and dies together. Each task runs in a context that names its process, and so does every
handle that the task causes. To kill a process is to run none of its handles ever again, from any step on: no `finally`,
no `except`, exactly as after SIGKILL. To hang it is to put its handles aside until it goes on.
"""

import asyncio
import contextvars
import gc
import heapq
import os
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from unittest import mock

EPOCH_S: Final = 1_800_000_000
"""Unix time at the start of every run."""
STEPS_AT_ONE_TIME_MAX: Final = 200_000
"""More handles than this without time going on are a livelock."""
CLOSINGS_MAX: Final = 50
"""A coroutine that awaits while it is closed is closed again, so often at most."""
T = TypeVar("T")


class Stuck(Exception):
    """Nothing is ready and no timer is set, or time does not go on."""


class Process:
    """One process of a host. `skew_s`: what its host's clock is ahead of true time."""

    def __init__(self, name: str, region: str, loop: "VirtualLoop") -> None:
        self.name = name
        self.region = region
        self.alive = True
        self.hung = False
        self.steps = 0
        self.kill_at: int | None = None
        """It dies before it takes this step."""
        self.skew_s = 0.0
        self.at_death: list[Callable[[], None]] = []
        self.parked: list[asyncio.Handle] = []
        self._loop = loop
        self._remains: list[asyncio.Task[Any]] = []

    def die(self) -> None:
        """Ends it here and now, as SIGKILL does."""
        if not self.alive:
            return
        self.alive = False
        # Kept to the end of the run: a coroutine that is freed runs its `finally`, and the dead do not.
        tasks = asyncio.all_tasks(self._loop)
        self._remains = [task for task in tasks if isinstance(task, OrderedTask) and task.process is self]
        for tell in self.at_death:
            tell()

    def hang(self) -> None:
        """It takes no step until `go_on`."""
        self.hung = True


PROCESS: Final[contextvars.ContextVar[Process | None]] = contextvars.ContextVar("process", default=None)
"""Whose code runs. None: the world's own (servers, mirrors, clients, faults)."""


class OrderedTask(asyncio.Task[Any]):
    """A task that knows its process, and whose place in a set does not depend on where it lies in memory."""

    def __init__(self, coroutine: Any, loop: "VirtualLoop", context: contextvars.Context | None = None) -> None:
        loop.tasks_made += 1
        self._hash = loop.tasks_made
        self.process = PROCESS.get() if context is None else context.get(PROCESS)
        super().__init__(coroutine, loop=loop, context=context)

    def __hash__(self) -> int:
        return self._hash


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop in virtual time. `now_s` is true time since the start of the run."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.steps = 0
        self.tasks_made = 0
        self.faults: list[dict[str, Any]] = []
        """What tasks raised and nobody took, as exception handlers get it."""
        self._queue: list[asyncio.Handle] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timer_count = 0
        self._steps_now = 0
        self.set_task_factory(lambda _loop, coro, **more: OrderedTask(coro, self, **more))
        self.set_exception_handler(lambda _loop, fault: self.faults.append(fault))

    def time(self) -> float:
        """True time since the start."""
        return self.now_s

    # Scheduling: as the base class does it, without a clock -------------------------------------------------------

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:  # type: ignore[override] # any
        """Queues a handle."""
        handle = asyncio.Handle(callback, args, self, context)
        self._queue.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment] # there are no other threads

    def call_later(  # type: ignore[override] # any
        self, delay: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Sets a timer."""
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override] # any
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Sets a timer."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._timer_count += 1
        heapq.heappush(self._timers, (when, self._timer_count, timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays where it is and is passed over when it is due."""

    def _run_once(self) -> None:
        if not self._queue:
            self._go_on()
        queue, self._queue = self._queue, []
        for handle in queue:
            if handle._cancelled:
                continue
            process = handle._context.get(PROCESS)  # type: ignore[attr-defined] # asyncio's own
            if process is not None:
                if not process.alive:
                    continue
                if process.hung:
                    process.parked.append(handle)
                    continue
                process.steps += 1
                if process.kill_at is not None and process.steps >= process.kill_at:
                    process.die()
                    continue
            self.steps += 1
            handle._run()
        self._steps_now += len(queue)
        if self._steps_now > STEPS_AT_ONE_TIME_MAX:
            raise Stuck(f"{STEPS_AT_ONE_TIME_MAX} steps at {self.now_s:.6f} s, and time does not go on")

    def _go_on(self) -> None:
        """Lets time jump to the next timer, and queues all that are due then."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not timers:
            raise Stuck(f"nothing is left to be done at {self.now_s:.6f} s")
        if timers[0][0] > self.now_s:
            self.now_s, self._steps_now = timers[0][0], 0
        while timers and timers[0][0] <= self.now_s:
            self._queue.append(heapq.heappop(timers)[2])

    # Processes ----------------------------------------------------------------------------------------------------

    def spawn(self, process: Process, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts a task of a process; all that it starts belongs to the process, too."""
        context = contextvars.copy_context()
        context.run(PROCESS.set, process)
        return self.create_task(work, context=context)

    def wake(self, process: Process) -> None:
        """A process that hung goes on."""
        process.hung = False
        self._queue.extend(process.parked)
        process.parked.clear()


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]], seed: int) -> T:
    """Runs a coroutine function to its end in virtual time, with every source of chance drawn from the seed.

    What was abandoned in the middle (processes that were killed, what still waits) is closed afterwards, so that it
    cannot run on in the garbage collector during another run.
    """
    loop = VirtualLoop()
    collecting = gc.isenabled()
    gc.disable()
    try:
        with _chance(seed), _clocks(loop):
            try:
                return loop.run_until_complete(main(loop))
            finally:
                _abandon(loop)
    finally:
        loop.close()
        if collecting:
            gc.enable()


def _abandon(loop: VirtualLoop) -> None:
    tasks: list[Any] = sorted(asyncio.all_tasks(loop), key=hash)
    for task in tasks:
        task._log_destroy_pending = False  # that it is pending is what a kill means
        for _ in range(CLOSINGS_MAX):
            try:
                task.get_coro().close()
            except (Exception, BaseExceptionGroup):  # noqa: BLE001 - whatever it says, it is dead, and so is its world
                continue
            break
    loop._queue.clear()
    loop._timers.clear()


@contextmanager
def _chance(seed: int) -> Iterator[None]:
    """Whatever asks for randomness, in whatever way, gets it from the seed."""
    before = random.getstate()
    random.seed(f"{seed}/roles")
    source = random.Random(f"{seed}/urandom")
    try:
        with mock.patch.object(os, "urandom", source.randbytes), mock.patch("random._urandom", source.randbytes):
            yield
    finally:
        random.setstate(before)


@contextmanager
def _clocks(loop: VirtualLoop) -> Iterator[None]:
    """All clocks show virtual time; the Unix clock of a process shows its host's."""

    def unix_s() -> float:
        process = PROCESS.get()
        return EPOCH_S + loop.now_s + (process.skew_s if process else 0.0)

    def monotonic() -> float:
        return 1_000.0 + loop.now_s

    def unix_ns() -> int:
        return round(unix_s() * 1e6) * 1_000

    with (
        mock.patch.object(time, "time", unix_s),
        mock.patch.object(time, "time_ns", unix_ns),
        mock.patch.object(time, "monotonic", monotonic),
    ):
        yield

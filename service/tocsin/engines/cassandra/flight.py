"""What a session has in flight: bounded, counted in two threads, and told to the event loop when there is news for it.

Theory
------
The driver answers in callbacks, in the thread that reads its sockets. To wake the event loop for each of them would
cost more than the answer itself. So answers are counted where they arrive, and the loop is woken when there is
something to do: a call has all its answers, or one that waits for room can send a good many more.

Room is made by answers and not by whoever waits for them: a caller who is cancelled leaves requests behind that the
server works on yet, and those end by themselves, by an answer or their time limit.
"""

import asyncio
import contextlib
import threading
from typing import Any, Final

Row = tuple[Any, ...]
"""A row's columns, in the order in which the statement names them."""
EMPTY_LOOK_S: Final = 0.01
ROOM: Final = 16
"""Who waits for room is woken for so many places at once."""


class Call:
    """The requests of one call, and what came of them."""

    __slots__ = ("done", "errors", "left", "rows")

    def __init__(self, requests: int) -> None:
        self.left = requests
        self.rows: list[Row] | None = None
        self.errors: dict[int, Exception] = {}
        self.done: asyncio.Future[None] | None = None


class Flight:
    """What is in flight: counted up by the event loop's thread, and down by the driver's."""

    def __init__(self, at_most: int) -> None:
        self.used = 0
        self._at_most = at_most
        self._room = min(ROOM, at_most)
        self._lock = threading.Lock()
        self._waiting: list[asyncio.Future[None]] = []
        self._landed: list[Call] = []
        self._is_woken = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def has_room(self) -> bool:
        """Whether one more may be sent at once: never past those who wait for room."""
        return self.used < self._at_most and not self._waiting

    async def room(self) -> None:
        """Returns when one more may be sent."""
        self._loop = asyncio.get_running_loop()
        while True:
            with self._lock:
                if self.has_room():
                    return
                waiter: asyncio.Future[None] = self._loop.create_future()
                self._waiting.append(waiter)
            await waiter
            if self.used < self._at_most:  # those who were woken with us may have taken it
                return

    def take(self) -> None:
        """Counts a request that is being sent."""
        with self._lock:
            self.used += 1

    def land(self, call: Call, *, took: bool = True) -> None:
        """Counts an answer, or what was never sent (`took` is false); from any thread."""
        with self._lock:
            self.used -= took
            call.left -= 1
            if call.left == 0 and call.done is not None:
                self._landed.append(call)
            elif not (self._waiting and self._at_most - self.used >= self._room):
                return
            if self._is_woken:
                return
            self._is_woken = True
        with contextlib.suppress(RuntimeError):  # of a loop that was closed: nobody waits there any more
            assert self._loop is not None  # noqa: S101 - somebody waits, so there is one
            self._loop.call_soon_threadsafe(self._look)

    async def landed(self, call: Call) -> None:
        """Returns when all requests of a call have their answers."""
        self._loop = asyncio.get_running_loop()
        with self._lock:
            if call.left == 0:
                return
            call.done = self._loop.create_future()
        await call.done

    async def empty(self) -> None:
        """Returns when nothing is in flight: at the latest when the last request's time is over."""
        while self.used:  # noqa: ASYNC110 - counted down in the driver's thread, where no Event may be set
            await asyncio.sleep(EMPTY_LOOK_S)

    def _look(self) -> None:
        """In the event loop: tells all that there is by now."""
        with self._lock:
            self._is_woken = False
            landed, self._landed = self._landed, []
            waiting: list[asyncio.Future[None]] = []
            if self._at_most - self.used >= self._room:
                waiting, self._waiting = self._waiting, []
        for future in (*(call.done for call in landed), *waiting):
            if future is not None and not future.done():  # else whoever waited was cancelled
                future.set_result(None)

"""Trials: a suspect request is tried alone in a child process, with limits of time and memory.

What kills or hangs the child would have killed or hung the creator: the request is CRASHED, and its neighbours go on.
Most suspects are innocent, they were merely in hand when the process ended. So a set is tried as a whole first; only
when that ends the child is each of it tried alone, and only what ends the child *alone* is CRASHED.
The child runs `serve`. It lives on from trial to trial and is replaced when one ends it; it speaks MessagePack with a
length before it on its standard input and output.

What has ended or hung a child alone is tried again and again, and each hang takes the whole limit. So it waits until
nobody else does: else the innocent of a set wait for a round of hangs each.

The child says when it has a request in hand. One that ended before that, idle, says nothing of the request that finds
it dead: a child that was killed between two trials must not bear witness against a good request.
"""

import asyncio
import contextlib
import resource
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from typing import Final

import msgspec

from tocsin.core.failures import Failure, Kind
from tocsin.core.ids import RequestKey
from tocsin.core.incidents import fold
from tocsin.core.requests import Request
from tocsin.engines.errors import EngineError
from tocsin.engines.store import Store
from tocsin.roles.writer import validate

TRIAL_S_MAX: Final = 15.0
"""A trial that takes longer hangs. Above every time-out of a store, so that a slow store is not taken for it."""
START_S_MAX: Final = 30.0
HAND_S_MAX: Final = 5.0
"""A child that does not even take a request in this time is replaced."""
END_S_MAX: Final = 1.0
TRIAL_BYTES_MAX: Final = 1 << 30
"""Address space of the child."""
CRASHED_MAX: Final = 10_000
"""Of so many it is remembered that they crashed; others take their turn as if they had not."""
_LENGTH: Final = struct.Struct(">I")


class Trials:
    """Tries requests in a child process; one trial at a time in a creator."""

    def __init__(self, command: Sequence[str], *, trial_s_max: float = TRIAL_S_MAX) -> None:
        """`command` starts a child that runs `serve` on the same store."""
        self._command = command
        self._trial_s_max = trial_s_max
        self._child: Process | None = None
        self._lock = asyncio.Lock()
        self._crashed: dict[RequestKey, Failure] = {}
        """What ended or hung a child when it was last tried alone, and how."""
        self._others = 0
        """How many trials of anything else wait or are under way."""

    @property
    def busy(self) -> bool:
        """Whether a trial is under way; others wait for it."""
        return self._lock.locked()

    async def write(self, requests: Sequence[Request]) -> dict[int, Failure]:
        """Stores the requests, all in one trial or each tried alone; returns the failures by index.

        One of a set that has crashed alone before is not tried again: it is a copy, and whoever keeps the first one
        retries that. Else a request that hangs, once more in each of many sets, would take the time limit of each.
        """
        if len(requests) == 1:
            return await self._try_in_turn(requests)
        failures = {i: self._crashed[one.key] for i, one in enumerate(requests) if one.key in self._crashed}
        others = [index for index in range(len(requests)) if index not in failures]
        together = await self._try_in_turn([requests[index] for index in others]) if others else {}
        for place, index in enumerate(others):
            failure = together.get(place)
            if failure is not None and failure.kind is Kind.CRASHED:  # one of them; so each was
                one = requests[index]
                failure = self._crashed.get(one.key) or (await self._try_in_turn([one])).get(0)
            if failure is not None:
                failures[index] = failure
        return failures

    async def _try_in_turn(self, requests: Sequence[Request]) -> dict[int, Failure]:
        """One trial at a time, in the order in which they came, but for what crashed before: that comes last."""
        last = all(request.key in self._crashed for request in requests)
        self._others += not last
        try:
            while True:
                async with self._lock:  # which is fair: who lets others go first waits behind all that wait
                    if not (last and self._others):
                        return await self._try_and_remember(requests)
        finally:
            self._others -= not last

    async def _try_and_remember(self, requests: Sequence[Request]) -> dict[int, Failure]:
        failures = await self._try(requests)
        if len(requests) == 1:
            if not failures or failures[0].kind is not Kind.CRASHED:
                self._crashed.pop(requests[0].key, None)
            elif len(self._crashed) < CRASHED_MAX:
                self._crashed[requests[0].key] = failures[0]
        return failures

    async def _try(self, requests: Sequence[Request]) -> dict[int, Failure]:
        def all_failed(kind: Kind, reason: str) -> dict[int, Failure]:
            return dict.fromkeys(range(len(requests)), Failure(kind, reason))

        try:
            child = await self._hand(msgspec.msgpack.encode(requests))
        except (OSError, EOFError) as error:  # a time-out is an OSError
            await self.close()
            what = f"no child for trials takes requests: {type(error).__name__}: {error}"
            return all_failed(Kind.UNAVAILABLE, what)
        except BaseException:
            self._kill()  # what it says of itself would be taken for an answer to the next request
            raise
        try:
            async with asyncio.timeout(self._trial_s_max):
                raw = await _receive(child)
        except TimeoutError:
            await self.close()
            return all_failed(Kind.CRASHED, f"tried alone in a child process, it hung for {self._trial_s_max:g} s")
        except (EOFError, ConnectionError):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_S_MAX):  # of itself: a kill of ours would hide how it ended
                    await child.wait()
            code = await self.close()
            return all_failed(Kind.CRASHED, f"tried alone in a child process, it ended that child ({_ending(code)})")
        except BaseException:
            self._kill()  # its late answer would be taken for that to the next request
            raise
        try:
            return decode_failures(raw)
        except ValueError as error:
            await self.close()  # what else it would say is not to be trusted either
            return all_failed(Kind.CRASHED, f"tried alone in a child process, it made that child say nonsense: {error}")

    async def _hand(self, message: bytes) -> Process:
        """A child that has the request in hand: the one that is there, or a new one if that has died idle."""
        if self._child is not None:
            try:
                return await self._hand_to(self._child, message)
            except (EOFError, ConnectionError, TimeoutError):
                await self.close()
        child = self._child = await asyncio.create_subprocess_exec(*self._command, stdin=PIPE, stdout=PIPE)
        async with asyncio.timeout(START_S_MAX):
            await _receive(child)  # an empty message: it is ready
        return await self._hand_to(child, message)

    async def _hand_to(self, child: Process, message: bytes) -> Process:
        async with asyncio.timeout(HAND_S_MAX):
            await _send(child, message)
            await _receive(child)  # an empty message: it has it in hand
        return child

    async def close(self) -> int | None:
        """Ends the child; returns its exit status."""
        child = self._kill()
        return None if child is None else await child.wait()

    def _kill(self) -> Process | None:
        child, self._child = self._child, None
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        return child


def _ending(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"


async def _send(child: Process, message: bytes) -> None:
    if child.stdin is None:
        raise EOFError
    child.stdin.write(_LENGTH.pack(len(message)) + message)
    await child.stdin.drain()


async def _receive(child: Process) -> bytes:
    if child.stdout is None:
        raise EOFError
    (length,) = _LENGTH.unpack(await child.stdout.readexactly(_LENGTH.size))
    return await child.stdout.readexactly(length)


async def try_all(store: Store, requests: Sequence[Request]) -> dict[int, Failure]:
    """Everything that a creator does with requests, but for putting the fold: that is the owner's."""
    entries, failures = validate(requests)
    places = list(entries)
    failures |= {places[place]: failure for place, failure in (await store.write(list(entries.values()))).items()}
    stored = {index: entry for index, entry in entries.items() if index not in failures}
    try:
        parents = await store.entries_of(list(dict.fromkeys(entry.key.parent for entry in stored.values())))
    except EngineError as error:
        return failures | dict.fromkeys(stored, Failure(Kind.UNAVAILABLE, str(error)))
    for parent_entries in parents.values():
        fold(parent_entries)
    return failures


def decode_failures(raw: bytes) -> dict[int, Failure]:
    """A child's answer: what failed, by the request's index. Raises ValueError when it is none."""
    return msgspec.msgpack.decode(raw, type=dict[int, Failure])


def serve(store: Store, *, bytes_max: int = TRIAL_BYTES_MAX) -> None:
    """The child's life: requests in, their failures out, until its input ends. `bytes_max`: address space."""
    resource.setrlimit(resource.RLIMIT_AS, (bytes_max, bytes_max))
    _answer(b"")
    with asyncio.Runner() as runner:
        while header := sys.stdin.buffer.read(_LENGTH.size):
            raw = sys.stdin.buffer.read(*_LENGTH.unpack(header))
            _answer(b"")  # in hand: from here on it is a request that ends or holds this process
            requests = msgspec.msgpack.decode(raw, type=list[Request])
            _answer(msgspec.msgpack.encode(runner.run(try_all(store, requests))))
        runner.run(store.close())


def _answer(message: bytes) -> None:
    sys.stdout.buffer.write(_LENGTH.pack(len(message)) + message)
    sys.stdout.buffer.flush()

"""A server that is kept: started, found to work, paused, killed, started again, ended by its process group.

Ready means that a round trip worked, never that a port is open or a line was logged. What a server says goes to its own
log file, and the end of it is part of every error about it. A server that dies is not started again by itself: whoever
killed it wants it dead, and what dies without that is a finding.
"""

import asyncio
import contextlib
import os
import signal
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from tocsin.engines.errors import Misconfigured, Unavailable
from tocsin.ops.child import bound_log
from tocsin.ops.local import cassandra, kafka
from tocsin.ops.local.ports import HOST
from tocsin.ops.local.program import Program
from tocsin.ops.local.tether import tethered

READY_S_MAX: Final = 120.0
FORMAT_S_MAX: Final = 60.0
STOP_S_MAX: Final = 15.0
"""A server that has not ended so long after SIGTERM is killed."""
LOOK_EVERY_S: Final = 0.25
LOG_LOOK_S: Final = 5.0
LINES_SHOWN_MAX: Final = 12
LAST_WORDS_BYTES_MAX: Final = 16_384
FRAME: Final = ("\tat ", "\t... ")
FAULTS: Final = (*kafka.FAULTS, *cassandra.FAULTS)
"""What round trips raise of a server that does not work, or not yet."""


class State(StrEnum):
    """How a server is."""

    STOPPED = "stopped"
    """Not started, or ended because it was asked to."""
    STARTING = "starting"
    READY = "ready"
    """A round trip worked; that it still does, nobody has tried since."""
    PAUSED = "paused"
    KILLED = "killed"
    DIED = "died"
    """It ended, and nobody had asked for that."""


class Server:
    """One server, from `start` to `stop` and again. Signals go to its process group."""

    def __init__(self, program: Program, tell: Callable[[str], None]) -> None:
        """`tell` hears, in words for people, of a death that was not asked for."""
        self.name = program.name
        self.state = State.STOPPED
        self.waiting_for = ""
        """While it starts, what it lacks."""
        self.ready_s: float | None = None
        """How long its last start took until a round trip worked."""
        self._program = program
        self._tell = tell
        self._starting = asyncio.Lock()
        self._process: Process | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process as it runs now, which leads its group; None when none does."""
        return self._process.pid if self._process else None

    @property
    def log(self) -> Path:
        """What it says."""
        return self._program.folder / "log"

    @property
    def status(self) -> dict[str, Any]:
        """As `tocsin local status --json` has it; sizes in bytes."""
        memory = _memory(self.pid) if self.pid else {}
        return {
            "name": self.name,
            "state": self.state,
            "waiting_for": self.waiting_for if self.state is State.STARTING else None,
            "pid": self.pid,
            "ready_s": self.ready_s,
            "rss_bytes": memory.get("VmRSS", 0),
            "rss_bytes_max": memory.get("VmHWM", 0),
            "log": str(self.log),
        }

    # What can be asked of it -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts it and returns once a round trip worked; at once when it runs already.

        Raises `Unavailable`, with the end of its log, when it ended or none worked within `READY_S_MAX`; then it does
        not run. Raises `Misconfigured` when it is paused.
        """
        async with self._starting:  # whoever comes second finds it started
            if self.state is State.PAUSED:
                raise Misconfigured(f"{self.name} is paused: resume it")
            if self._process is None:
                await self._start()

    async def _start(self) -> None:
        began_s = time.monotonic()
        self.state, self.waiting_for, self.ready_s = State.STARTING, "the storage", None
        try:
            await self._format()
            await self._spawn()
            await self._until_it_works(began_s + READY_S_MAX)
        except BaseException:
            await self._end(signal.SIGKILL, State.STOPPED)
            raise
        self.state, self.ready_s = State.READY, round(time.monotonic() - began_s, 3)

    async def stop(self) -> None:
        """Ends it in good order, by force after `STOP_S_MAX`."""
        await self._end(signal.SIGTERM, State.STOPPED)

    async def kill(self) -> None:
        """Ends it with SIGKILL, and leaves it dead until `start`."""
        self._running()
        await self._end(signal.SIGKILL, State.KILLED)

    def pause(self) -> None:
        """Stops it where it is (SIGSTOP): its connections stay open, and nothing answers."""
        self._signal(self._running(), signal.SIGSTOP)
        self.state = State.PAUSED

    def resume(self) -> None:
        """Lets it go on after `pause`."""
        if self.state is not State.PAUSED:
            raise Misconfigured(f"{self.name} is not paused, it is {self.state}: there is nothing to resume")
        self._signal(self._running(), signal.SIGCONT)
        self.state = State.READY

    def last_words(self) -> str:
        """The last lines of its log, without the frames of Java's stack traces."""
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - LAST_WORDS_BYTES_MAX))
            lines = log.read().decode(errors="replace").splitlines()
            return "\n".join([line for line in lines if not line.startswith(FRAME)][-LINES_SHOWN_MAX:])
        return ""

    # Keeping it --------------------------------------------------------------------------------------------------

    async def _format(self) -> None:
        """Makes its storage, if that needs a command and was not done."""
        formatted = self._program.formatted
        if formatted is None or formatted.exists():
            return
        with self.log.open("ab") as log:
            maker = await self._tethered(self._program.format, log)
        try:
            async with asyncio.timeout(FORMAT_S_MAX):
                status = await maker.wait()
        except TimeoutError:
            raise Unavailable(f"{self.name}: no storage was made within {FORMAT_S_MAX:.0f} s ({self.log})") from None
        finally:
            if maker.returncode is None:
                self._signal(maker, signal.SIGKILL)
                await maker.wait()
        if status != 0:
            raise Unavailable(f"{self.name}: no storage could be made (status {status}): {self._ending()}")

    async def _spawn(self) -> None:
        bound_log(self.log)
        with self.log.open("ab") as log:
            self._process = await self._tethered(self._program.command, log)
        self._watching = asyncio.create_task(self._watch(self._process), name=f"watch {self.name}")

    async def _tethered(self, command: Any, log: Any) -> Process:
        return await asyncio.create_subprocess_exec(
            *tethered(command),
            stdin=DEVNULL,
            stdout=log,
            stderr=STDOUT,
            cwd=self._program.folder,
            start_new_session=True,
        )

    async def _until_it_works(self, deadline_s: float) -> None:
        while True:
            process = self._process
            if process is None or process.returncode is not None:
                raise Unavailable(f"{self.name} ended while it was starting: {self._ending()}")
            try:
                self.waiting_for = "the port"
                await self._listens()
                self.waiting_for = "a round trip"
                await self._program.works()
                return
            except FAULTS as error:
                if time.monotonic() >= deadline_s:
                    why = f"{self.name} does not work {READY_S_MAX:.0f} s after its start: {error}"
                    raise Unavailable(f"{why}\n{self._ending()}") from error
                await asyncio.sleep(LOOK_EVERY_S)

    async def _listens(self) -> None:
        if self._program.port is not None:
            _, connection = await asyncio.open_connection(HOST, self._program.port)
            connection.close()

    async def _watch(self, process: Process) -> None:
        """Keeps its log bounded; tells when it ends unasked."""
        while process.returncode is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOG_LOOK_S):
                    await process.wait()
            bound_log(self.log)
        self._process = None
        if self.state in {State.READY, State.PAUSED}:
            self.state = State.DIED
            self._tell(
                f"{self.name} (process {process.pid}) ended by itself, status {process.returncode}: {self._ending()}"
            )

    async def _end(self, number: signal.Signals, state: State) -> None:
        process, watching = self._process, self._watching
        self.state = state
        if process is None or watching is None:
            return
        self._signal(process, number)
        self._signal(process, signal.SIGCONT)  # SIGTERM waits for it where it is paused
        _, late = await asyncio.wait((watching,), timeout=STOP_S_MAX)
        if late:
            self._signal(process, signal.SIGKILL)
            await watching

    def _running(self) -> Process:
        if self._process is None:
            raise Misconfigured(f"{self.name} does not run, it is {self.state}: start it first")
        return self._process

    def _signal(self, process: Process, number: signal.Signals) -> None:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    def _ending(self) -> str:
        return f"{self.last_words() or 'it said nothing'} ({self.log})"


def _memory(pid: int) -> dict[str, int]:
    """VmRSS and VmHWM (its highest) of a process, in bytes; empty when there is no such process."""
    with contextlib.suppress(OSError):
        lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return {words[0][:-1]: int(words[1]) * 1024 for words in lines if words and words[0] in {"VmRSS:", "VmHWM:"}}
    return {}

"""One process that is kept running: started, watched, started again when it dies, ended by its pid.

It runs in a session of its own, so that Ctrl-C at a terminal reaches the supervisor alone, which ends its children in
good order. That none outlives a supervisor that is killed, the child sees to itself (`--parent`).

Where a child listens, it says on stdout. It is started again with the ports that it had, so that its clients find it;
when it does not come up with them, because somebody else took one, the next start takes free ones.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from tocsin.engines.errors import Unavailable

PAUSE_FIRST_S: Final = 0.2
PAUSE_S_MAX: Final = 10.0
"""The longest pause before a child that keeps dying is started again."""
STEADY_S: Final = 10.0
"""A child that lived so long did not fail at its start: the next pause is the first one again."""
STOP_S_MAX: Final = 15.0
"""A child that has not ended so long after SIGTERM is killed."""
LISTEN_S_MAX: Final = 30.0
LOG_BYTES_MAX: Final = 16 * 1024 * 1024
"""A log that has grown larger is moved to `<name>.1`, over what was there."""
LOG_LOOK_S: Final = 5.0
LAST_WORDS_BYTES_MAX: Final = 4096


class Child:
    """A process that is kept running from `start` to `stop`."""

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str], log: Path, tell: Callable[[str], None]
    ) -> None:
        """`tell` hears, in words for people, of every death that was not asked for."""
        self.name = name
        self.url: str | None = None
        """Where its clients find it, as it last said; None for a role without clients."""
        self.admin_url: str | None = None
        """Health and metrics, as it last said; None before it ever listened."""
        self.starts = 0
        """How often it was started."""
        self._command = command
        self._env = env
        self._log = log
        self._tell = tell
        self._process: Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._unwanted = asyncio.Event()
        self._listens = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The process as it runs now; None when none does."""
        return self._process.pid if self._process else None

    # What can be asked of it -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins to keep it running; nothing when it is kept already."""
        if self._keeper is None or self._keeper.done():
            self._unwanted.clear()
            self._keeper = asyncio.create_task(self._keep(), name=f"keeper of {self.name}")

    async def stop(self) -> None:
        """Ends it in good order, by force after `STOP_S_MAX`."""
        await self._end(signal.SIGTERM)

    async def kill(self, *, hold: bool = False) -> None:
        """Ends it with SIGKILL; it is started again, unless it is to be held down until `start`."""
        if hold:
            await self._end(signal.SIGKILL)
        elif self._process is not None:
            ended = self._ended
            _send(self._process, signal.SIGKILL)
            await ended.wait()

    async def listens(self) -> None:
        """Returns once it listens; raises `Unavailable` after `LISTEN_S_MAX`."""
        try:
            async with asyncio.timeout(LISTEN_S_MAX):
                await self._listens.wait()
        except TimeoutError:
            why = f"{self.name} does not listen {LISTEN_S_MAX:.0f} s after its start: {self.last_words()}"
            raise Unavailable(f"{why} ({self._log})") from None

    async def unready(self, client: httpx2.AsyncClient) -> list[str]:
        """Why it is not ready; empty when it is."""
        if not self._listens.is_set() or self._process is None:
            return ["it is starting"] if not self._unwanted.is_set() else ["it is stopped"]
        try:
            answer = await client.get(f"{self.admin_url}/health/ready")
            return [str(reason) for reason in answer.json()["reasons"]]
        except (httpx2.HTTPError, ValueError, LookupError) as error:
            return [f"its admin port does not answer: {error!r}"]

    def last_words(self) -> str:
        """The last error, or else the last line, of its log."""
        with contextlib.suppress(OSError), self._log.open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - LAST_WORDS_BYTES_MAX))
            lines = log.read().decode(errors="replace").splitlines()
            errors = [number for number, line in enumerate(lines) if line.startswith("error: ")]
            return " ".join(line.strip() for line in (lines[errors[-1] :] if errors else lines[-1:]))
        return ""

    # Keeping it running ------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        pause_s = PAUSE_FIRST_S
        while not self._unwanted.is_set():
            began_s = time.monotonic()
            try:
                ending = await self._run()
            except OSError as error:
                ending = f"could not be started: {error}"
            if self._unwanted.is_set():
                return
            if time.monotonic() - began_s >= STEADY_S:
                pause_s = PAUSE_FIRST_S
            self._tell(f"{self.name} {ending}; it is started again in {pause_s:.1f} s (its log: {self._log})")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._unwanted.wait()
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    async def _run(self) -> str:
        """Runs the process once; returns in words how it ended."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        bound_log(self._log)
        self.starts += 1
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=log,
                env={**self._env, **self._ports()},
                start_new_session=True,
            )
        self._process, self._ended = process, asyncio.Event()
        hearing = asyncio.create_task(self._hear(process))
        try:
            if self._unwanted.is_set():  # `stop` came while it was being started
                _send(process, signal.SIGTERM)
            status = await self._watch(process)
        finally:
            hearing.cancel()
            listened = self._listens.is_set()
            self._listens.clear()
            self._process = None
            self._ended.set()
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        if listened:
            return f"(process {process.pid}) {how}"
        self.url = self.admin_url = None
        return f"(process {process.pid}) {how} before it listened: {self.last_words()}"

    async def _watch(self, process: Process) -> int:
        while True:
            try:
                async with asyncio.timeout(LOG_LOOK_S):
                    return await process.wait()
            except TimeoutError:
                bound_log(self._log)

    async def _hear(self, process: Process) -> None:
        """Reads its stdout: one line that says where it listens, then nothing of interest."""
        if process.stdout is None:
            return
        with contextlib.suppress(ValueError, LookupError, TypeError):
            said: dict[str, Any] = json.loads(await process.stdout.readline())
            self.url, self.admin_url = said["url"], said["admin_url"]
            self._listens.set()
        while await process.stdout.read(65_536):
            pass

    def _ports(self) -> dict[str, str]:
        urls = {"TOCSIN_PORT": self.url, "TOCSIN_ADMIN_PORT": self.admin_url}
        return {name: str(urlsplit(url).port) for name, url in urls.items() if url}

    async def _end(self, number: signal.Signals) -> None:
        self._unwanted.set()
        keeper = self._keeper
        if keeper is None:
            return
        if self._process is not None:
            _send(self._process, number)
        _, late = await asyncio.wait((keeper,), timeout=STOP_S_MAX)
        if late and self._process is not None:
            self._tell(f"{self.name} did not end within {STOP_S_MAX:.0f} s: killed (its log: {self._log})")
            _send(self._process, signal.SIGKILL)
        await keeper


def bound_log(log: Path) -> None:
    """Keeps a log within `LOG_BYTES_MAX`. Its writer has it open for appending, so it is emptied at its place."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(log, log.with_name(log.name + ".1"))
            os.truncate(log, 0)


def _send(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)

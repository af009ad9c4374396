"""Trials: the tests that reach a changed function, run against each of its mutants until one fails.

A plugin of pytest that takes the place of its loop. The tests are collected once; a fork of that process runs them all
and notes which functions of the core each one reaches, and how long it takes; then every mutant gets a fork of its
own, which puts it on and runs the tests that reach it. The tests that have killed its siblings come first, then the
quick ones. A test that takes many times what it took with the real code is ended and counts as a kill: the mutant
hangs.
"""

import gc
import json
import os
import resource
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import pytest

from tests.mutation.mutants import Mutant, Reached, prepared, put_on

CPU_MIN_S: Final = 2
CPU_TIMES: Final = 20
"""Two seconds of the processor, or this many times its usual time, and the mutant that a test meets is said to hang."""
MEMORY_MAX: Final = 4 << 30
HANGS: Final = "(hangs)"
DIES: Final = "(dies)"
"""In the place of the test that failed: the mutant used up its time, or its process came to another end."""
SURVIVED: Final = "(survived)"
UNREACHED: Final = "(no test reaches it)"


class Running(NamedTuple):
    """A fork that tries one mutant, and the pipe on which it names the test that failed."""

    mutant: Mutant
    told: int


class Trials:
    """The plugin. `tell(mutant, end)` is called for each: with the test that failed, or a word in brackets."""

    def __init__(
        self,
        mutants: Sequence[Mutant],
        children: int,
        tell: Callable[[Mutant, str], None],
    ) -> None:
        self._mutants = mutants
        self._children = children
        self._tell = tell
        self._tests: dict[str, list[str]] = defaultdict(list)
        self._duration_s: dict[str, float] = {}
        self._items: dict[str, pytest.Item] = {}
        self._kills: dict[str, Counter[str]] = defaultdict(Counter)
        self._running: dict[int, Running] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Tries all mutants."""
        if session.testsfailed:
            raise session.Interrupted("a module of tests cannot be imported")
        self._items = {item.nodeid: item for item in session.items}
        gc.freeze()
        self._measure(session)
        for mutant in self._mutants:
            tests = self._tests.get(mutant.function)
            if not tests:
                self._tell(mutant, UNREACHED)
                continue
            while len(self._running) >= self._children:
                self._wait()
            self._try(session, mutant, tests)
        while self._running:
            self._wait()
        return True

    def files_reaching(self, module: str) -> list[str]:
        """The files with tests that reach any function of a module; once all was tried."""
        names = [name for name in self._tests if name.startswith(f"{module}.")]
        return sorted({test.partition("::")[0] for name in names for test in self._tests[name]})

    # The real code ---------------------------------------------------------------------------------------------------

    def _measure(self, session: pytest.Session) -> None:
        """Runs all tests once, in a fork: what ran before must not have filled the memory that mutants start from."""
        told, tells = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(told)
            with os.fdopen(tells, "w") as stream:
                _be_silent(session)
                json.dump(self._measured(session), stream)
            os._exit(0)
        os.close(tells)
        with os.fdopen(told) as stream:
            content = stream.read()
        os.waitpid(pid, 0)
        measured: dict[str, tuple[float, list[str], bool]] = json.loads(content or "{}")
        failed = [test for test in self._items if not measured.get(test, (0, [], False))[2]]
        if failed:
            raise pytest.UsageError(f"these tests fail with the real code, so they cannot judge another: {failed}")
        for test, (duration_s, functions, _) in measured.items():
            self._duration_s[test] = duration_s
            for function in functions:
                self._tests[function].append(test)

    def _measured(self, session: pytest.Session) -> dict[str, tuple[float, list[str], bool]]:
        measured = {}
        for test, item in self._items.items():
            reached = Reached()
            start_s = time.process_time()
            reached.start()
            _run(item)
            functions = reached.stop()
            measured[test] = (time.process_time() - start_s, sorted(functions), not session.testsfailed)
            session.testsfailed = 0
        return measured

    # A mutant --------------------------------------------------------------------------------------------------------

    def _try(self, session: pytest.Session, mutant: Mutant, tests: Sequence[str]) -> None:
        kills, near = self._kills[mutant.function], self._kills[mutant.module]
        ordered = sorted(tests, key=lambda test: (-kills[test], -near[test], self._duration_s[test]))
        prepared(mutant.module)
        told, tells = os.pipe()
        pid = os.fork()
        if pid:
            os.close(tells)
            self._running[pid] = Running(mutant, told)
            return
        killer = DIES
        try:
            _be_silent(session)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, resource.RLIM_INFINITY))
            killer = self._killer(session, mutant, ordered)
        finally:  # whatever happened, this fork may not go on as its parent
            os.write(tells, killer.encode())
            os._exit(0)

    def _killer(self, session: pytest.Session, mutant: Mutant, ordered: Sequence[str]) -> str:
        try:
            put_on(mutant)
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            return f"! {mutant.name}: {error!r}"
        for test in ordered:
            _limit(self._duration_s[test])
            _run(self._items[test])
            if session.testsfailed:
                return test
        return ""

    def _wait(self) -> None:
        pid, status = os.wait()
        mutant, told = self._running.pop(pid)
        with os.fdopen(told) as stream:
            killer = stream.read()
        if killer.startswith("!"):
            raise RuntimeError(f"this mutant could not be tried{killer[1:]}")
        if os.WIFSIGNALED(status):
            killer = HANGS if os.WTERMSIG(status) == signal.SIGXCPU else DIES
        elif killer:
            self._kills[mutant.function][killer] += 1
            self._kills[mutant.module][killer] += 1
        self._tell(mutant, killer or SURVIVED)


def _run(item: pytest.Item) -> None:
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)


def _be_silent(session: pytest.Session) -> None:
    """A fork says nothing: its parent speaks for all."""
    session.config.pluginmanager.unregister(name="terminalreporter")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _limit(duration_s: float) -> None:
    """Ends this process when the next test takes too long."""
    spent_s = time.process_time()
    limit_s = int(spent_s + max(CPU_MIN_S, CPU_TIMES * duration_s)) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, resource.RLIM_INFINITY))

"""Many seeds in several processes: the command line of a simulation, and how far it is."""
# ruff: noqa: T201 - a script that prints what came of it

import argparse
import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

TELL_EVERY_S: Final = 5.0
SEEDS_A_WORKER: Final = 25
"""A worker process is replaced after so many, which bounds what it can have leaked."""


class Judged(Protocol):
    """What came of a seed."""

    seed: int
    breaches: list[str]
    story: list[str]


R = TypeVar("R", bound=Judged)


def options(about: str) -> tuple[range, int]:
    """The seeds of the command line, and in how many processes they are run."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--seeds", type=int, default=300, help="how many (300)")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first one (1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (one a core)")
    given = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets of strings must be walked in the same order every time
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"})
    return range(given.first, given.first + given.seeds), given.jobs


def many(run: Callable[[int], R], seeds: Sequence[int], jobs: int) -> Iterator[tuple[R, float]]:
    """Each seed's result as it comes, with the CPU seconds it took; says on standard error how far it is.

    `run` is a function of a module. Ctrl-C ends it early.
    """
    done, breached, told_s = 0, 0, time.perf_counter()
    with (
        contextlib.suppress(KeyboardInterrupt),
        multiprocessing.get_context("fork").Pool(jobs, _leave_interrupts, maxtasksperchild=SEEDS_A_WORKER) as pool,
    ):
        for result, cpu_s in pool.imap_unordered(partial(_measured, run), seeds):
            done += 1
            if result.breaches:
                breached += 1
                print(f"seed {result.seed}: {result.breaches[0]}", file=sys.stderr, flush=True)
            if time.perf_counter() - told_s > TELL_EVERY_S:
                told_s = time.perf_counter()
                print(f"{done} of {len(seeds)} seeds, {breached} breached", file=sys.stderr, flush=True)
            yield result, cpu_s


def _measured(run: Callable[[int], R], seed: int) -> tuple[R, float]:
    """One seed; its story only when there is something to tell."""
    began_s = time.process_time()
    result = run(seed)
    if not result.breaches:
        result.story = []
    return result, time.process_time() - began_s


def _leave_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

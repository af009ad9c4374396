"""A program that becomes another one which does not outlive the process that started it.

A supervisor that is killed with SIGKILL cannot end its servers, and a JVM does not notice that its parent is gone. The
kernel does: PR_SET_PDEATHSIG has it send a signal when the parent ends, and the wish survives exec. Between fork and
exec nothing but C is safe in a process with threads, so the wish is made by this small program, run in the server's
place, which then becomes the server. It is run by path and imports nothing of Tocsin, so that it takes no time.

The parent here is the *thread* that started the program: servers are started from a thread that lives as long as they.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

PR_SET_PDEATHSIG: Final = 1
NOT_FOUND: Final = 127
"""What a shell ends with for a command that it cannot run."""


def tethered(command: Sequence[str]) -> list[str]:
    """The command as one that ends with this process, by SIGKILL."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def _become(parent: int, command: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it ended before the kernel knew of our wish
        sys.exit(f"the process that started this one, {parent}, has ended")
    try:
        os.execvp(command[0], command)  # noqa: S606 (no shell is wanted)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.exit(NOT_FOUND)


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])

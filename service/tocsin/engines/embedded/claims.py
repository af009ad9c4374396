"""Ownership among the processes of one machine: a locked file a claim, freed by the operating system with its owner.

The lock (flock) lives as long as the process does: one that was killed frees it at once, one that was stopped keeps it,
so nobody has to guess by a lease's time whether an owner is dead. It belongs to the open file, not to the process, so a
second claim in the same process is refused as any other. For the same reason a child made by a bare fork would keep it
alive: start children by spawn or exec, which close the file.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from urllib.parse import quote

from tocsin.engines.errors import Owned, Unavailable


class ClaimFiles:
    """The claims that this object holds, as locked files of one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: dict[tuple[str, int], int] = {}

    def take(self, group: str, partition: int) -> None:
        """Locks the claim's file and writes our pid into it.

        Raises `Owned`, naming the owner's pid, while someone has it; `Unavailable` when the file cannot be made.
        """
        path = self._directory / f"{quote(group, safe='')}-{partition}"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise Unavailable(f"the claim {path} cannot be made: {error}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, b"%d" % os.getpid(), 0)
        except BlockingIOError as error:
            owner = os.pread(descriptor, 32, 0).decode() or "a process that has just started"
            os.close(descriptor)
            raise Owned(
                f"partition {partition} of group {group} is owned by process {owner}: it is free when that process "
                "releases it or ends"
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise Unavailable(f"the claim {path} cannot be locked: {error}") from error
        self._held[group, partition] = descriptor

    def drop(self, group: str, partition: int) -> None:
        """Frees a claim; one that is not held is no error."""
        descriptor = self._held.pop((group, partition), None)
        if descriptor is not None:
            # The file stays: removing it would let two processes hold locks on two files of one name.
            with contextlib.suppress(OSError):
                os.truncate(descriptor, 0)
            os.close(descriptor)

    def drop_all(self) -> None:
        """Frees all claims."""
        for group, partition in list(self._held):
            self.drop(group, partition)

"""Randomness for servers: cryptographic bytes, drawn from the operating system in blocks.

Each drawing is a system call for which the thread lets go of the interpreter's lock, and it then waits for as long as
an engine's thread keeps it: 70 µs a drawing in a profile of a busy intake, and an event needs two. A block serves
hundreds of events.
"""

import os
from typing import Final

BLOCK_BYTES: Final = 4_096


class RandomBytes:
    """Random bytes on call, each given out once. For one thread: two that call at once could get the same ones."""

    def __init__(self) -> None:
        self._block = b""
        self._at = 0

    def __call__(self, count: int) -> bytes:
        """So many random bytes; raises ValueError for more than a block."""
        if count > BLOCK_BYTES:
            message = f"{count} random bytes are asked for at one time, at most {BLOCK_BYTES} are given"
            raise ValueError(message)
        if self._at + count > len(self._block):
            self._block, self._at = os.urandom(BLOCK_BYTES), 0
        found = self._block[self._at : self._at + count]
        self._at += count
        return found

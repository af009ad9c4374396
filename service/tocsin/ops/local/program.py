"""A server as a program: the commands that make and run it, and how one knows that it works."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Program:
    """What `servers.Server` keeps running. Everything it writes is in its folder."""

    name: str
    folder: Path
    command: Sequence[str]
    port: int | None
    """Where it listens: no round trip is tried before, since clients make much noise about a refused
    connection. None for one that has no clients."""
    works: Callable[[], Awaitable[None]]
    """A round trip through it; raises whatever went wrong."""
    format: Sequence[str] = ()
    """A command that makes its storage, for the start that finds none; empty where the server does so itself."""
    formatted: Path | None = None
    """The file that tells that its storage was made."""

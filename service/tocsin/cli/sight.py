"""What an operator's command sees of the regions, and who is speaking through it.

Commands are used while something is broken. So each says on stderr what it could not read, and goes on with the rest.
"""

import contextlib
import getpass
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import typer

from tocsin.cli import output
from tocsin.engines.audit import Deed
from tocsin.engines.opening import audit_trail
from tocsin.ops.explain import When
from tocsin.ops.ledger import Ledgers, Speaker
from tocsin.ops.locate import Located, locate
from tocsin.ops.regions import Reached, reachable
from tocsin.settings import Settings
from tocsin.topology import Topology


class Sight(NamedTuple):
    """What a command sees: the regions as they are set, what of them was reached, and what their ledgers say."""

    topology: Topology
    reached: Reached
    ledgers: Ledgers

    @property
    def away(self) -> dict[str, str]:
        """What could not be read, and why."""
        return {**self.reached.away, **{f"ledger {place}": why for place, why in self.ledgers.unread.items()}}

    @property
    def stores_away(self) -> list[str]:
        """The regions whose store could not be read."""
        return [name for name in self.topology.names if name not in self.reached.stores]

    def nothing(self, found_nothing: str) -> str:
        """The words for an empty list: what it means holds only when all could be read."""
        return "nothing was found in what could be read" if self.away else found_nothing

    def tell_away(self) -> None:
        """Says on stderr what could not be read."""
        for what, why in self.away.items():
            output.note(f"not read: {what}: {output.clean(why)}")

    async def locate(self, printed: str) -> list[Located]:
        """The requests of a printed key; what is no key is a usage error, an unknown one ends the command."""
        try:
            found = await locate(printed, self.reached.stores, self.ledgers)
        except ValueError as error:
            raise typer.BadParameter(output.clean(str(error))) from error
        if not found:
            self.tell_away()
            looked = [
                *(f"ledger {place}" for place in self.ledgers.read),
                *(f"store of {r}" for r in self.reached.stores),
            ]
            output.note(
                f"{printed} is unknown: nobody ever said anything about it, and no store has it. "
                f"Looked into: {', '.join(looked) or 'nothing, for nothing could be read'}. "
                "A request that was just accepted may be on its way: `tocsin progress` shows how far each region is"
            )
            raise typer.Exit(output.Status.UNKNOWN)
        return found


@asynccontextmanager
async def sight(settings: Settings, *, only: str | None = None) -> AsyncIterator[Sight]:
    """Opens what can be reached, of all regions or one, and reads the ledgers there."""
    topology = settings.topology()
    if only is not None:
        topology.region(only)
    async with reachable(settings, topology, only=only) as reached:
        yield Sight(topology, reached, await Ledgers.read_from(reached.logs, topology))


def record(settings: Settings, region: str, deed: Deed, **about: object) -> None:
    """Writes into a region's audit trail what the person who runs this command did."""
    audit_trail(settings, region).changed(deed, by=speaker("").by, **about)


def when(now_us: int) -> When:
    """How times are told: the time itself and how long ago that is."""
    return lambda at_us: f"{output.utc(at_us / 1e6)} ({output.ago(at_us / 1e6, now_us / 1e6)})"


def now_us() -> int:
    """The time of this command, Unix microseconds."""
    return time.time_ns() // 1000


def speaker(why: str) -> Speaker:
    """The person who runs this command, as the ledger will name them."""
    name = str(os.getuid())
    with contextlib.suppress(OSError, KeyError):  # a user id without a name, as in many containers
        name = getpass.getuser()
    return Speaker(f"{name}@{socket.gethostname()}", now_us(), why)

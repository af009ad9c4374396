"""What can ail a server: dead, slow, unsure, full, refusing, or ailing for some rows only."""

import random
import zlib
from dataclasses import dataclass
from typing import Final

from tests.simulation.network import FINE, Fate
from tocsin.core.ids import Parent

WRITES: Final = (
    "append",
    "write",
    "mark",
    "put_",
    "update_",
    "save_",
    "forget_",
    "claim",
    "release",
    "commit ",
    "ensure_",
)
SMALL: Final = ("put_document", "save_progress", "forget_", "mark")
"""Writes that a store without room can still take, by overwriting what is there."""


def is_hit(parent: Parent, salt: int, share: int) -> bool:
    """Whether a parent is one of those that are hit: one in `share`, which ones the salt decides."""
    return zlib.crc32(parent.encode(), salt) % share == 0


@dataclass(frozen=True)
class Ailment:
    """Nothing is wrong: what the others have in common."""

    def fate(self, op: str, net: random.Random) -> Fate:
        """What becomes of a call."""
        return FINE

    @property
    def is_dead(self) -> bool:
        """Whether nothing is answered at all."""
        return False

    def refuses(self, table: str, parent: Parent) -> bool:
        """Whether this row is refused on its merits."""
        return False

    def silent(self, table: str, parent: Parent) -> bool:
        """Whether there is no answer for this row."""
        return False


@dataclass(frozen=True)
class Dead(Ailment):
    """No call is answered: refused at once, or timed out."""

    delay_s: float

    @property
    def is_dead(self) -> bool:
        """It is."""
        return True

    def fate(self, op: str, net: random.Random) -> Fate:
        return Fate(self.delay_s * net.random(), "away")


@dataclass(frozen=True)
class Slow(Ailment):
    """Calls take longer."""

    delay_s: float

    def fate(self, op: str, net: random.Random) -> Fate:
        return Fate(self.delay_s * net.random())


@dataclass(frozen=True)
class Unsure(Ailment):
    """Some writes take effect, and their answers are lost; others are lost themselves."""

    chance: float

    def fate(self, op: str, net: random.Random) -> Fate:
        if op.startswith(WRITES) and net.random() < self.chance:
            return Fate(0.5 * net.random(), "no answer", applied=net.random() < 0.5)
        return FINE


@dataclass(frozen=True)
class Full(Ailment):
    """No room: what would grow the store fails; with `small`, what overwrites does not, and the probe works."""

    small: bool

    def fate(self, op: str, net: random.Random) -> Fate:
        fails = op.startswith((*WRITES, "ping")) and not (self.small and op.startswith((*SMALL, "ping")))
        return Fate(0.01, "no space left on device") if fails else FINE


@dataclass(frozen=True)
class Partly(Ailment):
    """Some parents' rows give no answer, in these tables."""

    salt: int
    share: int
    tables: tuple[str, ...]

    def silent(self, table: str, parent: Parent) -> bool:
        return table in self.tables and is_hit(parent, self.salt, self.share)


@dataclass(frozen=True)
class Refusing(Ailment):
    """Some parents' rows are refused as invalid, in this table."""

    salt: int
    share: int
    table: str

    def refuses(self, table: str, parent: Parent) -> bool:
        return table == self.table and is_hit(parent, self.salt, self.share)

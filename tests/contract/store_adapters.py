"""The adapters of the store port, as the contract suite needs them. A new one joins by one line in `ADAPTERS`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tocsin.engines.embedded.entry_table import BODY_BYTES_MAX
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.faults import FaultSwitch
from tocsin.engines.faulty import FaultyStore
from tocsin.engines.store import Store


@dataclass(frozen=True)
class StoreAdapter:
    """One way to open a store at a place (a path that does not exist yet, or one opened before by the same adapter).

    `take_away` makes the store at a place give no answer; a body of over `body_bytes_max` is refused on its merits.
    """

    name: str
    open: Callable[[Path], Store]
    take_away: Callable[[Path], None]
    body_bytes_max: int

    def __str__(self) -> str:
        return self.name


def _behind_a_fault_switch(place: Path) -> Store:
    return FaultyStore(EmbeddedStore(place), FaultSwitch(place.with_name("faults.json")), "a")


ADAPTERS = (
    StoreAdapter("embedded", EmbeddedStore, Path.unlink, BODY_BYTES_MAX),
    StoreAdapter("embedded-behind-a-fault-switch", _behind_a_fault_switch, Path.unlink, BODY_BYTES_MAX),
)

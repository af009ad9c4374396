"""The adapters of the store port, as the contract suite needs them. A new one joins by one line in `ADAPTERS`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.contract import cassandra_places
from tocsin.engines.cassandra.entry_table import BODY_BYTES_MAX as CASSANDRA_BODY_BYTES_MAX
from tocsin.engines.cassandra.store import CassandraStore
from tocsin.engines.embedded.entry_table import BODY_BYTES_MAX
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.faults import FaultSwitch
from tocsin.engines.faulty import FaultyStore
from tocsin.engines.store import Store


def _nothing(_place: Path) -> None:
    """A file is made by whoever opens it."""


@dataclass(frozen=True)
class StoreAdapter:
    """One way to open a store at a place (a path that does not exist yet, or one opened before by the same adapter).

    `take_away` makes the store at a place give no answer; a body of over `body_bytes_max` is refused on its merits.
    `prepare` brings up what a store at a place needs, before a test or its processes open it; it skips the test where
    that cannot be had.
    """

    name: str
    open: Callable[[Path], Store]
    take_away: Callable[[Path], None]
    body_bytes_max: int
    prepare: Callable[[Path], object] = _nothing

    def __str__(self) -> str:
        return self.name


def _on_cassandra(place: Path) -> Store:
    return CassandraStore(cassandra_places.stack_of(place), place.parent)


def _behind_a_fault_switch(opened: Callable[[Path], Store]) -> Callable[[Path], Store]:
    return lambda place: FaultyStore(opened(place), FaultSwitch(place.with_name("faults.json")), "a")


ADAPTERS = (
    StoreAdapter("embedded", EmbeddedStore, Path.unlink, BODY_BYTES_MAX),
    StoreAdapter("embedded-behind-a-fault-switch", _behind_a_fault_switch(EmbeddedStore), Path.unlink, BODY_BYTES_MAX),
    StoreAdapter(
        "cassandra", _on_cassandra, cassandra_places.take_away, CASSANDRA_BODY_BYTES_MAX, cassandra_places.stack_of
    ),
    StoreAdapter(
        "cassandra-behind-a-fault-switch",
        _behind_a_fault_switch(_on_cassandra),
        cassandra_places.take_away,
        CASSANDRA_BODY_BYTES_MAX,
        cassandra_places.stack_of,
    ),
)

"""The adapters of the log port that the contract suite runs over, and what a test needs that the port does not offer.

An adapter joins by a class here and a line in `ADAPTERS`. Child processes make theirs by name and place (`log_child`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from tocsin.engines.embedded.log import RECORD_BYTES_MAX, EmbeddedLog
from tocsin.engines.faults import FaultSwitch
from tocsin.engines.faulty import FaultyLog
from tocsin.engines.log import Log


class LogAdapter(Protocol):
    """One log somewhere: any number of instances of it can be opened, in any process."""

    name: str
    place: Path
    record_bytes_max: int

    def open(self) -> Log:
        """A new instance of the port on this log."""

    async def delete_topic(self, topic: str) -> None:
        """Removes a topic as an administrator would."""

    async def tidy(self, now_s: float) -> None:
        """Has retention and compaction done, as if it were `now_s`, before it returns."""


class EmbeddedAdapter:
    """The SQLite file of `EmbeddedLog`."""

    name = "embedded"
    record_bytes_max = RECORD_BYTES_MAX

    def __init__(self, place: Path) -> None:
        self.place = place

    def open(self) -> Log:
        return EmbeddedLog(self.place / "region.log")

    async def delete_topic(self, topic: str) -> None:
        log = EmbeddedLog(self.place / "region.log")
        await log.delete_topic(topic)
        await log.close()

    async def tidy(self, now_s: float) -> None:
        log = EmbeddedLog(self.place / "region.log")
        await log.housekeep(now_s)
        await log.close()


class FaultyEmbeddedAdapter(EmbeddedAdapter):
    """The same behind a fault switch without rules, which must change nothing."""

    name = "embedded-behind-a-fault-switch"

    def open(self) -> Log:
        return FaultyLog(super().open(), FaultSwitch(self.place / "faults.json"), "a")


ADAPTERS: Final[dict[str, Callable[[Path], LogAdapter]]] = {
    adapter.name: adapter for adapter in (EmbeddedAdapter, FaultyEmbeddedAdapter)
}

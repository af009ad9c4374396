"""A child for trials: `python -m tests.unit.roles.trial_child PLACE [MEGABYTES]`.

It serves the store of a test behind the test's fault switch. PLACE/orders says how it misbehaves, one word: `deaf` (it
ends before it is ready), `mute` (it is ready, and ends before it takes a request), or a dedup key whose request takes
all memory. Its pid is added to PLACE/pids.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tocsin.core.entries import Entry
from tocsin.core.failures import Failure
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.faults import FaultSwitch
from tocsin.engines.faulty import FaultyStore
from tocsin.roles import trial


class GreedyStore(FaultyStore):
    """A store that takes all memory over one dedup key."""

    greedy = ""

    async def write(self, entries: Sequence[Entry]) -> dict[int, Failure]:
        if any(entry.key.parent.dedup_key == self.greedy for entry in entries):
            hoard = []
            while True:
                hoard.append(bytes(16 * 1024 * 1024))
        return await super().write(entries)


def main(place: Path, megabytes: int) -> None:
    """Serves."""
    with (place / "pids").open("a") as pids:
        pids.write(f"{os.getpid()}\n")
    orders = (place / "orders").read_text() if (place / "orders").exists() else ""
    if orders == "deaf":
        raise SystemExit(3)
    if orders == "mute":
        trial._answer(b"")
        raise SystemExit(4)
    store = GreedyStore(EmbeddedStore(place / "outcomes.db", journal=True), FaultSwitch(place / "faults.json"), "a")
    store.greedy = orders
    trial.serve(store, bytes_max=megabytes * 1024 * 1024)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1024)

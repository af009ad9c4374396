"""A process that writes to a store and says what was acknowledged: `python -m tests.contract.store_writer ...`.

Arguments: the adapter's name, the place, the region to write as, the number of batches. Each batch is written once its
predecessor is acknowledged, and its number is then printed; so what was printed must be there, whatever befalls this
process. All writers write the same keys: the later a region is in the alphabet, the later its received-at.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.contract.store_adapters import ADAPTERS
from tests.contract.store_rows import entry, key
from tocsin.core.entries import Entry

BATCH = 20


def batch_of(region: str, number: int) -> list[Entry]:
    """The entries of one batch."""
    received_us = 1_000 + ord(region)
    return [
        entry(key(number * BATCH + n), received_us=received_us, region=region, body=region.encode() * 200)
        for n in range(BATCH)
    ]


async def main(arguments: Sequence[str]) -> None:
    """Writes the batches."""
    name, place, region, batches = arguments
    adapter = next(adapter for adapter in ADAPTERS if adapter.name == name)
    store = adapter.open(Path(place))
    for number in range(int(batches)):
        failures = await store.write(batch_of(region, number))
        assert not failures, failures
        print(number, flush=True)  # noqa: T201 - the line that the test reads
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))

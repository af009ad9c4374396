"""Complete-until: how far a region's answers hold everything that any region accepted.

Theory
------
Nothing reads its own write, so a reader must be told what an answer can lack. Each region's intake puts a tick a second
into each partition of its `requests`: at tick T everything minted there before T less the mint-to-append limit is in
the log below the tick, or was answered 503. Ticks are mirrored in order with the requests. So once everything below a
tick is done in a source, that source is complete up to its time less the limit; and the region is, up to the lowest of
all its sources. The clock bound covers what the regions' clocks may differ by. Drained regions do not count: nothing
vouches for them, so they are named beside the time.
"""

from collections.abc import Collection, Iterable
from typing import Final

from tocsin.core.ids import id_seconds
from tocsin.core.progress import ProgressRow

MINT_TO_APPEND_S: Final = 5.0
"""A request that is not in the log so long after its id was minted is not accepted."""
CLOCK_BOUND_S: Final = 2.0
"""What the clocks of two regions that call themselves ready may differ by."""
_MARGIN_US: Final = int((MINT_TO_APPEND_S + CLOCK_BOUND_S) * 1_000_000)


def complete_until(
    rows: Iterable[ProgressRow], partitions: int, regions: Collection[str], drained: Collection[str]
) -> int | None:
    """The Unix microsecond before which nothing is missing but what drained regions hold.

    `rows` are the accounts of all owners, their sources named by region. None while some partition has no tick of some
    undrained region, and when all regions are drained.
    """
    ticks: dict[tuple[int, str], int] = {}
    for row in rows:
        for region, source in row.sources.items():
            place = row.partition, region
            ticks[place] = max(source.tick_us, ticks.get(place, 0))
    vouching = [region for region in regions if region not in drained]
    lowest = min((ticks.get((number, region), 0) for number in range(partitions) for region in vouching), default=0)
    return lowest - _MARGIN_US if lowest else None


def covers(until_us: int | None, temporal_id: int) -> bool:
    """Whether a request with this id, minted when the id says, would be here if any region had accepted it."""
    return until_us is not None and (id_seconds(temporal_id) + 1) * 1_000_000 <= until_us

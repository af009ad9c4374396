"""How far a region's answers reach, as the querier knows it and as its headers say it.

To say of an unknown id that it is unknown, not pending, what is complete must be known *before* the store is asked for
it: asked afterwards, the mark may have passed the very request that was not there a moment ago. So each read takes its
`Freshness` first. It is read at most four times a second: an older one is never wrong, only more careful.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from tocsin.core.completeness import complete_until
from tocsin.core.documents import REGION_WORDS, RegionWords
from tocsin.core.kept import Kept
from tocsin.engines.store import Store
from tocsin.roles.rest.moments import moment

READ_EVERY_S: Final = 0.25
SET_ASIDE_SHOWN_MAX: Final = 20

COMPLETE_UNTIL_HEADER: Final = "Tocsin-Complete-Until"
PENDING_HEADER: Final = "Tocsin-Pending"
SET_ASIDE_HEADER: Final = "Tocsin-Set-Aside"
DRAINED_HEADER: Final = "Tocsin-Drained"


class Freshness(NamedTuple):
    """Nothing received before `until_us` is missing here, but what the drained regions hold. None: nothing is sure."""

    until_us: int | None
    drained: tuple[str, ...]

    def headers(self, *, pending: bool, set_aside: Iterable[Kept] = ()) -> dict[str, str]:
        """What a read says of itself: `pending` when it may lack something, and what of it is set aside."""
        headers = {
            COMPLETE_UNTIL_HEADER: "unknown" if self.until_us is None else moment(self.until_us),
            PENDING_HEADER: "true" if pending else "false",
        }
        keys = sorted({kept.key.printed for kept in set_aside})
        if keys:
            more = ["..."] if len(keys) > SET_ASIDE_SHOWN_MAX else []
            headers[SET_ASIDE_HEADER] = ", ".join([*keys[:SET_ASIDE_SHOWN_MAX], *more])
        if self.drained:
            headers[DRAINED_HEADER] = ", ".join(self.drained)
        return headers

    def is_pending(self, newest_us: int | None) -> bool:
        """Whether what reaches up to this time may be incomplete; None reaches up to now."""
        return self.until_us is None or newest_us is None or newest_us > self.until_us


class FreshnessReader:
    """Reads how far the store is."""

    def __init__(
        self, store: Store, *, partitions: int, regions: tuple[str, ...], monotonic: Callable[[], float]
    ) -> None:
        self._store = store
        self._partitions = partitions
        self._regions = regions
        self._monotonic = monotonic
        self._one_at_a_time = asyncio.Lock()
        self._read_at = float("-inf")
        self._freshness = Freshness(None, ())

    async def read(self) -> Freshness:
        """How far the store is, at most `READ_EVERY_S` ago. Raises `EngineError`."""
        async with self._one_at_a_time:
            began = self._monotonic()
            if began - self._read_at >= READ_EVERY_S:
                words = await self._store.document(REGION_WORDS)
                drained = RegionWords.decode(words.value).drained if words else ()
                until_us = complete_until(await self._store.progress(), self._partitions, self._regions, drained)
                self._freshness = Freshness(until_us, drained)
                self._read_at = began
            return self._freshness

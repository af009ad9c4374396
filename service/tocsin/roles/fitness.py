"""Fitness: whether this region should send, as far as its creators wrote down how they are.

A region that is drained, halted or ill, or whose creators lag behind, knows less of its incidents than its peers, so it
steps back and leaves them the first place. What is not known counts as not fit: behind a backstop a page still comes.
"""

import asyncio
import logging
from typing import Final

from tocsin.core.documents import REGION_WORDS, STATUS_PREFIX, PartitionStatus, RegionWords
from tocsin.engines.errors import EngineError
from tocsin.engines.store import Store
from tocsin.roles.clock import now
from tocsin.topology import Region

LOOK_EVERY_S: Final = 1.0
LOOK_S_MAX: Final = 2.0
_log = logging.getLogger(__name__)


class Fitness:
    """Looks at the region's documents, at one pace for all partitions."""

    def __init__(self, store: Store, region: Region) -> None:
        self.reasons: list[str] = ["it has not been looked at yet"]
        """Why this region is not fit to send; empty when it is."""
        self._store = store
        self._region = region

    @property
    def is_fit(self) -> bool:
        """Whether this region is fit to send."""
        return not self.reasons

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            reasons = await self._look()
            if bool(reasons) != bool(self.reasons):
                text = f"is not fit to send: {'; '.join(reasons)}" if reasons else "is fit to send"
                _log.info("region %s %s", self._region.name, text, extra={"action": "fitness_changed"})
            self.reasons = reasons
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> list[str]:
        try:
            async with asyncio.timeout(LOOK_S_MAX):
                words = await self._store.document(REGION_WORDS)
                documents = await self._store.documents(STATUS_PREFIX)
            drained = RegionWords.decode(words.value).drained if words else ()
            statuses = [PartitionStatus.decode(document.value) for document in documents]
        except (EngineError, TimeoutError) as error:
            return [f"the store does not answer: {str(error) or f'not within {LOOK_S_MAX:g} s'}"]
        except ValueError as error:
            return [f"a document in the store is damaged: {error}"]
        return [*self._of_region(drained), *self._of_creators(statuses)]

    def _of_region(self, drained: tuple[str, ...]) -> list[str]:
        return [f"region {self._region.name} is drained"] if self._region.name in drained else []

    def _of_creators(self, statuses: list[PartitionStatus]) -> list[str]:
        reasons, late_s, now_us = [], self._region.paging.backstop_s, now().unix_us
        missing = set(range(self._region.partitions)) - {status.partition for status in statuses}
        if missing:
            reasons.append(f"no creator ever owned {len(missing)} of the partitions (first: {min(missing)})")
        for status in statuses:
            lag_s = status.lag_s + max(0.0, (now_us - status.at_us) / 1e6 - LOOK_EVERY_S)
            if status.halted:
                reasons.append(f"partition {status.partition} is halted")
            if status.ill:
                reasons.append(f"partition {status.partition} is ill")
            if lag_s >= late_s:
                reasons.append(f"the creator of partition {status.partition} is {lag_s:.0f} s behind")
        return reasons

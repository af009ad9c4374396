"""Clocks: whether this region's may be trusted, as far as that can be known from here.

Complete-until promises readers that what was accepted before it is there, and allows the regions' clocks to differ by
`CLOCK_BOUND_S`. Whoever's clock is further behind than that stamps entries into a past that readers believe closed. So
an intake says that it is not ready when

- a tick of a peer lies further than the bound in our future when it is read here. The way through the mirror only makes
  a tick older, so a lead is certain and a lag says nothing: a peer that is behind, or far away, looks the same. Of two
  regions that differ it is the one behind that steps back, whoever is wrong; a person who drains the other one decides.
- this host says that its clock is not synchronised. Only systemd-timesyncd says so in a place that is the same on all
  hosts; where it does not run, nothing is known and nothing is said.

Partition 0 of each mirrored topic is enough, since a peer ticks in all of its partitions at once.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from tocsin.core.completeness import CLOCK_BOUND_S
from tocsin.core.requests import Tick, decode_record
from tocsin.engines.errors import EngineError
from tocsin.engines.log import Log
from tocsin.telemetry import Gauge, Reading

PARTITION: Final = 0
RECORDS_MAX: Final = 1_000
BYTES_MAX: Final = 4 * 1024 * 1024
FETCH_WAIT_S: Final = 5.0
RETRY_S: Final = 1.0
TIMESYNC: Final = Path("/run/systemd/timesync")
"""Where systemd-timesyncd keeps its state: a file `synchronized` in it, once it is."""
_BOUND_US: Final = int(CLOCK_BOUND_S * 1_000_000)
_log = logging.getLogger(__name__)


class PeerClocks:
    """Reads the peers' ticks. `topics`: region to its mirrored requests in this region's log."""

    def __init__(self, log: Log, topics: Mapping[str, str], clock_us: Callable[[], int]) -> None:
        self._log = log
        self._topics = topics
        self._clock_us = clock_us
        self._tick_us: dict[str, int] = {}
        self._lead_us: dict[str, int] = {}
        self._since_us: dict[str, int] = {}
        """Since when each peer's ticks are waited for: so old is what a mirror that never brought one is behind by."""

    def readings(self) -> Iterator[Reading]:
        """What gauges show: how old each peer's latest tick is, and by how much this clock is certainly behind its."""
        now_us = self._clock_us()
        for region, since_us in self._since_us.items():
            age_us = now_us - self._tick_us.get(region, since_us)
            yield Reading(Gauge.MIRROR_LAG_S, max(age_us, 0) / 1e6, {"source": region})
        for region, lead_us in self._lead_us.items():
            yield Reading(Gauge.CLOCK_OFFSET_S, max(lead_us, 0) / 1e6, {"peer": region})

    async def run(self) -> None:
        """Reads until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for region, topic in self._topics.items():
                group.create_task(self._follow(region, topic))

    def unready(self, drained: Collection[str] = ()) -> list[str]:
        """Which peers' latest ticks lie in our future; of drained ones nothing is said."""
        now_us = self._clock_us()
        return [
            f"the clock is off: a tick of region {region} lies {(tick_us - now_us) / 1e6:.1f} s in its future, more "
            f"than {CLOCK_BOUND_S:g} s; set the clock right, or drain region {region} if it is the one that is wrong"
            for region, tick_us in sorted(self._tick_us.items())
            if tick_us - now_us > _BOUND_US and region not in drained
        ]

    async def _follow(self, region: str, topic: str) -> None:
        offset: int | None = None
        self._since_us[region] = self._clock_us()
        while True:
            try:
                if offset is None:  # what was before us is past: only new ticks tell of the clock as it is
                    _, offset = await self._log.bounds(topic, PARTITION)
                fetched = await self._log.fetch(
                    topic, PARTITION, offset, records_max=RECORDS_MAX, bytes_max=BYTES_MAX, wait_s=FETCH_WAIT_S
                )
            except EngineError as error:
                _log.warning("ticks not read: %s", error, extra={"action": "ticks_not_read", "topic": topic})
                offset = None
                await asyncio.sleep(RETRY_S)
                continue
            offset = fetched.next_offset
            ticks = [
                content.tick_us
                for _, record in fetched.records
                if record.key is None and isinstance(content := decode_record(record), Tick)
            ]
            if ticks:
                self._tick_us[region] = max(ticks)
                self._lead_us[region] = max(ticks) - self._clock_us()


def unsynchronised(timesync: Path = TIMESYNC) -> list[str]:
    """That this host's clock is not synchronised; empty when it is, or when that cannot be known."""
    if not timesync.is_dir() or (timesync / "synchronized").exists():
        return []
    return ["the clock is off: systemd-timesyncd says that this host is not synchronised; see `timedatectl`"]

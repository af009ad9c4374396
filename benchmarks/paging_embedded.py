"""How late are 1,000 bundles a second that one process hands over on the embedded engines?

    steady      bundles become due evenly, 1,000 a second: from due to hand-over. The ratio is that of the p99 to 250 ms
    storm       so many users have a page due at one moment that is past already: from the start of the notifier to
                the last hand-over. The limit is 15 s for 10,000
    take-over   a notifier takes over what another one left of 100,000 users with an open incident each: from its start
                until it pages for every partition. The limit is 5 s

Whoever is called takes everything at once: what is measured is deciding, recording and keeping, not a provider. The
limits are those that the notifier was built to.
"""

import asyncio
import sys
import time
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.measure import Answer, Options, publish, quantile, scratch
from benchmarks.paging import PARTITIONS, Paging, Taken, until_ready
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.topology import EmbeddedLog as LogOfRegion
from tocsin.topology import Region, SqliteStack

RATE_PER_S: Final = 1_000
LATE_S_MAX: Final = 0.25
STORM_S_MAX: Final = 15.0
TAKE_OVER_S_MAX: Final = 5.0
SIZES: Final = {"steady_s": 30, "storm_users": 10_000, "kept_users": 100_000}
QUICK_SHARE: Final = 20
LEAD_S: Final = 4.0
"""Between the start of the notifier and the first due of the steady part."""
AHEAD_S: Final = 86_400.0
"""The incidents of those who are only kept are due tomorrow: an ownership change pages nobody."""


class Bench:
    """Engines in a folder of their own, and what is done on them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.log = EmbeddedLog(folder / "log.sqlite")
        self.store = EmbeddedStore(folder / "store.sqlite")
        region = Region(
            name="a",
            partitions=PARTITIONS,
            log=LogOfRegion(engine="embedded", path=folder / "log.sqlite", retention_s=604_800),
            stacks={"blue": SqliteStack(engine="sqlite", path=folder / "store.sqlite")},
            serving_stack="blue",
            directory=Path("directory.yaml"),
        )
        self.paging = Paging(self.log, self.store, region, folder)

    async def close(self) -> None:
        """Closes both engines."""
        await self.log.close()
        await self.store.close()


async def steady(folder: Path, seconds: int) -> list[float]:
    """How late each bundle was, in seconds."""
    bench = Bench(folder)
    users = [f"steady-{number}" for number in range(RATE_PER_S * seconds)]
    await bench.paging.hire(users)
    taken = Taken()
    async with bench.paging.notifier(taken) as notifier:
        await until_ready(notifier)
        first_us = time.time_ns() // 1000 + round((LEAD_S + seconds / 4) * 1e6)
        await bench.paging.assign(users, lambda number: first_us + round(number / RATE_PER_S * 1e6), "steady")
        await taken.until(len(users))
    await bench.close()
    return taken.lags_s


async def storm(folder: Path, count: int) -> float:
    """Seconds from the start of a notifier until everybody was told."""
    bench = Bench(folder)
    users = [f"user-{number}" for number in range(count)]
    now_us = time.time_ns() // 1000
    await bench.paging.hire(users)
    await bench.paging.assign(users, lambda _: now_us, "storm")
    taken = Taken()
    began_s = time.monotonic()
    async with bench.paging.notifier(taken):
        await taken.until(count)
        seconds = time.monotonic() - began_s
    await bench.close()
    return seconds


async def take_over(folder: Path, count: int) -> float:
    """Seconds from the start of a second notifier until it pages for all that the first one left."""
    bench = Bench(folder)
    users = [f"user-{number}" for number in range(count)]
    tomorrow_us = round((time.time() + AHEAD_S) * 1e6)
    await bench.paging.hire(users)
    await bench.paging.assign(users, lambda _: tomorrow_us, "kept")
    async with bench.paging.notifier(Taken()) as first:
        await until_ready(first)
    began_s = time.monotonic()
    async with bench.paging.notifier(Taken()) as second:
        await until_ready(second)
        seconds = time.monotonic() - began_s
    await bench.close()
    return seconds


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def main() -> None:
    options = Options.read()
    share = QUICK_SHARE if options.quick else 1
    sizes = {name: max(1, size // share) for name, size in SIZES.items()}
    with scratch() as folder:
        say(f"{RATE_PER_S} bundles a second, for {sizes['steady_s']} s")
        late_s = asyncio.run(steady(folder / "steady", sizes["steady_s"]))
        say(f"a storm of {sizes['storm_users']} users")
        storm_s = asyncio.run(storm(folder / "storm", sizes["storm_users"]))
        say(f"a take-over of {sizes['kept_users']} users")
        take_over_s = asyncio.run(take_over(folder / "kept", sizes["kept_users"]))
    late_p99_s = quantile(late_s, 0.99)
    answer = Answer(
        question=str(__doc__).split("\n", 1)[0],
        ours={
            "late_p50_ms": median(late_s) * 1e3,
            "late_p99_ms": late_p99_s * 1e3,
            "storm_s": storm_s,
            "take_over_s": take_over_s,
        },
        peers={
            "limit": {"late_p99_ms": LATE_S_MAX * 1e3, "storm_s": STORM_S_MAX, "take_over_s": TAKE_OVER_S_MAX},
        },
        ratio=late_p99_s / LATE_S_MAX,
        ratio_of=f"p99 of due to hand-over at {RATE_PER_S:,} a second / {LATE_S_MAX * 1e3:.0f} ms",
        better="lower",
        floor=1.0,
        aim=0.5,
        sizes=sizes | {"per_s": RATE_PER_S},
        details={"storm": storm_s / STORM_S_MAX, "take_over": take_over_s / TAKE_OVER_S_MAX},
    )
    publish("paging_embedded", answer, options)


if __name__ == "__main__":
    main()

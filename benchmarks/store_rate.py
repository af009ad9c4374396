"""How many requests a second go from the embedded log into the embedded store, through a real creator?

One process, one region, four partitions. The requests stand in the log before the creator starts; what is timed is from
the first write that it asks the store for to the last fold that the store acknowledges. Measured in the same run:

    only_read       the same message sets, fetched from the log and decoded
    only_write      the same entries, already made, written to an empty store in sets of 500
    one_by_one      a loop that fetches the sets of one partition, and awaits one request after the other: its entry,
                    then its fold
    entry_by_entry  the same without the folds, which is less than the job

The two first are limits: nothing that reads and writes can be faster than the slower of them, and the creator also
folds incidents, which neither does. `one_by_one` does the creator's job as it is written without thinking of sets: the
ratio is ours to that.
"""
# ruff: noqa: D102 - what a method does in a measurement, its name says

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.creating import through_creator
from benchmarks.measure import SET_RECORDS, Answer, Options, batches, make_requests, publish, scratch
from tocsin.core.events import entry_of
from tocsin.core.ids import partition_of
from tocsin.core.requests import Request, decode_records, encode_request
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.topics import make_topics
from tocsin.roles.writer import Writer
from tocsin.topology import EmbeddedLog as LogOfRegion
from tocsin.topology import Region, SqliteStack

REQUESTS: Final = 40_000
PARENTS: Final = 2_000
ROUNDS: Final = 3
FETCH_BYTES_MAX: Final = 4 * 1024 * 1024


class Bench:
    """One region's log with all requests in it, and a new store for each measurement."""

    def __init__(self, folder: Path, requests: Sequence[Request]) -> None:
        self._folder = folder
        self._requests = requests
        self._stores = 0
        self.log = EmbeddedLog(folder / "log.sqlite")
        self.region = Region(
            name="a",
            partitions=4,
            log=LogOfRegion(engine="embedded", path=Path("log.sqlite"), retention_s=604_800),
            stacks={"blue": SqliteStack(engine="sqlite", path=Path("blue.sqlite"))},
            serving_stack="blue",
            directory=Path("directory.yaml"),
        )

    def new_store(self) -> EmbeddedStore:
        self._stores += 1
        return EmbeddedStore(self._folder / f"store-{self._stores}.sqlite")

    @property
    def works(self) -> dict[str, Callable[[], Awaitable[float]]]:
        """All that is measured, by name; each returns requests a second."""
        return {
            "only_read": self.only_read,
            "only_write": self.only_write,
            "one_by_one": self.one_by_one,
            "entry_by_entry": self.entry_by_entry,
            "through_creator": self.through_creator,
        }

    async def fill(self) -> None:
        await make_topics(self.log, self.region)
        for number in range(self.region.partitions):
            mine = [request for request in self._requests if partition_of(request.key.parent, 4) == number]
            for some in batches(mine):
                await self.log.append("requests", number, [encode_request(request) for request in some])

    async def only_read(self) -> float:
        numbers = range(self.region.partitions)
        taken_s = await timed(lambda: self._each_set(lambda _: asyncio.sleep(0), numbers))
        return len(self._requests) / taken_s

    async def only_write(self) -> float:
        store = self.new_store()
        entries = [entry_of(request) for request in self._requests]

        async def write() -> None:
            for some in batches(entries):
                assert not await store.write(some)

        taken_s = await timed(write)
        await store.close()
        return len(entries) / taken_s

    async def one_by_one(self) -> float:
        store = self.new_store()
        writer = Writer(store, epoch=1)

        async def write(requests: list[Request]) -> None:
            for request in requests:
                assert not await writer.write([request])

        return await self._rate_of_first(store, write)

    async def entry_by_entry(self) -> float:
        store = self.new_store()

        async def write(requests: list[Request]) -> None:
            for request in requests:
                assert not await store.write([entry_of(request)])

        return await self._rate_of_first(store, write)

    async def _rate_of_first(self, store: EmbeddedStore, write: Callable[[list[Request]], Awaitable[None]]) -> float:
        """Requests a second of the first partition; closes the store."""
        count = sum(1 for one in self._requests if partition_of(one.key.parent, self.region.partitions) == 0)
        taken_s = await timed(lambda: self._each_set(write, (0,)))
        await store.close()
        return count / taken_s

    async def _each_set(self, work: Callable[[list[Request]], Awaitable[None]], numbers: Iterable[int]) -> None:
        for number in numbers:
            offset, end = 0, 1
            while offset < end:
                fetched = await self.log.fetch(
                    "requests", number, offset, records_max=SET_RECORDS, bytes_max=FETCH_BYTES_MAX, wait_s=0.0
                )
                contents = decode_records([record for _, record in fetched.records])
                await work([content for content in contents if isinstance(content, Request)])
                offset, end = fetched.next_offset, fetched.log_end

    async def through_creator(self) -> float:
        store = self.new_store()
        # A claim lasts as long as the log that it was made with is open, and the group's epoch rises with each.
        log = EmbeddedLog(self._folder / "log.sqlite")
        rate = await through_creator(log, store, self.region, len(self._requests))
        await log.close()
        await store.close()
        return rate


async def timed(work: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def measure(requests: Sequence[Request], rounds: int) -> dict[str, float]:
    """Requests a second, the median of the rounds; in each round everything is measured once."""
    rates: dict[str, list[float]] = {}
    with scratch() as folder:
        bench = Bench(folder, requests)
        await bench.fill()
        for _ in range(rounds):
            for name, work in bench.works.items():
                rates.setdefault(name, []).append(await work())
        await bench.log.close()
    return {name: median(found) for name, found in rates.items()}


def main() -> None:
    options = Options.read()
    quick = options.quick
    count = REQUESTS // 20 if quick else REQUESTS
    rounds = 1 if quick else ROUNDS
    requests = list(make_requests(count, parents=PARENTS // 20 if quick else PARENTS))
    rates = asyncio.run(measure(requests, rounds))
    ours = rates.pop("through_creator")
    limit = min(rates["only_read"], rates["only_write"])
    publish(
        "store_rate",
        Answer(
            question="How many requests a second go from the embedded log into the embedded store?",
            ours={"requests_per_s": ours},
            peers={name: {"requests_per_s": rate} for name, rate in rates.items()},
            ratio=ours / rates["one_by_one"],
            ratio_of="requests a second to those of a loop that awaits one request after the other",
            better="higher",
            floor=3.0,
            aim=10.0,
            sizes={"requests": count, "parents": len({r.key.parent for r in requests}), "rounds": rounds},
            details={
                "ratio_to_lower_limit": ours / limit,
                "ratio_to_entry_by_entry": ours / rates["entry_by_entry"],
                "body_bytes": median(len(request.body) for request in requests),
            },
        ),
        options,
    )


if __name__ == "__main__":
    main()

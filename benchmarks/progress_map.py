"""How much can be done above one held request, tracked exactly, and what does it cost?

One request is held at the watermark while everything above it goes on. What is done must be known message by message,
or it is written again after a restart. Five patterns, from the usual one to the worst ones:

    in order           sets of 500 end one after the other: one run
    sets shuffled      sets of 500 end in any order: never more runs than half the sets
    messages shuffled  single messages end in any order: a quarter as many runs as messages on the way, one at the end
    half, random       every message is done with a chance of one half: a quarter as many runs as messages
    every second       half as many runs as messages; there cannot be more

Peers: a set of offsets and a bitmap, both in Python, as anybody would write them; and the limit of the best-known
library of this kind, which keeps its map in the metadata of a Kafka commit. That has 4,096 characters, of which it
fills three quarters before it takes no more: 18,432 offsets when what is done is random and so cannot be compressed
(arithmetic from its source, not a measurement). The ratio is the number of messages tracked in the random pattern, to
that.
"""

import functools
import gc
import random
import time
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from benchmarks.measure import SET_RECORDS, Answer, Options, publish, seconds
from tocsin.core.progress import Runs

MESSAGES: Final = 1_000_000
LIBRARY_OFFSETS_MAX: Final = 18_432
Spans = Sequence[tuple[int, int]]


def patterns(messages: int) -> dict[str, Spans]:
    """Pattern to what ends, in order, as half-open spans. Offset 0 is held."""
    chance = random.Random(7)
    sets = [(start, min(start + SET_RECORDS, messages + 1)) for start in range(1, messages + 1, SET_RECORDS)]
    shuffled = sets[:]
    chance.shuffle(shuffled)
    singles = [(offset, offset + 1) for offset in range(1, messages + 1)]
    chance.shuffle(singles)
    half = [(offset, offset + 1) for offset in range(1, messages + 1) if chance.getrandbits(1)]
    second = [(offset, offset + 1) for offset in range(2, messages + 1, 2)]
    return {
        "in_order": sets,
        "sets_shuffled": shuffled,
        "messages_shuffled": singles,
        "half_random": half,
        "every_second": second,
    }


def runs_of(spans: Spans) -> Runs:
    runs = Runs()
    for start, end in spans:
        runs.add(start, end)
    return runs


def set_of(spans: Spans) -> set[int]:
    done: set[int] = set()
    for start, end in spans:
        done.update(range(start, end))
    return done


def bitmap_of(spans: Spans, messages: int) -> bytearray:
    bits = bytearray((messages + 8) // 8)
    for start, end in spans:
        for offset in range(start, end):
            bits[offset >> 3] |= 1 << (offset & 7)
    return bits


def kept_bytes(make: Callable[[], object]) -> int:
    """What is still allocated when the structure stands, beside what went into it."""
    gc.collect()
    tracemalloc.start()
    made = make()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del made
    return size


def check(runs: Runs, spans: Spans, messages: int) -> None:
    """Nothing lost, nothing added, the watermark held, and the same after a restart."""
    done = set_of(spans)
    assert 0 not in runs
    assert runs.low == 0
    assert {offset for start, end in runs for offset in range(start, end)} == done
    sample: Iterable[int] = random.Random(3).sample(range(messages + 1), min(messages, 10_000))
    assert all((offset in runs) == (offset in done) for offset in sample)
    assert Runs.decode(runs.encode()) == runs


def main() -> None:
    options = Options.read()
    quick = options.quick
    messages = MESSAGES // 20 if quick else MESSAGES
    ours: dict[str, float] = {}
    as_set: dict[str, float] = {}
    as_bitmap: dict[str, float] = {}
    for name, spans in patterns(messages).items():
        began = time.perf_counter()
        runs = runs_of(spans)
        ours[f"{name}_s"] = time.perf_counter() - began
        check(runs, spans, messages)
        raw = runs.encode()
        ours[f"{name}_runs"] = len(runs)
        ours[f"{name}_encoded_bytes"] = len(raw)
        ours[f"{name}_memory_bytes"] = kept_bytes(functools.partial(Runs.decode, raw))
        ours[f"{name}_encode_s"] = seconds(runs.encode)
        as_set[f"{name}_s"] = seconds(functools.partial(set_of, spans))
        as_set[f"{name}_memory_bytes"] = kept_bytes(functools.partial(set_of, spans))
        as_bitmap[f"{name}_s"] = seconds(functools.partial(bitmap_of, spans, messages))
        as_bitmap[f"{name}_memory_bytes"] = len(bitmap_of(spans, messages))
    publish(
        "progress_map",
        Answer(
            question="How many messages above one held request are tracked exactly, and at what cost?",
            ours={"tracked_messages": messages, **ours},
            peers={
                "set of offsets": as_set,
                "bitmap": as_bitmap,
                "map in 4,096 characters of commit metadata": {"tracked_messages": LIBRARY_OFFSETS_MAX},
            },
            ratio=messages / LIBRARY_OFFSETS_MAX,
            ratio_of="messages tracked, done at random, to those of a map in 4,096 characters",
            better="higher",
            floor=MESSAGES / LIBRARY_OFFSETS_MAX,
            aim=MESSAGES / LIBRARY_OFFSETS_MAX,
            sizes={"messages": messages, "set_records": SET_RECORDS},
            details={
                "in_order_bytes_per_1000_messages": 1000 * ours["in_order_encoded_bytes"] / messages,
                "every_second_bytes_per_1000_messages": 1000 * ours["every_second_encoded_bytes"] / messages,
                "note": "a partition stays near the first: what is held is bounded by 16 requests and one set, what is "
                "in flight by four sets",
            },
        ),
        options,
    )


if __name__ == "__main__":
    main()

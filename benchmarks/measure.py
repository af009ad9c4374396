"""What the benchmarks share: made-up requests, the clock, the machine, and the file that an answer is published in.

A benchmark is a module with a docstring that says its question, and a `main` that measures and publishes one `Answer`.
It is run as `python -m benchmarks.<name>` from the top of the repository, or with all others by `benchmarks/run.py`.
"""

import argparse
import json
import os
import platform
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, TypeVar

import tocsin
from tocsin.core.events import client_digest, request_body
from tocsin.core.ids import Minter, Parent, RequestKey
from tocsin.core.requests import SCHEMA, Request

T = TypeVar("T")
OUT: Final = Path(__file__).parents[1] / "build" / "bench"
SET_RECORDS: Final = 500
LIFE: Final = ("trigger", "trigger", "acknowledge", "resolve")
RECEIVED_US: Final = 1_760_000_000_000_000
"""When made-up requests were received, so that a run measures the same bytes as the one before."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a benchmark found. Units end the names of figures; `ratio` has ours and the best peer of one run."""

    question: str
    ours: Mapping[str, float]
    peers: Mapping[str, Mapping[str, float]]
    ratio: float
    ratio_of: str
    """What is divided by what, in words."""
    better: Literal["lower", "higher"]
    floor: float
    """The least that is acceptable."""
    aim: float
    """What we want."""
    sizes: Mapping[str, int]
    details: Mapping[str, Any] = field(default_factory=dict)

    def reaches(self, bound: float) -> bool:
        """Whether the ratio is on the good side of a bound."""
        return self.ratio <= bound if self.better == "lower" else self.ratio >= bound


@dataclass(frozen=True, slots=True)
class Options:
    """How a benchmark is to be run: in small sizes, and where it publishes."""

    quick: bool
    out: Path

    @classmethod
    def read(cls) -> "Options":
        """The options of the command line."""
        parser = argparse.ArgumentParser(description="Measures one thing; see the module's docstring.")
        parser.add_argument("--quick", action="store_true", help="small sizes: does it still run?")
        parser.add_argument("--out", type=Path, default=OUT, help="where answers are published")
        given = parser.parse_args()
        return cls(given.quick, given.out)


def publish(name: str, answer: Answer, options: Options) -> None:
    """Writes <out>/<name>.json, and says in one line what came out."""
    published = asdict(answer) | {
        "met": answer.reaches(answer.floor),
        "aim_met": answer.reaches(answer.aim),
        "quick": options.quick,
        "machine": machine(),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(published, indent=2, allow_nan=False) + "\n"
    (options.out / f"{name}.json").write_text(text, encoding="utf-8")
    print(f"{name}: {answer.ratio:.2f} ({answer.ratio_of}); floor {answer.floor:g}, aim {answer.aim:g}")


def machine() -> dict[str, Any]:
    """Where this was measured, and how busy it was: figures of two machines are not compared."""
    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "tocsin": tocsin.__version__,
        "load_1m": round(os.getloadavg()[0], 2),
    }


def seconds(work: Callable[[], object]) -> float:
    """How long a piece of work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def median_seconds(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median time of each piece of work, all of them once in each round: so a busy neighbour hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    return {name: median(taken) for name, taken in times.items()}


def make_event(number: int, host: int, action: str) -> dict[str, Any]:
    """What a monitor of disks says of a host: some hundred bytes, other ones for each number."""
    return {
        "event_action": action,
        "payload": {
            "summary": f"Disk almost full on db-{host}",
            "source": f"db-{host}.example.org",
            "severity": "critical",
            "custom_details": {"free_percent": number % 100, "mount": "/var/lib/data", "number": number},
        },
    }


def make_requests(
    count: int, *, parents: int, region: str = "a", services: int = 20, per_s: int = 1_000_000
) -> Iterator[Request]:
    """Events of some hundred bytes each, spread evenly over the parents; the same ones in every run.

    Each parent goes through what an alert goes through, again and again: `LIFE`. They were received `per_s` a second.
    """
    chance = random.Random(7)
    minter = Minter()
    for number in range(count):
        dedup_key = f"disk/db-{number % parents}"
        parent = Parent(f"service-{number % parents % services}", dedup_key)
        body = request_body(make_event(number, number % parents, LIFE[number // parents % len(LIFE)]), dedup_key)
        received_us = RECEIVED_US + number * 1_000_000 // per_s
        temporal_id = minter.mint(received_us // 1_000_000, chance.getrandbits(32))
        yield Request(RequestKey(parent, temporal_id, client_digest(parent, body)), received_us, region, SCHEMA, body)


def batches(items: Sequence[T], size: int = SET_RECORDS) -> Iterator[Sequence[T]]:
    """The items in sets."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on the disk of the repository that is gone afterwards: /tmp may be memory, which would flatter."""
    OUT.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=OUT) as folder:
        yield Path(folder)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that is not exceeded by at least this share of them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

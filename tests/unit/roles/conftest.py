"""What the tests of intake and querier share: a clock of their own, and a directory with three services."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tocsin.engines.directory import FileDirectory
from tocsin.telemetry import Identity, Meters

KEYS = {"demo": "d" * 32, "careful": "c" * 32, "lenient": "1" * 32}
DIRECTORY = f"""
services:
  - {{id: demo, name: Demo, routing_keys: ["{KEYS["demo"]}"]}}
  - {{id: careful, name: Careful, routing_keys: ["{KEYS["careful"]}"], ack: all-regions}}
  - id: lenient
    name: Lenient
    routing_keys: ["{KEYS["lenient"]}"]
    ack: all-regions
    when_peer_unreachable: accept
"""
NOW_S = 1_700_000_000


class Clock:
    """A clock that goes when it is told to: Unix microseconds, and monotonic seconds that go with it."""

    def __init__(self) -> None:
        self.us = NOW_S * 1_000_000

    def unix_us(self) -> int:
        return self.us

    def monotonic(self) -> float:
        return self.us / 1e6

    def go(self, seconds: float) -> None:
        self.us += int(seconds * 1e6)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def directory(tmp_path: Path) -> FileDirectory:
    path = tmp_path / "directory.yaml"
    path.write_text(DIRECTORY, encoding="utf-8")
    return FileDirectory(path)


@pytest.fixture
def meters() -> Iterator[Meters]:
    meters = Meters(Identity("a", "blue", "test"))
    yield meters
    meters.close()


def counted(meters: Meters, name: str) -> dict[str, float]:
    """The values of a metric by its only label, `` when it has none."""
    for metric in meters.snapshot():
        if metric["name"] == name:
            return {next(iter(value["labels"].values()), ""): value["value"] for value in metric["values"]}
    return {}

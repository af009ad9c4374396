"""A simulated mirror: each partition of each topic is a flow with a position of its own, at least once and in order.

What MirrorMaker or a replicator may do, a flow does: lag behind, stand still while its link is cut, begin again at a
committed position that is behind what it copied, and so copy a batch twice.
"""

import random
from collections.abc import Callable
from typing import Final

from tests.simulation.log import Records
from tests.simulation.network import Surrounding

DELAY_S: Final = (0.005, 0.05)
BATCH_MAX: Final = 500


class Link:
    """The mirror one way, from one region's log into another's."""

    def __init__(
        self, source: str, target: str, around: Surrounding, logs: Callable[[str], Records], up: Callable[[str], bool]
    ) -> None:
        """`logs`: a region's records; `up`: whether its log answers anybody."""
        self.source = source
        self.target = target
        self.cuts: list[frozenset[str]] = []
        """The topics that do not pass, a set for each cut."""
        self.delays_s: list[float] = []
        self.repeats: list[float] = []
        """The chance that a batch is copied once more."""
        self._around = around
        self._logs = logs
        self._up = up
        self._positions: dict[tuple[str, int], int] = {}
        self._due: set[tuple[str, int]] = set()

    def __str__(self) -> str:
        return f"{self.source}>{self.target}"

    def is_cut(self, topic: str) -> bool:
        """Whether nothing of a topic passes."""
        return any(topic in cut for cut in self.cuts)

    def position(self, topic: str, partition: int) -> int:
        """The first offset of the source that was not copied."""
        return self._positions.get((topic, partition), 0)

    def news(self, topic: str, partition: int) -> None:
        """There may be something to copy."""
        flow = topic, partition
        if flow not in self._due:
            self._due.add(flow)
            delay_s = self._around.net.uniform(*DELAY_S) + sum(self.delays_s)
            self._around.later(delay_s, self._pump, flow)

    def heal(self) -> None:
        """Something has ended that held flows up: they go on."""
        for topic, partition in self._logs(self.source).parts:
            if not topic.startswith(self.source) and "." not in topic:
                self.news(topic, partition)

    def set_back(self, chance: random.Random) -> None:
        """The mirror begins again, each flow where it last committed: somewhere below."""
        for flow in sorted(self._positions):
            self._positions[flow] = max(0, self._positions[flow] - chance.randrange(200))
            self.news(*flow)

    def _pump(self, flow: tuple[str, int]) -> None:
        self._due.discard(flow)
        topic, partition = flow
        if self.is_cut(topic) or not (self._up(self.source) and self._up(self.target)):
            return  # `heal` begins it again
        source, target = self._logs(self.source), self._logs(self.target)
        copy = f"{self.source}.{topic}"
        if (copy, partition) not in target.parts:
            self._around.later(0.5, self.news, topic, partition)  # the target's creator has not made its topics yet
            return
        position = self.position(topic, partition)
        fetched = source.fetch(topic, partition, position, BATCH_MAX, 1 << 22)
        records = [delivered.record for delivered in fetched.records]
        if records:
            target.append(copy, partition, records)
            self._around.trace.add(f"{self._around.now_s:.6f} {self} {topic}/{partition} {position} {len(records)}")
        if records and self.repeats and self._around.net.random() < max(self.repeats):
            self.news(topic, partition)  # appended, and killed before it committed
            return
        self._positions[flow] = fetched.next_offset
        if fetched.next_offset < fetched.log_end:
            self.news(topic, partition)

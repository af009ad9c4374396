"""The notifier: owns user partitions of a stack, decides who is told when, and hands pages over to stage two.

It claims what is free in a group of its own (`claiming.py`) and runs a `UserPartition` for each; whether the region is
fit to send is looked at once for all of them. Stage two is one for all of them too, so that a provider's limits hold
for the process.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Protocol

from tocsin.core.paging.effects import Bundle, Ended
from tocsin.core.paging.feedback import IntentId, Outcome
from tocsin.engines.directory import FileDirectory
from tocsin.engines.log import Claim, Log
from tocsin.engines.store import Store
from tocsin.roles.claiming import Claiming, Work
from tocsin.roles.fitness import Fitness
from tocsin.roles.user_partition import Around, UserPartition
from tocsin.telemetry import Counter, Meters, Reading
from tocsin.topology import Region, Topology


class StageTwo(Protocol):
    """What renders and delivers."""

    def hand_over(self, bundle: Bundle, wanted: Callable[[IntentId], bool], ended: Callable[[Ended], None]) -> None:
        """Takes a bundle and returns at once. Asks `wanted` before each call of a provider, and calls `ended` once."""


class Notifier:
    """One notifier process of one replica."""

    def __init__(
        self,
        log: Log,
        store: Store,
        topology: Topology,
        region: Region,
        stack: str,
        directory: FileDirectory,
        stage: StageTwo,
        meters: Meters,
    ) -> None:
        """`directory` is the region's file of services and users."""
        self._stage = stage
        self._fitness = Fitness(store, region)
        self._around = Around(
            log, store, region, topology.names, directory, self._fitness, meters, hand_over=self._hand_over
        )
        self._claiming = Claiming(log, f"notifier.{stack}", range(region.partitions), Work(self._take_over))
        for outcome in Outcome:
            meters.add(Counter.PAGES_ENDED, 0, outcome=outcome)
        meters.watch(self._readings)

    async def run(self, stopping: asyncio.Event) -> None:
        """Owns and pages until `stopping` is set."""
        await self._claiming.run(stopping, self._fitness.run)

    @property
    def unready(self) -> list[str]:
        """Why this notifier does not page as it should, empty when it does."""
        reasons = self._claiming.unready
        for _, owner in sorted(self._claiming.owners.items()):
            reasons += owner.unready
        return reasons

    async def _take_over(self, claim: Claim) -> UserPartition:
        return await UserPartition.take_over(self._around, claim)

    def _hand_over(self, owner: UserPartition, bundle: Bundle) -> None:
        self._stage.hand_over(bundle, owner.wanted, owner.ended)

    def _readings(self) -> Iterator[Reading]:
        for owner in self._claiming.owners.values():
            yield from owner.readings()

"""The creator: owns partition numbers of one replica, and turns their requests into entries.

It claims what is free (`claiming.py`), and runs an `Owner` for each partition number. What concerns the replica as a
whole is in `replica.py`.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from tocsin.core.partition import Phase
from tocsin.core.statements import Replica
from tocsin.engines.log import Claim, Log
from tocsin.engines.store import Store
from tocsin.engines.topics import make_topics
from tocsin.roles.assigner import NOBODY, Assigner
from tocsin.roles.claiming import Claiming, Work
from tocsin.roles.followed import Followed
from tocsin.roles.owner import Owner, Surroundings
from tocsin.roles.replica import ReplicaCare
from tocsin.roles.trial import Trials
from tocsin.telemetry import NOTHING_FOLLOWED, Bound, Meters, Reading, bound
from tocsin.topology import Region, Topology


class Creator:
    """One creator process of one replica."""

    def __init__(  # noqa: PLR0913 - what it is made of
        self,
        log: Log,
        store: Store,
        topology: Topology,
        replica: Replica,
        trials: Trials,
        meters: Meters,
        *,
        partitions: Sequence[int] | None = None,
        assigner: Assigner = NOBODY,
        followed: Followed | None = None,
    ) -> None:
        """`partitions`: own exactly these, or fail; None: whatever is free, now and later."""
        self._log = log
        self._region: Region = topology.region(replica.region)
        numbers = range(self._region.partitions) if partitions is None else partitions
        work = Work(self._take_over, self._begin, self._leave)
        self._claiming = Claiming(log, f"creator.{replica.stack}", numbers, work, exactly=partitions is not None)
        self._owners = self._claiming.owners
        self._care = ReplicaCare(store, self._region.limits, replica.region, self._owners)
        self._around = Surroundings(
            log=log,
            store=store,
            region=self._region,
            replica=replica,
            founding=frozenset(region.name for region in topology.regions if region.founding),
            trials=trials,
            meters=meters,
            assigner=assigner,
            followed=followed or Followed(NOTHING_FOLLOWED),
            store_answers=self._care.probe,
            count=self._care.count,
        )
        meters.watch(self._readings)

    async def run(self, stopping: asyncio.Event) -> None:
        """Owns and works until `stopping` is set; raises `Owned` or `Misconfigured` where it cannot."""
        await make_topics(self._log, self._region)
        try:
            await self._claiming.run(stopping, self._care.run)
        finally:
            await self._around.trials.close()

    @property
    def owners(self) -> Mapping[int, Owner]:
        """Of the partition numbers that it owns."""
        return self._owners

    @property
    def unready(self) -> list[str]:
        """Why this creator is not ready, empty when it is."""
        reasons = self._claiming.unready
        if not self._care.answers:
            reasons.append("the store does not answer")
        for number, owner in sorted(self._owners.items()):
            if owner.machine.phase in (Phase.READING, Phase.ANNOUNCING):
                reasons.append(f"partition {number} is {owner.machine.phase}")
            reasons += [f"partition {number} is halted: {why}" for why in owner.machine.halted]
        return reasons

    def _readings(self) -> Iterator[Reading]:
        for owner in self._owners.values():
            yield from owner.readings()
        yield from self._care.readings()
        yield from bound(Bound.TRIALS, self._around.trials.busy, 1)

    async def _take_over(self, claim: Claim) -> Owner:
        return await Owner.take_over(self._around, claim)

    def _begin(self, owner: Owner) -> None:
        self._care.greet(owner)

    async def _leave(self, owner: Owner) -> None:
        """Writes down how the partition number is left."""
        await self._care.put_status(owner)

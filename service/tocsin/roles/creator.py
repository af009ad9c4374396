"""The creator: owns partition numbers of one replica, and turns their requests into entries.

It claims what is free (another creator of the stack may own the rest; then this one stands by for it), and runs an
`Owner` for each partition number. What another creator should have, it gives back in good order; what it lost, it drops
where it is; and it stands by for both. What concerns the replica as a whole is in `replica.py`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Final

from tocsin.core.partition import Phase
from tocsin.core.statements import Replica
from tocsin.engines.errors import EngineError, Misconfigured, Owned
from tocsin.engines.log import Claim, Log
from tocsin.engines.store import Store
from tocsin.engines.topics import make_topics
from tocsin.roles.owner import ClaimLost, Owner, Surroundings
from tocsin.roles.replica import ReplicaCare
from tocsin.roles.trial import Trials
from tocsin.telemetry import Bound, Meters, Reading, bound
from tocsin.topology import Region, Topology

CLAIM_PACE_S: Final = 1.0
GIVE_BACK_PACE_S: Final = 0.25
"""How often it is asked whether another should have a partition number."""
_log = logging.getLogger(__name__)


class Creator:
    """One creator process of one replica."""

    def __init__(
        self,
        log: Log,
        store: Store,
        topology: Topology,
        replica: Replica,
        trials: Trials,
        meters: Meters,
        *,
        partitions: Sequence[int] | None = None,
    ) -> None:
        """`partitions`: own exactly these, or fail; None: whatever is free, now and later."""
        self._log = log
        self._region: Region = topology.region(replica.region)
        self._wanted = partitions
        self._group = f"creator.{replica.stack}"
        self._owners: dict[int, Owner] = {}
        self._refused: dict[int, str] = {}
        self._unseen = set(range(self._region.partitions) if partitions is None else partitions)
        self._care = ReplicaCare(store, self._region.limits, replica.region, self._owners)
        self._around = Surroundings(
            log=log,
            store=store,
            region=self._region,
            replica=replica,
            founding=frozenset(region.name for region in topology.regions if region.founding),
            trials=trials,
            meters=meters,
            store_answers=self._care.probe,
            count=self._care.count,
        )
        meters.watch(self._readings)

    async def run(self, stopping: asyncio.Event) -> None:
        """Owns and works until `stopping` is set; raises `Owned` or `Misconfigured` where it cannot.

        Each partition number is served by itself: one that cannot be taken over, or is refused, hinders no other.
        """
        await make_topics(self._log, self._region)
        claims = await self._claim_wanted()
        try:
            async with asyncio.TaskGroup() as group:
                caring = group.create_task(self._care.run())
                serving = [group.create_task(self._serve(n, claims.get(n), stopping)) for n in sorted(self._unseen)]
                await stopping.wait()  # also when all are refused: then it is there to say so
                await asyncio.wait(serving)
                caring.cancel()
        finally:
            await self._around.trials.close()

    @property
    def unready(self) -> list[str]:
        """Why this creator is not ready, empty when it is."""
        reasons = [f"partition {number}: {why}" for number, why in sorted(self._refused.items())]
        if self._unseen:
            reasons.append("it has not taken over yet what it is to own")
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

    async def _claim_wanted(self) -> dict[int, Claim]:
        claims: dict[int, Claim] = {}
        try:
            for partition in self._wanted or ():
                claims[partition] = await self._log.claim(self._group, partition)
        except EngineError:
            for claim in claims.values():
                await self._release(claim)
            raise
        return claims

    async def _serve(self, partition: int, claim: Claim | None, stopping: asyncio.Event) -> None:
        """Claims a partition number, takes it over and works on it, until `stopping` is set or it must be refused."""
        while not stopping.is_set() and partition not in self._refused:
            claim = claim or await self._claim(partition)
            if claim is not None and await self._own(claim, stopping):
                claim = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLAIM_PACE_S):
                    await stopping.wait()
        if claim is not None:
            await self._release(claim)

    async def _claim(self, partition: int) -> Claim | None:
        try:
            return await self._log.claim(self._group, partition)
        except Owned as error:
            if self._wanted is None:  # else it is still to own it
                self._unseen.discard(partition)
            _log.debug("standing by: %s", error, extra={"action": "standing_by", "partition": partition})
        except EngineError as error:
            _log.warning("cannot claim: %s", error, extra={"action": "claim_failed", "partition": partition})
        return None

    async def _own(self, claim: Claim, stopping: asyncio.Event) -> bool:
        """Works on a claimed partition number to the end of the claim. False: an engine did not answer yet."""
        if not self._log.holds(claim):
            self._lose(claim)
            return True
        try:
            owner = await Owner.take_over(self._around, claim)
        except (Misconfigured, ValueError) as error:  # ValueError: a row that nobody of us wrote, or damaged
            self._refuse(claim.partition, error)
            await self._release(claim)
            return True
        except EngineError as error:
            _log.warning("cannot take over yet: %s", error, extra={"action": "take_over_failed"})
            return False
        self._care.greet(owner)
        self._owners[claim.partition] = owner
        self._unseen.discard(claim.partition)
        extra = {"action": "partition_owned", "partition": claim.partition, "epoch": claim.epoch}
        _log.info("owns partition %d", claim.partition, extra=extra)
        try:
            await self._run(owner, stopping)
        except* Misconfigured as group:
            self._refuse(claim.partition, _first_of(group))
        except* ClaimLost:
            self._lose(claim)
        if claim.partition in self._owners:
            await self._give_up(owner)
        return True

    async def _give_up(self, owner: Owner) -> None:
        """Writes down how the partition number is left, and frees it."""
        try:
            await self._care.put_status(owner)
        except EngineError as error:
            _log.warning("%s", error, extra={"action": "care_failed"})
        del self._owners[owner.partition]  # before others can own it: what we tell of it is no longer so
        await self._release(owner.claim)

    async def _run(self, owner: Owner, stopping: asyncio.Event) -> None:
        """Runs an owner until `stopping` is set, or another should have what it owns."""
        ending = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch(owner.claim, stopping, ending))
            await owner.run(ending)
            watching.cancel()

    async def _watch(self, claim: Claim, stopping: asyncio.Event, ending: asyncio.Event) -> None:
        """Sets `ending` when it is time. What a creator was told to own, it gives back to nobody."""
        while not stopping.is_set():
            if self._wanted is None and self._log.asked_back(claim):
                extra = {"action": "partition_given_back", "partition": claim.partition, "epoch": claim.epoch}
                _log.info("gives partition %d to another creator", claim.partition, extra=extra)
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GIVE_BACK_PACE_S):
                    await stopping.wait()
        ending.set()

    def _lose(self, claim: Claim) -> None:
        """Drops what is no longer ours: nothing is saved, said or released."""
        self._owners.pop(claim.partition, None)
        self._unseen.add(claim.partition)  # until another is seen to own it, or we do again
        extra = {"action": "claim_lost", "partition": claim.partition, "epoch": claim.epoch}
        _log.warning("lost partition %d: work on it was dropped; standing by", claim.partition, extra=extra)

    def _refuse(self, partition: int, error: Exception) -> None:
        self._refused[partition] = str(error)
        self._unseen.discard(partition)
        _log.error(
            "partition %d is refused: %s", partition, error, extra={"action": "partition_refused"}, exc_info=error
        )

    async def _release(self, claim: Claim) -> None:
        try:
            await self._log.release(claim)
        except EngineError as error:  # it is free when this process ends
            _log.warning("%s", error, extra={"action": "release_failed"})


def _first_of(group: BaseExceptionGroup[Misconfigured]) -> Misconfigured:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Misconfigured)  # noqa: S101 - the group was split by this type
    return error

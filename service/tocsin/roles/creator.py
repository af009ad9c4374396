"""The creator: owns partition numbers of one replica, and turns their requests into entries.

It claims what is free (another creator of the stack may own the rest; then this one stands by for it), and runs an
`Owner` for each partition number. What concerns the replica as a whole is in `replica.py`.
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
from tocsin.roles.owner import Owner, Surroundings
from tocsin.roles.replica import ReplicaCare
from tocsin.roles.trial import Trials
from tocsin.telemetry import Bound, Meters, Reading, bound
from tocsin.topology import Region, Topology

CLAIM_PACE_S: Final = 1.0
_log = logging.getLogger(__name__)


async def make_topics(log: Log, region: Region) -> None:
    """Makes the region's topics, own and mirrored, where they are missing; raises `Misconfigured`."""
    for topic in region.requests_topics.values():
        await log.ensure_topic(topic, region.partitions, retention_s=region.log.retention_s)
    for topic in region.ledger_topics.values():
        await log.ensure_topic(topic, region.partitions, compacted=True)


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
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLAIM_PACE_S):
                    await stopping.wait()
        if claim is not None:
            await self._release(claim)

    async def _claim(self, partition: int) -> Claim | None:
        try:
            return await self._log.claim(self._group, partition)
        except Owned as error:
            self._unseen.discard(partition)
            _log.debug("standing by: %s", error, extra={"action": "standing_by", "partition": partition})
        except EngineError as error:
            _log.warning("cannot claim: %s", error, extra={"action": "claim_failed", "partition": partition})
        return None

    async def _own(self, claim: Claim, stopping: asyncio.Event) -> bool:
        """Works on a claimed partition number until it is stopped or refused. False: an engine did not answer yet."""
        try:
            owner = await Owner.take_over(self._around, claim)
        except (Misconfigured, ValueError) as error:  # ValueError: a row that nobody of us wrote, or damaged
            self._refuse(claim.partition, error)
            return False
        except EngineError as error:
            _log.warning("cannot take over yet: %s", error, extra={"action": "take_over_failed"})
            return False
        self._care.greet(owner)
        self._owners[claim.partition] = owner
        self._unseen.discard(claim.partition)
        extra = {"action": "partition_owned", "partition": claim.partition, "epoch": claim.epoch}
        _log.info("owns partition %d", claim.partition, extra=extra)
        try:
            await owner.run(stopping)
        except* Misconfigured as group:
            self._refuse(claim.partition, group.exceptions[0])
        try:
            await self._care.put_status(owner)
        except EngineError as error:
            _log.warning("%s", error, extra={"action": "care_failed"})
        del self._owners[claim.partition]  # before others can own it: what we tell of it is no longer so
        await self._release(claim)
        return True

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

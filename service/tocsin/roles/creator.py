"""The creator: owns partition numbers of one replica, and turns their requests into entries.

It claims what is free (another creator of the stack may own the rest; then this one stands by for it), and runs an
`Owner` for each partition number. What concerns the replica as a whole is in `replica.py`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from tocsin.core.partition import Phase
from tocsin.core.statements import Replica
from tocsin.engines.errors import EngineError, Misconfigured, Owned
from tocsin.engines.log import Claim, Log
from tocsin.engines.store import Store
from tocsin.roles.owner import Owner, Surroundings
from tocsin.roles.replica import ReplicaCare
from tocsin.roles.trial import Trials
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
        self._has_looked = False
        self._care = ReplicaCare(store, self._region.limits, replica.region, self._owners)
        self._around = Surroundings(
            log=log,
            store=store,
            region=self._region,
            replica=replica,
            founding=frozenset(region.name for region in topology.regions if region.founding),
            trials=trials,
            store_answers=self._care.probe,
            count=self._care.count,
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Owns and works until `stopping` is set; raises `Owned` or `Misconfigured` where it cannot."""
        await make_topics(self._log, self._region)
        claims = [await self._log.claim(self._group, partition) for partition in self._wanted or ()]
        caring = asyncio.create_task(self._care.run())
        try:
            async with asyncio.TaskGroup() as group:
                for claim in claims:
                    await self._own(claim, group, stopping)
                while not stopping.is_set():
                    if self._wanted is None:
                        await self._claim_free(group, stopping)
                    self._has_looked = True
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(CLAIM_PACE_S):
                            await stopping.wait()
        finally:
            caring.cancel()
            await self._around.trials.close()

    @property
    def unready(self) -> list[str]:
        """Why this creator is not ready, empty when it is."""
        reasons = [f"partition {number}: {why}" for number, why in sorted(self._refused.items())]
        if not self._has_looked:
            reasons.append("it has not taken over yet what it is to own")
        if not self._care.answers:
            reasons.append("the store does not answer")
        for number, owner in sorted(self._owners.items()):
            if owner.machine.phase in (Phase.READING, Phase.ANNOUNCING):
                reasons.append(f"partition {number} is {owner.machine.phase}")
            reasons += [f"partition {number} is halted: {why}" for why in owner.machine.halted]
        return reasons

    async def _claim_free(self, group: asyncio.TaskGroup, stopping: asyncio.Event) -> None:
        for partition in range(self._region.partitions):
            if partition in self._owners or partition in self._refused:
                continue
            try:
                claim = await self._log.claim(self._group, partition)
            except Owned as error:
                _log.debug("standing by: %s", error, extra={"action": "standing_by", "partition": partition})
            except EngineError as error:
                _log.warning("cannot claim: %s", error, extra={"action": "claim_failed", "partition": partition})
            else:
                await self._own(claim, group, stopping)

    async def _own(self, claim: Claim, group: asyncio.TaskGroup, stopping: asyncio.Event) -> None:
        """Takes a claimed partition number over, once the store answers; one that must be refused is let go."""
        while not stopping.is_set():
            try:
                owner = await Owner.take_over(self._around, claim)
            except (Misconfigured, ValueError) as error:
                self._refused[claim.partition] = str(error)
                _log.exception("partition refused", extra={"action": "partition_refused", "partition": claim.partition})
                break
            except EngineError as error:
                _log.warning("cannot take over yet: %s", error, extra={"action": "take_over_failed"})
                await asyncio.sleep(CLAIM_PACE_S)
            else:
                self._care.greet(owner)
                self._owners[claim.partition] = owner
                group.create_task(self._work(owner, stopping))
                extra = {"action": "partition_owned", "partition": claim.partition, "epoch": claim.epoch}
                _log.info("owns partition %d", claim.partition, extra=extra)
                return
        await self._log.release(claim)

    async def _work(self, owner: Owner, stopping: asyncio.Event) -> None:
        await owner.run(stopping)
        try:
            await self._care.put_status(owner)
        except EngineError as error:
            _log.warning("%s", error, extra={"action": "care_failed"})
        await self._log.release(owner.claim)
        del self._owners[owner.partition]

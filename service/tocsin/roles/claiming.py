"""Claiming: a process owns partition numbers of a group, each with an owner of its own, until another should have them.

It claims what is free (another process of the group may own the rest; then this one stands by for it). What another
process should have, it gives back in good order; what it lost, it drops where it is; and it stands by for both. Each
partition number is served by itself: one that cannot be taken over, or is refused, hinders no other.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from tocsin.engines.errors import EngineError, Misconfigured, Owned
from tocsin.engines.log import Claim, Log

CLAIM_PACE_S: Final = 1.0
GIVE_BACK_PACE_S: Final = 0.25
"""How often it is asked whether another should have a partition number."""
_log = logging.getLogger(__name__)


class ClaimLost(Exception):
    """The claim is no longer in force: what there is to do for this partition number is another's."""


class Owning(Protocol):
    """What works on one partition number."""

    @property
    def claim(self) -> Claim:
        """By which it owns it."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Works until `stopping` is set and what was in hand is done, within a bound.

        Raises what went wrong in a group: `ClaimLost` when the claim ended by itself, `Misconfigured` when the number
        must be refused.
        """


Owner = TypeVar("Owner", bound=Owning)


@dataclass(frozen=True, slots=True)
class Work(Generic[Owner]):
    """What is done with a partition number that was claimed."""

    take_over: Callable[[Claim], Awaitable[Owner]]
    """Loads what earlier owners left; raises `Misconfigured` or ValueError for what must be refused, `EngineError`."""
    begin: Callable[[Owner], None] = lambda _: None
    """It is about to run."""
    leave: Callable[[Owner], Awaitable[None]] | None = None
    """It has stopped in good order, and is still ours. Raises `EngineError`."""


class Claiming(Generic[Owner]):
    """The partition numbers of one group that this process owns, by `owners`; `refused` has why others cannot be."""

    def __init__(
        self, log: Log, group: str, numbers: Iterable[int], work: Work[Owner], *, exactly: bool = False
    ) -> None:
        self.owners: dict[int, Owner] = {}
        self.refused: dict[int, str] = {}
        self._log = log
        self._group = group
        self._numbers = sorted(numbers)
        self._work = work
        self._exactly = exactly
        self._unseen = set(self._numbers)

    @property
    def unready(self) -> list[str]:
        """What it was to own and does not, nor is known to be another's; empty when all is well."""
        reasons = [f"partition {number}: {why}" for number, why in sorted(self.refused.items())]
        return [*reasons, "it has not taken over yet what it is to own"] if self._unseen else reasons

    async def run(self, stopping: asyncio.Event, *others: Callable[[], Awaitable[None]]) -> None:
        """Owns and works until `stopping` is set; `others` are run beside it and ended after that.

        Raises `Owned`, and whatever a claim raises, where it must own what it was told to and cannot.
        """
        claims = await self._claim_all(self._numbers) if self._exactly else {}
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(_run(other)) for other in others]
            serving = [group.create_task(self._serve(n, claims.get(n), stopping)) for n in self._numbers]
            await stopping.wait()  # also when all are refused: then it is there to say so
            await asyncio.wait(serving)
            for task in beside:
                task.cancel()

    async def _claim_all(self, numbers: Sequence[int]) -> dict[int, Claim]:
        claims: dict[int, Claim] = {}
        try:
            for partition in numbers:
                claims[partition] = await self._log.claim(self._group, partition)
        except EngineError:
            for claim in claims.values():
                await self._release(claim)
            raise
        return claims

    async def _serve(self, partition: int, claim: Claim | None, stopping: asyncio.Event) -> None:
        """Claims a partition number, takes it over and works on it, until `stopping` is set or it must be refused."""
        while not stopping.is_set() and partition not in self.refused:
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
            if not self._exactly:  # else it is still to own it
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
            owner = await self._work.take_over(claim)
        except ClaimLost:
            self._lose(claim)
            return True
        except (Misconfigured, ValueError) as error:  # ValueError: a row that nobody of us wrote, or damaged
            self._refuse(claim.partition, error)
            await self._release(claim)
            return True
        except EngineError as error:
            _log.warning("cannot take over yet: %s", error, extra={"action": "take_over_failed"})
            return False
        self._work.begin(owner)
        self.owners[claim.partition] = owner
        self._unseen.discard(claim.partition)
        extra = {"action": "partition_owned", "partition": claim.partition, "epoch": claim.epoch}
        _log.info("owns partition %d", claim.partition, extra=extra)
        try:
            await self._run(owner, stopping)
        except* Misconfigured as group:
            self._refuse(claim.partition, _first_of(group))
        except* ClaimLost:
            self._lose(claim)
        if claim.partition in self.owners:
            await self._give_up(owner)
        return True

    async def _give_up(self, owner: Owner) -> None:
        """Leaves the partition number in good order, and frees it."""
        try:
            if self._work.leave is not None:
                await self._work.leave(owner)
        except EngineError as error:
            _log.warning("%s", error, extra={"action": "care_failed"})
        del self.owners[owner.claim.partition]  # before others can own it: what we tell of it is no longer so
        await self._release(owner.claim)

    async def _run(self, owner: Owner, stopping: asyncio.Event) -> None:
        """Runs an owner until `stopping` is set, or another should have what it owns."""
        ending = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch(owner.claim, stopping, ending))
            await owner.run(ending)
            watching.cancel()

    async def _watch(self, claim: Claim, stopping: asyncio.Event, ending: asyncio.Event) -> None:
        """Sets `ending` when it is time. What a process was told to own, it gives back to nobody."""
        while not stopping.is_set():
            if not self._exactly and self._log.asked_back(claim):
                extra = {"action": "partition_given_back", "partition": claim.partition, "epoch": claim.epoch}
                _log.info("gives partition %d to another process", claim.partition, extra=extra)
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GIVE_BACK_PACE_S):
                    await stopping.wait()
        ending.set()

    def _lose(self, claim: Claim) -> None:
        """Drops what is no longer ours: nothing is saved, said or released."""
        self.owners.pop(claim.partition, None)
        self._unseen.add(claim.partition)  # until another is seen to own it, or we do again
        extra = {"action": "claim_lost", "partition": claim.partition, "epoch": claim.epoch}
        _log.warning("lost partition %d: work on it was dropped; standing by", claim.partition, extra=extra)

    def _refuse(self, partition: int, error: Exception) -> None:
        self.refused[partition] = str(error)
        self._unseen.discard(partition)
        _log.error(
            "partition %d is refused: %s", partition, error, extra={"action": "partition_refused"}, exc_info=error
        )

    async def _release(self, claim: Claim) -> None:
        try:
            await self._log.release(claim)
        except EngineError as error:  # it is free when this process ends
            _log.warning("%s", error, extra={"action": "release_failed"})


async def _run(other: Callable[[], Awaitable[None]]) -> None:
    await other()


def _first_of(group: BaseExceptionGroup[Misconfigured]) -> Misconfigured:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Misconfigured)  # noqa: S101 - the group was split by this type
    return error

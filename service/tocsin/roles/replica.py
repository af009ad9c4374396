"""What concerns a replica as a whole, whichever partition numbers this creator owns of it.

Does the store answer? How much of the budget is left? How is the region, taken over all partition numbers and
processes? Each is found out here, at one pace, and told to every owner; and how each partition number is, is written
into the store, where the querier and people read it.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, Final

from tocsin.core.budget import Budget
from tocsin.core.documents import (
    BUDGET,
    REGION_WORDS,
    SERVICES_SEEN,
    STATUS_PREFIX,
    PartitionStatus,
    RegionWords,
    ServicesSeen,
)
from tocsin.core.effects import BudgetIs, RegionIs, StoreAnswers
from tocsin.core.kept import Stage
from tocsin.core.limits import Limits
from tocsin.engines.errors import EngineError
from tocsin.engines.store import Document, Store
from tocsin.roles.clock import now
from tocsin.roles.owner import Owner
from tocsin.telemetry import Bound, Gauge, Reading, bound

PACE_S: Final = 0.5
PROBE_S_MAX: Final = 2.0
CARE_S_MAX: Final = 5.0
SEEN_MAX: Final = 1000
_log = logging.getLogger(__name__)


class ReplicaCare:
    """Keeps what all owners of one replica share, in this process and in the store."""

    def __init__(self, store: Store, limits: Limits, region: str, owners: Mapping[int, Owner]) -> None:
        self.answers = True
        self.budget = Budget()
        self._store = store
        self._limits = limits
        self._region = region
        self._owners = owners
        self._counts: set[str] = set()
        self._seen: dict[str, int] = {}
        self._told = RegionIs(halted=False, ill=False, draining=False)
        self._probing = asyncio.Lock()
        self._next_probe: asyncio.Task[bool] | None = None

    async def run(self) -> None:
        """Takes care until it is cancelled."""
        await self._try(self._load_seen())
        while True:
            if await self.probe():
                await self._try(self._keep_budget())
                await self._try(self._keep_status())
            await self._try(self._keep_region())
            await asyncio.sleep(PACE_S)

    async def _try(self, care: Coroutine[Any, Any, None]) -> None:
        """One piece of care; a store that does not answer it is no reason to leave out the next, nor to wait long."""
        try:
            async with asyncio.timeout(CARE_S_MAX):
                await care
        except EngineError as error:
            _log.warning("%s", error, extra={"action": "care_failed"})
        except ValueError as error:  # with a budget that nobody can read nothing is skipped, and nothing else stops
            _log.error("a document in the store is damaged: %s", error, extra={"action": "document_damaged"})
        except TimeoutError:
            _log.warning("the store did not answer within %.0f s", CARE_S_MAX, extra={"action": "care_failed"})

    def readings(self) -> Iterator[Reading]:
        """What gauges show of the replica."""
        yield from bound(Bound.BUDGET, len(self.budget.counted), self._limits.budget_services)
        yield from bound(Bound.SERVICES_SEEN, len(self._seen), SEEN_MAX)
        yield Reading(Gauge.BUDGET_SPENT, 1 if self.budget.spent else 0, {})
        told = self._told
        serves = not (told.halted or told.ill or told.draining)
        states = {"serving": serves, "halted": told.halted, "ill": told.ill, "draining": told.draining}
        for state, holds in states.items():
            yield Reading(Gauge.REGION_STATE, 1 if holds else 0, {"state": state})
        heard_s: dict[str, float] = {}
        for owner in self._owners.values():
            for peer, at_s in owner.measured.heard_s.items():
                heard_s[peer] = max(at_s, heard_s.get(peer, at_s))
        for peer, at_s in heard_s.items():
            yield Reading(Gauge.PEER_SILENCE_S, now().mono_s - at_s, {"peer": peer})

    def greet(self, owner: Owner) -> None:
        """Tells a new owner how things are."""
        owner.tell(BudgetIs(self.budget.admitted, self.budget.spent))
        owner.tell(StoreAnswers(self.answers))
        owner.tell(self._told)

    def count(self, service: str) -> None:
        """A request of this service would be skipped: it is counted at the next pace, and all owners are told."""
        self._counts.add(service)

    async def probe(self) -> bool:
        """Whether the store answers now; all owners are told when that is news.

        By a probe that begins after this call: one under way could tell of the time before what made the caller ask.
        Callers that wait for the same one share it, so that a thousand failed writes make no thousand probes.
        """
        if self._next_probe is None:
            self._next_probe = asyncio.create_task(self._probe_next())
        return await asyncio.shield(self._next_probe)

    async def _probe_next(self) -> bool:
        async with self._probing:
            self._next_probe = None
            return await self._probe_now()

    async def _probe_now(self) -> bool:
        """A probe can wait long behind the writes of a store that works hard: what it acknowledges is an answer too."""
        before = {number: owner.measured.stored for number, owner in self._owners.items()}
        try:
            async with asyncio.timeout(PROBE_S_MAX):
                await self._store.ping()
            answers = True
        except (EngineError, TimeoutError):
            answers = any(
                owner.measured.stored > before.get(n, owner.measured.stored) for n, owner in self._owners.items()
            )
        if answers != self.answers:
            self.answers = answers
            action = "store_answers" if answers else "store_silent"
            _log.warning("the store %s", "answers again" if answers else "answers nothing", extra={"action": action})
            self._tell(StoreAnswers(answers))
        return answers

    def _tell(self, event: BudgetIs | RegionIs | StoreAnswers) -> None:
        for owner in self._owners.values():
            owner.tell(event)

    # The budget -------------------------------------------------------------------------------------------------

    async def _keep_budget(self) -> None:
        """Counts what is asked for, by a conditional write, and takes in what a person released."""
        document = await self._store.document(BUDGET)
        before = Budget.decode(document.value) if document else Budget()
        version = document.version if document else 0
        counts = sorted(self._counts)
        seen = self._services_seen()
        after = before
        for service in counts:
            after = after.count(service, seen, services_max=self._limits.budget_services)
        if after != before and not await self._store.put_document(
            Document(BUDGET, version + 1, after.encode()), after=version
        ):
            return  # another creator was faster: counted at the next pace, on top of what it wrote
        self._counts.difference_update(counts)
        if after.spent and not before.spent:
            text = "the budget is spent: requests of more services than allowed would be skipped; this replica halts"
            _log.error(text, extra={"action": "budget_spent", "services": list(after.counted)})
        if counts or after != self.budget:
            self.budget = after
            self._tell(BudgetIs(after.admitted, after.spent))

    async def _load_seen(self) -> None:
        """Where this fails, a smaller number of services seen makes the budget smaller, never larger."""
        document = await self._store.document(SERVICES_SEEN)
        if document:
            self._seen = ServicesSeen.decode(document.value).seen_us

    def _services_seen(self) -> tuple[str, ...]:
        for owner in self._owners.values():
            for service, seen_us in owner.machine.seen.items():
                self._seen[service] = max(seen_us, self._seen.get(service, 0))
            owner.machine.seen.clear()
        since_us = now().unix_us - int(self._limits.seen_window_s * 1e6)
        young = sorted(((us, service) for service, us in self._seen.items() if us >= since_us), reverse=True)
        self._seen = {service: us for us, service in young[:SEEN_MAX]}
        return tuple(self._seen)

    # The region -------------------------------------------------------------------------------------------------

    async def _keep_region(self) -> None:
        """Takes all partition numbers together, those of other processes by what they wrote; tells the owners."""
        halted = any(owner.machine.halted for owner in self._owners.values())
        ill = any(owner.machine.known.is_ill(now()) for owner in self._owners.values())
        draining = self._region in self.drained()
        if self.answers:
            for document in await self._store.documents(STATUS_PREFIX):
                status = PartitionStatus.decode(document.value)
                if status.partition not in self._owners:
                    halted, ill = halted or bool(status.halted), ill or status.ill
        told = RegionIs(halted, ill, draining)
        if told != self._told:
            self._told = told
            _log.warning("the region is now %s", told, extra={"action": "region_state", "halted": halted, "ill": ill})
            self._tell(told)

    def drained(self) -> list[str]:
        """The regions that count as drained, by what this process read in its ledgers."""
        drained = set()
        for owner in self._owners.values():
            known = owner.machine.known
            for region in (known.place.me.region, *known.place.peers):
                if known.book.is_drained(region, founding=region in known.place.founding):
                    drained.add(region)
        return sorted(drained)

    # What is written down ---------------------------------------------------------------------------------------

    async def _keep_status(self) -> None:
        await asyncio.gather(*(self.put_status(owner) for owner in self._owners.values() if owner.holds))
        if self._owners:
            at_us = now().unix_us
            words, seen = RegionWords(drained=tuple(self.drained())), ServicesSeen(seen_us=self._seen)
            await self._store.put_document(Document(REGION_WORDS, at_us, words.encode()))
            await self._store.put_document(Document(SERVICES_SEEN, at_us, seen.encode()))

    async def put_status(self, owner: Owner) -> None:
        """Writes down how a partition number is; raises `EngineError`."""
        try:
            await owner.look()
        except EngineError as error:  # the lag stays what it was; that the log is away is said where it is read
            _log.warning("lag not measured: %s", error, extra={"action": "care_failed"})
        machine, kept = owner.machine, owner.measured.kept()
        machine.sources.settle()
        at = now()
        status = PartitionStatus(
            partition=owner.partition,
            at_us=at.unix_us,
            epoch=owner.claim.epoch,
            phase=machine.phase,
            halted=tuple(machine.halted),
            ill=machine.known.is_ill(at),
            store_answers=machine.known.answers,
            lag_records=sum(lag.records for lag in owner.measured.lags.values()),
            lag_s=round(owner.measured.lag_s, 3),
            held=kept[Stage.HELD],
            set_aside=kept[Stage.ASIDE],
            quarantined=kept[Stage.QUARANTINED],
            incarnation=machine.known.incarnation,
        )
        await self._store.put_document(Document(status.name, at.unix_us, status.encode()))

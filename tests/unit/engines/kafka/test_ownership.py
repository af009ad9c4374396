"""Claims through a roster, over a log in a file: members of one process, with clocks of their own."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from tocsin.core.requests import Record
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.errors import Owned, Unavailable
from tocsin.engines.kafka.ownership import OWNERS, READ_BYTES, Ownership
from tocsin.engines.log import Claim

SESSION_S = 1.5
LONG_S = 20.0


class Process:
    """One member: its log, which can be taken away, and its clock, which can leap as after a stop."""

    def __init__(self, place: Path) -> None:
        self.away = False
        self.log = EmbeddedLog(place / "region.log")
        self._append = self.log.append
        self.log.append = self._append_or_not  # type: ignore[method-assign]
        self._leapt_s = 0.0
        self.ownership = Ownership(self.log, session_s=SESSION_S, monotonic=lambda: time.monotonic() + self._leapt_s)

    async def _append_or_not(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        if self.away:
            raise Unavailable("away")
        return await self._append(topic, partition, records)

    def leap(self, s: float) -> None:
        """The process was stopped for so long."""
        self._leapt_s += s

    async def die(self) -> None:
        """Ends as by a kill: it says nothing any more."""
        self.away = True
        await self.ownership.close()

    async def claim(self, *partitions: int) -> list[Claim]:
        """What it gets of these now."""
        got = await asyncio.gather(*(self.ownership.claim("g", n) for n in partitions), return_exceptions=True)
        assert all(isinstance(each, Claim | Owned) for each in got), got
        return [each for each in got if isinstance(each, Claim)]

    async def claim_all(self, *partitions: int) -> list[Claim]:
        """All of these, once they are to be had."""
        mine: dict[int, Claim] = {}

        async def has_all() -> bool:
            mine.update((claim.partition, claim) for claim in await self.claim(*{*partitions} - mine.keys()))
            return len(mine) == len(partitions)

        await until(has_all)
        return [mine[partition] for partition in partitions]

    def holds(self, claims: Sequence[Claim]) -> list[bool]:
        return [self.ownership.holds(claim) for claim in claims]


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(LONG_S):
        while not await holds():  # noqa: ASYNC110 - what is waited for is in a file
            await asyncio.sleep(0.02)


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[[], Process]]:
    processes: list[Process] = []

    def start_one() -> Process:
        processes.append(Process(tmp_path))
        return processes[-1]

    yield start_one
    for process in processes:
        await process.ownership.close()
        await process.log.close()


Start = Callable[[], Process]


async def test_of_many_that_claim_at_once_each_partition_number_has_one_owner(start: Start) -> None:
    processes = [start() for _ in range(4)]
    got = [claim for claims in await asyncio.gather(*(one.claim(*range(8)) for one in processes)) for claim in claims]
    assert len({claim.partition for claim in got}) == len(got)
    assert len({claim.epoch for claim in got}) == len(got)


async def test_what_is_asked_back_and_released_goes_to_who_has_fewer_and_nothing_else_moves(start: Start) -> None:
    first, second = start(), start()
    claims = await first.claim_all(0, 1, 2, 3)
    assert await second.claim(0, 1, 2, 3) == []
    await until_asked(first, claims, 2)
    given = [claim for claim in claims if first.ownership.asked_back(claim)]
    for claim in given:
        await first.ownership.release(claim)
        with pytest.raises(Owned, match=r"has fewer than this process|is owned by"):
            await first.ownership.claim("g", claim.partition)
    taken = await second.claim_all(*(claim.partition for claim in given))
    kept = [claim for claim in claims if claim not in given]
    assert first.holds(kept) == second.holds(taken) == [True, True]
    assert not any(first.ownership.asked_back(claim) for claim in kept)
    assert min(claim.epoch for claim in taken) > max(claim.epoch for claim in claims)


async def until_asked(process: Process, claims: Sequence[Claim], count: int) -> None:
    async def is_asked() -> bool:
        return sum(process.ownership.asked_back(claim) for claim in claims) == count

    await until(is_asked)


async def test_what_a_dead_process_held_is_free_after_a_session_and_what_others_hold_stays(start: Start) -> None:
    first, second = start(), start()
    [lost] = await first.claim(0)
    [kept] = await second.claim(1)
    assert await second.claim(0) == []
    await first.die()
    [taken] = await second.claim_all(0)
    assert taken.epoch > lost.epoch
    assert second.holds([kept, taken]) == [True, True]


async def test_a_process_that_starts_waits_for_a_word_of_an_owner_that_may_be_dead(start: Start) -> None:
    first, second = start(), start()
    await first.claim(0)
    await first.die()
    assert (await second.ownership.claim("g", 0)).partition == 0  # in one call


async def test_a_claim_that_was_not_renewed_for_a_session_is_never_in_force_again(start: Start) -> None:
    process = start()
    [claim] = await process.claim(0)
    process.leap(SESSION_S + 0.1)
    assert not process.ownership.holds(claim)  # at once, by its own clock alone
    [again] = await process.claim_all(0)
    assert again.epoch > claim.epoch
    assert process.holds([claim, again]) == [False, True]
    await process.ownership.release(claim)  # over, and no error
    assert process.ownership.holds(again)


async def test_while_the_log_takes_no_word_claims_end_and_nobody_waits_for_ever(start: Start) -> None:
    process = start()
    [claim] = await process.claim(0)
    process.away = True
    with pytest.raises(Unavailable):
        await process.ownership.claim("g", 1)

    async def has_ended() -> bool:
        return not process.ownership.holds(claim)

    await until(has_ended)
    process.away = False
    assert [each.partition for each in await process.claim_all(0, 1)] == [0, 1]


async def test_a_blocked_loop_that_ends_within_the_session_costs_no_claim(start: Start) -> None:
    first, second = start(), start()
    claims = await first.claim(0, 1)
    await second.claim(2)
    time.sleep(SESSION_S / 2)  # noqa: ASYNC251 - that is the point
    await asyncio.sleep(SESSION_S)
    assert first.holds(claims) == [True, True]


async def test_a_process_that_ends_in_good_order_frees_all_at_once(start: Start) -> None:
    first, second = start(), start()
    await first.claim(0, 1)
    assert await second.claim(0) == []
    await first.ownership.close()
    assert len(await second.claim_all(0, 1)) == 2


@pytest.mark.parametrize("killed", [False, True])
async def test_epochs_go_on_when_all_have_left_and_compaction_took_all_but_their_last_words(
    start: Start, *, killed: bool
) -> None:
    first = start()
    epochs = [claim.epoch for claim in await first.claim(0, 1, 2)]
    if killed:
        await first.die()
        second = start()
        epochs += [claim.epoch for claim in await second.claim_all(0)]  # it buries the first
        await second.ownership.close()
    else:
        await first.ownership.close()
    last = start()
    await leave_last_words(last.log)
    [claim] = await last.claim(0)
    assert claim.epoch > max(epochs)


async def leave_last_words(log: EmbeddedLog) -> None:
    """Makes the topic what compaction leaves of it: the last record of each key."""
    words = (await log.fetch(OWNERS, 0, 0, records_max=1000, bytes_max=READ_BYTES, wait_s=0)).records
    last = {delivered.record.key: delivered.record for delivered in words}
    await log.delete_topic(OWNERS)
    await log.ensure_topic(OWNERS, 1, compacted=True)
    await log.append(OWNERS, 0, list(last.values()))


async def test_a_topic_made_anew_ends_all_claims_and_what_is_no_word_is_passed_over(start: Start) -> None:
    process = start()
    [claim] = await process.claim(0)
    await process.log.append(OWNERS, 0, [Record(b"k", b"\xff no word")])
    [other] = await process.claim(1)
    assert process.holds([claim, other]) == [True, True]
    await process.log.delete_topic(OWNERS)
    await process.log.ensure_topic(OWNERS, 1, compacted=True)

    async def has_ended() -> bool:
        return process.holds([claim, other]) == [False, False]

    await until(has_ended)
    assert len(await process.claim_all(0, 1)) == 2

"""The scribe: every statement once in the ledger, in order, whatever the ledger does meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from tests.requests_made import request
from tocsin.core.failures import Kind
from tocsin.core.requests import encode_request
from tocsin.core.statements import Payload, Replica, Said, Statement, Unknown, Word, decode_statement
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.faults import Fault, FaultSwitch, Rule
from tocsin.engines.faulty import FaultyLog
from tocsin.roles import scribe as scribe_module
from tocsin.roles.scribe import BATCH_MAX, Scribe

ME = Replica("a", "blue")


def failed(attempt: int = 1) -> Said:
    return Said(request().key, ME, Word.FAILED, 1, attempt, 1, Kind.REJECTED, "refused")


@pytest_asyncio.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    opened = EmbeddedLog(tmp_path / "log.sqlite", record_bytes_max=1000)
    await opened.ensure_topic("ledger", 1, compacted=True)
    yield opened
    await opened.close()


@pytest.fixture
def switch(tmp_path: Path) -> FaultSwitch:
    return FaultSwitch(tmp_path / "faults.json")


class Desk:
    """A scribe at work, and what it acknowledged."""

    def __init__(self, log: EmbeddedLog, switch: FaultSwitch) -> None:
        self.done: list[Statement] = []
        self.scribe = Scribe(FaultyLog(log, switch, "a"), "ledger", 0, self.done.extend)
        self._log = log

    async def acknowledged(self, count: int) -> None:
        """Returns once so many statements are acknowledged."""
        async with asyncio.timeout(10):
            while len(self.done) < count:  # noqa: ASYNC110 - the scribe tells in plain calls
                await asyncio.sleep(0.01)

    async def ledger(self) -> list[Statement | Unknown]:
        fetched = await self._log.fetch("ledger", 0, 0, records_max=10_000, bytes_max=10**8, wait_s=0)
        return [decode_statement(record.key, record.value) for _, record in fetched.records]


@pytest_asyncio.fixture
async def desk(log: EmbeddedLog, switch: FaultSwitch) -> AsyncIterator[Desk]:
    made = Desk(log, switch)
    task = asyncio.create_task(made.scribe.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_statements_are_appended_in_order_and_acknowledged_once_each_in_it(desk: Desk) -> None:
    said: list[Statement] = [failed() for _ in range(2 * BATCH_MAX + 7)]
    for start in range(0, len(said), 13):
        desk.scribe.say(said[start : start + 13])
        await asyncio.sleep(0)
    await desk.acknowledged(len(said))
    assert desk.done == said
    assert await desk.ledger() == said


async def test_what_is_said_while_the_ledger_is_away_is_said_after_it(desk: Desk, switch: FaultSwitch) -> None:
    switch.set_rule(Rule(id="away", region="a", port="log", kind=Fault.UNAVAILABLE, op="write"))
    said: list[Statement] = [failed() for _ in range(5)]
    desk.scribe.say(said[:2])
    await asyncio.sleep(0.2)
    desk.scribe.say(said[2:])
    assert desk.done == []
    assert desk.scribe.idle, "nothing can be done now: a stop need not wait for it"
    switch.clear_all()
    await desk.acknowledged(5)
    assert desk.done == said
    assert await desk.ledger() == said


async def test_an_append_that_fails_for_long_is_tried_ever_more_slowly_and_said_once(
    desk: Desk, switch: FaultSwitch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(scribe_module, "PAUSE_S_MAX", 0.1)
    switch.set_rule(Rule(id="away", region="a", port="log", kind=Fault.UNAVAILABLE, op="write", times=6))
    said = [failed()]
    desk.scribe.say(said)
    await desk.acknowledged(1)
    assert desk.done == said
    assert sum("ledger append failed" in record.message for record in caplog.records) == 1


async def test_a_payload_that_the_log_refuses_holds_up_nothing(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    large = request(summary="x" * 1000)
    payload = Payload(large.key, encode_request(large).encode())
    said: list[Statement] = [failed(), payload, failed(), failed()]
    desk.scribe.say(said)
    await desk.acknowledged(len(said))
    assert desk.done == said
    assert await desk.ledger() == [said[0], said[2], said[3]]
    assert "payload not in the ledger" in caplog.text


async def test_a_word_that_the_log_refuses_is_tried_until_it_takes_it(desk: Desk, switch: FaultSwitch) -> None:
    switch.set_rule(Rule(id="no", region="a", port="log", kind=Fault.REFUSE, op="write", times=4))
    said: list[Statement] = [failed(), failed()]
    desk.scribe.say(said)
    await desk.acknowledged(2)
    assert await desk.ledger() == said


async def test_a_fault_of_our_own_ends_the_scribe_loudly(log: EmbeddedLog) -> None:
    def broken(_: Sequence[Statement]) -> None:
        raise AssertionError("a bug")

    scribe = Scribe(log, "ledger", 0, broken)
    scribe.say([failed()])
    with pytest.raises(AssertionError, match="a bug"):
        await scribe.run()

"""What people said of regions, as processes that own no partition read it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from tocsin.core.requests import Record
from tocsin.core.statements import PersonWord, RegionOrder, encode_statement
from tocsin.engines.embedded.log import EmbeddedLog
from tocsin.engines.topics import make_topics
from tocsin.roles.region_words import RegionWords
from tocsin.topology import Topology, load_topology

REGIONS = Path(__file__).parents[3] / "regions" / "local"


@pytest.fixture
def topology() -> Topology:
    return load_topology(REGIONS)


@pytest.fixture
async def log(tmp_path: Path, topology: Topology) -> AsyncIterator[EmbeddedLog]:
    made = EmbeddedLog(tmp_path / "log.sqlite")
    await make_topics(made, topology.region("a"))
    yield made
    await made.close()


@pytest.fixture
async def words(log: EmbeddedLog, topology: Topology) -> AsyncIterator[RegionWords]:
    made = RegionWords(log, topology.region("a"), topology)
    reading = asyncio.create_task(made.run())
    yield made
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading


async def say(log: EmbeddedLog, topic: str, region: str, number: int, word: PersonWord) -> None:
    order = RegionOrder(region, number, word, "a person", 0)
    await log.append(topic, 0, [Record(*encode_statement(order))])


async def until_drained(words: RegionWords, *names: str) -> None:
    async with asyncio.timeout(10):
        while words.drained != frozenset(names):  # noqa: ASYNC110 (a reader of a log sets no event)
            await asyncio.sleep(0.01)


async def test_a_word_counts_whichever_region_it_was_said_in(log: EmbeddedLog, words: RegionWords) -> None:
    assert words.drained == frozenset()
    await say(log, "ledger", "a", 1, PersonWord.DRAINED)
    await until_drained(words, "a")
    await say(log, "b.ledger", "b", 2, PersonWord.DRAINED)
    await until_drained(words, "a", "b")
    await say(log, "b.ledger", "a", 3, PersonWord.JOINED)
    await until_drained(words, "b")


async def test_an_older_word_that_arrives_late_changes_nothing(log: EmbeddedLog, words: RegionWords) -> None:
    await say(log, "ledger", "a", 5, PersonWord.JOINED)
    await say(log, "b.ledger", "a", 4, PersonWord.DRAINED)
    await say(log, "b.ledger", "b", 6, PersonWord.DRAINED)
    await until_drained(words, "b")


async def test_what_is_no_statement_hinders_nobody(log: EmbeddedLog, words: RegionWords) -> None:
    await log.append("ledger", 0, [Record(b"?", b"\xff not a statement")])
    await say(log, "ledger", "a", 1, PersonWord.DRAINED)
    await until_drained(words, "a")


async def test_a_region_that_has_not_joined_counts_as_drained(log: EmbeddedLog, topology: Topology) -> None:
    first, second = topology.regions
    joining = Topology((first, second.model_copy(update={"founding": False})))
    assert RegionWords(log, first, joining).drained == {"b"}


async def test_reading_goes_on_after_the_log_was_away(tmp_path: Path, topology: Topology) -> None:
    path = tmp_path / "later" / "log.sqlite"
    log = EmbeddedLog(path)  # without the topics that are read
    words = RegionWords(log, topology.region("a"), topology)
    reading = asyncio.create_task(words.run())
    await asyncio.sleep(0.1)
    await make_topics(log, topology.region("a"))
    await say(log, "ledger", "a", 1, PersonWord.DRAINED)
    await until_drained(words, "a")
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    await log.close()

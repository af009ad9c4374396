"""The log port: clusters and topics."""

from collections.abc import Callable

import pytest

from tests.contract.conftest import Named
from tests.contract.log_adapters import LogAdapter
from tocsin.core.requests import Record
from tocsin.engines.errors import Misconfigured
from tocsin.engines.log import Log, Topic


async def test_a_cluster_is_the_same_for_all_who_open_it(log: Log, open_log: Callable[[], Log]) -> None:
    assert await log.cluster() == await open_log().cluster() != ""


async def test_a_topic_is_none_until_it_is_made_and_then_the_same_for_all(
    log: Log, open_log: Callable[[], Log], named: Named
) -> None:
    ledger = named("ledger")
    assert await log.topic(ledger) is None
    made = await log.ensure_topic(ledger, 3, compacted=True, retention_s=60.0)
    assert made == Topic(ledger, made.incarnation, 3, compacted=True, retention_s=60.0)
    assert await log.topic(ledger) == await open_log().topic(ledger) == made


async def test_making_a_topic_again_returns_it_as_it_is(log: Log, topic: str) -> None:
    await log.append(topic, 0, [Record(None, b"kept")])
    before = await log.topic(topic)
    assert await log.ensure_topic(topic, 2) == before
    assert await log.bounds(topic, 0) == (0, 1)


@pytest.mark.parametrize(("partitions", "compacted"), [(3, False), (1, False), (2, True)])
async def test_a_topic_with_another_count_or_compaction_is_refused_with_both(
    log: Log, topic: str, partitions: int, *, compacted: bool
) -> None:
    before = await log.topic(topic)
    with pytest.raises(Misconfigured, match=rf"{topic} has 2 partitions.* asked for were {partitions}"):
        await log.ensure_topic(topic, partitions, compacted=compacted)
    assert await log.topic(topic) == before


async def test_a_topic_needs_a_partition(log: Log) -> None:
    with pytest.raises(Misconfigured, match="at least one"):
        await log.ensure_topic("nothing", 0)
    assert await log.topic("nothing") is None


async def test_a_topic_made_anew_is_another_incarnation_and_empty(
    log: Log, topic: str, log_adapter: LogAdapter, named: Named
) -> None:
    first = await log.ensure_topic(topic, 2)
    await log.append(topic, 0, [Record(None, b"before")] * 3)
    await log.commit(named("creators"), topic, 0, 3)
    await log_adapter.delete_topic(topic)
    assert await log.topic(topic) is None
    second = await log.ensure_topic(topic, 2)
    assert second == first._replace(incarnation=second.incarnation)
    assert second.incarnation != first.incarnation
    assert await log.bounds(topic, 0) == (0, 0)
    assert await log.committed(named("creators"), topic, 0) is None
    await log.append(topic, 0, [Record(None, b"after")])
    fetched = await log.fetch(topic, 0, 0, records_max=10, bytes_max=1000, wait_s=0)
    assert [delivered.record.value for delivered in fetched.records] == [b"after"]

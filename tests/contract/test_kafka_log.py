"""The log on a real broker: what Kafka alone can do to it, and what it then says."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.conn import AIOKafkaConnection

from tests.contract.log_adapters import KafkaAdapter, kafka_section
from tests.servers import kafka_bootstrap, secured_kafka, unique
from tocsin.core.requests import Record
from tocsin.engines.errors import Misconfigured, Refused, Unavailable
from tocsin.engines.kafka import brokers, fetching
from tocsin.engines.kafka.connection import connect
from tocsin.engines.kafka.log import KafkaLog
from tocsin.engines.log import Log
from tocsin.ops.local.directions import Direction
from tocsin.ops.local.paths import NetworkPath
from tocsin.ops.local.ports import HOST, Ports

LONG_S = 20.0


@pytest.fixture
def adapter(tmp_path: Path) -> KafkaAdapter:
    return KafkaAdapter(tmp_path)


@pytest_asyncio.fixture
async def log(adapter: KafkaAdapter, tmp_path: Path) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(kafka_section(kafka_bootstrap()), tmp_path)
    yield log
    await log.close()


@pytest_asyncio.fixture
async def topic(log: Log, adapter: KafkaAdapter) -> str:
    await log.ensure_topic(adapter.named("requests"), 1)
    return adapter.named("requests")


@pytest_asyncio.fixture
async def path(adapter: KafkaAdapter) -> AsyncIterator[NetworkPath]:
    """A way to the broker that can be broken."""
    ports = Ports()
    path = NetworkPath("app", ports.reserve(), int(kafka_bootstrap().split(":")[1]))
    await path.open()
    yield path
    await path.close()
    ports.close()


@pytest_asyncio.fixture
async def cut_log(path: NetworkPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KafkaLog]:
    """A log behind that way, although the broker advertises another."""
    here = f"{HOST}:{path.port}"

    async def connect_there(host: str, port: int, arguments: Mapping[str, Any]) -> AIOKafkaConnection:
        return await connect(host, path.port if here in arguments["bootstrap_servers"] else port, arguments)

    monkeypatch.setattr(brokers, "connect", connect_there)
    monkeypatch.setattr(brokers, "CALL_S", 1.0)
    log = KafkaLog(kafka_section(here), tmp_path)
    yield log
    await log.close()


def numbered(count: int, size: int = 1) -> list[Record]:
    return [Record(b"%d" % number, b"x" * size, (), 1_000) for number in range(count)]


async def keys_in(log: Log, topic: str) -> list[bytes | None]:
    start, end = await log.bounds(topic, 0)
    keys: list[bytes | None] = []
    while start < end:
        fetched = await log.fetch(topic, 0, start, records_max=1000, bytes_max=10**6, wait_s=0)
        keys += [each.record.key for each in fetched.records]
        start = fetched.next_offset
    return keys


# Appending ---------------------------------------------------------------------------------------------------------


async def test_a_batch_whose_answer_was_lost_is_sent_again_and_appended_once(
    topic: str, log: KafkaLog, cut_log: KafkaLog, path: NetworkPath
) -> None:
    await cut_log.append(topic, 0, [Record(b"first", b"")])
    path.stall(Direction.TO_CLIENT)
    appending = asyncio.create_task(cut_log.append(topic, 0, [Record(b"second", b"")]))
    async with asyncio.timeout(LONG_S):
        while await log.bounds(topic, 0) != (0, 2):  # noqa: ASYNC110 - its answer is what is held back
            await asyncio.sleep(0.02)
        path.reset()
        await path.heal()
        assert await appending == 1
    assert await cut_log.append(topic, 0, [Record(b"third", b"")]) == 2
    assert await keys_in(log, topic) == [b"first", b"second", b"third"]


async def test_what_a_caller_gave_up_before_it_was_sent_is_never_appended(
    topic: str, log: KafkaLog, cut_log: KafkaLog, path: NetworkPath
) -> None:
    await cut_log.append(topic, 0, [Record(b"first", b"")])
    path.cut()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await asyncio.gather(*(cut_log.append(topic, 0, [record]) for record in numbered(3)))
    await path.heal()
    async with asyncio.timeout(LONG_S):
        await cut_log.append(topic, 0, [Record(b"last", b"")])
    assert await keys_in(log, topic) == [b"first", b"last"]


async def test_a_broker_out_of_reach_is_unavailable_and_named_and_appends_go_on_when_it_is_back(
    topic: str, log: KafkaLog, cut_log: KafkaLog, path: NetworkPath
) -> None:
    await cut_log.append(topic, 0, numbered(3))
    path.cut()
    for call in (
        cut_log.append(topic, 0, numbered(1)),
        cut_log.fetch(topic, 0, 0, records_max=1, bytes_max=1, wait_s=0),
        cut_log.cluster(),
    ):
        with pytest.raises(Unavailable, match=rf"{HOST}:{path.port}"):
            await call
    await path.heal()
    assert await cut_log.append(topic, 0, [Record(b"after", b"")]) == 3
    assert await keys_in(log, topic) == [b"0", b"1", b"2", b"after"]


async def test_of_appends_that_went_together_only_the_one_at_fault_is_refused(
    log: KafkaLog, adapter: KafkaAdapter
) -> None:
    words = adapter.named("words")
    await log.ensure_topic(words, 1, compacted=True)
    records = [Record(key, b"") for key in (b"a", b"b", None, b"c")]  # a compacted topic takes none without a key
    results = await asyncio.gather(*(log.append(words, 0, [record]) for record in records), return_exceptions=True)
    assert [result for result in results if isinstance(result, int)] == [0, 1, 2]
    assert isinstance(results[2], Refused)
    assert "key" in str(results[2])
    assert await keys_in(log, words) == [b"a", b"b", b"c"]


async def test_an_append_larger_than_a_batch_comes_back_in_order(log: KafkaLog, topic: str) -> None:
    records = numbered(900, size=1000)
    first, second = await asyncio.gather(log.append(topic, 0, records), log.append(topic, 0, numbered(1)))
    assert (first, second) == (0, 900)
    assert await keys_in(log, topic) == [*(record.key for record in records), b"0"]


async def test_an_append_waits_while_too_much_is_on_its_way(
    log: KafkaLog, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.engines.kafka.producing.WAITING_BYTES_MAX", 5_000)
    offsets = await asyncio.gather(*(log.append(topic, 0, numbered(2, size=1000)) for _ in range(20)))
    assert sorted(offsets) == list(range(0, 40, 2))
    assert await keys_in(log, topic) == [b"0", b"1"] * 20


async def test_a_record_over_the_limit_of_its_topic_is_refused_with_its_neighbours_untouched(
    log: KafkaLog, topic: str
) -> None:
    await alter(topic, {"max.message.bytes": "1000"})
    async with asyncio.timeout(LONG_S):
        while True:  # the broker takes a moment to notice
            results = await asyncio.gather(
                *(log.append(topic, 0, numbered(1, size)) for size in (100, 2000, 200)), return_exceptions=True
            )
            if isinstance(results[1], Refused):
                break
    assert "max.message.bytes" in str(results[1])
    assert isinstance(results[0], int)
    assert isinstance(results[2], int)


async def test_nothing_waits_when_a_log_is_closed(topic: str, tmp_path: Path) -> None:
    log = KafkaLog(kafka_section(kafka_bootstrap()), tmp_path)
    waiting = asyncio.create_task(log.fetch(topic, 0, 0, records_max=1, bytes_max=1, wait_s=LONG_S))
    await asyncio.sleep(0.2)
    async with asyncio.timeout(LONG_S / 2):
        await log.close()
        with pytest.raises(Unavailable):
            await waiting
    with pytest.raises(Unavailable, match="closed"):
        await log.append(topic, 0, numbered(1))


# Fetching ----------------------------------------------------------------------------------------------------------


async def test_what_is_left_of_an_answer_serves_the_next_fetch_and_is_dropped_when_none_comes(
    log: KafkaLog, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "KEEP_S", 0.1)
    await log.append(topic, 0, numbered(10))
    asked = count_requests(log, monkeypatch)
    at = 0
    for _ in range(5):
        at = (await log.fetch(topic, 0, at, records_max=2, bytes_max=10**6, wait_s=0)).next_offset
        await log.fetch(topic, 0, 0, records_max=1, bytes_max=1, wait_s=0)  # somebody who looks at the lag
    assert at == 10
    assert asked.count("FetchRequest") == 1 + 5
    await log.fetch(topic, 0, 0, records_max=2, bytes_max=10**6, wait_s=0)
    await asyncio.sleep(0.3)
    assert not log._fetcher._left


async def test_a_fetch_at_another_place_does_not_take_what_is_left(log: KafkaLog, topic: str) -> None:
    await log.append(topic, 0, numbered(10))
    for offset in (0, 5, 3, 8):
        fetched = await log.fetch(topic, 0, offset, records_max=2, bytes_max=10**6, wait_s=0)
        assert [each.offset for each in fetched.records] == [offset, offset + 1]


async def test_a_cancelled_fetch_takes_its_connection_with_it_and_others_stay_few(log: KafkaLog, topic: str) -> None:
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await log.fetch(topic, 0, 0, records_max=2, bytes_max=1, wait_s=LONG_S)
    await log.append(topic, 0, numbered(1))
    assert (await log.fetch(topic, 0, 0, records_max=2, bytes_max=1, wait_s=0)).records
    assert sum(map(len, log._brokers._idle.values())) <= 2


# Topics ------------------------------------------------------------------------------------------------------------


async def test_a_topic_is_made_with_the_settings_that_tocsin_relies_on(log: KafkaLog, adapter: KafkaAdapter) -> None:
    ledger = adapter.named("ledger")
    await log.ensure_topic(ledger, 2, compacted=True)
    settings = await settings_of_topic(ledger)
    assert {name: settings[name] for name in ("cleanup.policy", "retention.bytes", "message.timestamp.type")} == {
        "cleanup.policy": "compact",
        "retention.bytes": "-1",
        "message.timestamp.type": "CreateTime",
    }
    assert int(settings["max.message.bytes"]) >= 2 * 1024 * 1024
    assert settings["unclean.leader.election.enable"] == "false"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"max.message.bytes": "1000000"}, r"records of 1000000 bytes.*--add-config max\.message\.bytes=2162688"),
        (
            {"retention.ms": "60000"},
            r"keeps records for 60 s, and 3600 s was asked.*--add-config retention\.ms=3600000",
        ),
        ({"message.timestamp.type": "LogAppendTime"}, r"--add-config message\.timestamp\.type=CreateTime"),
        ({"unclean.leader.election.enable": "true"}, r"--add-config unclean\.leader\.election\.enable=false"),
    ],
)
async def test_a_topic_that_does_not_fit_is_refused_with_the_command_that_sets_it(
    log: KafkaLog, adapter: KafkaAdapter, settings: dict[str, str], says: str
) -> None:
    found = adapter.named("found")
    await make(found, {"max.message.bytes": "3000000", "retention.ms": "-1"} | settings)
    with pytest.raises(Misconfigured, match=rf"topic {found} does not fit: .*{says}"):
        await log.ensure_topic(found, 1, retention_s=3600.0)
    assert (await log.topic(found)) is not None  # and it can be looked at all the same


async def test_fewer_replicas_than_the_region_file_wants_are_refused_of_a_mirrored_topic_too(
    adapter: KafkaAdapter, tmp_path: Path
) -> None:
    own, mirrored = adapter.named("own"), adapter.named("mirrored")
    for name in (own, mirrored):
        await make(name, {"max.message.bytes": "3000000", "retention.ms": "60000"})
    section = kafka_section(kafka_bootstrap(), replication_factor=3, min_insync_replicas=2)
    log = KafkaLog(section, tmp_path, mirrored=[mirrored])
    for name in (own, mirrored):
        with pytest.raises(Misconfigured, match=r"records that 1 replicas have, and 2 should.*min\.insync\.replicas=2"):
            await log.ensure_topic(name, 1, retention_s=60.0)
    with pytest.raises(Misconfigured, match=r"log\.replication_factor of the region file is above the number"):
        await log.ensure_topic(adapter.named("new"), 1)
    await log.close()


async def test_of_a_mirrored_topic_the_retention_is_its_source_s(adapter: KafkaAdapter, tmp_path: Path) -> None:
    mirrored = adapter.named("mirrored")
    await make(mirrored, {"max.message.bytes": "3000000", "retention.ms": "60000"})
    log = KafkaLog(kafka_section(kafka_bootstrap()), tmp_path, mirrored=[mirrored])
    assert (await log.ensure_topic(mirrored, 1, retention_s=3600.0)).retention_s == 60.0
    await log.close()


# Getting in --------------------------------------------------------------------------------------------------------


@pytest.fixture
def secured(tmp_path: Path) -> Callable[..., KafkaLog]:
    """Opens a log on the broker with TLS and SCRAM, as a region file may have it right or wrong."""
    broker = secured_kafka()

    def open_one(*, password: str = broker.password, **more: Any) -> KafkaLog:
        (tmp_path / "password").write_text(password + "\n")
        login = {"by": "scram", "username": broker.username, "password_file": Path("password")}
        given = {"tls": {"ca_file": broker.ca_file}, "login": login} | more
        return KafkaLog(kafka_section(broker.bootstrap, **given), tmp_path)

    return open_one


async def test_tls_and_scram_let_us_in(secured: Callable[..., KafkaLog]) -> None:
    log = secured()
    topic = unique("secured")
    await log.ensure_topic(topic, 1)
    await log.append(topic, 0, numbered(3))
    assert await keys_in(log, topic) == [b"0", b"1", b"2"]
    await log.close()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"password": "guessed"}, r"does not let in user 'tocsin': check log\.login\.username"),
        ({"login": None}, r"closed.*compare .* log\.login"),
        ({"tls": {}}, r"certificate.*not trusted.*log\.tls\.ca_file"),
        ({"login": {"by": "scram", "hash": "sha-256", "username": "tocsin", "password_file": "password"}}, "SHA-256"),
        (
            {"login": {"by": "scram", "username": "tocsin", "password_file": "nowhere"}},
            r"cannot be read from .*nowhere",
        ),
    ],
)
async def test_a_wrong_way_in_is_said_with_the_setting_to_look_at(
    secured: Callable[..., KafkaLog], wrong: dict[str, Any], says: str
) -> None:
    log = secured(**wrong)
    async with asyncio.timeout(LONG_S):
        with pytest.raises((Misconfigured, Unavailable), match=says) as raised:
            await log.cluster()
    await log.close()
    assert "guessed" not in str(raised.value)


async def test_tls_to_a_listener_without_it_is_said(tmp_path: Path) -> None:
    log = KafkaLog(kafka_section(kafka_bootstrap(), tls={}), tmp_path)
    with pytest.raises((Misconfigured, Unavailable), match=r"log\.tls"):
        await log.cluster()
    await log.close()


# An administrator's tools --------------------------------------------------------------------------------------------


async def make(topic: str, settings: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap())
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1, topic_configs=settings)])
    await admin.close()


async def alter(topic: str, settings: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap())
    await admin.start()
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, settings)])
    await admin.close()


async def settings_of_topic(topic: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap())
    await admin.start()
    described = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    await admin.close()
    return {name: value for name, value, *_ in described[0].resources[0][4]}


def count_requests(log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of requests that a log sends from now on."""
    asked: list[str] = []
    ask = log._brokers.ask

    async def ask_and_count(address: brokers.Address, request: Any, **more: Any) -> Any:
        asked.append(type(request).__name__)
        return await ask(address, request, **more)

    monkeypatch.setattr(log._brokers, "ask", ask_and_count)
    return asked

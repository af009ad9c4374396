"""`tocsin local` for real: six servers of two regions, mirrored, broken in parts, and gone with their owner."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord
from cassandra.cluster import Cluster, NoHostAvailable

from tests.acceptance.conftest import REPOSITORY, children_of, until
from tocsin.engines.errors import Misconfigured, Unavailable
from tocsin.ops.local.artifacts import Lacking, java
from tocsin.ops.local.control import LocalControl
from tocsin.ops.local.directions import Direction
from tocsin.topology import REQUESTS, CassandraStack, KafkaLog, load_topology

pytestmark = pytest.mark.timeout(240)  # the start of six servers on a busy machine

NAME: Final = "test"
UP_S_MAX: Final = 200.0
ARRIVES_S: Final = 30.0
SILENT_S: Final = 3.0
"""A mirror that works brings a record well within this."""
READY_S_MAX: Final = 120.0
MEMORY_MAX: Final = 6 * 1024**3
RECORD_BYTES: Final = 2 * 1024 * 1024


def local(sets: Path, *words: str) -> subprocess.CompletedProcess[str]:
    place = ("--name", NAME, "--sets-dir", str(sets))
    return subprocess.run(
        [sys.executable, "-m", "tocsin", "local", *words, *place],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=UP_S_MAX,
        check=False,
    )


def up(sets: Path) -> None:
    ended = local(sets, "up", "--detach")
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a set runs, from the first test of this file to the last."""
    try:
        asyncio.run(java())
    except Lacking as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    sets = tmp_path_factory.mktemp("sets")
    try:
        up(sets)
        yield sets
    finally:
        local(sets, "down")


@pytest.fixture
async def control(sets: Path) -> AsyncIterator[LocalControl]:
    """Steers the set; whatever a test broke is whole again afterwards."""
    control = LocalControl(sets / NAME)
    yield control
    await control.heal()
    for server in (await control.status())["servers"]:
        if server["state"] == "paused":
            await control.resume(server["name"])
        elif server["state"] != "ready":
            await control.start(server["name"])


def published(sets: Path) -> dict[str, Any]:
    return dict(json.loads((sets / NAME / "set.json").read_text()))


def address(sets: Path, region: str, what: str) -> str:
    return str(next(one[what] for one in published(sets)["regions"] if one["name"] == region))


class Reader:
    """Reads partition 0 of a topic from where it ended when the reader was opened."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def takes(self, value: bytes) -> ConsumerRecord:
        """The record of this value, once it is there."""
        async with asyncio.timeout(ARRIVES_S):
            while (record := await self._consumer.getone()).value != value:
                pass
        return record

    async def is_silent(self) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SILENT_S):
                await self._consumer.getone()

    async def until(self, last: bytes) -> list[bytes]:
        """All values up to the last, in order."""
        values: list[bytes] = []
        async with asyncio.timeout(ARRIVES_S):
            while not values or values[-1] != last:
                values.append((await self._consumer.getone()).value)
        return values


@contextlib.asynccontextmanager
async def reading(bootstrap: str, topic: str) -> AsyncIterator[Reader]:
    place = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="latest", max_partition_fetch_bytes=2 * RECORD_BYTES
    ) as consumer:
        consumer.assign([place])
        await consumer.seek_to_end(place)
        await consumer.position(place)
        yield Reader(consumer)


async def write(bootstrap: str, values: Sequence[bytes], every_s: float = 0.0, **record: Any) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, max_request_size=2 * RECORD_BYTES, acks="all", enable_idempotence=True
    ) as producer:
        for value in values:
            await producer.send(REQUESTS, value, partition=0, **record)
            await asyncio.sleep(every_s)
        await producer.flush()


# The set -------------------------------------------------------------------------------------------------------------


def test_all_work_in_time_and_within_their_memory(sets: Path) -> None:
    ended = local(sets, "status", "--json")

    assert ended.returncode == 0, ended.stdout
    found = json.loads(ended.stdout)
    assert {server["name"]: server["state"] for server in found["servers"]} == {
        f"{kind}-{place}": "ready"
        for kind, places in {"broker": "ab", "cassandra": "ab", "mirror": ("a-b", "b-a")}.items()
        for place in places
    }
    assert found["ready_s"] < READY_S_MAX
    assert found["rss_bytes_max"] < MEMORY_MAX


def test_its_region_files_are_sound_and_lead_to_the_paths(sets: Path) -> None:
    topology = load_topology(Path(published(sets)["regions_dir"]))

    for region in topology.regions:
        stack = region.stacks[region.serving_stack]
        assert isinstance(region.log, KafkaLog)
        assert isinstance(stack, CassandraStack)
        assert region.log.bootstrap == (address(sets, region.name, "bootstrap"),)
        assert stack.contact_points == (address(sets, region.name, "contact_point"),)


def test_only_its_owner_can_look_into_it_or_steer_it(sets: Path) -> None:
    for name in (".", "control"):
        assert (sets / NAME / name).stat().st_mode & 0o077 == 0, name


def test_a_second_owner_is_refused(sets: Path) -> None:
    ended = local(sets, "up")

    assert ended.returncode == 1
    assert f"process {published(sets)['pid']} runs the set 'test' already" in ended.stderr


async def test_a_name_that_nothing_has_is_refused_with_those_that_there_are(control: LocalControl) -> None:
    with pytest.raises(Misconfigured, match=r"no server 'broker-c'; known: cassandra-a, .*mirror-"):
        await control.kill("broker-c")
    with pytest.raises(Misconfigured, match=r"no path 'broker-c'; known: "):
        await control.cut("broker-c")


def test_the_end_of_a_log_can_be_read(sets: Path) -> None:
    shown = local(sets, "logs", "cassandra-a")
    missing = local(sets, "logs", "cassandra-c")

    assert (shown.returncode, missing.returncode) == (0, 1)
    assert "StartupChecks" in shown.stdout
    assert "known: broker-a, broker-b, cassandra-a" in missing.stderr


# Mirrors -------------------------------------------------------------------------------------------------------------


async def test_the_largest_request_arrives_at_the_peer_as_it_was(sets: Path) -> None:
    value, key, headers = os.urandom(RECORD_BYTES), b"checkout/db-1", [("digest", b"\x00\xff")]

    async with reading(address(sets, "b", "bootstrap"), f"a.{REQUESTS}") as copies:
        await write(address(sets, "a", "bootstrap"), [value], key=key, headers=headers, timestamp_ms=1_700_000_000_000)
        copy = await copies.takes(value)

    assert (copy.key, list(copy.headers), copy.timestamp) == (key, headers, 1_700_000_000_000)


async def test_one_direction_is_cut_and_the_other_goes_on(sets: Path, control: LocalControl) -> None:
    a, b = (address(sets, region, "bootstrap") for region in "ab")
    value = uuid.uuid4().bytes

    async with reading(b, f"a.{REQUESTS}") as at_b, reading(a, f"b.{REQUESTS}") as at_a:
        await control.cut("mirror-a-b")
        await write(a, [value])
        await write(b, [value])
        await at_a.takes(value)
        await at_b.is_silent()

        await control.heal("mirror-a-b")
        await at_b.takes(value)


async def test_a_killed_mirror_copies_some_records_twice_and_loses_none(sets: Path, control: LocalControl) -> None:
    a, b = (address(sets, region, "bootstrap") for region in "ab")
    values = [b"%d" % number for number in range(600)]

    async with reading(b, f"a.{REQUESTS}") as copies:
        writing = asyncio.create_task(write(a, values, every_s=0.005))  # so that some are always copied and not flushed
        first = await copies.until(values[300])
        await control.kill("mirror-a-b")
        await writing
        await control.start("mirror-a-b")
        copied = first + await copies.until(values[-1])

    assert set(copied) == set(values)
    assert len(copied) > len(values), "inconclusive: the mirror had flushed all that it had copied"


# Servers and paths to them -------------------------------------------------------------------------------------------


async def test_a_paused_broker_answers_nothing_and_goes_on_afterwards(sets: Path, control: LocalControl) -> None:
    a = address(sets, "a", "bootstrap")
    value = uuid.uuid4().bytes

    async with reading(a, REQUESTS) as records:
        await control.pause("broker-a")
        writing = asyncio.create_task(write(a, [value]))
        done, _ = await asyncio.wait((writing,), timeout=SILENT_S)
        assert not done

        await control.resume("broker-a")
        await writing
        await records.takes(value)


async def test_a_killed_broker_has_what_it_acknowledged_when_it_is_started(sets: Path, control: LocalControl) -> None:
    a = address(sets, "a", "bootstrap")
    value = uuid.uuid4().bytes

    async with reading(a, REQUESTS) as records:
        await write(a, [value])
        await control.kill("broker-a")
        ended = await asyncio.to_thread(local, sets, "status")
        assert ended.returncode == 1
        assert "killed" in ended.stdout
        await control.start("broker-a")
        await records.takes(value)


def select_one(contact_point: str) -> None:
    host, port = contact_point.split(":")
    with Cluster([host], port=int(port), protocol_version=5, connect_timeout=SILENT_S) as cluster:
        cluster.connect().execute("SELECT release_version FROM system.local")


@pytest.mark.parametrize("fault", ["cut", "stall"])
async def test_a_node_is_cut_off_and_found_again(sets: Path, control: LocalControl, fault: str) -> None:
    contact_point = address(sets, "b", "contact_point")
    await asyncio.to_thread(select_one, contact_point)

    if fault == "cut":
        await control.cut("cassandra-b")
    else:
        await control.stall("cassandra-b", Direction.TO_CLIENT)
    with pytest.raises(NoHostAvailable):
        await asyncio.to_thread(select_one, contact_point)

    await control.heal("cassandra-b")
    await asyncio.to_thread(select_one, contact_point)


def test_commands_say_what_they_did_and_how_to_undo_it(sets: Path) -> None:
    paused = local(sets, "pause", "cassandra-a")
    resumed = local(sets, "resume", "cassandra-a")
    delayed = local(sets, "delay", "broker-a", "0.1", "--direction", "to-client")
    healed = local(sets, "heal")

    assert paused.stdout == "paused cassandra-a\nto undo: tocsin local resume cassandra-a --name test\n"
    assert resumed.stdout.startswith("resumed cassandra-a\n")
    assert delayed.stdout.startswith("delayed the path broker-a by 0.1 s (to-client)\nto undo: tocsin local heal")
    assert healed.stdout == "healed all paths\n"


# The end -------------------------------------------------------------------------------------------------------------


async def test_an_owner_that_is_killed_leaves_nothing_behind_but_the_data(sets: Path, control: LocalControl) -> None:
    value = uuid.uuid4().bytes
    await write(address(sets, "a", "bootstrap"), [value])
    owner = published(sets)["pid"]
    servers = children_of(owner)
    assert len(servers) == 6

    os.kill(owner, signal.SIGKILL)

    until("no server runs", lambda: not any(Path(f"/proc/{pid}").exists() for pid in servers), ARRIVES_S)
    with pytest.raises(Unavailable, match=r"no servers run in"):
        await control.status()

    await asyncio.to_thread(up, sets)
    async with AIOKafkaConsumer(
        bootstrap_servers=address(sets, "a", "bootstrap"), max_partition_fetch_bytes=2 * RECORD_BYTES
    ) as consumer:
        place = TopicPartition(REQUESTS, 0)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        await Reader(consumer).takes(value)

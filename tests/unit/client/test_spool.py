"""The spool across deaths, damage and routing keys: what a call returned for is delivered, whatever happens then."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.client.conftest import ROUTING_KEY, Region
from tests.unit.doors import Door
from tocsin.client import Limits, Producer
from tocsin.client.spool import Spool
from tocsin.core.ids import format_id

CHILD = Path(__file__).parent / "producing_child.py"
QUICK = Limits(pause_first_s=0.02, pause_s_max=0.05)


def test_kill_9_loses_nothing_that_a_call_returned_for_and_keeps_ids_and_order(
    region_of: Callable[[str], Region], open_door: Callable[..., Door], free_port: int, tmp_path: Path
) -> None:
    spool, url = tmp_path / "spool", f"http://127.0.0.1:{free_port}"
    with subprocess.Popen([sys.executable, CHILD, url, ROUTING_KEY, spool], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = [child.stdout.readline().split() for _ in range(40)]
        os.kill(child.pid, signal.SIGKILL)
        told += [line.split() for line in child.stdout if line.endswith("\n")]

    region = region_of("a")
    open_door(region.app, port=free_port)
    with Producer([url], ROUTING_KEY, spool, background=False) as producer:
        assert producer.waiting >= len(told)
        assert producer.flush(20) == 0

    requests = region.requests()
    recorded = [format_id(request.key.id) for request in requests]
    assert {printed_id for printed_id, _ in told} <= set(recorded)
    for dedup_key in {key for _, key in told}:
        in_order = [printed_id for printed_id, key in told if key == dedup_key]
        arrived = [format_id(each.key.id) for each in requests if each.key.parent.dedup_key == dedup_key]
        assert arrived[: len(in_order)] == in_order  # and perhaps one more, that was killed before it was told


def test_a_delivery_that_a_kill_cut_short_of_its_end_is_repeated_under_the_same_id(
    region_of: Callable[[str], Region], open_door: Callable[..., Door], tmp_path: Path
) -> None:
    """The region has the event, and the file is still there: as a kill between the two leaves it."""
    region, spool = region_of("a"), tmp_path / "spool"
    url = open_door(region.app).url
    with Producer(["http://127.0.0.1:9"], ROUTING_KEY, spool, background=False, limits=QUICK) as producer:
        receipt = producer.trigger("Disk full", "db-1", "critical", "disk/db-1")
    (file,) = spool.glob("*.event")
    content = file.read_bytes()
    for _ in range(2):
        file.write_bytes(content)
        with Producer([url], ROUTING_KEY, spool, background=False) as producer:
            assert producer.flush(5) == 0

    requests = region.requests()
    assert len(requests) == 2
    assert {format_id(request.key.id) for request in requests} == {receipt.id}
    assert len({request.key for request in requests}) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content.replace(b"critical", b"CRITICAL"),
        lambda content: content.replace(b"tocsin-event 1", b"tocsin-event 2"),
        lambda content: os.urandom(200),
    ],
    ids=["empty", "cut off", "changed", "a newer format", "noise"],
)
def test_a_damaged_file_is_set_aside_and_hinders_no_other(
    damage: Callable[[bytes], bytes],
    region_of: Callable[[str], Region],
    open_door: Callable[..., Door],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    region, spool = region_of("a"), tmp_path / "spool"
    with Producer(["http://127.0.0.1:9"], ROUTING_KEY, spool, background=False, limits=QUICK) as producer:
        bad, good = (producer.trigger("Disk full", "db-1", "critical", "disk/db-1") for _ in range(2))
    (file,) = spool.glob(f"*{bad.id}.event")
    file.write_bytes(damage(file.read_bytes()))

    with Producer([open_door(region.app).url], ROUTING_KEY, spool, background=False) as producer:
        assert producer.flush(5) == 0

    assert [format_id(request.key.id) for request in region.requests()] == [good.id]
    assert [path.name for path in (spool / "damaged").iterdir()] == [file.name]
    assert file.name in caplog.text


def test_a_file_that_is_damaged_while_it_waits_is_set_aside_when_its_turn_comes(
    region_of: Callable[[str], Region], open_door: Callable[..., Door], free_port: int, tmp_path: Path
) -> None:
    region = region_of("a")
    with Producer([f"http://127.0.0.1:{free_port}"], ROUTING_KEY, tmp_path, background=False, limits=QUICK) as producer:
        bad, good = (producer.trigger("Disk full", "db-1", "critical", "disk/db-1") for _ in range(2))
        (file,) = tmp_path.glob(f"*{bad.id}.event")
        file.write_bytes(b"noise")
        open_door(region.app, port=free_port)
        assert producer.flush(5) == 0

    assert [format_id(request.key.id) for request in region.requests()] == [good.id]
    assert (tmp_path / "damaged" / file.name).exists()


def test_what_was_half_written_when_a_kill_came_is_removed_and_strange_files_are_left_alone(tmp_path: Path) -> None:
    half, strange = tmp_path / "0000000000000001-0x5d684054fc3540a0.new", tmp_path / "notes.txt"
    half.write_bytes(b"tocsin-eve")
    strange.write_text("mine", encoding="utf-8")

    spool = Spool(tmp_path, Limits())
    spool.close()

    assert not half.exists()
    assert strange.exists()
    assert spool.found == []


def test_files_set_aside_are_bounded_and_the_oldest_go_first(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Limits(aside_files_max=2))
    kept = [spool.keep(number, format_id(number), "disk/db-1", b"{}") for number in (1, 2, 3)]
    for each in kept:
        spool.set_aside(each, "refused", "as a test")
    spool.close()

    assert sorted(path.name for path in (tmp_path / "refused").iterdir()) == [each.path.name for each in kept[1:]]


def test_the_spool_is_its_owners_alone_and_holds_no_routing_key(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with Producer(["http://127.0.0.1:9"], ROUTING_KEY, spool, background=False, limits=QUICK) as producer:
        producer.send(
            {"routing_key": ROUTING_KEY, "event_action": "resolve", "dedup_key": "disk/db-1"},
        )

    (file,) = spool.glob("*.event")
    assert spool.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600
    assert not re.search(ROUTING_KEY.encode(), file.read_bytes())


def test_numbers_go_on_where_the_last_producer_ended_so_that_names_keep_the_order(tmp_path: Path) -> None:
    ids = []
    for _ in range(3):
        with Producer(["http://127.0.0.1:9"], ROUTING_KEY, tmp_path, background=False, limits=QUICK) as producer:
            ids += [producer.resolve(f"disk/{number}").id for number in range(2)]

    assert [path.name.partition("-")[2].removesuffix(".event") for path in sorted(tmp_path.glob("*.event"))] == ids

"""The producer against real intakes: what a caller is told, which region gets an event, and in which order."""

import json
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.client.conftest import ROUTING_KEY, Answers, Region
from tests.unit.doors import Door
from tocsin.client import Limits, NotDelivered, Producer, Receipt, Refused, SpoolFull, SpoolInUse, Unreachable
from tocsin.core.ids import format_id
from tocsin.roles.tls import Presented

QUICK = Limits(patience_s=0.2, pause_first_s=0.02, pause_s_max=0.05)
RegionOf = Callable[[str], Region]
OpenDoor = Callable[..., Door]


def nowhere(port: int) -> str:
    return f"http://127.0.0.1:{port}"


# What an event becomes -----------------------------------------------------------------------------------------------


def test_an_alert_is_triggered_acknowledged_and_resolved_under_ids_minted_here(
    region_of: RegionOf, open_door: OpenDoor
) -> None:
    region = region_of("a")
    with Producer([open_door(region.app).url], ROUTING_KEY) as producer:
        receipts = [
            producer.trigger("Disk full", "db-1", "critical", "disk/db-1", component="disk", class_="capacity"),
            producer.acknowledge("disk/db-1"),
            producer.resolve("disk/db-1"),
        ]

    requests = region.requests()
    assert [json.loads(request.body)["event_action"] for request in requests] == ["trigger", "acknowledge", "resolve"]
    assert [receipt.id for receipt in receipts] == [format_id(request.key.id) for request in requests]
    assert [receipt.request for receipt in receipts] == [request.key.printed for request in requests]
    assert all(receipt.delivered for receipt in receipts)
    payload = json.loads(requests[0].body)["payload"]
    assert (payload["component"], payload["class"]) == ("disk", "capacity")


def test_a_trigger_without_a_dedup_key_gets_one_that_the_receipt_tells(
    region_of: RegionOf, open_door: OpenDoor
) -> None:
    region = region_of("a")
    with Producer([open_door(region.app).url], ROUTING_KEY) as producer:
        first, second = (producer.trigger("Disk full", "db-1", "critical") for _ in range(2))

    assert first.dedup_key != second.dedup_key
    assert {request.key.parent.dedup_key for request in region.requests()} == {first.dedup_key, second.dedup_key}


def test_regions_are_spoken_to_over_tls_and_known_by_the_ca_that_is_given(
    region_of: RegionOf, open_door: OpenDoor, tls: tuple[Presented, Path]
) -> None:
    presented, ca_file = tls
    url = open_door(region_of("a").app, tls=presented).url

    with Producer([url], ROUTING_KEY, ca_file=ca_file) as producer:
        assert producer.trigger("Disk full", "db-1", "critical").region_url == url
    with Producer([url], ROUTING_KEY, limits=QUICK) as producer, pytest.raises(Unreachable, match="certificate"):
        producer.trigger("Disk full", "db-1", "critical")


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"event_action": "trigger"}, "payload"),
        ({"event_action": "acknowledge"}, "dedup_key"),
        ({"event_action": "resolve", "dedup_key": "x" * 256}, "dedup_key"),
        ({"event_action": "shout", "dedup_key": "x"}, "event_action"),
        ({}, "event_action"),
    ],
)
def test_an_event_that_no_region_would_take_is_refused_before_it_is_sent_or_kept(
    event: dict[str, object], error: str, tmp_path: Path, free_port: int
) -> None:
    with Producer([nowhere(free_port)], ROUTING_KEY, tmp_path / "spool", background=False) as producer:
        with pytest.raises(Refused, match=error) as refused:
            producer.send(event)
        assert refused.value.status == 400
        assert producer.waiting == 0
    assert not list((tmp_path / "spool").glob("*.event"))


def test_an_event_over_the_size_limit_is_refused_as_too_large(free_port: int) -> None:
    with Producer([nowhere(free_port)], ROUTING_KEY) as producer, pytest.raises(Refused) as refused:
        producer.trigger("Disk full", "db-1", "critical", custom_details="x" * 600_000)

    assert refused.value.status == 413


@pytest.mark.parametrize("address", ["", "intake.example.net", "ftp://intake", "https://", "https://intake/?a=b"])
def test_an_address_that_is_none_is_refused_at_the_start(address: str) -> None:
    with pytest.raises(ValueError, match="intake"):
        Producer([address], ROUTING_KEY)


def test_what_an_intake_refuses_is_raised_with_its_errors_and_is_never_kept(
    region_of: RegionOf, open_door: OpenDoor, tmp_path: Path
) -> None:
    url = open_door(region_of("a").app).url
    with Producer([url], "f" * 32, tmp_path / "spool") as producer:
        with pytest.raises(Refused, match="Invalid routing key") as refused:
            producer.trigger("Disk full", "db-1", "critical")
        assert refused.value.errors == ["Invalid routing key"]
        assert producer.waiting == 0
    assert not list((tmp_path / "spool").rglob("*.event"))


# Regions in turn -----------------------------------------------------------------------------------------------------


def test_with_a_region_killed_in_mid_play_the_next_one_takes_over_and_nothing_is_lost(
    region_of: RegionOf, open_door: OpenDoor, tmp_path: Path
) -> None:
    regions = [region_of("a"), region_of("b")]
    doors = [open_door(region.app) for region in regions]
    receipts: list[Receipt] = []

    def play(producer: Producer, number: int) -> None:
        receipts.extend(producer.trigger(f"Alert {number}", "db-1", "error", f"{number}/{n}") for n in range(50))

    with Producer([door.url for door in doors], ROUTING_KEY, tmp_path / "spool") as producer:
        threads = [threading.Thread(target=play, args=(producer, number)) for number in range(4)]
        for thread in threads:
            thread.start()
        while len(receipts) < 20:
            time.sleep(0.002)
        doors[0].kill()
        for thread in threads:
            thread.join()
        assert producer.flush(10) == 0

    recorded = {format_id(request.key.id) for region in regions for request in region.requests()}
    assert len(receipts) == 200
    assert {receipt.id for receipt in receipts} == recorded
    assert all(region.requests() for region in regions)


def test_the_region_that_answered_last_is_asked_first(open_door: OpenDoor, region_of: RegionOf) -> None:
    ill = Answers(503)
    doors = [open_door(ill), open_door(region_of("b").app)]
    with Producer([door.url for door in doors], ROUTING_KEY, limits=QUICK) as producer:
        urls = []
        for _ in range(5):
            urls.append(producer.trigger("Disk full", "db-1", "critical").region_url)
            time.sleep(0.06)  # its rest is over each time

    assert urls == [doors[1].url] * 5
    assert ill.asked == 1


@pytest.mark.parametrize(
    "answers",
    [
        Answers(429),
        Answers(500),
        Answers(503, headers={"Retry-After": "1"}),
        Answers(302, headers={"Location": "https://elsewhere"}),
        Answers(404, b"<html>"),
        Answers(202, b"a captive portal"),
        Answers(202, b'{"status": "success"}'),
        Answers(202, b"x" * 100_000),
    ],
    ids=lambda answers: f"{answers.status} {answers.body[:10]!r}",
)
def test_what_is_no_intakes_yes_or_no_sends_the_event_to_the_next_region(
    answers: Answers, open_door: OpenDoor, region_of: RegionOf
) -> None:
    doors = [open_door(answers), open_door(region_of("b").app)]
    with Producer([door.url for door in doors], ROUTING_KEY) as producer:
        assert producer.trigger("Disk full", "db-1", "critical").region_url == doors[1].url


def test_a_region_that_asks_to_be_left_alone_is_but_not_for_longer_than_the_bound(open_door: OpenDoor) -> None:
    answers = Answers(429, headers={"Retry-After": "100000"})
    limits = Limits(patience_s=0.1, pause_first_s=0.01, pause_s_max=0.01, retry_after_s_max=0.5)
    with Producer([open_door(answers).url], ROUTING_KEY, limits=limits) as producer:
        for _ in range(3):
            with pytest.raises(Unreachable, match="429"):
                producer.trigger("Disk full", "db-1", "critical")
        assert answers.asked == 1
        time.sleep(0.5)
        with pytest.raises(Unreachable):
            producer.trigger("Disk full", "db-1", "critical")
    assert answers.asked == 2


def test_a_retry_after_may_be_a_date(open_door: OpenDoor) -> None:
    answers = Answers(503, headers={"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"})
    limits = Limits(patience_s=0.1, pause_first_s=0.01, pause_s_max=0.01, retry_after_s_max=30)
    with Producer([open_door(answers).url], ROUTING_KEY, limits=limits) as producer:
        for _ in range(2):
            with pytest.raises(Unreachable):
                producer.trigger("Disk full", "db-1", "critical")
    assert answers.asked == 1


def test_without_a_spool_a_call_waits_as_long_as_its_patience_lasts(
    region_of: RegionOf, open_door: OpenDoor, free_port: int
) -> None:
    region = region_of("a")
    limits = Limits(patience_s=10, pause_first_s=0.02, pause_s_max=0.05)
    with Producer([nowhere(free_port)], ROUTING_KEY, limits=limits) as producer:
        opening = threading.Timer(0.3, lambda: open_door(region.app, port=free_port))
        opening.start()
        receipt = producer.trigger("Disk full", "db-1", "critical")
        opening.join()

    assert receipt.delivered
    assert len(region.requests()) == 1


def test_without_a_spool_and_without_a_region_the_call_says_each_regions_reason(
    open_door: OpenDoor, free_port: int
) -> None:
    urls = [nowhere(free_port), open_door(Answers(503, b'{"message": "the log is away"}')).url]
    with Producer(urls, ROUTING_KEY, limits=QUICK) as producer:
        with pytest.raises(Unreachable) as unreachable:
            producer.trigger("Disk full", "db-1", "critical")
        assert producer.waiting == 0

    assert "refused" in unreachable.value.reasons[urls[0]]
    assert "the log is away" in unreachable.value.reasons[urls[1]]


def test_an_answer_that_was_lost_costs_nothing(region_of: RegionOf, open_door: OpenDoor) -> None:
    """The intake accepts, its answer is lost, the event is sent again: two records, one request."""
    region = region_of("a")
    lost: list[object] = []

    async def forgetful(scope: object, receive: object, send: object) -> None:
        async def send_or_lose(message: dict[str, object]) -> None:
            if lost:
                await send(message)  # type: ignore[operator]
            elif message["type"] == "http.response.body":
                lost.append(message)
                raise ConnectionAbortedError

        await region.app(scope, receive, send_or_lose)  # type: ignore[arg-type]

    with Producer([open_door(forgetful).url], ROUTING_KEY) as producer:
        receipt = producer.trigger("Disk full", "db-1", "critical")

    requests = region.requests()
    assert lost
    assert len(requests) == 2
    assert {request.key.printed for request in requests} == {receipt.request}


@pytest.mark.parametrize("durable", [True, False])
def test_many_threads_over_failing_regions_lose_nothing_and_keep_each_threads_order_under_each_key(
    region_of: RegionOf, open_door: OpenDoor, tmp_path: Path, *, durable: bool
) -> None:
    """A third of the attempts is answered 503, half of these after the region took the event."""
    region = region_of("a")
    chance = random.Random(5)

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        if (fate := chance.random()) < 2 / 3:
            await region.app(scope, receive, send)
            return
        if fate < 5 / 6:
            await region.app(scope, receive, _nowhere)
        await Answers(503)(scope, receive, send)

    told: list[list[Receipt]] = [[] for _ in range(4)]
    doors = [open_door(failing) for _ in range(2)]
    limits = Limits(pause_first_s=0.002, pause_s_max=0.01)

    def play(producer: Producer, thread: int) -> None:
        for number in range(12):
            told[thread].append(producer.resolve(f"key/{number % 2}"))

    urls = [door.url for door in doors]
    with Producer(urls, ROUTING_KEY, tmp_path / "spool", durable=durable, limits=limits) as producer:
        threads = [threading.Thread(target=play, args=(producer, number)) for number in range(len(told))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert producer.flush(20) == 0

    assert not list((tmp_path / "spool").glob("*.event"))
    places: dict[str, int] = {}
    for place, request in enumerate(region.requests()):
        places.setdefault(format_id(request.key.id), place)
    assert len(places) == 48
    for receipts in told:
        for key in ("key/0", "key/1"):
            arrived = [places[receipt.id] for receipt in receipts if receipt.dedup_key == key]
            assert arrived == sorted(arrived)


async def _nowhere(message: object) -> None:
    """Takes what an app answers."""


# What waits ----------------------------------------------------------------------------------------------------------


def test_what_no_region_took_is_delivered_in_the_background_in_the_order_of_its_key(
    region_of: RegionOf, open_door: OpenDoor, free_port: int, tmp_path: Path
) -> None:
    region = region_of("a")
    with Producer([nowhere(free_port)], ROUTING_KEY, tmp_path / "spool", limits=QUICK) as producer:
        receipts = [producer.trigger("Disk full", "db-1", "critical", "disk/db-1"), producer.resolve("disk/db-1")]
        assert not any(receipt.delivered for receipt in receipts)
        open_door(region.app, port=free_port)
        deadline = time.monotonic() + 10
        while producer.waiting and time.monotonic() < deadline:
            time.sleep(0.01)

    assert [format_id(request.key.id) for request in region.requests()] == [receipt.id for receipt in receipts]
    assert not list((tmp_path / "spool").glob("*.event"))


def test_an_event_never_overtakes_an_earlier_one_of_its_key_and_takes_it_along(
    region_of: RegionOf, open_door: OpenDoor, free_port: int, tmp_path: Path
) -> None:
    region = region_of("a")
    spool = tmp_path / "spool"
    with Producer([nowhere(free_port)], ROUTING_KEY, spool, background=False, limits=QUICK) as producer:
        waiting = producer.trigger("Disk full", "db-1", "critical", "disk/db-1")
        other = producer.trigger("Disk full", "db-2", "critical", "disk/db-2")
        open_door(region.app, port=free_port)
        time.sleep(0.06)
        resolved = producer.resolve("disk/db-1")
        assert not waiting.delivered
        assert resolved.delivered
        assert producer.waiting == 1
        assert producer.flush(5) == 0

    ids = [format_id(request.key.id) for request in region.requests()]
    assert set(ids) == {waiting.id, other.id, resolved.id}
    assert ids.index(waiting.id) < ids.index(resolved.id)


def test_a_flush_that_reaches_nobody_ends_in_time_and_says_how_many_wait(free_port: int, tmp_path: Path) -> None:
    with Producer([nowhere(free_port)], ROUTING_KEY, tmp_path, background=False, limits=QUICK) as producer:
        for _ in range(3):
            producer.trigger("Disk full", "db-1", "critical")
        began = time.monotonic()
        assert producer.flush(0.2) == 3
        assert time.monotonic() - began < 2


def test_what_is_refused_after_its_caller_was_gone_is_set_aside_with_a_word_in_the_log(
    region_of: RegionOf, open_door: OpenDoor, free_port: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Producer([nowhere(free_port)], "f" * 32, tmp_path / "spool", background=False, limits=QUICK) as producer:
        receipt = producer.trigger("Disk full", "db-1", "critical", "disk/db-1")
        open_door(region_of("a").app, port=free_port)
        assert producer.flush(5) == 0

    (aside,) = (tmp_path / "spool" / "refused").iterdir()
    assert receipt.id in aside.name
    assert "Invalid routing key" in caplog.text


def test_an_event_that_the_spool_has_no_room_for_is_still_sent_and_said_lost_only_when_nobody_takes_it(
    region_of: RegionOf, open_door: OpenDoor, free_port: int, tmp_path: Path
) -> None:
    region = region_of("a")
    limits = Limits(patience_s=0.2, pause_first_s=0.02, pause_s_max=0.05, spool_events_max=2)
    with Producer([nowhere(free_port)], ROUTING_KEY, tmp_path, background=False, limits=limits) as producer:
        for _ in range(2):
            producer.trigger("Disk full", "db-1", "critical")
        with pytest.raises(SpoolFull, match="2 events"):
            producer.trigger("Disk full", "db-1", "critical")
        assert producer.waiting == 2
        open_door(region.app, port=free_port)
        time.sleep(0.06)
        assert producer.trigger("Disk full", "db-1", "critical").delivered
        assert producer.flush(5) == 0

    assert len(region.requests()) == 3


def test_not_durable_means_that_the_disk_is_touched_only_when_no_region_answers(
    region_of: RegionOf, open_door: OpenDoor, free_port: int, tmp_path: Path
) -> None:
    region, spool = region_of("a"), tmp_path / "spool"
    with Producer([nowhere(free_port)], ROUTING_KEY, spool, durable=False, background=False, limits=QUICK) as producer:
        waiting = producer.trigger("Disk full", "db-1", "critical", "disk/db-1")
        assert len(list(spool.glob("*.event"))) == 1
        open_door(region.app, port=free_port)
        assert producer.flush(5) == 0
        touched_ns = spool.stat().st_mtime_ns
        direct = producer.resolve("disk/db-1")
        assert spool.stat().st_mtime_ns == touched_ns

    assert [format_id(request.key.id) for request in region.requests()] == [waiting.id, direct.id]


def test_a_spool_belongs_to_one_producer_at_a_time(free_port: int, tmp_path: Path) -> None:
    with Producer([nowhere(free_port)], ROUTING_KEY, tmp_path), pytest.raises(SpoolInUse, match="own folder"):
        Producer([nowhere(free_port)], ROUTING_KEY, tmp_path)
    Producer([nowhere(free_port)], ROUTING_KEY, tmp_path).close()


def test_a_closed_producer_takes_nothing(free_port: int) -> None:
    producer = Producer([nowhere(free_port)], ROUTING_KEY)
    producer.close()
    producer.close()

    with pytest.raises(ValueError, match="closed"):
        producer.resolve("disk/db-1")


def test_every_way_not_to_deliver_is_one_kind_of_error() -> None:
    assert issubclass(Unreachable, NotDelivered)
    assert issubclass(SpoolFull, NotDelivered)

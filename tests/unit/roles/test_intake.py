"""Intake over HTTP, on real embedded logs: what is taken, what is refused, and what is said when a log is away."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from tests.unit.roles.conftest import LIMITS, NOW_S, PARTITIONS, Clock, Door, counted, trigger
from tocsin.core.events import EVENT_BYTES_MAX, client_digest, entry_of
from tocsin.core.ids import Parent, RequestKey, parse_printed, partition_of
from tocsin.core.requests import Tick, decode_record
from tocsin.engines.directory import FileDirectory
from tocsin.engines.faults import Fault
from tocsin.roles.intake import Intake
from tocsin.telemetry import Histogram, Meters
from tocsin.telemetry.meters import Spread

# Taken ----------------------------------------------------------------------------------------------------------


async def test_an_event_is_answered_with_its_names_once_the_log_has_it(door: Door) -> None:
    response = await door.send(trigger())

    (request,) = await door.requests()
    assert response.status_code == 202
    assert response.headers["content-type"] == "application/json"
    assert response.headers["tocsin-ack"] == "region"
    assert len(response.headers["x-request-id"]) == 16
    assert response.json() == {
        "status": "success",
        "message": "Event processed",
        "dedup_key": "disk/web-01",
        "parent": "demo/disk/web-01",
        "id": f"0x{request.key.id:016x}",
        "request": request.key.printed,
    }


async def test_the_request_says_who_when_and_where_and_its_digest_is_the_clients_part_alone(door: Door) -> None:
    door.clock.us += 123_456
    await door.send(trigger())
    (request,) = await door.requests()
    parent = Parent("demo", "disk/web-01")

    assert request.key == RequestKey(parent, NOW_S << 32, client_digest(parent, request.body))
    assert (request.received_us, request.region, request.schema) == (NOW_S * 1_000_000 + 123_456, "a", 1)
    assert json.loads(request.body) == {k: v for k, v in trigger().items() if k != "routing_key"}
    assert entry_of(request).action == "trigger"


async def test_a_request_goes_to_the_partition_of_its_parent(door: Door) -> None:
    parents = [Parent("demo", f"alert {n}") for n in range(12)]
    for parent in parents:
        assert (await door.send(trigger(dedup_key=parent.dedup_key))).status_code == 202

    for partition in range(PARTITIONS):
        fetched = await door.logs["a"].fetch("requests", partition, 0, records_max=99, bytes_max=10**6, wait_s=0)
        keys = {delivered.record.key for delivered in fetched.records}
        assert keys == {parent.encode() for parent in parents if partition_of(parent, PARTITIONS) == partition}


@pytest.mark.parametrize("dedup_key", [None, "", "  "])
async def test_a_trigger_without_a_dedup_key_gets_one_of_its_own(door: Door, dedup_key: str | None) -> None:
    keys = [(await door.send({**trigger(), "dedup_key": dedup_key})).json()["dedup_key"] for _ in range(2)]

    assert len(set(keys)) == 2
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys)
    assert {json.loads(request.body)["dedup_key"] for request in await door.requests()} == set(keys)


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
async def test_an_acknowledge_and_a_resolve_are_taken_without_payload(door: Door, action: str) -> None:
    response = await door.send(trigger(event_action=action, payload=None))

    assert response.status_code == 202
    assert [entry_of(request).action for request in await door.requests()] == [action]


async def test_events_of_one_moment_have_different_ids(door: Door) -> None:
    parts = replace(door.parts, random_bytes=bytes)
    client = door.client_of(parts)
    ids = [(await client.post("/v2/enqueue", json=trigger())).json()["id"] for _ in range(5)]

    assert len(set(ids)) == 5
    await client.aclose()


async def test_the_printed_key_is_the_requests(door: Door) -> None:
    temporal_id, digest = parse_printed((await door.send(trigger())).json()["request"])
    (request,) = await door.requests()

    assert (request.key.id, request.key.digest[:6]) == (temporal_id, digest)


# Refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"", "Unrecognized object", "JSON parse error"),
        (b"{", "Unrecognized object", "JSON parse error"),
        (b'{"a": "\xff"}', "Unrecognized object", "is not UTF-8"),
        (b"[]", "invalid event", "must be a JSON object"),
        (b"{}", "invalid event", "'routing_key' is missing or blank"),
        (json.dumps(trigger(payload=5)).encode(), "invalid event", "'payload' must be an object"),
        (json.dumps(trigger(dedup_key="a\0b")).encode(), "invalid event", "'dedup_key' holds a NUL character"),
        (json.dumps(trigger(client="\ud800")).encode(), "invalid event", "'client' holds a lone surrogate"),
        (json.dumps(trigger(more=2**64)).encode(), "invalid event", "'more' is an integer that does not fit"),
        (b'{"x":' + b"[" * 10_000, "invalid event", "is nested deeper than 64 levels"),
        (
            json.dumps(
                trigger(
                    payload={"summary": "s", "source": "s", "severity": "info", "timestamp": "99999-01-01T00:00:00Z"}
                )
            ).encode(),
            "invalid event",
            "'payload.timestamp' is not an ISO 8601",
        ),
    ],
)
async def test_what_is_no_event_is_answered_400_in_pagerdutys_words_and_recorded_nowhere(
    door: Door, body: bytes, status: str, error: str
) -> None:
    response = await door.client.post("/v2/enqueue", content=body)

    assert response.status_code == 400
    assert response.json()["status"] == status
    assert error in response.json()["errors"][0]
    assert await door.records() == []


async def test_an_unknown_routing_key_is_refused(door: Door) -> None:
    response = await door.send({**trigger(), "routing_key": "x" * 32})

    assert response.status_code == 400
    assert response.json() == {
        "status": "invalid event",
        "message": "Event object is invalid",
        "errors": ["Invalid routing key"],
    }


async def test_a_body_of_exactly_the_limit_is_taken_and_one_more_byte_is_not(door: Door) -> None:
    body = json.dumps(trigger()).encode().ljust(EVENT_BYTES_MAX)

    assert (await door.client.post("/v2/enqueue", content=body)).status_code == 202
    response = await door.client.post("/v2/enqueue", content=body + b" ")
    assert response.status_code == 413
    assert response.headers["connection"] == "close"
    assert "524289" in response.json()["errors"][0]
    assert "524288" in response.json()["errors"][0]


async def test_a_body_without_end_is_read_no_further_than_the_limit(door: Door) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    response = await door.client.post("/v2/enqueue", content=endless())

    assert response.status_code == 413
    assert sent <= EVENT_BYTES_MAX + 2 * 65_536


async def test_a_body_that_does_not_come_is_not_waited_for(door: Door) -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(30)

    response = await door.client.post("/v2/enqueue", content=stuck())

    assert response.status_code == 408
    assert "1 bytes" in response.json()["errors"][0]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/enqueue", 405),
        ("POST", "/v2/other", 404),
        ("POST", "/v2/enqueue/", 404),
        ("GET", "/docs", 404),
    ],
)
async def test_other_places_are_answered_in_json_and_never_redirected(
    door: Door, method: str, path: str, status: int
) -> None:
    response = await door.client.request(method, path)

    assert response.status_code == status
    assert isinstance(response.json()["errors"], list)


async def test_a_fault_of_ours_is_a_500_in_json_and_its_traceback_is_logged(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(n: int) -> bytes:
        raise RuntimeError(f"no randomness, not even {n} bytes")

    client = door.client_of(replace(door.parts, random_bytes=broken))
    response = await client.post("/v2/enqueue", json=trigger())

    assert response.status_code == 500
    assert response.headers["x-request-id"] in response.json()["errors"][0]
    assert "no randomness" not in response.text
    assert "no randomness" in caplog.text
    await client.aclose()


# A log that is away ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Fault.UNAVAILABLE, Fault.TIMEOUT, Fault.CUT])
async def test_while_the_log_is_away_the_client_keeps_the_event(door: Door, kind: Fault) -> None:
    door.fault("a", kind, delay_s=1.0)
    response = await door.send(trigger())

    assert response.status_code == 503
    assert response.headers["retry-after"] == "7"
    assert "tocsin-ack" not in response.headers
    assert "may be recorded or not: send it again with the same dedup key" in response.json()["message"]
    assert "region a" in response.json()["errors"][0]
    assert await door.records() == []

    door.switch.clear_all()
    assert (await door.send(trigger())).status_code == 202


async def test_an_append_acknowledged_after_the_limit_is_not_accepted(door: Door) -> None:
    class SlowClock(Clock):
        def monotonic(self) -> float:
            self.go(3)
            return super().monotonic()

    client = door.client_of(replace(door.parts, monotonic=SlowClock().monotonic))
    first = await client.post("/v2/enqueue", json=trigger())
    assert first.status_code == 202  # 3 s from minting to acknowledgement

    class SlowerClock(Clock):
        def monotonic(self) -> float:
            self.go(6)
            return super().monotonic()

    late = door.client_of(replace(door.parts, monotonic=SlowerClock().monotonic))
    response = await late.post("/v2/enqueue", json=trigger())
    assert response.status_code == 503
    assert "later than 5 s" in response.json()["errors"][0]
    assert len(await door.requests()) == 2  # recorded all the same, as the answer says that it may be
    await client.aclose()
    await late.aclose()


async def test_a_log_that_refuses_an_event_for_good_makes_it_a_400(door: Door) -> None:
    door.fault("a", Fault.REFUSE)
    response = await door.send(trigger())

    assert response.status_code == 400
    assert "the log of region a refuses it" in response.json()["errors"][0]


async def test_above_the_bound_events_are_turned_away_untried(door: Door, meters: Meters) -> None:
    door.fault("a", Fault.DELAY, delay_s=0.1)
    client = door.client_of(replace(door.parts, limits=replace(LIMITS, in_flight_max=3)))
    responses = await asyncio.gather(*(client.post("/v2/enqueue", json=trigger()) for _ in range(8)))

    turned_away = [response for response in responses if response.status_code == 503]
    assert len(turned_away) == 5
    assert all("it is not recorded" in response.json()["message"] for response in turned_away)
    assert len(await door.requests()) == 3
    assert counted(meters, "tocsin.bound.used") == {"events_in_flight": 0}
    assert counted(meters, "tocsin.bound.max") == {"events_in_flight": 3}
    assert counted(meters, "tocsin.intake.accepted") == {"": 3}
    assert counted(meters, "tocsin.intake.refused") == {"503": 5}
    times = dict(meters.collect())[Histogram.ANSWER_S]
    assert {labels: spread.total for labels, spread in times.items() if isinstance(spread, Spread)} == {
        (("status", "2xx"),): 3,
        (("status", "4xx"),): 0,
        (("status", "5xx"),): 5,
    }
    await client.aclose()


# Ack by all regions ---------------------------------------------------------------------------------------------


async def test_for_all_regions_each_log_has_the_same_record_before_the_answer(door: Door) -> None:
    response = await door.send(trigger("careful"))

    assert response.status_code == 202
    assert response.headers["tocsin-ack"] == "all-regions"
    assert await door.requests("a") == await door.requests("b") != []


async def test_for_one_region_the_peers_log_is_left_alone(door: Door) -> None:
    await door.send(trigger("demo"))

    assert await door.requests("b") == []


@pytest.mark.parametrize("kind", [Fault.UNAVAILABLE, Fault.TIMEOUT])
async def test_without_the_peer_a_careful_service_is_refused_before_its_own_log_is_asked(
    door: Door, kind: Fault
) -> None:
    door.fault("b", kind, delay_s=1.0)
    response = await door.send(trigger("careful"))

    assert response.status_code == 503
    assert "region b" in response.json()["errors"][0]
    assert "may be recorded" in response.json()["message"]
    assert await door.records("a") == []


@pytest.mark.parametrize("kind", [Fault.UNAVAILABLE, Fault.TIMEOUT])
async def test_without_the_peer_a_lenient_service_is_served_and_told(door: Door, kind: Fault) -> None:
    door.fault("b", kind, delay_s=1.0)
    response = await door.send(trigger("lenient"))

    assert response.status_code == 202
    assert response.headers["tocsin-ack"] == "region"
    assert len(await door.requests("a")) == 1


async def test_with_the_peer_a_lenient_service_has_all_regions_too(door: Door) -> None:
    assert (await door.send(trigger("lenient"))).headers["tocsin-ack"] == "all-regions"


async def test_when_the_peer_has_it_and_our_own_log_does_not_the_answer_says_that_it_may_be_recorded(
    door: Door,
) -> None:
    door.fault("a", Fault.UNAVAILABLE)
    response = await door.send(trigger("careful"))

    assert response.status_code == 503
    assert "may be recorded" in response.json()["message"]
    assert len(await door.requests("b")) == 1


# Ticks and health -----------------------------------------------------------------------------------------------


async def test_a_tick_stands_in_each_partition_above_what_was_taken_before(door: Door) -> None:
    intake = Intake(door.parts)
    await door.send(trigger())
    door.clock.go(1)
    await intake.ticker.tick()

    for partition in range(PARTITIONS):
        fetched = await door.logs["a"].fetch("requests", partition, 0, records_max=9, bytes_max=10**6, wait_s=0)
        contents = [decode_record(delivered.record) for delivered in fetched.records]
        assert contents[-1] == Tick((NOW_S + 1) * 1_000_000, "a")
        assert not any(isinstance(content, Tick) for content in contents[:-1])


async def test_ticks_come_until_the_intake_is_stopped(door: Door) -> None:
    intake = Intake(door.parts)
    stopping = asyncio.Event()
    running = asyncio.create_task(intake.ticker.run(stopping))
    async with asyncio.timeout(5):
        while len(await door.records()) < PARTITIONS:  # noqa: ASYNC110 (the log tells nobody)
            await asyncio.sleep(0.01)
        stopping.set()
        await running

    assert {type(decode_record(record)) for record in await door.records()} == {Tick}


async def test_an_intake_that_cannot_tick_is_not_ready_but_serves(door: Door) -> None:
    intake = Intake(door.parts)
    door.fault("a", Fault.UNAVAILABLE)
    await intake.ticker.tick()
    assert await intake.unready() == []
    door.clock.go(6)
    await intake.ticker.tick()
    assert "no tick could be put into 4 partitions" in (await intake.unready())[0]

    door.switch.clear_all()
    assert (await door.send(trigger())).status_code == 202
    await intake.ticker.tick()
    assert await intake.unready() == []


async def test_a_drained_region_is_not_ready_and_takes_events_all_the_same(door: Door) -> None:
    intake = Intake(replace(door.parts, readiness=lambda: ["region a is drained"]))
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=intake.app()), base_url="http://intake")

    assert await intake.unready() == ["region a is drained"]
    assert (await client.post("/v2/enqueue", json=trigger())).status_code == 202
    await client.aclose()


async def test_a_directory_that_broke_makes_the_intake_not_ready_and_its_services_stay(
    door: Door, tmp_path: Path, directory: FileDirectory
) -> None:
    (tmp_path / "directory.yaml").write_text("services: 5", encoding="utf-8")
    directory._watched.look_again()

    assert "directory.yaml: services" in (await Intake(door.parts).unready())[0]
    assert (await door.send(trigger())).status_code == 202

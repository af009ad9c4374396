"""Intake's doors over HTTP, on real embedded logs: each dialect's senders get the answers that they act on."""

import asyncio
import copy
import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from tests.unit.core.test_dialect_alertmanager import BODY as GROUP
from tests.unit.core.test_dialect_nagios import SERVICE as NAGIOS_SERVICE
from tests.unit.core.test_dialect_v1 import ALERTMANAGER_FIRING
from tests.unit.roles.conftest import DIRECTORY, KEYS, LIMITS, NOW_S, Door, counted, served, trigger
from tocsin.core.dialects.alertmanager import BODY_BYTES_MAX
from tocsin.core.events import EVENT_BYTES_MAX, entry_of
from tocsin.core.ids import Parent, format_id
from tocsin.core.incidents import fold
from tocsin.core.rates import EVENTS_PER_MIN_MAX
from tocsin.engines.directory import FileDirectory
from tocsin.engines.faults import Fault
from tocsin.roles.intake import Intake
from tocsin.telemetry import Meters

KEY = KEYS["demo"]
CHANGE = {"routing_key": KEY, "payload": {"summary": "deployed", "source": "ci"}}
LIMIT = 5
ID = format_id((NOW_S - 3_600) << 32 | 0xFC3540A0)
ELDER = {"Idempotency-Key": ID}


class Sender(NamedTuple):
    """What a sender of one dialect posts, and by which name it reads the dedup key."""

    path: str
    body: dict[str, Any]
    is_form: bool = False
    accepted: int = 202
    limited: int = 429
    dedup_member: str = "dedup_key"
    unknown: str = "Invalid routing key"

    def arguments(self) -> dict[str, Any]:
        return {"url": self.path, "data" if self.is_form else "json": self.body}


SENDERS = {
    "v2": Sender("/v2/enqueue", trigger()),
    "change": Sender("/v2/change/enqueue", CHANGE),
    "v1": Sender(
        "/generic/2010-04-15/create_event.json",
        {**ALERTMANAGER_FIRING, "service_key": KEY},
        accepted=200,
        limited=403,
        dedup_member="incident_key",
        unknown="Invalid service key",
    ),
    "nagios": Sender(
        "/nagios/2010-04-15/create_event",
        {**NAGIOS_SERVICE, "CONTACTPAGER": KEY},
        is_form=True,
        accepted=200,
        limited=403,
        dedup_member="incident_key",
        unknown="Invalid CONTACTPAGER: no service has this key",
    ),
    "alertmanager": Sender(f"/v1/alertmanager/{KEY}", GROUP, limited=503),
}
ALL = pytest.mark.parametrize("sender", SENDERS.values(), ids=SENDERS)


@pytest.fixture
def limited(door: Door, tmp_path: Path) -> Door:
    """The intake with a service demo that may send a few events a minute."""
    path = tmp_path / "limited.yaml"
    path.write_text(DIRECTORY.replace("name: Demo,", f"name: Demo, events_per_min_max: {LIMIT},"), encoding="utf-8")
    door.client = door.client_of(replace(door.parts, directory=FileDirectory(path)))
    return door


async def post(door: Door, sender: Sender, headers: Mapping[str, str] | None = None) -> httpx2.Response:
    return await door.client.post(**sender.arguments(), headers=headers)


# Taken ---------------------------------------------------------------------------------------------------------------


@ALL
async def test_each_dialect_is_taken_and_answered_in_its_own_words(door: Door, sender: Sender) -> None:
    response = await post(door, sender)
    (request,) = await door.requests()

    assert response.status_code == sender.accepted
    assert response.headers["tocsin-ack"] == "region"
    assert response.json() == {
        "status": "success",
        "message": "Change event processed" if "change" in sender.path else "Event processed",
        sender.dedup_member: request.key.parent.dedup_key,
        "parent": str(request.key.parent),
        "id": format_id(request.key.id),
        "request": request.key.printed,
    }
    assert entry_of(request).key == request.key
    assert KEY.encode() not in request.body


@ALL
async def test_what_is_taken_through_any_door_is_counted(door: Door, sender: Sender, meters: Meters) -> None:
    await post(door, sender)

    assert counted(meters, "tocsin.intake.accepted") == {"": 1}
    assert counted(meters, "tocsin.intake.refused") == {}


async def test_a_change_is_kept_under_its_id_and_opens_no_incident(door: Door) -> None:
    response = await post(door, SENDERS["change"])
    (request,) = await door.requests()

    assert request.key.parent == Parent("demo", f"change/{response.json()['id']}")
    assert entry_of(request).action == "change"
    assert fold([entry_of(request)]) == []


async def test_a_group_that_alertmanager_sends_again_and_again_is_one_incident(door: Door) -> None:
    resolved = {**copy.deepcopy(GROUP), "status": "resolved"}
    for body in (GROUP, {**GROUP, "truncatedAlerts": 2}, GROUP, resolved):
        assert (await door.client.post(f"/v1/alertmanager/{KEY}", json=body)).status_code == 202
        door.clock.go(1)
    (incident,) = fold([entry_of(request) for request in await door.requests()])

    assert incident.parent.dedup_key == hashlib.sha256(GROUP["groupKey"].encode()).hexdigest()
    assert (incident.triggers, incident.entries, incident.status) == (3, 4, "resolved")


async def test_what_was_opened_in_one_dialect_is_resolved_in_another(door: Door) -> None:
    key = (await post(door, SENDERS["nagios"])).json()["incident_key"]
    door.clock.go(1)
    await door.send(trigger(event_action="resolve", dedup_key=key, payload=None))
    (incident,) = fold([entry_of(request) for request in await door.requests()])

    assert incident.status == "resolved"


# Refused -------------------------------------------------------------------------------------------------------------


@ALL
async def test_a_key_that_nobody_has_is_refused_by_the_name_that_the_dialect_has_for_it(
    door: Door, sender: Sender
) -> None:
    text = json.dumps([sender.path, sender.body]).replace(KEY, "x" * 32)
    path, body = json.loads(text)
    response = await post(door, sender._replace(path=path, body=body))

    assert response.status_code == 400
    assert response.json() == {
        "status": "invalid event",
        "message": "Event object is invalid",
        "errors": [sender.unknown],
    }


@ALL
async def test_a_body_that_is_no_event_is_refused_with_errors_and_never_asked_for_again(
    door: Door, sender: Sender
) -> None:
    response = await door.client.post(sender.path, content=b"\xff{")

    assert response.status_code == 400
    assert response.json()["errors"]
    assert "retry later" not in response.text
    assert await door.records() == []


@ALL
async def test_a_body_over_the_limit_is_413_and_says_how_to_be_smaller(door: Door, sender: Sender) -> None:
    size_max = BODY_BYTES_MAX if "alertmanager" in sender.path else EVENT_BYTES_MAX
    response = await door.client.post(sender.path, content=b" " * (size_max + 1))

    assert response.status_code == 413
    assert f"more than the {size_max} that are taken; " in response.json()["errors"][0]


@ALL
async def test_a_body_that_does_not_come_is_to_be_sent_again(door: Door, sender: Sender) -> None:
    async def stuck() -> Any:
        yield b"{"
        await asyncio.sleep(30)

    response = await door.client.post(sender.path, content=stuck())

    assert response.status_code == 408
    assert "retry later" in response.json()["message"]


@ALL
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_a_door_takes_posts_alone(door: Door, sender: Sender, method: str) -> None:
    response = await door.client.request(method, sender.path)

    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "path",
    [f"{sender.path}/" for sender in SENDERS.values() if "alertmanager" not in sender.path]
    + ["/v1/alertmanager", "//v2/enqueue", "/v1/alertmanager/"],
)
async def test_nothing_is_ever_redirected(door: Door, path: str) -> None:
    response = await door.client.post(path, json=GROUP, follow_redirects=False)

    assert response.status_code in (400, 404)
    assert response.json()["errors"]


async def test_a_fault_of_ours_behind_a_webhook_logs_no_routing_key(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(n: int) -> bytes:
        raise RuntimeError(f"no randomness, not even {n} bytes")

    client = door.client_of(replace(door.parts, random_bytes=broken))
    response = await client.post(**SENDERS["alertmanager"].arguments())

    assert response.status_code == 500
    ours = [record for record in caplog.records if record.name.startswith("tocsin.")]
    assert [vars(record)["route"] for record in ours] == ["/v1/alertmanager/{routing_key:path}"]
    assert not any(KEY in str(vars(record)) for record in ours)
    await client.aclose()


# Rates and shares ----------------------------------------------------------------------------------------------------


@ALL
async def test_over_its_rate_a_service_is_told_to_wait_in_the_words_of_the_dialect(
    limited: Door, sender: Sender
) -> None:
    responses = [await post(limited, sender) for _ in range(LIMIT + 2)]

    assert [response.status_code for response in responses] == [*[sender.accepted] * LIMIT, *[sender.limited] * 2]
    assert responses[-1].headers["retry-after"] == "61"
    assert "retry later" in responses[-1].json()["message"]
    assert responses[-1].json()["errors"] == [f"service demo may send {LIMIT} events a minute to this intake"]
    assert len(await limited.requests()) == LIMIT

    limited.clock.go(61)
    assert (await post(limited, sender)).status_code == sender.accepted


async def test_a_service_over_its_rate_takes_nothing_from_another(limited: Door) -> None:
    for _ in range(LIMIT + 3):
        await limited.send(trigger())

    assert (await limited.send(trigger("lenient"))).status_code == 202


async def test_the_rate_of_a_service_that_sets_none_is_the_default(directory: FileDirectory) -> None:
    service = directory.service("demo")

    assert service is not None
    assert service.events_per_min_max == EVENTS_PER_MIN_MAX == 6_000


async def test_guessed_keys_have_one_rate_for_all(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin.roles.intake.EVENTS_PER_MIN_MAX", 3)
    statuses = [(await door.send({**trigger(), "routing_key": f"{n:032}"})).status_code for n in range(5)]

    assert statuses == [400, 400, 400, 429, 429]
    assert (await door.send(trigger())).status_code == 202


async def test_while_one_service_waits_for_the_log_with_all_it_has_another_is_served(door: Door) -> None:
    door.fault("a", Fault.DELAY, delay_s=0.1)
    client = door.client_of(replace(door.parts, limits=replace(LIMITS, in_flight_max=10)))
    noisy = [asyncio.create_task(client.post("/v2/enqueue", json=trigger())) for _ in range(20)]
    await asyncio.wait(noisy, return_when=asyncio.FIRST_COMPLETED)  # the first to end are those that are turned away
    quiet = await client.post("/v2/enqueue", json=trigger("lenient"))
    statuses = [response.status_code for response in await asyncio.gather(*noisy)]

    assert quiet.status_code == 202
    assert (statuses.count(202), statuses.count(503)) == (8, 12)
    await client.aclose()


# The client's own id -------------------------------------------------------------------------------------------------


@ALL
async def test_an_id_of_the_client_names_the_request_and_leaves_the_time_of_receipt(door: Door, sender: Sender) -> None:
    response = await post(door, sender, ELDER)
    (request,) = await door.requests()

    assert response.json()["id"] == ID == format_id(request.key.id)
    assert request.received_us == NOW_S * 1_000_000


@ALL
async def test_the_same_event_with_the_same_id_is_the_same_request_whenever_and_wherever_it_comes(
    door: Door, sender: Sender
) -> None:
    no_key = {k: v for k, v in sender.body.items() if k not in ("dedup_key", "incident_key")}
    sender = sender._replace(body=no_key)
    first = await post(door, sender, ELDER)
    door.clock.go(86_400)
    numbers = itertools.count(1_000)
    elsewhere = replace(door.parts, region="b", log=door.logs["b"], random_bytes=lambda n: next(numbers).to_bytes(n))
    client = door.client_of(elsewhere)
    second = await client.post(**sender.arguments(), headers=ELDER)

    assert first.json() == second.json()
    (one,), (other,) = await door.requests("a"), await door.requests("b")
    assert one.key == other.key
    assert one.received_us < other.received_us
    await client.aclose()


async def test_another_event_with_the_same_id_is_another_request(door: Door) -> None:
    keyless = trigger(dedup_key=None)
    answers = [
        (await door.client.post("/v2/enqueue", json=event, headers=ELDER)).json()
        for event in (keyless, {**keyless, "client": "another"})
    ]

    assert answers[0]["id"] == answers[1]["id"]
    assert answers[0]["request"] != answers[1]["request"]
    assert answers[0]["dedup_key"] != answers[1]["dedup_key"]


@ALL
@pytest.mark.parametrize(
    "value",
    ["", "a retry", "0x5d684054fc3540a", format_id((NOW_S + 61) << 32), format_id((NOW_S - 604_801) << 32)],
)
async def test_any_other_value_of_the_header_is_refused_by_its_name(door: Door, sender: Sender, value: str) -> None:
    response = await post(door, sender, {"Idempotency-Key": value})

    assert response.status_code == 400
    assert "header 'Idempotency-Key'" in response.json()["errors"][0]
    assert await door.records() == []


async def test_the_age_of_an_id_is_bounded_by_what_the_log_keeps(door: Door) -> None:
    client = door.client_of(replace(door.parts, retention_s=3_599.0))

    assert (await client.post("/v2/enqueue", json=trigger(), headers=ELDER)).status_code == 400
    await client.aclose()


async def test_a_header_that_is_there_twice_is_refused(door: Door) -> None:
    headers = [("Idempotency-Key", ID), ("Idempotency-Key", ID)]
    response = await door.client.post("/v2/enqueue", json=trigger(), headers=headers)

    assert response.status_code == 400
    assert "is there 2 times" in response.json()["errors"][0]


# A log that is away --------------------------------------------------------------------------------------------------


@ALL
async def test_while_the_log_is_away_the_sender_keeps_the_event_and_no_door_says_otherwise(
    door: Door, sender: Sender
) -> None:
    door.fault("a", Fault.UNAVAILABLE)
    response = await post(door, sender)

    assert response.status_code == 503
    assert response.headers["retry-after"] == "7"
    assert "retry later" in response.json()["message"]


async def test_over_a_socket_each_answer_has_a_date_and_an_id(door: Door) -> None:
    async with served(Intake(door.parts).app()) as server, httpx2.AsyncClient(base_url=server.url) as client:
        responses = [await client.post("/v2/enqueue", json=event) for event in (trigger(), {})]
        responses.append(await client.head("/v2/enqueue"))

    assert [response.status_code for response in responses] == [202, 400, 405]
    assert all(response.headers["date"].endswith("GMT") for response in responses)
    assert len({response.headers["x-request-id"] for response in responses}) == 3

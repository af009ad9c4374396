"""Reads over HTTP, on a real embedded store: what they answer, to whom, and what they say of their own completeness."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.documents_made import drained, status
from tests.unit.roles.conftest import NOW_S, counted
from tests.unit.roles.rest.conftest import ACKNOWLEDGE, PARTITIONS, RESOLVE, TRIGGER, Desk, entry, kept
from tocsin.core.ids import format_id
from tocsin.core.kept import Stage
from tocsin.core.progress import ProgressRow
from tocsin.engines.faults import Fault
from tocsin.engines.store import Document
from tocsin.engines.tokens import TokenFile
from tocsin.roles.querier import Querier
from tocsin.telemetry import Meters

# Incidents ------------------------------------------------------------------------------------------------------


async def test_an_incident_is_answered_in_pagerdutys_shape(desk: Desk) -> None:
    await desk.hold(TRIGGER, ACKNOWLEDGE)
    response = await desk.get(f"/incidents/{format_id(TRIGGER.key.id)}")

    assert response.status_code == 200
    incident = response.json()["incident"]
    assert incident["id"] == format_id(TRIGGER.key.id)
    assert incident["type"] == "incident"
    assert incident["title"] == f"disk/web-01 at {NOW_S - 100}"
    number = incident["incident_number"]
    assert incident["summary"] == f"[#{number}] {incident['title']}"
    assert 2**52 > number == TRIGGER.key.id >> 11
    assert incident["status"] == "acknowledged"
    assert incident["urgency"] == "high"
    assert incident["incident_key"] == "disk/web-01"
    at = "https://a.example.org/services/demo"
    assert incident["service"] == {
        "id": "demo", "type": "service_reference", "summary": "Demo", "self": at, "html_url": at,
    }  # fmt: skip
    assert incident["created_at"] == "2023-11-14T22:11:40.000000Z"
    assert incident["updated_at"] == incident["last_status_change_at"] == "2023-11-14T22:11:50.000000Z"
    assert incident["resolved_at"] is None
    assert incident["self"] == f"https://a.example.org/incidents/{incident['id']}"
    assert incident["first_trigger_log_entry"]["id"] == TRIGGER.key.printed
    assert incident["tocsin"] == {
        "request": TRIGGER.key.printed, "severity": "critical", "source": "web-01", "triggers": 1, "entries": 2,
        "aliases": [], "pending": [],
    }  # fmt: skip


@pytest.mark.parametrize("name", [format_id(TRIGGER.key.id), TRIGGER.key.printed, ACKNOWLEDGE.key.printed])
async def test_an_incident_is_found_by_its_id_its_request_key_and_any_entry_of_it(desk: Desk, name: str) -> None:
    await desk.hold(TRIGGER, ACKNOWLEDGE, RESOLVE)
    incident = (await desk.get(f"/incidents/{name}")).json()["incident"]

    assert incident["id"] == format_id(TRIGGER.key.id)
    assert (incident["status"], incident["resolved_at"]) == ("resolved", "2023-11-14T22:12:00.000000Z")


async def test_an_alias_still_names_the_incident_however_many_triggers_it_has(desk: Desk) -> None:
    triggers = [entry("trigger", NOW_S - 100 + n) for n in range(60)]
    await desk.hold(*triggers)

    for one in (triggers[1], triggers[59]):
        incident = (await desk.get(f"/incidents/{format_id(one.key.id)}")).json()["incident"]
        assert incident["id"] == format_id(triggers[0].key.id)


async def test_an_id_of_two_incidents_must_be_given_with_its_digest(desk: Desk) -> None:
    one, other = entry("trigger", NOW_S - 100), entry("trigger", NOW_S - 100, dedup_key="other")
    await desk.hold(one, other)

    response = await desk.get(f"/incidents/{format_id(one.key.id)}")
    assert response.status_code == 400
    assert response.json()["error"]["code"] == 2001
    assert one.key.printed in response.json()["error"]["errors"][0]
    assert other.key.printed in response.json()["error"]["errors"][0]
    for key in (one.key, other.key):
        found = (await desk.get(f"/incidents/{key.printed}")).json()["incident"]
        assert found["tocsin"]["request"] == key.printed


async def test_log_entries_are_those_of_the_incident_newest_first(desk: Desk) -> None:
    earlier = entry("trigger", NOW_S - 300), entry("resolve", NOW_S - 290), entry("acknowledge", NOW_S - 280)
    await desk.hold(*earlier, TRIGGER, ACKNOWLEDGE, RESOLVE)
    response = await desk.get(f"/incidents/{format_id(TRIGGER.key.id)}/log_entries")

    entries = response.json()["log_entries"]
    assert [one["id"] for one in entries] == [key.key.printed for key in (RESOLVE, ACKNOWLEDGE, TRIGGER)]
    assert [one["type"] for one in entries] == ["resolve_log_entry", "acknowledge_log_entry", "trigger_log_entry"]
    opening = entries[-1]
    assert opening["created_at"] == "2023-11-14T22:11:40.000000Z"
    assert opening["incident"]["id"] == format_id(TRIGGER.key.id)
    assert opening["channel"] == {"type": "api", "summary": opening["summary"], "details": {"free": 0}}
    assert opening["contexts"] == [{"type": "link", "href": "https://example.org/runbook", "text": "runbook"}]
    assert opening["event_details"] == {"description": opening["summary"]}
    assert opening["tocsin"]["event"]["payload"]["timestamp"] == "2001-01-01T00:00:00Z"


async def test_log_entries_come_in_pages(desk: Desk) -> None:
    await desk.hold(*(entry("trigger", NOW_S - 100 + n) for n in range(5)))
    path = f"/incidents/{format_id(TRIGGER.key.id)}/log_entries"

    pages = [(await desk.get(path, limit=2, offset=offset)).json() for offset in (0, 2, 4)]

    assert [page["more"] for page in pages] == [True, True, False]
    assert [len(page["log_entries"]) for page in pages] == [2, 2, 1]
    assert len({one["id"] for page in pages for one in page["log_entries"]}) == 5
    assert pages[1]["limit"] == pages[1]["offset"] == 2
    assert pages[1]["total"] is None


async def test_a_row_that_was_damaged_by_hand_is_still_shown(desk: Desk) -> None:
    for n, body in enumerate([b"\xff", b"5", b'{"payload": 5, "links": [1], "images": 5}', b"[" * 5_000]):
        damaged = entry("trigger", NOW_S - 100 + n, dedup_key=f"k{n}")._replace(body=body)
        await desk.hold(damaged)
        response = await desk.get(f"/incidents/{damaged.key.printed}/log_entries")
        assert response.status_code == 200
        assert response.json()["log_entries"][0]["type"] == "trigger_log_entry"


# Lists ----------------------------------------------------------------------------------------------------------


async def test_a_list_is_newest_first_and_in_pages(desk: Desk) -> None:
    await desk.hold(*(entry("trigger", NOW_S - 100 + n, dedup_key=f"k{n}") for n in range(5)))

    pages = [(await desk.get("/incidents", limit=2, offset=offset)).json() for offset in (0, 2, 4)]

    assert [[one["incident_key"] for one in page["incidents"]] for page in pages] == [
        ["k4", "k3"],
        ["k2", "k1"],
        ["k0"],
    ]
    assert [page["more"] for page in pages] == [True, True, False]
    assert all((page["limit"], page["total"]) == (2, None) for page in pages)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "odcb"),
        ({"statuses__": ["triggered"]}, "dc"),
        ({"statuses__": ["acknowledged", "resolved"]}, "ob"),
        ({"service_ids__": ["careful"]}, "o"),
        ({"service_ids__": ["careful", "demo"], "statuses__": ["triggered"]}, "dc"),
        ({"service_ids__": ["nobody"]}, ""),
        ({"urgencies__": ["low"]}, "o"),
        ({"incident_key": "c"}, "c"),
        ({"since": "2023-11-14T22:12:40Z"}, "od"),
        ({"until": "2023-11-14T22:12:40Z"}, "cb"),
        ({"since": "2023-11-14T23:12:30+01:00", "until": "2023-11-14T22:12:40"}, "c"),
    ],
)
async def test_a_list_holds_what_was_asked_for(desk: Desk, params: dict[str, Any], expected: str) -> None:
    await desk.hold(
        entry("trigger", NOW_S - 60, dedup_key="b"),
        entry("resolve", NOW_S - 59, dedup_key="b"),
        entry("trigger", NOW_S - 50, dedup_key="c"),
        entry("trigger", NOW_S - 40, dedup_key="d"),
        entry("trigger", NOW_S - 30, dedup_key="o", service="careful"),
        entry("acknowledge", NOW_S - 29, dedup_key="o", service="careful"),
    )

    found = (await desk.get("/incidents", **params)).json()["incidents"]

    assert "".join(one["incident_key"] for one in found) == expected


async def test_a_page_has_at_most_a_hundred_and_says_so(desk: Desk) -> None:
    assert (await desk.get("/incidents", limit=5_000)).json()["limit"] == 100


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"statuses__": ["open"]}, "statuses[]"),
        ({"urgencies__": ["medium"]}, "urgencies[]"),
        ({"limit": "many"}, "limit"),
        ({"limit": 0}, "limit"),
        ({"offset": -1}, "offset"),
        ({"offset": 10_000}, "offset and limit"),
        ({"offset": 10**30}, "offset and limit"),
        ({"since": "yesterday"}, "since"),
        ({"until": "99999-01-01T00:00:00Z"}, "until"),
        ({"incident_key": "a\0b"}, "incident_key"),
        ({"incident_key": "k" * 256}, "incident_key"),
        ({"service_ids__": ["x"] * 101}, "service_ids[]"),
    ],
)
async def test_a_parameter_that_cannot_be_is_named(desk: Desk, params: dict[str, Any], named: str) -> None:
    response = await desk.get("/incidents", **params)

    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["message"]) == (2001, "Invalid Input Provided")
    assert error["errors"][0].startswith(named)


# Pending, unknown, complete -------------------------------------------------------------------------------------


async def test_an_id_is_pending_then_there(desk: Desk) -> None:
    fresh = entry("trigger", NOW_S + 1)
    desk.clock.go(2)
    response = await desk.get(f"/incidents/{fresh.key.printed}")
    assert response.status_code == 202
    assert response.json()["status"] == "pending"
    assert response.headers["tocsin-pending"] == "true"
    assert response.headers["tocsin-complete-until"] == "2023-11-14T22:13:20.000000Z"

    await desk.hold(fresh)
    response = await desk.get(f"/incidents/{fresh.key.printed}")
    assert response.status_code == 200
    assert response.headers["tocsin-pending"] == "true"  # a later entry may be on its way

    desk.clock.go(10)
    await desk.tick(NOW_S + 9)
    assert (await desk.get(f"/incidents/{fresh.key.printed}")).headers["tocsin-pending"] == "false"


@pytest.mark.parametrize("path", ["/incidents/{}", "/incidents/{}/log_entries"])
async def test_an_id_older_than_what_is_complete_is_unknown(desk: Desk, path: str) -> None:
    response = await desk.get(path.format(format_id((NOW_S - 1) << 32)))

    assert response.status_code == 404
    assert response.json()["error"]["code"] == 5001
    assert "in no log that was read so far" in response.json()["error"]["errors"][0]
    assert response.headers["tocsin-pending"] == "false"
    assert (await desk.get(path.format(format_id(NOW_S << 32)))).status_code == 202


async def test_an_id_from_the_future_will_never_be_there(desk: Desk) -> None:
    assert (await desk.get(f"/incidents/{format_id((NOW_S + 1_000) << 32)}")).status_code == 404


@pytest.mark.parametrize("name", ["PT4KHLK", "0x1", "0x" + "g" * 16, "0x5d684054fc3540a0.123", "%00", "a" * 5_000])
async def test_what_is_no_id_is_not_found(desk: Desk, name: str) -> None:
    response = await desk.get(f"/incidents/{name}")

    assert response.status_code == 404
    assert response.json()["error"]["code"] == 5001


async def test_an_entry_without_an_incident_is_said_to_be_recorded(desk: Desk) -> None:
    lone = entry("acknowledge", NOW_S - 100)
    await desk.hold(lone)
    response = await desk.get(f"/incidents/{lone.key.printed}")

    assert response.status_code == 404
    assert "recorded, but belongs to no incident" in response.json()["error"]["errors"][0]


async def test_an_acknowledge_after_the_end_does_not_name_the_incident(desk: Desk) -> None:
    late = entry("acknowledge", NOW_S - 70)
    await desk.hold(TRIGGER, RESOLVE, late)

    assert (await desk.get(f"/incidents/{late.key.printed}")).status_code == 404


async def test_while_a_region_has_no_tick_nothing_is_called_unknown(desk: Desk) -> None:
    await desk.tick(NOW_S)
    for partition in range(PARTITIONS):
        await desk.store.save_progress(ProgressRow(partition, 1, clean=False, sources={}))
    desk.clock.go(1)
    response = await desk.get(f"/incidents/{format_id(1 << 32)}")

    assert response.status_code == 202
    assert response.headers["tocsin-complete-until"] == "unknown"


async def test_a_region_that_is_silent_holds_complete_until_back_until_it_is_drained(desk: Desk) -> None:
    await desk.tick(NOW_S + 50, regions=["a"])
    response = await desk.get("/incidents")
    assert response.headers["tocsin-complete-until"] == "unknown"
    assert "tocsin-drained" not in response.headers

    await desk.store.put_document(drained("b"))
    desk.clock.go(1)
    response = await desk.get("/incidents")
    assert response.headers["tocsin-complete-until"] == "2023-11-14T22:14:10.000000Z"
    assert response.headers["tocsin-drained"] == "b"


async def test_a_list_is_complete_only_if_its_range_is(desk: Desk) -> None:
    assert (await desk.get("/incidents")).headers["tocsin-pending"] == "true"
    assert (await desk.get("/incidents", until="2023-11-14T22:13:20Z")).headers["tocsin-pending"] == "false"
    assert (await desk.get("/incidents", until="2023-11-14T22:13:21Z")).headers["tocsin-pending"] == "true"


# Set aside and quarantined --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [Stage.ASIDE, Stage.QUARANTINED])
async def test_reads_name_the_entries_of_theirs_that_could_not_be_stored(desk: Desk, stage: Stage) -> None:
    await desk.hold(TRIGGER)
    missing = entry("resolve", NOW_S - 50)
    await desk.store.put_kept(kept(missing, stage))
    await desk.store.put_kept(kept(entry("trigger", NOW_S - 50, dedup_key="other", service="careful"), Stage.DONE))

    path = f"/incidents/{format_id(TRIGGER.key.id)}"
    for response in [await desk.get(path), await desk.get(f"{path}/log_entries"), await desk.get("/incidents")]:
        assert response.headers["tocsin-set-aside"] == missing.key.printed
    assert "tocsin-set-aside" not in (await desk.get("/incidents", service_ids__=["careful"])).headers


@pytest.mark.parametrize("stage", [Stage.HELD, Stage.DROPPED, Stage.DONE])
async def test_other_stages_are_not_called_set_aside(desk: Desk, stage: Stage) -> None:
    await desk.hold(TRIGGER)
    await desk.store.put_kept(kept(entry("resolve", NOW_S - 50), stage))

    assert "tocsin-set-aside" not in (await desk.get(f"/incidents/{format_id(TRIGGER.key.id)}")).headers


async def test_of_very_many_only_the_first_are_named(desk: Desk) -> None:
    for n in range(30):
        await desk.store.put_kept(kept(entry("trigger", NOW_S - 50, low=n), Stage.ASIDE))

    named = (await desk.get("/incidents")).headers["tocsin-set-aside"].split(", ")
    assert len(named) == 21
    assert named[-1] == "..."


@pytest.mark.parametrize(
    ("stage", "status", "said"),
    [
        (Stage.HELD, 202, "could not be stored yet (held): the store refuses it"),
        (Stage.ASIDE, 202, "could not be stored yet (set aside): the store refuses it"),
        (Stage.QUARANTINED, 404, "it is quarantined: the store refuses it"),
        (Stage.DROPPED, 404, "it is dropped: the store refuses it"),
        (Stage.DONE, 404, "in no log"),
    ],
)
async def test_of_a_request_that_is_kept_the_read_says_what_became_of_it(
    desk: Desk, stage: Stage, status: int, said: str
) -> None:
    one = entry("trigger", NOW_S - 50)
    await desk.store.put_kept(kept(one, stage))
    response = await desk.get(f"/incidents/{one.key.printed}")

    assert response.status_code == status
    assert said in response.text
    shown = stage in (Stage.ASIDE, Stage.QUARANTINED)
    assert response.headers.get("tocsin-set-aside") == (one.key.printed if shown else None)


# Who may read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["Token token={}", 'Token token="{}"', "token token={}", "Bearer {}", "Token {}"])
async def test_a_token_is_taken_in_the_forms_that_clients_send(desk: Desk, form: str) -> None:
    response = await desk.client.get("/incidents", headers={"Authorization": form.format(desk.token)})

    assert response.status_code == 200


@pytest.mark.parametrize("value", ["", "Token", "Basic dXNlcjpwYXNz", "Token token=wrong", "Bearer tocsin_0_0"])
@pytest.mark.parametrize("path", ["/incidents", "/incidents?limit=x", "/incidents/0x5d684054fc3540a0"])
async def test_without_a_valid_token_nothing_is_read(desk: Desk, value: str, path: str) -> None:
    response = await desk.client.get(path, headers={"Authorization": value})

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Token"
    assert response.json()["error"]["code"] == 2006
    assert "tocsin-complete-until" not in response.headers


async def test_a_revoked_token_reads_no_more(desk: Desk) -> None:
    (token,) = (token for token in desk.tokens.ls() if token.name == "test")
    desk.tokens.revoke(token.id, now_us=desk.clock.us)

    assert (await desk.get("/incidents")).status_code == 401


async def test_tokens_that_cannot_be_read_are_a_fault_of_ours(desk: Desk, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{", encoding="utf-8")
    querier = Querier(replace(desk.querier._parts, tokens=TokenFile(broken)))
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=querier.app()), base_url="http://a")
    response = await client.get("/incidents", headers={"Authorization": f"Bearer {desk.token}"})

    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert "does not hold tokens" in (await querier.unready())[0]
    await client.aclose()


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc", "/incidents/", "/health/ready"])
async def test_there_is_nothing_else_to_read(desk: Desk, path: str) -> None:
    response = await desk.get(path)

    assert response.status_code == 404
    assert response.json()["error"]["code"] == 2100


# A store that is away, and readiness ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Fault.UNAVAILABLE, Fault.TIMEOUT, Fault.CUT])
@pytest.mark.parametrize("path", ["/incidents", "/incidents/0x5d684054fc3540a0"])
async def test_while_the_store_is_away_reads_are_503(desk: Desk, meters: Meters, kind: Fault, path: str) -> None:
    desk.away(kind)
    response = await desk.get(path)

    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert "ask another region" in response.json()["error"]["message"]
    assert "the store does not answer" in (await desk.querier.unready())[0]
    assert counted(meters, "tocsin.querier.read") == {"503": 1}


async def test_a_halted_or_ill_partition_makes_the_querier_not_ready_and_reads_go_on(desk: Desk) -> None:
    assert await desk.querier.unready() == []
    await desk.store.put_document(status(0, halted=["better-peer-stored: 0x1.2"]))
    await desk.store.put_document(status(1, ill=True))
    await desk.store.put_document(Document("status/2", 1, b"{"))

    assert await desk.querier.unready() == [
        "partition 0 is halted: better-peer-stored: 0x1.2",
        "partition 1 is ill: the store does not take its entries",
        "the document status/2 is damaged: Input data was truncated",
    ]
    assert (await desk.get("/incidents")).status_code == 200

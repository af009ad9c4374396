"""What people do over HTTP: it becomes a request in the log, and the answer is what the creators will make of it."""

from typing import Any

import httpx2
import pytest

from tests.unit.roles.conftest import KEYS, NOW_S
from tests.unit.roles.rest.conftest import ACKNOWLEDGE, ANN, BOB, RESOLVE, TRIGGER, Desk, entry
from tocsin.core.acts import SCHEMA
from tocsin.core.ids import format_id
from tocsin.engines.faults import Fault, Rule
from tocsin.engines.tokens import Scope

ID = format_id(TRIGGER.key.id)
NEW = {"type": "incident", "title": "The site is down", "service": {"id": "demo", "type": "service_reference"}}


async def put(desk: Desk, id: str = ID, **change: Any) -> httpx2.Response:
    return await desk.writer.put(f"/incidents/{id}", json={"incident": {"type": "incident_reference", **change}})


def error_of(response: httpx2.Response) -> tuple[int, int]:
    return response.status_code, response.json()["error"]["code"]


def shown(incident: dict[str, Any]) -> dict[str, Any]:
    """An incident without what says that something is pending."""
    return incident | {"tocsin": incident["tocsin"] | {"pending": []}}


# Acknowledge, resolve, note -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["acknowledged", "resolved"])
async def test_the_answer_to_a_change_is_what_the_creator_makes_of_it(desk: Desk, status: str) -> None:
    await desk.hold(TRIGGER)
    response = await put(desk, status=status)

    assert response.status_code == 200
    assert response.headers["tocsin-pending"] == "true"
    assert response.headers["tocsin-ack"] == "region"
    (request,) = await desk.requests()
    answered = response.json()["incident"]
    assert answered["status"] == status
    assert answered["tocsin"]["pending"] == [request.key.printed]
    before = (await desk.get(f"/incidents/{ID}")).json()["incident"]
    assert before["status"] == "triggered"

    await desk.create()
    after = (await desk.get(f"/incidents/{ID}")).json()["incident"]
    assert after == shown(answered)


async def test_who_acknowledged_and_resolved_is_told_in_pagerdutys_shape(desk: Desk) -> None:
    await desk.hold(TRIGGER)
    person = {
        "id": "ann", "type": "user_reference", "summary": "Ann",
        "self": "https://a.example.org/users/ann", "html_url": "https://a.example.org/users/ann",
    }  # fmt: skip

    acknowledged = (await put(desk, status="acknowledged")).json()["incident"]
    assert acknowledged["acknowledgements"] == [{"at": acknowledged["last_status_change_at"], "acknowledger": person}]
    await desk.create()
    desk.clock.go(5)
    resolved = (await put(desk, status="resolved", resolution="replaced the disk")).json()["incident"]
    assert resolved["acknowledgements"] == []
    assert resolved["last_status_change_by"] == person
    await desk.create()

    entries = (await desk.get(f"/incidents/{ID}/log_entries")).json()["log_entries"]
    assert [(one["type"], one["agent"]["summary"], one["note"]) for one in entries] == [
        ("resolve_log_entry", "Ann", "replaced the disk"),
        ("acknowledge_log_entry", "Ann", None),
        ("trigger_log_entry", "Demo", None),
    ]
    assert entries[0]["summary"] == "Resolved by Ann"


async def test_acts_are_requests_of_the_schema_version_that_has_them(desk: Desk) -> None:
    await desk.hold(TRIGGER)
    await put(desk, status="acknowledged")
    (request,) = await desk.requests()

    assert request.schema == SCHEMA
    assert request.key.parent == TRIGGER.key.parent
    assert request.received_us == desk.clock.us


async def test_for_a_service_that_wants_it_an_act_is_in_all_logs_first(desk: Desk) -> None:
    careful = entry("trigger", NOW_S - 100, service="careful")
    await desk.hold(careful)
    one = {"id": format_id(careful.key.id), "status": "resolved"}
    response = await desk.writer.put("/incidents", json={"incidents": [one]})

    assert response.headers["tocsin-ack"] == "all-regions"  # this region has no peers


async def test_many_are_changed_at_once(desk: Desk) -> None:
    triggers = [entry("trigger", NOW_S - 100, dedup_key=f"k{n}", low=n) for n in range(3)]
    await desk.hold(*triggers)
    changes = [{"id": format_id(one.key.id), "type": "incident", "status": "resolved"} for one in triggers]
    response = await desk.writer.put("/incidents", json={"incidents": changes})

    assert response.status_code == 200
    assert [(one["id"], one["status"]) for one in response.json()["incidents"]] == [
        (format_id(one.key.id), "resolved") for one in triggers
    ]
    await desk.create()
    assert (await desk.get("/incidents", statuses__=["resolved"], total="true")).json()["total"] == 3


async def test_more_than_250_at_once_are_too_many(desk: Desk) -> None:
    changes = [{"id": format_id(n), "status": "resolved"} for n in range(251)]
    response = await desk.writer.put("/incidents", json={"incidents": changes})

    assert error_of(response) == (413, 2001)


async def test_when_one_of_many_makes_no_sense_nothing_is_recorded(desk: Desk) -> None:
    other = entry("trigger", NOW_S - 100, dedup_key="other", low=1)
    await desk.hold(TRIGGER, RESOLVE, other)
    changes = [{"id": id, "status": "acknowledged"} for id in (format_id(other.key.id), ID)]
    response = await desk.writer.put("/incidents", json={"incidents": changes})

    assert error_of(response) == (400, 1001)
    twice = [{"id": ID, "status": "resolved"}] * 2
    assert error_of(await desk.writer.put("/incidents", json={"incidents": twice})) == (400, 2001)
    assert await desk.requests() == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": "triggered"}, 1003),
        ({"status": "snoozed"}, 1003),
        ({}, 2001),
        ({"status": 5}, 2001),
        ({"status": "resolved", "title": "other"}, 2001),
        ({"assignments": [{"assignee": {"id": "P1", "type": "user_reference"}}]}, 2001),
        ({"escalation_level": 2}, 2001),
        ({"note": " "}, 2001),
        ({"note": "n" * 25_001}, 2001),
        ({"note": "a\0b"}, 2001),
    ],
)
async def test_a_change_that_makes_no_sense_is_refused(desk: Desk, change: dict[str, Any], code: int) -> None:
    await desk.hold(TRIGGER)

    assert error_of(await put(desk, **change)) == (400, code)
    assert await desk.requests() == []


async def test_what_is_resolved_stays_so_and_an_acknowledgement_is_not_given_twice(desk: Desk) -> None:
    await desk.hold(TRIGGER)
    await put(desk, status="acknowledged")
    await desk.create()
    assert error_of(await put(desk, status="acknowledged")) == (400, 1002)
    other = desk.client_of(desk.tokens.create("bob", Scope.WRITE, now_us=1)[1], sender=BOB)
    body = {"incident": {"status": "acknowledged"}}
    assert (await other.put(f"/incidents/{ID}", json=body)).status_code == 200  # somebody joins in
    await other.aclose()

    await desk.hold(RESOLVE)
    for status in ("acknowledged", "resolved"):
        assert error_of(await put(desk, status=status)) == (400, 1001)


async def test_a_person_whom_the_directory_does_not_know_goes_by_the_address(desk: Desk) -> None:
    await desk.hold(TRIGGER)
    stranger = desk.client_of(desk.tokens.create("bob", Scope.WRITE, now_us=1)[1], sender=BOB)
    answered = await stranger.put(f"/incidents/{ID}", json={"incident": {"status": "acknowledged"}})
    await stranger.aclose()

    by = answered.json()["incident"]["acknowledgements"][0]["acknowledger"]
    assert by == {"id": BOB, "type": "user_reference", "summary": BOB, "self": None, "html_url": None}


async def test_a_note_is_written_read_and_allowed_after_the_end(desk: Desk) -> None:
    await desk.hold(TRIGGER, ACKNOWLEDGE, RESOLVE)
    response = await desk.writer.post(f"/incidents/{ID}/notes", json={"note": {"content": "it was the cable"}})
    assert response.status_code == 200
    assert response.headers["tocsin-pending"] == "true"
    note = response.json()["note"]
    assert (note["content"], note["user"]["summary"]) == ("it was the cable", "Ann")

    await desk.create()
    assert (await desk.get(f"/incidents/{ID}/notes")).json() == {"notes": [note]}
    newest = (await desk.get(f"/incidents/{ID}/log_entries")).json()["log_entries"][0]
    assert (newest["id"], newest["type"], newest["note"]) == (note["id"], "annotate_log_entry", "it was the cable")
    assert newest["channel"]["type"] == "note"
    assert (await desk.get(f"/incidents/{ID}")).json()["incident"]["status"] == "resolved"


# A new incident -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("urgency", ["high", "low"])
async def test_a_person_opens_an_incident(desk: Desk, urgency: str) -> None:
    new = {**NEW, "urgency": urgency, "body": {"type": "incident_body", "details": "nobody can log in"}}
    response = await desk.writer.post("/incidents", json={"incident": new})

    assert response.status_code == 201
    incident = response.json()["incident"]
    assert (incident["title"], incident["status"], incident["urgency"]) == (NEW["title"], "triggered", urgency)
    assert incident["service"]["id"] == "demo"
    await desk.create()
    assert (await desk.get(f"/incidents/{incident['id']}")).json()["incident"] == shown(incident)
    entries = (await desk.get(f"/incidents/{incident['id']}/log_entries")).json()["log_entries"]
    assert [(one["type"], one["agent"]["id"]) for one in entries] == [("trigger_log_entry", "ann")]
    assert entries[0]["channel"]["details"] == {"details": "nobody can log in"}


async def test_a_second_open_incident_of_one_key_is_refused_until_the_first_ends(desk: Desk) -> None:
    key = TRIGGER.key.parent.dedup_key
    await desk.hold(TRIGGER)
    response = await desk.writer.post("/incidents", json={"incident": {**NEW, "incident_key": key}})
    assert error_of(response) == (400, 2002)
    assert "matching dedup key" in response.json()["error"]["errors"][0]
    elsewhere = {**NEW, "service": {"id": "careful"}, "incident_key": "other"}
    assert (await desk.writer.post("/incidents", json={"incident": elsewhere})).status_code == 201

    await desk.hold(RESOLVE)
    assert (await desk.writer.post("/incidents", json={"incident": {**NEW, "incident_key": key}})).status_code == 201


@pytest.mark.parametrize(
    "changes",
    [{"title": ""}, {"title": None}, {"title": "t" * 1_025}, {"service": None}, {"service": {"id": "nobody"}},
     {"urgency": "medium"}, {"incident_key": "k" * 256}, {"body": {"details": 5}}, {"type": "service"}],
)  # fmt: skip
async def test_an_incident_that_lacks_something_is_refused(desk: Desk, changes: dict[str, Any]) -> None:
    response = await desk.writer.post("/incidents", json={"incident": {**NEW, **changes}})

    assert error_of(response) == (400, 2001)
    assert response.json()["error"]["errors"][0].startswith("incident.")


# Who, and bodies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sender", [None, "", "nobody", "two words@example.org", "a" * 250 + "@example.org"])
async def test_without_an_address_nobody_changes_anything(desk: Desk, sender: str | None) -> None:
    await desk.hold(TRIGGER)
    client = desk.client_of(desk.tokens.create("w", Scope.WRITE, now_us=1)[1], sender=sender)
    for method, path in (("PUT", f"/incidents/{ID}"), ("PUT", "/incidents"), ("POST", "/incidents"),
                         ("POST", f"/incidents/{ID}/notes")):  # fmt: skip
        response = await client.request(method, path, json={})
        assert response.status_code == 400
        assert "From" in response.text
    await client.aclose()
    assert await desk.requests() == []


@pytest.mark.parametrize(
    ("body", "said"),
    [(b"", "not JSON"), (b"{", "not JSON"), (b"[]", "valid dictionary"), (b"{}", "incident: "), (b"\xff", "UTF-8"),
     (b'{"incident": {"status": "resolved", "x": "\\u0000"}}', "NUL"), (b'{"a":' * 100, "nested deeper"),
     (b'{"incident": {"x": 1e999}}', "not finite"), (b'{"incident": {"note": "\\ud800"}}', "surrogate")],
)  # fmt: skip
async def test_a_strange_body_is_a_clear_400(desk: Desk, body: bytes, said: str) -> None:
    response = await desk.writer.put(f"/incidents/{ID}", content=body)

    assert error_of(response) == (400, 2001)
    assert said in response.text


async def test_a_body_without_end_is_not_read_to_it(desk: Desk) -> None:
    response = await desk.writer.put(f"/incidents/{ID}", content=b"x" * 1_048_577)

    assert error_of(response) == (413, 2001)


async def test_what_is_not_here_cannot_be_changed_and_the_answer_says_whether_it_may_come(desk: Desk) -> None:
    old, young = format_id((NOW_S - 1_000) << 32), format_id(NOW_S << 32)
    for id, pending in ((old, "false"), (young, "true")):
        response = await put(desk, id, status="resolved")
        assert error_of(response) == (404, 5001)
        assert response.headers["tocsin-pending"] == pending


# The log is away, and the trail ---------------------------------------------------------------------------------


async def test_while_the_log_takes_nothing_a_change_is_503_and_reads_go_on(desk: Desk) -> None:
    await desk.hold(TRIGGER)
    desk.switch.set_rule(Rule(id="away", region="a", port="log", kind=Fault.UNAVAILABLE, op="write"))

    response = await put(desk, status="resolved")
    assert error_of(response) == (503, 2016)
    assert response.headers["retry-after"]
    many = await desk.writer.put("/incidents", json={"incidents": [{"id": ID, "status": "resolved"}]})
    assert many.status_code == 503
    assert (await desk.get(f"/incidents/{ID}")).status_code == 200
    assert desk.audited()[0] | {"token_id": ""} == {
        "action": "act", "token_id": "", "by": ANN, "does": "user_resolve", "service": "demo", "incident": ID,
        "outcome": "unknown",
    }  # fmt: skip


async def test_who_did_what_is_in_the_audit_trail_without_the_token(desk: Desk) -> None:
    await desk.hold(TRIGGER)
    await put(desk, status="acknowledged")
    (request,) = await desk.requests()
    (token,) = (token for token in desk.tokens.ls() if token.name == "writer")

    assert desk.audited()[0] == {
        "action": "act", "token_id": token.id, "by": ANN, "does": "user_acknowledge", "service": "demo",
        "incident": ID, "outcome": "recorded", "request": request.key.printed,
    }  # fmt: skip
    assert "tocsin_" not in desk.trail.read_text(encoding="utf-8")
    assert KEYS["demo"] not in desk.trail.read_text(encoding="utf-8")

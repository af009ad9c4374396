"""Users, contact methods, notification rules and services through the REST interface, as PagerDuty's clients do it."""

import asyncio
from typing import Any

import pytest

from tests.unit.roles.rest.conftest import ANN, REGION, Desk
from tocsin.core.directory import Kind, Name, ServiceUrgency
from tocsin.core.paging.people import METHODS_MAX, Method, Rule
from tocsin.engines.faults import CHECK_EVERY_S, Fault
from tocsin.engines.faults import Rule as FaultRule
from tocsin.engines.log_directory import LogDirectory
from tocsin.engines.tokens import Scope

HOOK = "https://hooks.example.org/T0KEN"


async def add_method(desk: Desk, kind: str = "email", address: str = ANN, **more: Any) -> dict[str, Any]:
    body = {"contact_method": {"type": f"{kind}_contact_method", "address": address, **more}}
    response = await desk.writer.post("/users/ann/contact_methods", json=body)
    assert response.status_code == 201, response.text
    return dict(response.json()["contact_method"])


async def add_rule(desk: Desk, method: str, **more: Any) -> dict[str, Any]:
    body = {"notification_rule": {"type": "assignment_notification_rule", "contact_method": {"id": method}, **more}}
    response = await desk.writer.post("/users/ann/notification_rules", json=body)
    assert response.status_code == 201, response.text
    return dict(response.json()["notification_rule"])


async def test_a_user_is_added_changed_and_removed(desk: Desk) -> None:
    added = await desk.writer.post("/users", json={"user": {"type": "user", "name": "Bob", "email": "bob@example.org"}})
    user = added.json()["user"]
    assert (added.status_code, user["name"], user["contact_methods"]) == (201, "Bob", [])
    assert (await desk.get(f"/users/{user['id']}")).json()["user"] == user

    changed = await desk.writer.put(f"/users/{user['id']}", json={"user": {"name": "Robert"}})
    assert changed.json()["user"]["name"] == "Robert"
    assert changed.json()["user"]["email"] == "bob@example.org"

    assert (await desk.writer.delete(f"/users/{user['id']}")).status_code == 204
    assert (await desk.get(f"/users/{user['id']}")).status_code == 404


async def test_what_is_changed_is_on_the_topic_for_every_region(desk: Desk) -> None:
    method = await add_method(desk)
    await add_rule(desk, method["id"], start_delay_in_minutes=5, urgency="low")
    elsewhere = LogDirectory(desk.log, REGION, desk.place / "directory.yaml")
    await elsewhere.look()

    ann = elsewhere.user("ann")
    assert ann is not None
    assert ann.methods == (Method(method["id"], "email", ANN),)
    assert [(rule.method, rule.delay_s, rule.urgency) for rule in ann.rules] == [(method["id"], 300.0, "low")]
    assert elsewhere.records()[Name(Kind.USER, "ann")].region == "a"


async def test_a_contact_method_is_read_changed_and_removed_with_its_rules(desk: Desk) -> None:
    mail, hook = await add_method(desk), await add_method(desk, "webhook", HOOK)
    await add_rule(desk, mail["id"])
    await add_rule(desk, hook["id"])
    path = f"/users/ann/contact_methods/{mail['id']}"
    assert (await desk.get(path)).json()["contact_method"] == mail
    assert [one["id"] for one in (await desk.get("/users/ann")).json()["user"]["contact_methods"]] == [
        mail["id"],
        hook["id"],
    ]

    other = {
        "contact_method": {"type": "email_contact_method", "address": "a@example.org", "tocsin": {"blocked": True}}
    }
    changed = (await desk.writer.put(path, json=other)).json()["contact_method"]
    assert (changed["id"], changed["address"], changed["tocsin"]) == (
        mail["id"], "a@example.org", {"verified": True, "blocked": True},
    )  # fmt: skip

    assert (await desk.writer.delete(path)).status_code == 204
    assert (await desk.get(path)).status_code == 404
    rules = (await desk.get("/users/ann/notification_rules")).json()["notification_rules"]
    assert [rule["contact_method"]["id"] for rule in rules] == [hook["id"]]


async def test_a_secret_in_an_address_is_never_shown_and_stays_when_it_is_given_back_as_shown(desk: Desk) -> None:
    hook = await add_method(desk, "webhook", HOOK)
    assert hook["address"] == "https://hooks.example.org/…"
    body = {"contact_method": {"type": hook["type"], "address": hook["address"], "tocsin": {"verified": False}}}
    await desk.writer.put(f"/users/ann/contact_methods/{hook['id']}", json=body)

    ann = desk.directory.user("ann")
    assert ann is not None
    assert ann.methods == (Method(hook["id"], "webhook", HOOK, verified=False),)
    assert "T0KEN" not in (await desk.get("/users/ann/contact_methods")).text
    assert "T0KEN" not in str(desk.audited())


async def test_a_rule_keeps_its_id_when_it_is_changed(desk: Desk) -> None:
    mail = await add_method(desk)
    rule = await add_rule(desk, mail["id"])
    path = f"/users/ann/notification_rules/{rule['id']}"
    changed = {"notification_rule": {"start_delay_in_minutes": 10, "contact_method": {"id": mail["id"]}}}

    assert (await desk.writer.put(path, json=changed)).json()["notification_rule"]["start_delay_in_minutes"] == 10
    ann = desk.directory.user("ann")
    assert ann is not None
    assert ann.rules == (Rule(rule["id"], mail["id"], 600.0),)
    assert (await desk.get(path)).json()["notification_rule"]["contact_method"][
        "type"
    ] == "email_contact_method_reference"
    assert (await desk.writer.delete(path)).status_code == 204
    assert (await desk.writer.delete(path)).status_code == 404


async def test_a_service_gets_responders_and_an_urgency_and_says_who_cannot_be_reached(desk: Desk) -> None:
    rule = {"type": "constant", "urgency": "high"}
    body = {"service": {"incident_urgency_rule": rule, "tocsin": {"responders": ["ann"]}}}
    shown = (await desk.writer.put("/services/demo", json=body)).json()["service"]

    assert shown["incident_urgency_rule"] == rule
    assert shown["tocsin"]["responders"] == ["ann"]
    assert shown["tocsin"]["unreachable"] == ["ann has no contact method"]
    service = desk.directory.service("demo")
    assert service is not None
    assert (service.responders, service.urgency) == (("ann",), ServiceUrgency.HIGH)
    assert service.keys  # are kept
    refused = await desk.writer.delete("/users/ann")
    assert (refused.status_code, refused.json()["error"]["errors"]) == (
        400, ["ann is a responder of demo: take them out there first"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("post", "/users", {"user": {"name": "x"}}, "user.email"),
        ("post", "/users", {"user": {"name": "x", "email": "x"}}, "email: String should match"),
        ("post", "/users", {"user": {"name": "x", "email": ANN.upper()}}, "email: is the address of the user 'ann'"),
        ("put", "/users/ann", {"user": {"name": " "}}, "user.name"),
        (
            "post",
            "/users/ann/contact_methods",
            {"contact_method": {"type": "phone_contact_method", "address": "1"}},
            "type",
        ),
        (
            "post",
            "/users/ann/contact_methods",
            {"contact_method": {"type": "webhook_contact_method", "address": "http://SECRET.example.org"}},
            "address: must be an https URL",
        ),
        (
            "post",
            "/users/ann/contact_methods",
            {"contact_method": {"type": "webhook_contact_method", "address": "https://a.example.org/…"}},
            "address: must be one line",
        ),
        (
            "post",
            "/users/ann/notification_rules",
            {"notification_rule": {"contact_method": {"id": "none"}}},
            "rules.0.method: no method of this user has the id 'none'",
        ),
        (
            "post",
            "/users/ann/notification_rules",
            {"notification_rule": {"contact_method": {"id": "none"}, "start_delay_in_minutes": 1e9}},
            "delay_s: Input should be less",
        ),
        ("put", "/services/demo", {"service": {"tocsin": {"responders": ["nobody"]}}}, "no user has the id 'nobody'"),
        ("put", "/services/demo", {"service": {"tocsin": {"responders": ["ann", "ann"]}}}, "each once"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_its_field_and_changes_nothing(
    desk: Desk, method: str, path: str, body: Any, said: str
) -> None:
    before = desk.directory.records()
    response = await desk.writer.request(method, path, json=body)

    assert response.status_code == 400
    assert said in " ".join(response.json()["error"]["errors"])
    assert "SECRET" not in response.text
    assert desk.directory.records() == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("put", "/users/nobody"),
        ("delete", "/users/nobody"),
        ("get", "/users/nobody/contact_methods"),
        ("get", "/users/ann/contact_methods/none"),
        ("delete", "/users/ann/contact_methods/none"),
        ("get", "/users/ann/notification_rules/none"),
        ("put", "/services/none"),
    ],
)
async def test_what_is_not_there_is_not_found(desk: Desk, method: str, path: str) -> None:
    body: Any = {"user": {}, "service": {}} if method == "put" else None
    response = await desk.writer.request(method, path, json=body)

    assert response.status_code == 404
    assert response.json()["error"]["code"] in (2100, 5002)


async def test_there_are_no_more_methods_than_may_be(desk: Desk) -> None:
    for n in range(METHODS_MAX):
        await add_method(desk, "inbox", f"{n}")
    body = {"contact_method": {"type": "inbox_contact_method", "address": "more"}}
    response = await desk.writer.post("/users/ann/contact_methods", json=body)

    assert response.status_code == 400
    assert "more than may be" in response.json()["error"]["errors"][0]


async def test_changes_at_one_time_lose_none_of_each_other(desk: Desk) -> None:
    await asyncio.gather(*(add_method(desk, "inbox", f"{n}") for n in range(8)))

    assert len((await desk.get("/users/ann/contact_methods")).json()["contact_methods"]) == 8


async def test_only_a_token_of_all_services_that_may_write_changes_the_directory(desk: Desk) -> None:
    _, limited = desk.tokens.create("limited", Scope.WRITE, now_us=desk.clock.us, services=("demo",))
    client = desk.client_of(limited, sender=ANN)
    body = {"user": {"name": "Mallory"}}

    assert (await client.put("/users/ann", json=body)).status_code == 403
    assert (await desk.client.put("/users/ann", json=body)).status_code == 403
    assert "Mallory" not in [user.name for user in desk.directory.users()]
    await client.aclose()


async def test_each_change_is_in_the_audit_trail(desk: Desk) -> None:
    await add_method(desk)

    (line, *_) = desk.audited()
    assert (line["action"], line["by"], line["does"], line["outcome"]) == ("directory", ANN, "POST", "recorded")
    assert line["record"] == "/users/ann/contact_methods (ann)"


async def test_a_log_that_takes_nothing_is_told_and_written_down(desk: Desk) -> None:
    desk.switch.set_rule(FaultRule(id="away", region="a", port="log", kind=Fault.CUT))
    await asyncio.sleep(2 * CHECK_EVERY_S)
    response = await desk.writer.post("/users", json={"user": {"name": "Bob", "email": "bob@example.org"}})

    assert response.status_code == 503
    assert "may be recorded or not" in response.json()["error"]["message"]
    assert desk.audited()[0]["outcome"] == "unknown"
    assert desk.directory.user_of("bob@example.org") is None

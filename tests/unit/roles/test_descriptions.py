"""The OpenAPI descriptions of intake and querier: valid, complete, not for strangers, and true."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.unit.roles.conftest import KEYS, NOW_S, Door, trigger
from tests.unit.roles.rest.conftest import ACKNOWLEDGE, ANN, RESOLVE, TRIGGER, Desk, desk
from tocsin.core.dialects.alertmanager import parse_alertmanager_event
from tocsin.core.dialects.events_v1 import parse_v1_event
from tocsin.core.events import InvalidEvent, parse_change_event, parse_event
from tocsin.core.ids import format_id
from tocsin.core.paging.people import Method, Person, Rule
from tocsin.roles.doors import DOORS
from tocsin.roles.rest.changes import CHANGES_MAX
from tocsin.roles.rest.desk import PAGE_DEFAULT, PAGE_MAX, REACH_MAX
from tocsin.roles.rest.gate import REQUESTS_PER_MIN_MAX

__all__ = ["desk"]  # a fixture of the REST interface's tests
ID = format_id(TRIGGER.key.id)
HERE = "urn:description"


async def described(desk: Desk) -> dict[str, Any]:
    return dict((await desk.get("/openapi.json")).json())


async def intake_described(door: Door) -> dict[str, Any]:
    response = await door.client.get("/openapi.json", headers={"Authorization": f"Token token={KEYS['demo']}"})
    assert response.status_code == 200
    return dict(response.json())


def validator(description: dict[str, Any], *path: str) -> Draft202012Validator:
    """A validator by the schema at a place of the description."""
    escaped = "/".join(part.replace("~", "~0").replace("/", "~1") for part in path)
    registry: Registry[Any] = Registry().with_resource(HERE, DRAFT202012.create_resource(description))
    return Draft202012Validator({"$ref": f"{HERE}#/{escaped}"}, registry=registry)


async def test_the_description_of_the_querier_is_valid_openapi(desk: Desk) -> None:
    description = await described(desk)

    assert description["openapi"].startswith("3.1")
    assert list(OpenAPIV31SpecValidator(description).iter_errors()) == []
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], path
            assert {"400", "401", "403", "429", "503"} <= set(operation["responses"]), path
            assert "422" not in operation["responses"]
            assert ("requestBody" in operation) == (method in ("put", "post")), path
    assert description["security"] == [{"token": []}]


async def test_each_route_of_the_querier_is_described_and_no_other(desk: Desk) -> None:
    paths = {
        "/incidents": {"get", "put", "post"}, "/incidents/{id}": {"get", "put"},
        "/incidents/{id}/notes": {"get", "post"}, "/incidents/{id}/log_entries": {"get"},
        "/log_entries": {"get"}, "/log_entries/{id}": {"get"},
        "/services": {"get"}, "/services/{id}": {"get", "put"},
        "/users": {"get", "post"}, "/users/{id}": {"get", "put", "delete"},
        "/users/{id}/contact_methods": {"get", "post"},
        "/users/{id}/contact_methods/{method_id}": {"get", "put", "delete"},
        "/users/{id}/notification_rules": {"get", "post"},
        "/users/{id}/notification_rules/{rule_id}": {"get", "put", "delete"},
        "/abilities": {"get"}, "/abilities/{id}": {"get"},
    }  # fmt: skip

    assert {path: set(found) for path, found in (await described(desk))["paths"].items()} == paths


async def test_the_page_on_the_rest_api_names_each_route_and_no_other(desk: Desk) -> None:
    page = (Path(__file__).parents[3] / "docs" / "rest.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(GET|PUT|POST|DELETE) (/[^`]+)`", page))
    paths = (await described(desk))["paths"]

    assert named == {(method.upper(), path) for path, operations in paths.items() for method in operations}
    assert f"`limit` ({PAGE_DEFAULT}, at most {PAGE_MAX})" in page
    assert f"at most {REACH_MAX:,})" in page
    assert f"{REQUESTS_PER_MIN_MAX} requests a minute" in page
    assert f"up to {CHANGES_MAX} " in page


def requests() -> Iterator[tuple[str, str, str, Any]]:
    """Method, path, its pattern in the description, body."""
    for path in ("/incidents", "/log_entries", "/services", "/users", "/abilities"):
        yield "get", path, path, None
    yield "get", f"/incidents/{ID}?include[]=first_trigger_log_entries&include[]=services", "/incidents/{id}", None
    for unknown in (NOW_S << 32, 1):  # pending, and in no log
        yield "get", f"/incidents/{format_id(unknown)}", "/incidents/{id}", None
    yield "get", "/incidents?limit=0", "/incidents", None
    yield "get", f"/incidents/{ID}/log_entries?include[]=incidents", "/incidents/{id}/log_entries", None
    yield "get", f"/incidents/{ID}/notes", "/incidents/{id}/notes", None
    yield "get", f"/log_entries/{ACKNOWLEDGE.key.printed}", "/log_entries/{id}", None
    yield "get", "/services/demo", "/services/{id}", None
    yield "get", "/users/ann", "/users/{id}", None
    yield "get", "/abilities/teams", "/abilities/{id}", None
    new = {"type": "incident", "title": "down", "service": {"id": "demo"}}
    yield "post", "/incidents", "/incidents", {"incident": new}
    yield "post", "/incidents", "/incidents", {"incident": {**new, "service": {"id": "none"}}}
    yield "post", f"/incidents/{ID}/notes", "/incidents/{id}/notes", {"note": {"content": "n"}}
    yield "put", f"/incidents/{ID}", "/incidents/{id}", {"incident": {"note": "n"}}
    yield "put", "/incidents", "/incidents", {"incidents": [{"id": ID, "note": "n"}]}
    yield "put", f"/incidents/{ID}", "/incidents/{id}", {"incident": {"status": "resolved"}}
    yield "post", "/users", "/users", {"user": {"name": "Bob", "email": "bob@example.org"}}
    yield "put", "/users/ann", "/users/{id}", {"user": {"name": "Anna"}}
    method, rule = "/users/{id}/contact_methods", "/users/{id}/notification_rules"
    mail = {"type": "email_contact_method", "address": "ann@example.org"}
    yield "post", "/users/ann/contact_methods", method, {"contact_method": mail}
    yield "put", "/users/ann/contact_methods/mail", method + "/{method_id}", {"contact_method": mail}
    yield "post", "/users/ann/notification_rules", rule, {"notification_rule": {"contact_method": {"id": "mail"}}}
    for part, pattern in (("contact_methods", method), ("notification_rules", rule)):
        yield "get", f"/users/ann/{part}", pattern, None
    yield "get", "/users/ann/contact_methods/mail", method + "/{method_id}", None
    yield "get", "/users/ann/notification_rules/mail-0s-high", rule + "/{rule_id}", None
    now = {"start_delay_in_minutes": 5, "contact_method": {"id": "mail"}, "urgency": "low"}
    yield "put", "/users/ann/notification_rules/mail-0s-high", rule + "/{rule_id}", {"notification_rule": now}
    yield "put", "/services/demo", "/services/{id}", {"service": {"tocsin": {"responders": ["ann"]}}}
    yield "get", "/services/demo", "/services/{id}", None


async def test_answers_are_what_the_description_says(desk: Desk) -> None:
    await desk.hold(TRIGGER, ACKNOWLEDGE, RESOLVE)
    mail, rule = Method("mail", "email", ANN), Rule("mail-0s-high", "mail")
    await desk.directory.put([Person("ann", "Ann", ANN, (mail,), (rule,))])
    description = await described(desk)
    seen = set()
    for method, path, pattern, body in requests():
        response = await desk.writer.request(method, path, json=body)
        status = str(response.status_code)
        seen.add(status)
        place = ("paths", pattern, method, "responses", status, "content", "application/json", "schema")
        flaws = [error.message for error in validator(description, *place).iter_errors(response.json())]
        assert flaws == [], (path, flaws)
        if body is not None and status != "400":
            taken = ("paths", pattern, method, "requestBody", "content", "application/json", "schema")
            assert validator(description, *taken).is_valid(body), path
    assert seen == {"200", "201", "202", "400", "402", "404"}


# Intake ---------------------------------------------------------------------------------------------------------------


async def test_the_description_of_the_intake_is_valid_and_has_every_door(door: Door) -> None:
    description = await intake_described(door)

    assert list(OpenAPIV31SpecValidator(description).iter_errors()) == []
    for one in DOORS:
        operation = description["paths"][one.name]["post"]
        assert str(one.accepted) in operation["responses"]
        assert {"400", "413", "503", str(one.limited)} <= set(operation["responses"])
        assert operation["requestBody"]["content"][one.media_type]["schema"]


@pytest.mark.parametrize("header", [None, "Token token=" + "x" * 32, "Basic abc"])
async def test_the_description_is_not_for_those_who_may_send_nothing(door: Door, header: str | None) -> None:
    response = await door.client.get("/openapi.json", headers={"Authorization": header} if header else {})

    assert response.status_code == 401
    assert "paths" not in response.text


async def test_the_querier_describes_itself_to_none_but_those_with_a_token(desk: Desk) -> None:
    transport = httpx2.ASGITransport(app=desk.app)
    async with httpx2.AsyncClient(transport=transport, base_url="https://a") as stranger:
        assert (await stranger.get("/openapi.json")).status_code == 401


EVENTS: list[Any] = [
    trigger(), trigger(event_action="resolve", payload=None), trigger(dedup_key="k" * 256),
    trigger(routing_key="short"),
    trigger(event_action="acknowledge", dedup_key=None), trigger(event_action="explode"), {}, [], 5,
    trigger(payload={"summary": "s", "source": "x"}),
    trigger(payload={"summary": 5, "source": "x", "severity": "info"}),
    trigger(images=[{"src": "https://example.org/i.png"}]), trigger(images=[{"src": "ftp://example.org"}]),
    trigger(links=[{"text": "no address"}]), trigger(payload=trigger()["payload"] | {"custom_details": 5}),
    trigger(payload=trigger()["payload"] | {"custom_details": ["a"]}), trigger() | {"client": None, "more": {"x": 1}},
]  # fmt: skip
V1 = {"service_key": "k" * 32, "event_type": "trigger", "description": "down"}
GROUP = {"groupKey": "{}:{}", "status": "firing", "alerts": [{"status": "firing"}]}


@pytest.mark.parametrize(
    ("path", "parse", "bodies"),
    [
        ("/v2/enqueue", parse_event, EVENTS),
        ("/v2/change/enqueue", parse_change_event, [*EVENTS, {"routing_key": "k" * 32, "payload": {"summary": "s"}}]),
        ("/generic/2010-04-15/create_event.json", parse_v1_event,
         [V1, V1 | {"event_type": "resolve"}, V1 | {"event_type": "resolve", "incident_key": "k"},
          V1 | {"description": None}, V1 | {"details": 5}]),
        ("/v1/alertmanager/{routing_key}", lambda body: parse_alertmanager_event(body, "k" * 32),
         [GROUP, GROUP | {"status": "unknown"}, GROUP | {"alerts": 5}, GROUP | {"groupKey": None}]),
    ],
)  # fmt: skip
async def test_a_body_is_described_exactly_when_the_door_takes_it(
    door: Door, path: str, parse: Any, bodies: list[Any]
) -> None:
    place = ("paths", path, "post", "requestBody", "content", "application/json", "schema")
    check = validator(await intake_described(door), *place)
    outcomes = set()
    for body in bodies:
        try:
            parse(json.dumps(body).encode())
        except InvalidEvent:
            is_taken = False
        else:
            is_taken = True
        assert check.is_valid(body) == is_taken, body
        outcomes.add(is_taken)
    assert outcomes == {True, False}


async def test_a_key_that_nobody_has_is_in_the_audit_trail_without_the_key(door: Door) -> None:
    wrong = "w" * 32
    await door.send(trigger(routing_key=wrong))
    await door.client.post(f"/v1/alertmanager/{wrong}", json=GROUP)

    lines = door.audited()
    assert [(line["action"], line["door"]) for line in lines] == [
        ("unknown_routing_key", "/v1/alertmanager/{routing_key}"),
        ("unknown_routing_key", "/v2/enqueue"),
    ]
    assert wrong not in json.dumps(lines)

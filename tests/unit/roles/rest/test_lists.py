"""Lists over HTTP: their order, range and count, log entries across incidents, services, users and abilities."""

from typing import Any

import pytest

from tests.unit.roles.conftest import NOW_S
from tests.unit.roles.rest.conftest import ACKNOWLEDGE, ANN, RESOLVE, TRIGGER, Desk, entry
from tocsin.core.ids import format_id

EARLY = entry("trigger", NOW_S - 500, dedup_key="early", low=9)
LOW = entry("trigger", NOW_S - 400, dedup_key="low", service="careful", low=3)
LOW_END = entry("resolve", NOW_S - 10, dedup_key="low", service="careful", low=4)
STORY = (EARLY, LOW, TRIGGER, ACKNOWLEDGE, RESOLVE, LOW_END)


async def keys(desk: Desk, **params: Any) -> list[str]:
    response = await desk.get("/incidents", **params)
    assert response.status_code == 200, response.text
    return [one["incident_key"] for one in response.json()["incidents"]]


# Incidents ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sort_by", "expected"),
    [
        ("created_at:asc", ["early", "low", "disk/web-01"]),
        ("created_at", ["early", "low", "disk/web-01"]),
        ("incident_number:desc", ["disk/web-01", "low", "early"]),
        ("resolved_at:desc", ["low", "disk/web-01", "early"]),
        ("urgency:asc,created_at:desc", ["low", "disk/web-01", "early"]),
        (["urgency:desc", "created_at:asc"], ["early", "disk/web-01", "low"]),
    ],
)
async def test_a_list_is_in_the_order_that_is_asked_for(desk: Desk, sort_by: Any, expected: list[str]) -> None:
    await desk.hold(*STORY)

    assert await keys(desk, sort_by=sort_by) == expected


@pytest.mark.parametrize(
    "params",
    [{"sort_by": "title"}, {"sort_by": "created_at:up"}, {"sort_by": "created_at,urgency,resolved_at"},
     {"date_range": "some"}, {"include__": ["secrets"]}, {"total": "maybe"}, {"since": "yesterday"},
     {"offset": 9_990, "limit": 11}, {"limit": 0}, {"incident_key": "a\0b"}],
)  # fmt: skip
async def test_a_list_that_makes_no_sense_is_refused(desk: Desk, params: dict[str, Any]) -> None:
    response = await desk.get("/incidents", **params)

    assert response.status_code == 400
    assert response.json()["error"]["code"] == 2001
    assert response.json()["error"]["errors"]


async def test_all_that_match_are_counted_when_asked(desk: Desk) -> None:
    await desk.hold(*STORY)
    page = (await desk.get("/incidents", total="true", limit=1, statuses__=["resolved"])).json()

    assert (page["total"], page["more"], len(page["incidents"])) == (2, True, 1)


async def test_all_leaves_the_range_out_of_account(desk: Desk) -> None:
    await desk.hold(*STORY)

    assert await keys(desk, since="2023-11-14T22:11:00Z") == ["disk/web-01"]
    assert len(await keys(desk, since="2023-11-14T22:11:00Z", date_range="all")) == 3


async def test_what_is_included_is_shown_whole_in_place_of_a_reference(desk: Desk) -> None:
    await desk.hold(*STORY)
    include = ["services", "first_trigger_log_entries", "teams"]
    one = (await desk.get(f"/incidents/{format_id(TRIGGER.key.id)}", include__=include)).json()["incident"]

    assert (one["service"]["type"], one["service"]["name"]) == ("service", "Demo")
    assert one["first_trigger_log_entry"]["type"] == "trigger_log_entry"
    assert one["first_trigger_log_entry"]["event_details"]["description"] == one["title"]
    listed = (await desk.get("/incidents", include__=include)).json()["incidents"]
    assert one in listed


# Log entries ----------------------------------------------------------------------------------------------------


async def test_log_entries_of_all_incidents_are_listed_newest_first_with_their_incidents(desk: Desk) -> None:
    await desk.hold(*STORY)
    page = (await desk.get("/log_entries", total="true")).json()

    assert [one["id"] for one in page["log_entries"]] == [
        one.key.printed for one in (LOW_END, RESOLVE, ACKNOWLEDGE, TRIGGER, LOW, EARLY)
    ]
    assert [one["incident"]["id"] for one in page["log_entries"]] == [
        format_id(one.key.id) for one in (LOW, TRIGGER, TRIGGER, TRIGGER, LOW, EARLY)
    ]
    assert (page["total"], page["more"]) == (6, False)


async def test_a_time_and_an_overview_narrow_the_log_entries(desk: Desk) -> None:
    await desk.hold(*STORY)
    note = {"note": {"content": "it was the cable"}}
    await desk.writer.post(f"/incidents/{format_id(TRIGGER.key.id)}/notes", json=note)
    await desk.create()
    since = {"since": "2023-11-14T22:12:00Z"}  # NOW_S - 80

    for path in ("/log_entries", f"/incidents/{format_id(TRIGGER.key.id)}/log_entries"):
        types = [
            one["type"] for one in (await desk.get(path, until="2023-11-14T22:13:21Z", **since)).json()["log_entries"]
        ]
        assert types[0] == "annotate_log_entry"
        assert types[-1] == "resolve_log_entry"
        overview = (await desk.get(path, is_overview="true", total="true", **since)).json()
        assert [one["type"] for one in overview["log_entries"]] == types[1:]
        assert overview["total"] == len(types) - 1


async def test_an_entry_without_an_incident_is_listed_without_one_and_a_change_event_is_not(desk: Desk) -> None:
    lone, change = entry("acknowledge", NOW_S - 5), entry("change", NOW_S - 4, dedup_key="change/1")
    await desk.hold(lone, change)
    (one,) = (await desk.get("/log_entries")).json()["log_entries"]

    assert (one["id"], one["incident"]) == (lone.key.printed, None)
    assert (await desk.get(f"/log_entries/{change.key.printed}")).status_code == 404


async def test_log_entries_come_in_pages_that_neither_overlap_nor_skip(desk: Desk) -> None:
    await desk.hold(*STORY)
    pages = [(await desk.get("/log_entries", limit=4, offset=offset)).json() for offset in (0, 4)]

    assert [page["more"] for page in pages] == [True, False]
    assert len({one["id"] for page in pages for one in page["log_entries"]}) == 6


@pytest.mark.parametrize("name", [ACKNOWLEDGE.key.printed, format_id(ACKNOWLEDGE.key.id)])
async def test_a_log_entry_is_found_by_its_key_and_by_its_id(desk: Desk, name: str) -> None:
    await desk.hold(*STORY)
    one = (await desk.get(f"/log_entries/{name}", include__=["incidents"])).json()["log_entry"]

    assert (one["id"], one["type"]) == (ACKNOWLEDGE.key.printed, "acknowledge_log_entry")
    assert one["self"] == f"https://a.example.org/log_entries/{one['id']}"
    assert one["incident"]["status"] == "resolved"


async def test_an_id_of_two_log_entries_must_be_given_with_its_digest(desk: Desk) -> None:
    one, other = entry("trigger", NOW_S - 100), entry("trigger", NOW_S - 100, dedup_key="other")
    await desk.hold(one, other)
    response = await desk.get(f"/log_entries/{format_id(one.key.id)}")

    assert response.status_code == 400
    assert other.key.printed in response.text


@pytest.mark.parametrize(("at_s", "status"), [(NOW_S - 1_000, 404), (NOW_S, 202)])
async def test_a_log_entry_that_is_not_here_is_unknown_or_pending(desk: Desk, at_s: int, status: int) -> None:
    assert (await desk.get(f"/log_entries/{format_id(at_s << 32)}")).status_code == status


# Services, users, abilities -------------------------------------------------------------------------------------


async def test_services_and_users_are_listed_found_by_name_and_read_one_by_one(desk: Desk) -> None:
    page = (await desk.get("/services", limit=2, total="true")).json()
    assert [one["id"] for one in page["services"]] == ["careful", "demo"]
    assert (page["more"], page["total"]) == (True, 3)
    found = (await desk.get("/services", query="DEM")).json()["services"]
    assert found == [(await desk.get("/services/demo")).json()["service"]]

    (user,) = (await desk.get("/users", query="ann@")).json()["users"]
    assert (user["email"], user["name"], user["self"]) == (ANN, "Ann", "https://a.example.org/users/ann")
    assert user["html_url"].split("/")[2] == "a.example.org"
    assert (await desk.get("/users/ann")).json() == {"user": user}
    assert (await desk.get("/users", query="nobody")).json()["users"] == []


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("/services/none", 404, 5002), ("/users/none", 404, 2100), ("/abilities/teams", 402, 2014)],
)
async def test_what_the_directory_does_not_hold_is_not_found(desk: Desk, path: str, status: int, code: int) -> None:
    response = await desk.get(path)

    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


async def test_the_abilities_are_listed_and_can_be_asked_for(desk: Desk) -> None:
    assert (await desk.get("/abilities")).json() == {"abilities": ["urgencies"]}
    assert (await desk.get("/abilities/urgencies")).status_code == 204


async def test_a_person_whom_the_directory_knows_is_shown_by_name(desk: Desk) -> None:
    await desk.hold(TRIGGER)
    body = {"incident": {"status": "acknowledged"}}
    answered = await desk.writer.put(f"/incidents/{format_id(TRIGGER.key.id)}", json=body)
    by = answered.json()["incident"]["acknowledgements"][0]["acknowledger"]

    assert (by["id"], by["summary"], by["self"]) == ("ann", "Ann", "https://a.example.org/users/ann")

"""The gate: scopes, tokens for some services alone, the rate of a token, and what refusals leave behind."""

from dataclasses import replace

import httpx2
import pytest

from tests.unit.roles.conftest import NOW_S
from tests.unit.roles.rest.conftest import ANN, TRIGGER, Desk, entry, kept
from tocsin.core.ids import format_id
from tocsin.core.kept import Stage
from tocsin.engines.tokens import Scope
from tocsin.roles.querier import Querier

ID = format_id(TRIGGER.key.id)
OTHER = entry("trigger", NOW_S - 100, dedup_key="other", service="careful", low=1)
CHANGES = [
    ("PUT", f"/incidents/{ID}", {"incident": {"status": "resolved"}}),
    ("PUT", "/incidents", {"incidents": [{"id": ID, "status": "resolved"}]}),
    ("POST", f"/incidents/{ID}/notes", {"note": {"content": "n"}}),
    ("POST", "/incidents", {"incident": {"type": "incident", "title": "t", "service": {"id": "demo"}}}),
]


def client_of(desk: Desk, scope: Scope, *services: str) -> httpx2.AsyncClient:
    _, text = desk.tokens.create("other", scope, now_us=desk.clock.us, services=services)
    return desk.client_of(text, sender=ANN)


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_a_token_that_reads_changes_nothing(desk: Desk, method: str, path: str, body: object) -> None:
    await desk.hold(TRIGGER)
    async with client_of(desk, Scope.READ) as client:
        response = await client.request(method, path, json=body)

    assert response.status_code == 403
    assert response.json()["error"]["code"] == 2010
    assert await desk.requests() == []
    (line,) = desk.audited()
    assert (line["action"], line["method"], line["path"]) == ("denied", method, path)


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_a_token_of_other_services_changes_nothing_and_one_of_this_service_does(
    desk: Desk, method: str, path: str, body: object
) -> None:
    await desk.hold(TRIGGER)
    async with client_of(desk, Scope.WRITE, "careful", "lenient") as other, client_of(desk, Scope.WRITE, "demo") as own:
        refused = await other.request(method, path, json=body)
        assert await desk.requests() == []
        taken = await own.request(method, path, json=body)

    assert (refused.status_code, refused.json()["error"]["code"]) == (403, 2010)
    assert taken.status_code in (200, 201)


async def test_a_token_of_one_service_sees_nothing_of_the_others(desk: Desk) -> None:
    await desk.hold(TRIGGER, OTHER)
    await desk.store.put_kept(kept(entry("resolve", NOW_S - 50), Stage.ASIDE))
    async with client_of(desk, Scope.READ, "careful") as client:
        listed = await client.get("/incidents", params={"total": "true"})
        assert [one["incident_key"] for one in listed.json()["incidents"]] == ["other"]
        assert listed.json()["total"] == 1
        assert "tocsin-set-aside" not in listed.headers
        foreign = await client.get("/incidents", params={"service_ids[]": "demo", "total": "true"})
        assert (foreign.json()["incidents"], foreign.json()["total"]) == ([], 0)
        entries = (await client.get("/log_entries")).json()["log_entries"]
        assert [one["id"] for one in entries] == [OTHER.key.printed]
        assert [one["id"] for one in (await client.get("/services")).json()["services"]] == ["careful"]
        for path in (f"/incidents/{ID}", f"/incidents/{ID}/log_entries", f"/incidents/{ID}/notes",
                     f"/log_entries/{TRIGGER.key.printed}", "/services/demo"):  # fmt: skip
            assert (await client.get(path)).status_code == 403, path


async def test_a_token_has_a_rate_and_every_answer_tells_what_is_left_of_it(desk: Desk) -> None:
    desk.app = Querier(replace(desk.querier._parts, requests_per_min_max=3)).app()
    async with desk.client_of(desk.token) as client, client_of(desk, Scope.READ) as other:
        for left in (2, 1, 0):
            response = await client.get("/abilities")
            assert response.headers["ratelimit-limit"] == "3"
            assert response.headers["ratelimit-remaining"] == str(left)
        refused = await client.get("/incidents")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, 2020)
        assert refused.headers["ratelimit-remaining"] == "0"
        assert refused.headers["ratelimit-reset"] == refused.headers["retry-after"] == "61"
        assert (await other.get("/abilities")).status_code == 200
        desk.clock.go(61)
        assert (await client.get("/abilities")).status_code == 200


async def test_strangers_are_told_nothing_of_rates_and_leave_a_bounded_trail_without_what_they_tried(
    desk: Desk,
) -> None:
    async with desk.client_of(f"tocsin_{'0' * 16}_{'a' * 64}") as stranger:
        answers = [await stranger.get("/incidents") for _ in range(100)]
    assert {response.status_code for response in answers} == {401}
    assert "ratelimit-limit" not in answers[0].headers

    lines = desk.audited()
    assert len(lines) == 60
    assert {line["action"] for line in lines} == {"unauthenticated"}
    assert "a" * 64 not in desk.trail.read_text(encoding="utf-8")

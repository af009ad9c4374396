"""Both regions for real, and people with inboxes: each is paged once, and a notifier's death costs no page."""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
import yaml

from tests.acceptance.conftest import REPOSITORY, environment, tocsin
from tocsin.ops.supervisor import LocalSet
from tocsin.roles.delivery.inbox import Received, read
from tocsin.roles.delivery.opening import inbox_file
from tocsin.settings import Settings

PAGED_S_MAX = 30.0
PACE_S, BACKSTOP_S = 0.5, 3.0
PAGING = {"pace_s": PACE_S, "look_ahead_s": 0.05, "backstop_s": BACKSTOP_S, "silence_s": 2.0, "keep_every_s": 0.2}
USERS = [f"user-{number}" for number in range(24)]
KEY = "d" * 32
DIRECTORY = {
    "services": [{"id": "demo", "name": "Demo", "routing_keys": [KEY], "responders": USERS}],
    "users": [
        {
            "id": user,
            "name": user,
            "email": f"{user}@example.org",
            "methods": [{"id": "box", "kind": "inbox", "address": user}],
            "rules": [{"method": "box"}],
        }
        for user in USERS
    ],
}


class Ground:
    """Two regions at work, a client of their intakes, and the inboxes."""

    def __init__(self, local: LocalSet, settings: Settings, client: httpx2.AsyncClient) -> None:
        self.local = local
        self._settings = settings
        self._client = client
        self._inboxes = [settings.path(inbox_file(region)) for region in settings.topology().regions]

    async def trigger(self, region: str, dedup_key: str) -> str:
        """Sends an event; returns the id of its incident."""
        event = {
            "routing_key": KEY,
            "event_action": "trigger",
            "dedup_key": dedup_key,
            "payload": {"summary": f"{dedup_key} is down", "source": "test", "severity": "critical"},
        }
        answer = await self._client.post(f"{self.local.intake_url(region)}/v2/enqueue", json=event)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def pages(self) -> list[Received]:
        """What reached anybody, whichever region sent it."""
        return [page for inbox in self._inboxes for page in read(inbox)]

    def told(self) -> Counter[tuple[str, str]]:
        """How often each (user, incident's pair) was paged."""
        return Counter((page.user, pair) for page in self.pages() for pair in page.covers)

    async def all_are_told(self, incidents: int) -> None:
        """Returns once every user was paged for so many incidents."""
        async with asyncio.timeout(PAGED_S_MAX):
            while len(self.told()) < incidents * len(USERS):  # noqa: ASYNC110 - other processes set no event
                await asyncio.sleep(0.1)


@pytest_asyncio.fixture
async def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ground]:
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TOCSIN_REGION__PAGING", json.dumps(PAGING))
    settings = Settings.load(regions_dir=REPOSITORY / "regions" / "local")
    directory = settings.path(settings.topology().region("a").directory)
    directory.parent.mkdir(parents=True)
    directory.write_text(yaml.safe_dump(DIRECTORY), encoding="utf-8")
    local = LocalSet(settings)
    await local.start()
    try:
        ca_file = settings.ca_file(settings.topology().region("a"))
        async with httpx2.AsyncClient(verify=ssl.create_default_context(cafile=ca_file), timeout=10) as client:
            yield Ground(local, settings, client)
    finally:
        await local.stop()


async def test_a_trigger_in_one_region_pages_everybody_once_and_both_regions_send(
    ground: Ground, tmp_path: Path
) -> None:
    incident = await ground.trigger("a", "db-1")
    await ground.all_are_told(1)
    await asyncio.sleep(BACKSTOP_S + 1)  # past it the region behind would send, if it did not know
    assert set(ground.told().values()) == {1}
    assert {page.region for page in ground.pages()} == {"a", "b"}
    assert {page.place for page in ground.pages()} == {0}

    env = environment(tmp_path)
    listed = json.loads(tocsin(env, "pages", "ls", "--incident", incident, "--limit", "100", "--json"))
    assert {row["bundle"] for row in listed} == {page.bundle for page in ground.pages()}
    assert {(row["outcome"], row["why"]) for row in listed} == {("delivered", "due")}
    shown = json.loads(tocsin(env, "pages", "show", listed[0]["bundle"], "--json"))
    assert [one["id"] for one in shown["incidents"]] == [incident]
    why = json.loads(tocsin(env, "pages", "explain", USERS[0], incident, "--json"))
    assert [page["user"] for page in why["pages"]] == [USERS[0]]
    assert why["obstacles"] == []
    why_not = tocsin(env, "pages", "explain", "nobody", incident)
    assert "nobody is no responder of service demo" in why_not
    assert "nobody was not paged for it" in why_not


async def test_a_notifier_that_is_killed_in_mid_burst_misses_no_page(ground: Ground) -> None:
    incidents = 12
    for number in range(incidents):
        await ground.trigger("ab"[number % 2], f"db-{number}")
        if number == incidents // 2:
            await ground.local.kill("a", "notifier")
        await asyncio.sleep(PACE_S / 4)
    await ground.all_are_told(incidents)
    await asyncio.sleep(BACKSTOP_S + 1)
    told = ground.told()
    assert len(told) == incidents * len(USERS)
    # What was with a provider when it died may have come: one more each, and nothing beyond.
    assert max(told.values()) <= 2

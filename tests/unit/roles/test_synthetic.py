"""The rounds of the synthetic page: in which order, what ends a round, and what a former process left open."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from tocsin.roles.dead_mans_switch import DeadMansSwitch
from tocsin.roles.delivery import signing
from tocsin.roles.page_door import PageDoor
from tocsin.roles.synthetic import MISSED_MAX, Plan, Synthetic

SECRET = bytes(32)
NOW_S = 1_700_000_000
PLAN = Plan(region="a", intake_url="http://intake", routing_key="k" * 32, every_s=0.01, page_s_max=0.3)
SEEN_S_MAX = 10.0


class World:
    """An intake, a notifier that pages at once, and a switch outside: what happened to them, in order."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.pages = True
        self.refused: set[str] = set()
        self.door = PageDoor(SECRET, lambda: NOW_S)
        self.mono_s = 0.0
        self._paging: set[asyncio.Task[None]] = set()

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/v2/enqueue")
        async def enqueue(request: Request) -> Response:
            event = await request.json()
            action = event["event_action"]
            if action in self.refused:
                return JSONResponse({}, 503)
            self.events.append(event)
            self.happened.append(action)
            id = f"0x{len(self.events):016x}"
            if action == "trigger" and self.pages:
                task = asyncio.create_task(self._page(id))
                self._paging.add(task)
                task.add_done_callback(self._paging.discard)
            return JSONResponse({"id": id}, 202)

        @app.get("/ping")
        async def ping() -> Response:
            self.happened.append("ping")
            return Response("OK")

        return app

    async def _page(self, id: str) -> None:
        await asyncio.sleep(0.01)
        self.happened.append("page")
        body = f'{{"data": {{"incidents": [{{"id": "{id}"}}]}}}}'.encode()
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(self.door)) as client:
            await client.post("http://door/page", content=body, headers=signing.headers(SECRET, "x", NOW_S, body))

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(SEEN_S_MAX):
            while not holds():  # noqa: ASYNC110 - what is waited for is in a list
                await asyncio.sleep(0.005)


@pytest.fixture
def world() -> World:
    return World()


@pytest_asyncio.fixture
async def watch(world: World, tmp_path: Any) -> AsyncIterator[Synthetic]:
    (tmp_path / "ping.url").write_text("http://outside/ping\n", encoding="utf-8")
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(world.app())) as client:
        switch = DeadMansSwitch(tmp_path / "ping.url", client, pause_s=0.01)
        yield Synthetic(PLAN, world.door, client, switch, lambda: world.mono_s)


@contextlib.asynccontextmanager
async def going(watch: Synthetic) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    task = asyncio.create_task(watch.run(stopping))
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait_for(task, SEEN_S_MAX)


async def test_what_was_left_open_is_resolved_first_and_the_switch_is_called_last(
    world: World, watch: Synthetic
) -> None:
    async with going(watch):
        await world.until(lambda: world.happened.count("ping") >= 2)
    assert world.happened[:6] == ["resolve", "resolve", "trigger", "page", "resolve", "ping"]
    assert world.happened[6:10] == ["trigger", "page", "resolve", "ping"]
    keys = [event["dedup_key"] for event in world.events]
    assert all(key.startswith("synthetic/a/") for key in keys)
    assert keys[2] == keys[3]
    assert keys[0] < keys[1]


async def test_without_a_page_the_incident_is_resolved_and_the_switch_is_not_called(
    world: World, watch: Synthetic
) -> None:
    world.pages = False
    async with going(watch):
        await world.until(lambda: world.happened.count("trigger") >= 2)
    assert "ping" not in world.happened
    assert world.happened[2:5] == ["trigger", "resolve", "trigger"]


async def test_what_could_not_be_resolved_is_resolved_before_the_next_trigger(world: World, watch: Synthetic) -> None:
    async with going(watch):
        await world.until(lambda: "ping" in world.happened)
        world.refused = {"resolve"}
        await world.until(lambda: world.happened[-1] == "page")
        await asyncio.sleep(0.1)
        before = len(world.happened)
        await asyncio.sleep(0.1)
        assert world.happened[before:] == []  # no trigger that would join the open incident, and no call
        world.refused = set()
        await world.until(lambda: len(world.happened) > before + 1)
        assert world.happened[before : before + 2] == ["resolve", "trigger"]


async def test_an_intake_that_refuses_ends_the_round(world: World, watch: Synthetic) -> None:
    world.refused = {"trigger"}
    async with going(watch):
        await world.until(lambda: len(world.happened) >= 2)
        await asyncio.sleep(0.1)
    assert set(world.happened) == {"resolve"}


async def test_it_is_not_ready_once_no_page_came_for_some_rounds_and_says_at_which_step(
    world: World, watch: Synthetic
) -> None:
    assert watch.unready() == []
    world.pages = False
    async with going(watch):
        await world.until(lambda: world.happened.count("trigger") >= 2)
    world.mono_s = MISSED_MAX * PLAN.page_s_max + 1
    (reason,) = watch.unready()
    assert reason.startswith("no synthetic page came for 2 s; the last try: the page about 0x")
    assert [reading.value for reading in watch.readings()] == [world.mono_s]

    world.pages = True
    async with going(watch):
        await world.until(lambda: "ping" in world.happened)
    assert watch.unready() == []
    assert watch.age_s == 0


def test_a_plan_does_not_show_its_routing_key() -> None:
    assert PLAN.routing_key not in repr(PLAN)

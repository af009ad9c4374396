"""`tocsin pages`: who was told of what; why, by whom and why then; and every reason for which somebody was not."""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import yaml
from typer.testing import Result

from tests.requests_made import request
from tests.unit.cli.conftest import LOCAL
from tests.unit.cli.premises import Premises
from tocsin.core.entries import Entry
from tocsin.core.events import entry_of
from tocsin.core.ids import format_id
from tocsin.core.incidents import fold
from tocsin.core.notices import requests_of
from tocsin.core.paging.assignments import Assignment, pair_of, user_partition
from tocsin.core.paging.covers import Flight
from tocsin.core.paging.effects import Item, UserRow
from tocsin.core.paging.feedback import ChannelKey, End, Intent, IntentId, Outcome
from tocsin.core.paging.state import encode_user
from tocsin.core.paging.user import User
from tocsin.core.requests import Request
from tocsin.engines.directory_file import parse_directory
from tocsin.engines.embedded.store import EmbeddedStore
from tocsin.engines.topics import make_topics
from tocsin.topology import load_topology

Run = Callable[..., Result]
REGIONS = load_topology(LOCAL)
S = 1_000_000
DELAY_S = 600
BOX = {"id": "box", "kind": "inbox", "address": "ann"}
DIRECTORY: dict[str, Any] = {
    "services": [
        {"id": "checkout", "name": "Checkout", "routing_keys": ["c" * 32], "responders": ["ann", "mute"]},
        {"id": "quiet", "name": "Quiet", "routing_keys": ["9" * 32]},
    ],
    "users": [
        {
            "id": "ann",
            "name": "Ann",
            "email": "ann@example.org",
            "methods": [BOX],
            "rules": [{"method": "box", "delay_s": DELAY_S}],
        },
        {"id": "ben", "name": "Ben", "email": "ben@example.org", "methods": [BOX], "rules": [{"method": "box"}]},
        {"id": "mute", "name": "Mute", "email": "mute@example.org", "methods": [{**BOX, "blocked": True}]},
    ],
}


class Scene:
    """What both regions hold of one incident, and what their notifiers kept."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises
        self.now_us = time.time_ns() // 1000
        self._entries: list[Entry] = []
        premises.data_dir.mkdir(parents=True)
        (premises.data_dir / "directory.yaml").write_text(yaml.safe_dump(DIRECTORY), encoding="utf-8")
        for region in REGIONS.regions:
            premises.in_log(region.name, lambda log, region=region: make_topics(log, region))
            premises.in_store(region.name, lambda store: store.identity())

    def open(self, *, service: str = "checkout", ago_s: int = 60) -> Request:
        """An incident that was opened so long ago."""
        opening = request(service=service, received_us=self.now_us - ago_s * S)
        self.hold(entry_of(opening))
        return opening

    def hold(self, *entries: Entry) -> None:
        """Has both regions hold these entries, and what follows of all so far."""
        self._entries += entries
        incidents = fold(self._entries)

        async def work(store: EmbeddedStore) -> None:
            assert await store.write(entries) == {}
            await store.put_incidents(entries[0].key.parent, incidents, len(self._entries))

        for region in REGIONS.regions:
            self._premises.in_store(region.name, work)

    def keep(self, opening: Request, *intents: tuple[Intent, End | None], is_open: bool = True) -> None:
        """Has both notifiers have kept that the incident is Ann's, and these intents."""
        [ann] = [user for user in parse_directory(yaml.safe_dump(DIRECTORY).encode(), "it").users if user.id == "ann"]
        user = User("ann")
        user.become(ann)
        status = "triggered" if is_open else "acknowledged"
        user.assign(assignment(opening, status), 0, self.now_us)
        for intent, end in intents:
            flight = Flight(intent, intent.at_us + 120 * S, own=False)
            if end is not None:
                flight.finish(end, self.now_us)
            channel = user.channel("box", "high")
            assert channel is not None
            channel.covering().add(flight)
        for region in REGIONS.regions:
            row = UserRow("ann", encode_user(user))
            partition = user_partition("ann", region.partitions)
            self._premises.in_store(region.name, lambda store, p=partition, row=row: store.keep_users(p, [row], 1))

    def page(self, opening: Request, *, region: str = "a", place: int = 0, why: str = "due", n: int = 0) -> Intent:
        """A page to Ann about it, which was delivered; both logs tell of it."""
        intent = intent_of(opening, self.now_us - 30 * S, region=region, place=place, why=why, n=n)
        end = End(intent.id, intent.channel, Outcome.DELIVERED, intent.at_us + S, "box", "in the inbox")
        item = Item(assignment(opening, "triggered"), is_new=True)
        self.hold(*map(entry_of, requests_of(intent, end, [item], end.at_us)))
        return intent


def assignment(opening: Request, status: str) -> Assignment:
    return Assignment("ann", opening.key, opening.received_us, status, "high", "disk full", "db-7", "checkout", 1)


def intent_of(opening: Request | None, at_us: int, **given: Any) -> Intent:
    """An intent to page Ann about an incident, or about another one."""
    of = opening or request("another")
    [ann] = [user for user in parse_directory(yaml.safe_dump(DIRECTORY).encode(), "it").users if user.id == "ann"]
    id = IntentId(given.get("region", "a"), 3, given.get("n", 0))
    pair = pair_of(of.key, ann.rules[0].id)
    channel = ChannelKey("ann", "box", "high")
    return Intent(id, channel, pair, at_us - S, at_us, given.get("place", 0), given.get("why", "due"))


@pytest.fixture
def scene(premises: Premises) -> Scene:
    return Scene(premises)


def listed(run: Run, *words: str) -> Sequence[str]:
    result = run("pages", "ls", "--json", *words)
    assert result.exit_code == 0, result.stderr
    return [row["bundle"] for row in json.loads(result.stdout)]


def explained(run: Run, user: str, opening: Request) -> str:
    result = run("pages", "explain", user, format_id(opening.key.id))
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_pages_of_all_regions_are_listed_once_newest_last_and_by_what_is_asked_for(run: Run, scene: Scene) -> None:
    opening = scene.open()
    first, second = scene.page(opening), scene.page(opening, region="b", place=1, why="backstop", n=7)
    assert listed(run) == [first.name, second.name] == ["a-3-0-ann", "b-3-7-ann"]
    assert listed(run, "--user", "ann", "--incident", format_id(opening.key.id), "--since", "1h") == listed(run)
    assert listed(run, "--limit", "1") == [second.name]
    assert listed(run, "--user", "ben") == listed(run, "--incident", "0x0000000000000001") == []
    assert listed(run, "--since", "1s") == []
    text = run("pages", "ls").stdout
    assert "delivered" in text
    assert "backstop" in text


def test_a_page_is_shown_with_what_it_was_about_and_an_unknown_one_is_said_to_be(run: Run, scene: Scene) -> None:
    opening = scene.open()
    page = scene.page(opening, region="b", place=1, why="backstop")
    shown = json.loads(run("pages", "show", page.name, "--json").stdout)
    assert [one["id"] for one in shown["incidents"]] == [format_id(opening.key.id)]
    text = run("pages", "show", page.name).stdout
    assert "b, at place 1" in text
    assert "no region before it in the order had paged in time" in text
    assert run("pages", "show", "a-9-9-ann").exit_code == 3


def test_who_was_paged_is_told_by_which_region_and_place_and_why_then(run: Run, scene: Scene) -> None:
    opening = scene.open()
    scene.page(opening, region="b", place=1, why="paced")
    text = explained(run, "ann", opening)
    assert "ann was paged for it" in text
    assert "region b sent it, at place 1, 1.0 s after" in text
    assert "it waited out the pace or the end of the page before it" in text


def test_a_rule_that_is_not_due_yet_is_pending_until_then(run: Run, scene: Scene) -> None:
    opening = scene.open()
    scene.keep(opening)
    text = explained(run, "ann", opening)
    assert "ann was not paged for it" in text
    assert f"box (inbox) after {DELAY_S} s" in text
    assert "region a: box: pending until" in text
    assert "(in 8 min): the rule is due then" in text


def test_what_was_acknowledged_before_it_was_due_is_said_to_page_nobody(run: Run, scene: Scene) -> None:
    opening = scene.open()
    scene.hold(entry_of(request(action="acknowledge", received_us=scene.now_us - 30 * S)))
    scene.keep(opening, is_open=False)
    text = explained(run, "ann", opening)
    assert "it was acknowledged before that, so this rule pages nobody" in text
    assert "region b: the incident is not the user's to be told any more" in text


def test_a_page_that_waits_out_the_pace_says_so(run: Run, scene: Scene) -> None:
    opening = scene.open(ago_s=DELAY_S + 10)
    before = intent_of(None, scene.now_us - 20 * S)
    scene.keep(opening, (before, End(before.id, before.channel, Outcome.DELIVERED, before.at_us + S)))
    assert "the last page was less than 60 s before" in explained(run, "ann", opening)


def test_a_page_under_way_covers_it(run: Run, scene: Scene) -> None:
    opening = scene.open(ago_s=DELAY_S + 10)
    scene.keep(opening, (intent_of(opening, scene.now_us - 5 * S), None))
    text = explained(run, "ann", opening)
    assert "region a: box: page a-3-0-ann is about it: in progress" in text
    assert "pending" not in text


@pytest.mark.parametrize(
    ("user", "service", "why"),
    [
        ("ben", "checkout", "ben is no responder of service checkout; those are ann, mute"),
        ("ben", "quiet", "service quiet has no responders: nobody is paged for it"),
        ("ben", "gone", "the directory has no service gone"),
        ("mute", "checkout", "mute cannot be reached: no contact method is verified and not blocked"),
        ("who", "checkout", "the directory has no user who"),
        ("ann", "checkout", "its notifier has kept nothing of the user"),
    ],
)
def test_who_cannot_be_paged_is_told_why(run: Run, scene: Scene, user: str, service: str, why: str) -> None:
    opening = scene.open(service=service)
    text = explained(run, user, opening)
    assert f"{user} was not paged for it" in text
    assert why in text


def test_an_incident_that_nobody_knows_leaves_the_question_open(run: Run, scene: Scene) -> None:
    assert run("pages", "explain", "ann", "0x0000000000000001").exit_code == 3
    assert run("pages", "explain", "ann", "db-7").exit_code == 2

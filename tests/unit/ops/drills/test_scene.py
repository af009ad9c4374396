"""What counts as harm to users, and how the clients of the load move when a region does not take their events."""

import asyncio
from dataclasses import replace
from typing import Any, cast

from tocsin.ops.demo.player import Accepted, Attempt, Event, Player
from tocsin.ops.drills.load import Trickle
from tocsin.ops.drills.target import Pages, Requests
from tocsin.ops.drills.targets.scene import harm


def test_what_is_promised_and_not_kept_is_harm() -> None:
    requests, pages = Requests(accepted=9, duplicated=2, indeterminate=3), Pages(due=5, sent=5, excused=2)
    assert harm(requests, pages, 0) == []
    assert harm(replace(requests, lost=1), pages, 0) == ["1 requests were acknowledged and are not in all regions"]
    assert len(harm(replace(requests, diverged=1, late=1), replace(pages, lost=2), 3)) == 4


def test_a_repeated_page_is_harm_unless_a_hand_over_had_no_end_that_anybody_knows() -> None:
    assert harm(Requests(), Pages(duplicated=2, indeterminate=2), 0) == []
    assert harm(Requests(), Pages(duplicated=3, indeterminate=2), 0) == ["1 pages were repeated without need"]


class Answers:
    """Intakes of which some do not answer."""

    def __init__(self, *away: str) -> None:
        self.away = away
        self.asked: list[tuple[str, str]] = []

    async def attempt(self, event: Event, region: str) -> Attempt:
        self.asked.append((event["dedup_key"], region))
        if region in self.away:
            return Attempt(None, None, 0.0)
        return Attempt(202, Accepted(event["dedup_key"], region), None)


def trickle(intakes: Answers, accepted: list[Accepted]) -> Trickle:
    def make(number: int, is_alert: bool) -> Any:  # noqa: FBT001 - as the trickle calls it
        return {"dedup_key": f"{'alert' if is_alert else 'event'}-{number}"}

    return Trickle(cast("Player", intakes), ("a", "b"), make, accepted.append, 1_000.0)


async def sent(intakes: Answers, events: int) -> list[Accepted]:
    accepted: list[Accepted] = []
    load = trickle(intakes, accepted)
    running = asyncio.create_task(load.run())
    while len({key for key, _ in intakes.asked}) < events:  # noqa: ASYNC110 - it is many events that are waited for
        await asyncio.sleep(0.001)
    load.stop()
    await running
    return accepted


async def test_events_enter_at_all_regions_by_turns_and_some_of_them_page() -> None:
    intakes = Answers()
    accepted = await sent(intakes, 17)
    assert {region for _, region in intakes.asked} == {"a", "b"}
    assert [one.request for one in accepted][:3] == ["alert-0", "alert-8", "alert-16"]
    assert [one.region for one in accepted][:3] == ["a", "b", "a"]


async def test_a_client_that_gets_no_answer_sends_the_same_event_to_the_next_region() -> None:
    intakes = Answers("a")
    accepted = await sent(intakes, 9)
    assert {one.region for one in accepted} == {"b"}
    by_key: dict[str, list[str]] = {}
    for key, region in intakes.asked:
        by_key.setdefault(key, []).append(region)
    assert all(regions[-1] == "b" for regions in by_key.values())
    assert by_key["alert-0"] == ["a", "b"]

"""Promise 10 over random schedules: every due page is handed over, once but for the reasons that allow one more.

Regions die at any moment and come back, mirrors stand still, logs refuse, providers fail or never answer, regions
stall and call themselves unfit. Then all heals, and after a quiet time it is counted.
"""

from collections import Counter

import pytest

from tests.unit.core.paging.regions import STEP_S, Regions, Told
from tests.unit.core.paging.words import assigned, key, person
from tocsin.core.paging.assignments import pair_of
from tocsin.core.paging.feedback import Outcome

USERS = ("ann", "bob", "cleo")
QUIET_S = 900.0
"""Longer than all tries of a page take together."""


def break_something(regions: Regions, chance: float) -> None:
    region = regions[regions.random.choice(list(regions.regions))]
    if chance < 0.45:
        regions.kill(region.name)
    elif chance < 0.55 and region.pager is None:
        regions.start(region.name)
    elif chance < 0.6:
        region.refuses = not region.refuses
    elif chance < 0.65:
        region.fit = not region.fit


def cut_something(regions: Regions, chance: float) -> None:
    one, other = regions.random.choices(list(regions.regions), k=2)
    if chance < 0.7:
        regions.sever((one, other))
    elif chance < 0.75:
        regions.cut.clear()
    elif chance < 0.8:
        regions[one].stalled = not regions[one].stalled


def schedule(seed: int, names: list[str], *, faults: bool, cuts: bool) -> Regions:
    """Six minutes of incidents and faults, then quiet."""
    regions = Regions(names, partition=seed, seed=seed)
    random = regions.random
    for user in USERS:
        regions.person(person(user, ("phone", 0.0), ("phone", 40.0), ("mail", 20.0), methods=("phone", "mail")))
    regions.call_s = random.choice([0.5, 5.0, 30.0])
    regions.say_s = random.choice([0.0, 0.5])
    regions.mirror_s = random.choice([0.25, 1.0, 2.0])
    regions.twice = random.random() < 0.3
    if faults:
        regions.answer = lambda _: random.choices(
            [Outcome.DELIVERED, Outcome.FAILED, Outcome.UNKNOWN], [0.8, 0.1, 0.1]
        )[0]
    opened: dict[int, str] = {}
    for n in range(1, 121):
        chance = random.random()
        if chance < 0.3:
            opened[n] = random.choice(USERS)
            regions.assign(assigned(n, regions.at_s, user=opened[n]), later_s=random.choice([0.0, 0.5]))
        elif chance < 0.4 and opened:
            ended = random.choice(list(opened))
            status = random.choice(["acknowledged", "resolved"])
            regions.assign(assigned(ended, 0, user=opened.pop(ended), status=status, version=2))
        elif faults:
            break_something(regions, chance)
        elif cuts:
            cut_something(regions, chance)
        regions.run(random.choice([0.25, 1.0, 5.0]))
    regions.heal()
    regions.answer = lambda _: Outcome.DELIVERED
    regions.run(QUIET_S, step_s=1.0)
    regions.open = opened
    return regions


def pairs_of(n: int) -> list[bytes]:
    return [pair_of(key(n), f"rule {rule}") for rule in range(3)]


def races(regions: Regions) -> int:
    """Pairs that arrived more than once. Each time the later region could not have read yet what the first decided, and
    no region's own page arrived twice.
    """
    arrived: dict[bytes, list[Told]] = {}
    for told in regions.told_all:
        if told.end[0] is Outcome.DELIVERED:
            for pair in told.bundle.intent.pairs:
                arrived.setdefault(pair, []).append(told)
    twice = [pages for pages in arrived.values() if len(pages) > 1]
    for pages in twice:
        assert len({told.region for told in pages}) == len(pages)
        assert pages[-1].at_s - pages[0].at_s <= regions.mirror_s + regions.say_s + STEP_S
    return len(twice)


def missed(regions: Regions) -> list[int]:
    """Open incidents with a rule that nobody was reached for."""
    return [n for n in regions.open if not all(any(map(reached, regions.of_pair(pair))) for pair in pairs_of(n))]


def reached(told: Told) -> bool:
    return told.end[0] is Outcome.DELIVERED


@pytest.mark.parametrize("seed", range(6))
def test_without_faults_every_page_is_made_once(seed: int) -> None:
    regions = schedule(seed, ["a", "b"], faults=False, cuts=False)
    assert regions.open
    assert [len(regions.of_pair(pair)) for n in regions.open for pair in pairs_of(n)] == [1, 1, 1] * len(regions.open)


@pytest.mark.parametrize("seed", range(20))
def test_with_faults_no_page_is_missed_and_none_repeated_by_who_could_know_that_it_arrived(seed: int) -> None:
    regions = schedule(seed, ["a", "b"] if seed % 3 else ["a", "b", "c"], faults=True, cuts=False)
    assert missed(regions) == []
    races(regions)


def test_races_in_the_time_of_the_mirror_are_rare() -> None:
    made = raced = 0
    for seed in range(100, 106):
        regions = schedule(seed, ["a", "b"], faults=True, cuts=False)
        made += sum(len(told.bundle.intent.pairs) for told in regions.told_all)
        raced += races(regions)
    assert raced < made / 20


@pytest.mark.parametrize("seed", range(20))
def test_with_cuts_no_page_is_missed_and_each_side_makes_it_at_most_once(seed: int) -> None:
    regions = schedule(seed, ["a", "b"] if seed % 3 else ["a", "b", "c"], faults=False, cuts=True)
    assert missed(regions) == []
    by_side = Counter((told.region, pair) for told in regions.told_all for pair in told.bundle.intent.pairs)
    assert max(by_side.values()) == 1

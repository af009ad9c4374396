"""Random schedules of faults over two and three regions: after heal and quiet the regions agree, whatever happened.

The world itself checks at every step that progress does not run ahead of the data, and that nothing is quarantined but
on evidence from everywhere.
"""

from collections.abc import Callable

import pytest

from tests.unit.core.harness import World, request
from tocsin.core.requests import Request
from tocsin.core.statements import PersonWord

REQUESTS = [request(n, service=f"service-{n % 4}", region="ab"[n % 2]) for n in range(12)]

COPIED, BROKEN = REQUESTS[:4], REQUESTS[4:]
"""Copies that differ in what intake added are made of the first, rules on keys of the rest: a store that refuses the
earlier copy after it took the later one keeps the later, which no word in the ledger can tell.
"""


def an_earlier_copy(world: World) -> Request:
    """A client retried: the same request, received by another region at another time."""
    one = world.rng.choice(COPIED)
    return one._replace(received_us=one.received_us - world.rng.randrange(3), region=world.rng.choice(world.names))


def accept_some(world: World) -> None:
    world.accept(world.rng.choice(world.names), *world.rng.choices(REQUESTS, k=world.rng.randrange(1, 4)))


def accept_a_copy(world: World) -> None:
    world.accept(world.rng.choice(world.names), an_earlier_copy(world))


def refuse_somewhere(world: World) -> None:
    world[world.rng.choice(world.names)].store.refuses.add(world.rng.choice(BROKEN).key)


def refuse_everywhere(world: World) -> None:
    key = world.rng.choice(BROKEN).key
    for region in world.names:
        world[region].store.refuses.add(key)


def time_out_somewhere(world: World) -> None:
    world[world.rng.choice(world.names)].store.times_out.add(world.rng.choice(BROKEN).key)


def crash_somewhere(world: World) -> None:
    world[world.rng.choice(world.names)].store.crashes.add(world.rng.choice(BROKEN).key)


def silence_somewhere(world: World) -> None:
    world[world.rng.choice(world.names)].store.silent = True


def heal_a_store(world: World) -> None:
    world[world.rng.choice(world.names)].store.heal()


def cut_a_link(world: World) -> None:
    world.cut(*world.rng.choice(sorted(world.links)))


def heal_the_links(world: World) -> None:
    for link in world.links.values():
        link.cut = False
    world.pump()


def slow_a_link(world: World) -> None:
    world.links[world.rng.choice(sorted(world.links))].delay_s = world.rng.choice([0.0, 0.5, 3.0])


def repeat_on_a_link(world: World) -> None:
    link = world.links[world.rng.choice(sorted(world.links))]
    link.doubling = not link.doubling
    if world.rng.random() < 0.5:
        link.replay()
        world.pump()


def kill_one(world: World) -> None:
    node = world[world.rng.choice(world.names)]
    if node.machine is not None:
        node.kill()


def restart_one(world: World) -> None:
    node = world[world.rng.choice(world.names)]
    if node.machine is not None and not node.store.silent and not node.store.crashes:
        node.restart()


def lose_a_store(world: World) -> None:
    node = world[world.rng.choice(world.names)]
    if node.machine is not None and not node.store.silent:
        node.kill()
        node.lose_store()


def order_something(world: World) -> None:
    word = world.rng.choice([PersonWord.DROPPED, PersonWord.REDRIVE])
    world.order(world.rng.choice(REQUESTS).key, world.rng.randrange(1, 6), word, region=world.rng.choice(world.names))


def drain_or_join(world: World) -> None:
    word = world.rng.choice([PersonWord.DRAINED, PersonWord.JOINED])
    number = int(world.now_s * 1000)
    world.order_region(world.rng.choice(world.names), number, word, region=world.rng.choice(world.names))


FAULTS: list[Callable[[World], None]] = [
    accept_some,
    accept_some,
    accept_some,
    accept_a_copy,
    refuse_somewhere,
    refuse_everywhere,
    time_out_somewhere,
    crash_somewhere,
    silence_somewhere,
    heal_a_store,
    heal_a_store,
    cut_a_link,
    heal_the_links,
    slow_a_link,
    repeat_on_a_link,
    kill_one,
    restart_one,
    lose_a_store,
    order_something,
    drain_or_join,
]


def run(seed: int, regions: str) -> World:
    world = World(regions, seed=seed)
    world.run(world.rng.choice([0.0, 2.0]))
    for _ in range(world.rng.randrange(3, 25)):
        world.rng.choice(FAULTS)(world)
        world.run(world.rng.choice([0.0, 0.02, 0.1, 1.0, 6.0]))
    world.heal()
    for region in world.names:
        world.order_region(region, 1_000_000, PersonWord.JOINED)
    world.settle()
    return world


@pytest.mark.parametrize("block", range(6))
def test_two_regions_agree_after_any_schedule_of_faults(block: int) -> None:
    for seed in range(block * 25, block * 25 + 25):
        run(seed, "ab").check_agreement()


@pytest.mark.parametrize("block", range(3))
def test_three_regions_agree_after_any_schedule_of_faults(block: int) -> None:
    for seed in range(block * 10, block * 10 + 10):
        run(seed, "abc").check_agreement()

"""What can go wrong with paging. Each fault begins, says what it is in words, and returns what ends it."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.simulation import ailments
from tests.simulation.network import Ailment, Server
from tests.simulation.paging.outside import Hanging, Moody
from tests.simulation.paging.site import NOTIFIERS, PagingSite
from tests.simulation.paging.world import PagingWorld
from tocsin.topology import DIRECTORY, FEEDBACK, REQUESTS

CLOCK_BOUND_S: Final = 2.0
ALL: Final = frozenset({DIRECTORY, FEEDBACK, REQUESTS})
End = Callable[[], None]


@dataclass(frozen=True)
class Scene:
    """Where and for how long."""

    world: PagingWorld
    site: PagingSite
    length_s: float
    chance: random.Random


def _nothing() -> None:
    """It ends by itself."""


def _ail(servers: list[Server], ailment: Ailment) -> End:
    for server in servers:
        server.ailments.append(ailment)

    def end() -> None:
        for server in servers:
            server.ailments.remove(ailment)

    return end


# The mirror ----------------------------------------------------------------------------------------------------------


def cut(scene: Scene) -> tuple[str, End]:
    """A mirror is cut, one way or both ways, for all topics or one."""
    chance, world = scene.chance, scene.world
    topics = chance.choice((ALL, ALL, frozenset({FEEDBACK}), frozenset({REQUESTS})))
    pairs = [pair for pair in world.links if scene.site.name in pair]
    cut_pairs = pairs if chance.random() < 0.5 else [chance.choice(pairs)]
    for pair in cut_pairs:
        world.links[pair].cuts.append(topics)

    def end() -> None:
        for pair in cut_pairs:
            world.links[pair].cuts.remove(topics)
        world.heal_links(scene.site.name)

    return f"{', '.join('>'.join(pair) for pair in cut_pairs)} cut for {', '.join(sorted(topics))}", end


def delay(scene: Scene) -> tuple[str, End]:
    """Mirrors of the region lag behind."""
    delay_s = scene.chance.choice((0.3, 1.0, 3.0, 8.0))
    links = [link for pair, link in scene.world.links.items() if pair[0] == scene.site.name]
    for link in links:
        link.delays_s.append(delay_s)

    def end() -> None:
        for link in links:
            link.delays_s.remove(delay_s)

    return f"mirrors of {scene.site.name} are {delay_s} s late", end


def duplicate(scene: Scene) -> tuple[str, End]:
    """Mirrors of the region copy batches twice, and begin again at earlier positions."""
    often = scene.chance.uniform(0.2, 0.7)
    links = [link for pair, link in scene.world.links.items() if pair[0] == scene.site.name]
    for link in links:
        link.repeats.append(often)
        scene.world.around.later(scene.length_s / 2, link.set_back, scene.chance)

    def end() -> None:
        for link in links:
            link.repeats.remove(often)

    return f"mirrors of {scene.site.name} repeat {often:.0%} of their batches", end


# Processes -----------------------------------------------------------------------------------------------------------


def kill(scene: Scene) -> tuple[str, End]:
    """Notifiers are killed, at once and in a few steps."""
    steps = scene.chance.choice((0, 1, 2, 3, 8, 40))
    for name in NOTIFIERS:
        scene.site.kill(name, steps)
    return f"all notifiers die within {steps} steps", _nothing


def stop(scene: Scene) -> tuple[str, End]:
    """A release is rolled out: notifiers stop in good order, and start again."""
    for name in NOTIFIERS:
        scene.world.around.later(scene.chance.uniform(0, 2), lambda name=name: scene.site.stop(name, again=True))
    return "the notifiers are started anew", _nothing


def hang(scene: Scene) -> tuple[str, End]:
    """A notifier takes no step for a while; where claims are sessions, another owns its partitions meanwhile."""
    name = scene.chance.choice(NOTIFIERS)
    scene.site.hang(name, scene.length_s)
    return f"{name} hangs", _nothing


def owner_change(scene: Scene) -> tuple[str, End]:
    """One of two notifiers goes, in good order or not, and comes back."""
    name = scene.chance.choice(NOTIFIERS)
    if scene.chance.random() < 0.5:
        scene.site.stop(name)
    else:
        scene.site.wanted.discard(name)
        scene.site.kill(name, scene.chance.randrange(50))
    return f"{name} goes", lambda: scene.site.start(name)


def clock_skew(scene: Scene) -> tuple[str, End]:
    """The clocks of a region are off, sometimes by more than the bound, and step as they are set."""
    bad = scene.chance.random() < 0.2
    skew_s = scene.chance.uniform(-20, 20) if bad else scene.chance.uniform(-CLOCK_BOUND_S, CLOCK_BOUND_S)
    scene.world.clocks_off = scene.world.clocks_off or bad
    before_s = scene.site.skew_s
    scene.site.set_skew(skew_s)
    return f"the clocks step to {skew_s:+.2f} s", lambda: scene.site.set_skew(before_s)


def region_loss(scene: Scene) -> tuple[str, End]:
    """A whole region is away, and comes back with what it had."""
    site = scene.site
    site.lost = True
    for name in list(site.running):
        site.kill(name)
    servers = [site.log, site.database.server, *site.providers.values()]
    revived = _ail(servers, ailments.Dead(1.0))

    def end() -> None:
        site.lost = False
        revived()
        for name in sorted(site.wanted):
            site.start(name)
        scene.world.heal_links()

    return "the region is lost", end


# What they stand on --------------------------------------------------------------------------------------------------


def store_dead(scene: Scene) -> tuple[str, End]:
    """The store answers nothing."""
    delay_s = scene.chance.choice((0.05, 1.0, 4.0))
    return f"the store is dead, found out after {delay_s} s", _ail([scene.site.database.server], ailments.Dead(delay_s))


def store_unsure(scene: Scene) -> tuple[str, End]:
    """The store loses writes, or their answers."""
    often = scene.chance.uniform(0.1, 0.6)
    ailment = ailments.Unsure(often)
    return f"the store loses {often:.0%} of writes, or their answers", _ail([scene.site.database.server], ailment)


def log_away(scene: Scene) -> tuple[str, End]:
    """The log answers nothing."""
    healed = _ail([scene.site.log], ailments.Dead(scene.chance.choice((0.05, 2.0))))

    def end() -> None:
        healed()
        scene.world.heal_links()

    return "the log is away", end


def log_unsure(scene: Scene) -> tuple[str, End]:
    """The log loses appends, or their answers, and is slow."""
    often, delay_s = scene.chance.uniform(0.1, 0.5), scene.chance.choice((0.0, 0.4, 1.5))
    ends = [_ail([scene.site.log], ailment) for ailment in (ailments.Unsure(often), ailments.Slow(delay_s))]

    def end() -> None:
        for one in ends:
            one()

    return f"the log loses {often:.0%} of appends, or their answers, and is up to {delay_s} s slow", end


def provider_moody(scene: Scene) -> tuple[str, End]:
    """Providers refuse some calls, and of others nobody knows."""
    chance = scene.chance
    mood = Moody(refuses_share=chance.choice((0.0, 0.3, 1.0)), unsure=chance.choice((0.0, 0.3, 0.9)))
    text = f"providers refuse {mood.refuses_share:.0%}, and {mood.unsure:.0%} of calls end unknown"
    return text, _ail(list(scene.site.providers.values()), mood)


def provider_hangs(scene: Scene) -> tuple[str, End]:
    """Providers of one kind never answer."""
    server = scene.chance.choice(list(scene.site.providers.values()))
    return f"{server.name} hangs", _ail([server], Hanging())


# What the region's creators do ---------------------------------------------------------------------------------------


def creators_away(scene: Scene) -> tuple[str, End]:
    """Nothing is assigned in the region, and its word on itself grows old."""
    known = scene.world.knowledge[scene.site.name]
    known.away += 1

    def end() -> None:
        known.away -= 1

    return "the creators are away", end


def halted(scene: Scene) -> tuple[str, End]:
    """The region says that it has halted; what it knows is assigned all the same."""
    known = scene.world.knowledge[scene.site.name]
    known.halted += 1

    def end() -> None:
        known.halted -= 1

    return "the region says that it has halted", end


def people_change(scene: Scene) -> tuple[str, End]:
    """Records of people change while pages are under way."""
    for _ in range(scene.chance.randint(1, 4)):
        at_s = scene.chance.uniform(0, scene.length_s)
        scene.world.around.later(at_s, lambda: _change(scene))
    return "the directory changes", _nothing


def _change(scene: Scene) -> None:
    if scene.site.log_answers:
        scene.world.tell(scene.site.name, scene.world.change_person(scene.site.name))


KINDS: Final[dict[str, Callable[[Scene], tuple[str, End]]]] = {
    fault.__name__: fault
    for fault in (
        cut, delay, duplicate, kill, stop, hang, owner_change, clock_skew, region_loss, store_dead, store_unsure,
        log_away, log_unsure, provider_moody, provider_hangs, creators_away, halted, people_change,
    )
}  # fmt: skip
ELSEWHERE: Final = frozenset({"cut", "delay", "duplicate", "halted", "people_change"})
"""These leave the region itself able to page for what it knows."""
ALONE: Final = frozenset({"hang", "owner_change", "region_loss", "clock_skew"})
"""Not twice at one time in one region: the end of one would undo the other."""

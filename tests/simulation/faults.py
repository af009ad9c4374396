"""The faults: each begins, says what it is in words, and returns what ends it.

Every kind is a function of a `Scene`: the world, the region that is hit, and chance of its own, so that one fault more
in a plan changes nothing in the others.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.simulation import ailments
from tests.simulation.load import BAD_KINDS, SERVICES, Load
from tests.simulation.network import Ailment
from tests.simulation.releases import GOOD, Release
from tests.simulation.rows import Rows
from tests.simulation.site import Site
from tests.simulation.watch import Watch
from tests.simulation.world import World
from tocsin.core.kept import Stage
from tocsin.core.requests import Tick, decode_record
from tocsin.core.statements import PersonWord
from tocsin.topology import LEDGER, REQUESTS

End = Callable[[], None]
CREATORS: Final = ("creator-1", "creator-2")
SKEW_S: Final = 0.9
"""So far the clocks of two regions that call themselves ready may be off, each."""


@dataclass
class Scene:
    """Where a fault happens."""

    world: World
    watch: Watch
    load: Load
    region: str
    length_s: float
    chance: random.Random

    @property
    def site(self) -> Site:
        """The region that is hit."""
        return self.world.sites[self.region]

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Has something happen while the fault lasts."""
        self.world.around.later(delay_s, act)

    def some_times(self, most: int) -> list[float]:
        """Moments while the fault lasts, at least one."""
        return sorted(self.chance.uniform(0, self.length_s) for _ in range(self.chance.randint(1, most)))

    def trouble(self) -> End:
        """From now on until it ends, illness of the region is no surprise."""
        troubles = self.watch.trouble_until_s
        troubles[self.region] = float("inf")
        return lambda: troubles.update({self.region: self.world.now_s})


def _ail(scene: Scene, ailment: Ailment) -> End:
    """The region's store ails."""
    server, healed = scene.site.database.server, scene.trouble()
    server.ailments.append(ailment)

    def end() -> None:
        server.ailments.remove(ailment)
        if not server.ailments:
            healed()

    return end


# The mirror ----------------------------------------------------------------------------------------------------------


def cut(scene: Scene) -> tuple[str, End]:
    """A mirror is cut, one way or both ways, for all topics or one."""
    chance, world = scene.chance, scene.world
    topics = chance.choice((frozenset({REQUESTS, LEDGER}),) * 2 + (frozenset({REQUESTS}), frozenset({LEDGER})))
    pairs = [pair for pair in world.links if scene.region in pair]
    cut_pairs = pairs if chance.random() < 0.4 else [chance.choice(pairs)]
    dead = ailments.Dead(0.5)
    for source, target in cut_pairs:
        world.links[source, target].cuts.append(topics)
        if REQUESTS in topics:
            world.peer_servers[target, source].ailments.append(dead)

    def end() -> None:
        for source, target in cut_pairs:
            link = world.links[source, target]
            link.cuts.remove(topics)
            link.heal()
            if REQUESTS in topics:
                world.peer_servers[target, source].ailments.remove(dead)

    return f"{', '.join(f'{s}>{t}' for s, t in cut_pairs)} cut for {', '.join(sorted(topics))}", end


def delay(scene: Scene) -> tuple[str, End]:
    """Mirrors of the region lag behind."""
    delay_s = scene.chance.choice((0.3, 1.0, 3.0, 8.0))
    links = [link for pair, link in scene.world.links.items() if pair[0] == scene.region]
    for link in links:
        link.delays_s.append(delay_s)

    def end() -> None:
        for link in links:
            link.delays_s.remove(delay_s)

    return f"mirrors of {scene.region} are {delay_s} s late", end


def duplicate(scene: Scene) -> tuple[str, End]:
    """Mirrors of the region copy batches twice, and begin again at earlier positions."""
    often = scene.chance.uniform(0.2, 0.7)
    links = [link for pair, link in scene.world.links.items() if pair[0] == scene.region]
    for link in links:
        link.repeats.append(often)
    for at_s in scene.some_times(3):
        for link in links:
            scene.later(at_s, lambda link=link: link.set_back(scene.chance))  # type: ignore[misc]

    def end() -> None:
        for link in links:
            link.repeats.remove(often)

    return f"mirrors of {scene.region} repeat {often:.0%} of their batches", end


# The store and the log -----------------------------------------------------------------------------------------------


def store_dead(scene: Scene) -> tuple[str, End]:
    """The store answers nothing."""
    delay_s = scene.chance.choice((0.05, 1.0, 4.0))
    return f"the store is dead, found out after up to {delay_s} s", _ail(scene, ailments.Dead(delay_s))


def store_slow(scene: Scene) -> tuple[str, End]:
    """The store takes its time."""
    delay_s = scene.chance.choice((0.2, 1.0, 3.0))
    return f"the store is up to {delay_s} s slow", _ail(scene, ailments.Slow(delay_s))


def store_unsure(scene: Scene) -> tuple[str, End]:
    """The store loses writes, or their answers."""
    often = scene.chance.uniform(0.1, 0.6)
    return f"the store loses {often:.0%} of writes, or their answers", _ail(scene, ailments.Unsure(often))


def store_partly(scene: Scene) -> tuple[str, End]:
    """Some keys of the store give no answer."""
    tables = scene.chance.choice(
        (("entry", "read entry", "incident"), ("entry", "read entry", "incident", "kept"), ("entry",), ("incident",))
    )
    share = scene.chance.choice((2, 4, 10))
    ailment = ailments.Partly(scene.chance.getrandbits(16), share, tables)
    return f"one in {share} parents gives no answer in {', '.join(tables)}", _ail(scene, ailment)


def store_full(scene: Scene) -> tuple[str, End]:
    """The store has no room left."""
    small = scene.chance.random() < 0.5
    return f"the store is full{', for what would make it grow' if small else ''}", _ail(scene, ailments.Full(small))


def store_refuses(scene: Scene) -> tuple[str, End]:
    """The store refuses some rows that the peers take."""
    table = scene.chance.choice(("entry", "entry", "incident"))
    share = scene.chance.choice((3, 8, 20))
    ailment = ailments.Refusing(scene.chance.getrandbits(16), share, table)
    return f"the store refuses one in {share} parents' rows of {table}", _ail(scene, ailment)


def log_away(scene: Scene) -> tuple[str, End]:
    """The log answers nothing."""
    return "the log is away", _ail_log(scene, ailments.Dead(scene.chance.choice((0.05, 2.0))))


def log_unsure(scene: Scene) -> tuple[str, End]:
    """The log loses appends, or their answers, and is slow."""
    often = scene.chance.uniform(0.1, 0.5)
    return f"the log loses {often:.0%} of appends, or their answers", _ail_log(scene, ailments.Unsure(often))


def _ail_log(scene: Scene, ailment: Ailment) -> End:
    server = scene.site.log
    server.ailments.append(ailment)

    def end() -> None:
        server.ailments.remove(ailment)
        for link in scene.world.links.values():
            link.heal()

    return end


def retention(scene: Scene) -> tuple[str, End]:
    """Retention takes what is old, read or not."""
    for at_s in scene.some_times(3):
        scene.later(at_s, lambda: _truncate(scene))
    return "retention takes more than it should", _nothing


def _truncate(scene: Scene) -> None:
    """Never what a mirror has still to copy: what that costs a peer, no row of it names."""
    world, site = scene.world, scene.site
    for (topic, partition), part in site.records.parts.items():
        if topic.endswith(LEDGER):
            continue
        copied = (
            [link.position(topic, partition) for link in world.links.values() if link.source == site.name]
            if topic == REQUESTS
            else []
        )
        start = min([*copied, part.end]) - scene.chance.choice((0, 0, 10, 40))
        for record in part.records[part.start : max(part.start, start)]:
            content = decode_record(record) if record is not None else None
            if content is not None and not isinstance(content, Tick):
                scene.watch.truncated[site.name].add(content.key)
        site.records.truncate(topic, partition, start)


def _nothing() -> None:
    """It ends by itself."""


# Processes -----------------------------------------------------------------------------------------------------------


def kill(scene: Scene) -> tuple[str, End]:
    """Creators (and the intake) are killed, at any step."""
    for at_s in scene.some_times(5):
        name = scene.chance.choice((*CREATORS, "creator-1", "creator-1", "intake"))
        steps = scene.chance.choice((1, 5, 50, 400)) + scene.chance.randrange(50)
        scene.later(at_s, lambda name=name, steps=steps: scene.site.kill(name, steps))  # type: ignore[misc]
    return "creators are killed", _nothing


def hang(scene: Scene) -> tuple[str, End]:
    """A creator takes no step for a while."""
    name = scene.chance.choice(CREATORS if scene.world.shape.creators > 1 else CREATORS[:1])
    healed = scene.trouble()
    scene.site.hang(name, scene.length_s)
    return f"{name} hangs", healed


def owner_change(scene: Scene) -> tuple[str, End]:
    """Partition numbers move from one creator to another and back."""
    site = scene.site
    first, second = scene.chance.sample(CREATORS, 2)
    wanted = set(site.wanted)
    site.start(second)
    if scene.chance.random() < 0.7:
        site.stop(first)
    else:
        site.wanted.discard(first)
        site.kill(first, scene.chance.randrange(50))

    def end() -> None:
        for name in CREATORS:
            if name in wanted:
                site.start(name)
            else:
                site.stop(name)

    return f"{second} takes over from {first}", end


def clock_skew(scene: Scene) -> tuple[str, End]:
    """The clocks of a region are off, sometimes by more than the bound, and step as they are set."""
    bad = scene.chance.random() < 0.3
    skew_s = scene.chance.uniform(-30, 30) if bad else scene.chance.uniform(-SKEW_S, SKEW_S)
    scene.world.clocks_off = scene.world.clocks_off or bad
    before_s = scene.site.skew_s
    scene.site.set_skew(skew_s)
    return f"the clocks step to {skew_s:+.2f} s", lambda: scene.site.set_skew(before_s)


def region_loss(scene: Scene) -> tuple[str, End]:
    """A whole region is away, and comes back with what it had."""
    site, dead = scene.site, ailments.Dead(1.0)
    site.lost = True
    for name in list(site.running):
        site.kill(name)
    for server in (site.log, site.database.server):
        server.ailments.append(dead)

    def end() -> None:
        site.lost = False
        for server in (site.log, site.database.server):
            server.ailments.remove(dead)
        for name in sorted(site.wanted):
            site.start(name)
        for link in scene.world.links.values():
            link.heal()

    return "the region is lost", end


def restore(scene: Scene) -> tuple[str, End]:
    """A backup is taken, and later put in the place of the database: progress first, then the data."""
    site = scene.site
    taken: list[Rows] = []
    progress = site.rows.backup()
    scene.later(min(scene.length_s / 2, scene.chance.uniform(0, 3)), lambda: taken.append(site.rows.backup()))

    def end() -> None:
        backup = (taken or [site.rows.backup()])[0]
        backup._progress = progress._progress
        backup.identity = f"{site.rows.identity}'"
        for name in (*CREATORS, "querier"):
            site.kill(name)
        site.database.rows = backup
        site.database.server.generation += 1
        scene.watch.restored(site.name)
        scene.world.tell(site.name, f"is restored from a backup that is {scene.length_s:.0f} s old")

    return "a backup is taken", end


# Releases ------------------------------------------------------------------------------------------------------------


def release_refuses(scene: Scene) -> tuple[str, End]:
    """A release whose validator refuses what the others take; in one region, or rolled out everywhere."""
    share = scene.chance.choice((3, 10, 25))
    return _roll(scene, Release("refuses", salt=scene.chance.getrandbits(16), rejects=share), everywhere=0.3)


def release_older(scene: Scene) -> tuple[str, End]:
    """A region still runs the release that reads schema version 1 alone."""
    return _roll(scene, Release("older", schema=1), everywhere=0.1)


def release_dies(scene: Scene) -> tuple[str, End]:
    """A release that some requests kill."""
    return _roll(scene, Release("dies", salt=scene.chance.getrandbits(16), dies_of=25), everywhere=0.2)


def _roll(scene: Scene, release: Release, *, everywhere: float) -> tuple[str, End]:
    chance = scene.chance
    sites = list(scene.world.sites.values()) if chance.random() < everywhere else [scene.site]
    for site in sites:
        scene.later(chance.uniform(0, scene.length_s / 3), lambda site=site: _install(scene, site, release))  # type: ignore[misc]

    def end() -> None:
        for site in sites:
            _install(scene, site, GOOD)

    return f"release {release} in {', '.join(site.name for site in sites)}", end


def _install(scene: Scene, site: Site, release: Release) -> None:
    site.release = release
    for name in CREATORS:
        if scene.chance.random() < 0.7:
            site.stop(name, wanted=True)
        else:
            site.kill(name)


# People and clients --------------------------------------------------------------------------------------------------


def orders(scene: Scene) -> tuple[str, End]:
    """People drop and redrive requests, what failed above all, some of them twice under one number."""
    for at_s in scene.some_times(6):
        scene.later(at_s, lambda: _order(scene))
    return "people drop and redrive", _nothing


def _order(scene: Scene) -> None:
    world, chance = scene.world, scene.chance
    open_keys = [
        key for site in world.sites.values() for key, kept in site.rows.kept.items() if kept.stage is not Stage.DONE
    ]
    keys = open_keys if open_keys and chance.random() < 0.8 else list(world.known)
    if not keys:
        return
    key, word = chance.choice(keys), chance.choice((PersonWord.DROPPED, PersonWord.REDRIVE))
    world.order(scene.region, key, word)
    if chance.random() < 0.2:  # two people at one time, who do not know of each other
        other = chance.choice((PersonWord.DROPPED, PersonWord.REDRIVE))
        world.order(chance.choice(sorted(world.sites)), key, other, world.orders[key])


def drain(scene: Scene) -> tuple[str, End]:
    """People drain a region, and have it join again."""
    said_in = scene.chance.choice(sorted(scene.world.sites))
    scene.world.order_region(said_in, scene.region, PersonWord.DRAINED)
    return "is drained", lambda: scene.world.order_region(said_in, scene.region, PersonWord.JOINED)


def foreign(scene: Scene) -> tuple[str, End]:
    """A foreign producer appends what nobody can store: of one service, or of many."""
    chance = scene.chance
    services = chance.sample([service.id for service in SERVICES], chance.choice((1, 2, 8)))
    for at_s in scene.some_times(8):
        kind, service = chance.choice(BAD_KINDS), chance.choice(services)
        scene.later(at_s, lambda k=kind, s=service: scene.load.append_bad(scene.region, k, s))  # type: ignore[misc]
    return f"bad requests of {len(services)} services", _nothing


def burst(scene: Scene) -> tuple[str, End]:
    """Many events at one time; of one parent, sometimes."""
    hot = f"alert-{scene.chance.randrange(40)}" if scene.chance.random() < 0.5 else None
    service = scene.chance.choice(SERVICES) if hot else None
    for _ in range(scene.chance.randint(30, 90)):
        at_s = scene.chance.uniform(0, min(2.0, scene.length_s))
        scene.later(at_s, lambda: scene.load.send(hot, service))
    return f"a burst{f' of {hot}' if hot else ''}", _nothing


def collision(scene: Scene) -> tuple[str, End]:
    """Ids that collide, and one request sent to two regions."""
    for at_s in scene.some_times(10):
        kind = scene.chance.choice(("collision", "twins"))
        scene.later(at_s, lambda kind=kind: scene.load.send_pair(kind))  # type: ignore[misc]
    return "ids collide", _nothing


KINDS: Final[dict[str, Callable[[Scene], tuple[str, End]]]] = {
    "cut": cut,
    "delay": delay,
    "duplicate": duplicate,
    "store dead": store_dead,
    "store slow": store_slow,
    "store unsure": store_unsure,
    "store partly": store_partly,
    "store full": store_full,
    "store refuses": store_refuses,
    "log away": log_away,
    "log unsure": log_unsure,
    "retention": retention,
    "kill": kill,
    "hang": hang,
    "owner change": owner_change,
    "clock skew": clock_skew,
    "region loss": region_loss,
    "restore": restore,
    "release refuses": release_refuses,
    "release older": release_older,
    "release dies": release_dies,
    "orders": orders,
    "drain": drain,
    "foreign": foreign,
    "burst": burst,
    "collision": collision,
}
ALONE: Final = frozenset(
    {
        "region loss",
        "restore",
        "release refuses",
        "release older",
        "release dies",
        "owner change",
        "clock skew",
        "drain",
        "hang",
    }
)
"""Of these a region suffers one at a time: two of them would undo each other's end."""

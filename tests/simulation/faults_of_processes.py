"""Faults of processes and of what runs in them: kills, hangs, hand-overs, clocks, lost and restored regions, releases.

Each begins, says what it is in words, and returns what ends it.
"""

from typing import Final

from tests.simulation import ailments
from tests.simulation.releases import GOOD, Release
from tests.simulation.rows import Rows
from tests.simulation.scene import CREATORS, End, Scene, ends_by_itself
from tests.simulation.site import Site

SKEW_S: Final = 0.9
"""So far the clocks of two regions that call themselves ready may be off, each."""


# Processes -----------------------------------------------------------------------------------------------------------


def kill(scene: Scene) -> tuple[str, End]:
    """Creators (and the intake) are killed, at any step."""
    for at_s in scene.some_times(5):
        name = scene.chance.choice((*CREATORS, "creator-1", "creator-1", "intake"))
        steps = scene.chance.choice((1, 5, 50, 400)) + scene.chance.randrange(50)
        scene.later(at_s, lambda name=name, steps=steps: scene.site.kill(name, steps))  # type: ignore[misc]
    return "creators are killed", ends_by_itself


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

"""What people and clients do at bad moments: drop, redrive, drain, send rubbish, send very much at one time.

Each begins, says what it is in words, and returns what ends it.
"""

from tests.simulation.load import BAD_KINDS, SERVICES
from tests.simulation.scene import End, Scene, ends_by_itself
from tocsin.core.kept import Stage
from tocsin.core.statements import PersonWord

# People and clients --------------------------------------------------------------------------------------------------


def orders(scene: Scene) -> tuple[str, End]:
    """People drop and redrive requests, what failed above all, some of them twice under one number."""
    for at_s in scene.some_times(6):
        scene.later(at_s, lambda: _order(scene))
    return "people drop and redrive", ends_by_itself


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
    return f"bad requests of {len(services)} services", ends_by_itself


def burst(scene: Scene) -> tuple[str, End]:
    """Many events at one time; of one parent, sometimes."""
    hot = f"alert-{scene.chance.randrange(40)}" if scene.chance.random() < 0.5 else None
    service = scene.chance.choice(SERVICES) if hot else None
    for _ in range(scene.chance.randint(30, 90)):
        at_s = scene.chance.uniform(0, min(2.0, scene.length_s))
        scene.later(at_s, lambda: scene.load.send(hot, service))
    return f"a burst{f' of {hot}' if hot else ''}", ends_by_itself


def collision(scene: Scene) -> tuple[str, End]:
    """Ids that collide, and one request sent to two regions."""
    for at_s in scene.some_times(10):
        kind = scene.chance.choice(("collision", "twins"))
        scene.later(at_s, lambda kind=kind: scene.load.send_pair(kind))  # type: ignore[misc]
    return "ids collide", ends_by_itself

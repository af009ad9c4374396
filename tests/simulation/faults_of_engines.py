"""Faults of what Tocsin stands on: mirrors, stores, logs.

Each begins, says what it is in words, and returns what ends it.
"""

from tests.simulation import ailments
from tests.simulation.network import Ailment
from tests.simulation.scene import End, Scene, ends_by_itself
from tocsin.core.requests import Tick, decode_record
from tocsin.topology import LEDGER, REQUESTS


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
    often, delay_s = scene.chance.uniform(0.1, 0.5), scene.chance.choice((0.0, 0.4, 1.5))
    ends = [_ail_log(scene, ailment) for ailment in (ailments.Unsure(often), ailments.Slow(delay_s))]

    def end() -> None:
        for one in ends:
            one()

    return f"the log loses {often:.0%} of appends, or their answers, and is up to {delay_s} s slow", end


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
    return "retention takes more than it should", ends_by_itself


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

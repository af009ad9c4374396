"""The topics that a set starts with: each region's own, and the copies that its mirrors write.

They are made before the mirrors start: a mirror that finds a topic later pauses all others to take it up.
"""

from tocsin.engines.opening import open_log
from tocsin.engines.topics import make_topics
from tocsin.ops.local import kafka
from tocsin.ops.local.mirrormaker import PROBE, remembered
from tocsin.settings import Settings
from tocsin.topology import Peer, Region


async def make(bootstrap: str, region: Region, settings: Settings) -> None:
    """Makes a region's topics where they are missing, and has its mirrors forget addresses.

    Raises `Misconfigured` for those of an earlier start that do not fit, `Unavailable` and KafkaError.
    """
    await kafka.remove_topics(bootstrap, [remembered(alias(peer)) for peer in region.peers])
    probes = [PROBE, *(f"{alias(peer)}.{PROBE}" for peer in region.peers)]
    await kafka.make_topics(bootstrap, [kafka.probe(name) for name in probes])
    log = open_log(region, settings)
    try:
        await make_topics(log, region)
    finally:
        await log.close()


def alias(peer: Peer) -> str:
    """What a mirror calls a peer: MirrorMaker puts that and a dot before the names of its topics."""
    return peer.mirror_prefix.removesuffix(".")

"""The guard before a deployed target: what must be so before anybody's region is broken on purpose.

A region that people use is broken only when its name was typed out (a habit, or a line from the shell's history, must
not be enough), and while another region serves: a drill that takes the last one away is an outage.
"""

import asyncio
from collections.abc import Collection, Iterable
from typing import Final

import httpx2

from tocsin.config import nearest
from tocsin.topology import Region

ANSWER_S_MAX: Final = 5.0


def refusal(typed: str | None, regions: Collection[str], *, serving: Collection[str]) -> str:
    """Why a region may not be broken, naming the rule and the way out; empty when it may. `serving`: which do now."""
    if typed is None:
        return f"a deployed region is broken only by its name: type it out with --region; known: {', '.join(regions)}"
    if typed not in regions:
        return f"there is no region {typed!r}{nearest(typed, regions)}"
    peers = sorted(set(serving) - {typed})
    if not peers:
        return (
            f"no other region than {typed} serves now, so breaking it is an outage and no drill: wait until a peer "
            "serves (tocsin region ls)"
        )
    return ""


async def serving(regions: Iterable[Region]) -> list[str]:
    """Which regions' queriers say that they are ready; one that does not answer does not serve."""
    regions = list(regions)
    async with httpx2.AsyncClient(timeout=ANSWER_S_MAX) as client:
        ready = await asyncio.gather(*(_is_ready(client, region) for region in regions))
    return [region.name for region, is_ready in zip(regions, ready, strict=True) if is_ready]


async def _is_ready(client: httpx2.AsyncClient, region: Region) -> bool:
    place = region.querier
    try:
        answer = await client.get(f"http://{place.host}:{place.admin_port}/health/ready")
    except httpx2.HTTPError:
        return False
    return answer.status_code == httpx2.codes.OK

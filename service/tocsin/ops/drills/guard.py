"""The guard before a deployed target: what must be so before anybody's region is broken on purpose.

A region that people use is broken only when its name was typed out (a habit, or a line from the shell's history, must
not be enough), and while another region serves: a drill that takes the last one away is an outage.
"""

from collections.abc import Collection

from tocsin.config import nearest


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

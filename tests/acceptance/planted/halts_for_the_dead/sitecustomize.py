"""A planted defect: the last word of a region that is gone still counts as one of a region that serves.

Python imports a `sitecustomize` that it finds on its path before anything else, so a role whose PYTHONPATH names this
folder runs its real entry point over a core with this one decision changed: whether a peer can be asked is forgotten.
"""

from tocsin.core import verdict


def _serves_though_gone(peer: verdict.Peer) -> bool:
    return not (peer.drained or peer.halted or peer.ill)


verdict.Peer.serves = property(_serves_though_gone)  # type: ignore[assignment]

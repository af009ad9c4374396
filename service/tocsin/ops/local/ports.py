"""Ports that stay ours while nobody listens on them.

A server that is killed and started again must have its port again, and a network path that is cut must refuse, not lead
to whoever came by. A port chosen free and let go is anybody's, most often the next outgoing connection's. So the
socket by which it was found stays bound and never listens: on Linux another socket may be bound beside it when
both say SO_REUSEADDR, as Java's and asyncio's servers do, while the kernel gives the port to nobody who does not ask
for it by number; and a connection to a port where nobody listens is refused.
"""

import socket
from typing import Final

HOST: Final = "127.0.0.1"


class Ports:
    """Reserved ports of the loopback address, until `close`."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def reserve(self) -> int:
        """A port that was free, and that from now on only those get who ask for it by number."""
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._held.append(held)
        held.bind((HOST, 0))
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # after bind: with it, bind shares others' ports
        return int(held.getsockname()[1])

    def close(self) -> None:
        """Lets all go."""
        for held in self._held:
            held.close()
        self._held.clear()

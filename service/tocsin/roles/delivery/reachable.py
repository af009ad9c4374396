"""Which hosts a user's URL may make us call: those of the outside, never those beside us.

Theory
------
Who may name a URL may have us send requests from inside our network (SSRF): to an admin port, to the metadata service
of a cloud, to a database. So the name is resolved here, *every* address of it must be a public one, and the connection
is made to an address that was checked; a name that is looked up again for the connection may have changed its answer
meanwhile (DNS rebinding). Redirects are not followed by who calls this.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

THREADS_MAX: Final = 64
"""As many as there are calls at one time; they are made as they are needed."""
LOOK_UP_S: Final = 5.0


class Unreachable(Exception):
    """The host is not known, for now. The text says why."""


class Forbidden(Exception):
    """The host may not be called. The text says why."""


class Resolver:
    """Looks names up, in threads of its own: names that nobody answers for must not hold up what else has threads."""

    def __init__(self, *, allow_private: bool = False, private_allowed: Collection[str] = ()) -> None:
        """`private_allowed`: what may be called although it is inside, as `host:port`."""
        self._allow_private = allow_private
        self._private_allowed = frozenset(private_allowed)
        self._threads = ThreadPoolExecutor(THREADS_MAX, "resolver")

    async def address_of(self, host: str, port: int) -> str:
        """An address to connect to; raises Unreachable, Forbidden."""
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            async with asyncio.timeout(LOOK_UP_S):
                found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        except TimeoutError:
            raise Unreachable(f"nobody says within {LOOK_UP_S:.0f} s what {host} is") from None
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"the name {host} is not known: {error}") from error
        addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
        is_allowed = self._allow_private or f"{host}:{port}" in self._private_allowed
        for address in addresses:
            if not is_allowed and not is_public(address):
                raise Forbidden(f"{host} is {address}, inside a network that is not to be called from here")
        return addresses[0]

    def close(self) -> None:
        """Ends the threads, those that look up once they know."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def is_public(address: str) -> bool:
    """Whether an address belongs to the Internet at large; what carries an IPv4 address within is judged by that."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        within = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if within is None and parsed in _NAT64:
            within = ipaddress.IPv4Address(int(parsed) & 0xFFFF_FFFF)
        if within is not None:
            return is_public(str(within))
    return parsed.is_global and not parsed.is_multicast


_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")

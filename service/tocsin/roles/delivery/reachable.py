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


class Unreachable(Exception):
    """The host may not be called, or is not known. The text says why."""


async def address_of(host: str, port: int, *, allow_private: bool = False) -> str:
    """An address to connect to; raises Unreachable."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"the name {host} is not known: {error}") from error
    addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    for address in addresses:
        if not allow_private and not is_public(address):
            raise Unreachable(f"{host} is {address}, inside a network that is not to be called from here")
    if not addresses:
        raise Unreachable(f"the name {host} has no address")
    return addresses[0]


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


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

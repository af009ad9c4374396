"""The cell of an entry: all of it in one value, which Cassandra settles by write time and then by the bytes.

Theory
------
Of several records of one request the entry is the one with the lowest (received-at, region). Of two values of a cell
Cassandra keeps the one with the higher write time, whatever order they come in, and of two with one time the one whose
bytes are higher. So the write time is 2^62 less received-at, and the cell begins with the region's name turned over,
each bit inverted: the lower the name, the higher the bytes. All else is in the same cell, or two records that were
received in one microsecond would be mixed.
"""

import struct
from functools import lru_cache
from typing import Final

from tocsin.core.entries import Entry
from tocsin.core.ids import RequestKey
from tocsin.core.requests import TIME_US_MAX

UNENCODABLE: Final = (struct.error, OverflowError, UnicodeEncodeError)
"""What `encode` raises for values that no cell can hold."""
_INVERTED: Final = bytes(255 - byte for byte in range(256))
_END: Final = b"\xff\xff"
_HEADER: Final = struct.Struct(">qqH")


def write_time(received_us: int) -> int:
    """The write time of an entry: the earlier it was received, the higher. What erases is above all of them."""
    return TIME_US_MAX - received_us


def encode(entry: Entry) -> bytes:
    """The cell of an entry; raises one of `UNENCODABLE`."""
    action = entry.action.encode()
    header = _HEADER.pack(entry.received_us, entry.schema, len(action))
    return b"".join((_inverted(entry.region), header, action, entry.body))


def decode(key: RequestKey, cell: bytes) -> Entry:
    """The entry of a key and its cell; raises ValueError when it is damaged."""
    try:
        at = cell.index(_END)
        received_us, schema, action_bytes = _HEADER.unpack_from(cell, at + len(_END))
    except struct.error as error:
        message = f"the cell of entry {key.printed} is damaged: it ends early"
        raise ValueError(message) from error
    region = cell[:at].translate(_INVERTED).replace(b"\0\xff", b"\0").decode()
    start = at + len(_END) + _HEADER.size
    action = cell[start : start + action_bytes].decode()
    return Entry(key, received_us, region, schema, action, cell[start + action_bytes :])


@lru_cache(maxsize=64)
def _inverted(region: str) -> bytes:
    """A name so that of two the lower has the higher bytes, also when one begins with the other. NUL is escaped, so
    that the end is found.
    """
    return (region.encode().replace(b"\0", b"\0\xff") + b"\0\0").translate(_INVERTED)

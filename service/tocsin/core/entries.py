"""Entries: the immutable rows that requests become.

Of records with one request key the one with the lowest (received-at, region) is the entry, in every store and region:
replay, duplication and reordering change nothing, because the minimum does not depend on the order of its arguments.
"""

from typing import NamedTuple

import msgspec

from tocsin.core.ids import RequestKey, digest


class Entry(NamedTuple):
    """One row of the incident log. `body` is opaque to stores; `received_us` is Unix microseconds."""

    key: RequestKey
    received_us: int
    region: str
    schema: int
    action: str
    body: bytes

    @property
    def order(self) -> tuple[int, int, bytes]:
        """The place in the fold of the parent's entries."""
        return self.received_us, self.key.id, self.key.digest

    def precedes(self, other: "Entry") -> bool:
        """Whether this record, not the other, is the entry of their common key."""
        return (self.received_us, self.region) < (other.received_us, other.region)

    def row_digest(self) -> bytes:
        """A digest of every field of the row: two regions hold the same entry exactly when these are equal."""
        return digest(
            self.key.parent.encode(),
            self.key.id.to_bytes(8, "big"),
            self.key.digest,
            self.received_us.to_bytes(8, "big", signed=True),
            self.region.encode(),
            self.schema.to_bytes(8, "big", signed=True),
            self.action.encode(),
            self.body,
        )


class EntryFilter(msgspec.Struct, frozen=True):
    """What to list, newest first: empty sequences mean any. `since_us` and `until_us` bound `received_us` (until
    excluded).
    """

    services: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    since_us: int | None = None
    until_us: int | None = None
    offset: int = 0
    limit: int = 25

"""The budget: how many services may have requests skipped before a person must look.

Theory
------
A bad release everywhere makes every region refuse good requests, and then nothing that compares regions can tell. So
what would be quarantined or set aside as bad counts its *service* (one noisy service with a thousand bad requests is
one fault; a thousand services with one each is ours). When more distinct services than the setting, or than half of
those seen in the last hour (of at least two), have been counted, the budget is spent: the replica halts instead of
skipping, until a person releases it. Undecodable records count as one service a source; UNAVAILABLE and TOO_NEW never
count.
"""

from collections.abc import Collection

import msgspec


class Budget(msgspec.Struct, frozen=True):
    """A replica's budget, kept in its outcome store. `counted` is sorted."""

    counted: tuple[str, ...] = ()
    spent: bool = False

    def count(self, service: str, seen: Collection[str], *, services_max: int) -> "Budget":
        """The budget after this service had a request skipped, or was about to.

        `seen` are the services of the last hour. A budget that would be exceeded is spent *instead*: the service is
        not added, and the request must not be skipped.
        """
        if self.spent or service in self.counted:
            return self
        counted = tuple(sorted({*self.counted, service}))
        known = len({*seen, *counted})
        if len(counted) > services_max or (known > 1 and 2 * len(counted) > known):
            return Budget(self.counted, spent=True)
        return Budget(counted)

    def encode(self) -> bytes:
        """The budget as a document's bytes."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> "Budget":
        """The budget of a document's bytes; raises msgspec.DecodeError when they are not that."""
        return msgspec.json.decode(raw, type=cls)

"""The budget: how many services may have requests skipped before a person must look.

Theory
------
A bad release everywhere makes every region refuse good requests, and then nothing that compares regions can tell. So
what would be quarantined or set aside as bad counts its *service* (one noisy service with a thousand bad requests is
one fault; a thousand services with one each is ours). When more distinct services than the setting, or than half of
those seen in the last hour (of at least two), have been counted, the budget is spent: the replica halts instead of
skipping, until a person releases it. Undecodable records count as one service; UNAVAILABLE and TOO_NEW never
count.
"""

from collections.abc import Collection

import msgspec

from tocsin.core.documents import decode_document


class Budget(msgspec.Struct, frozen=True):
    """A replica's budget, kept in its outcome store. `counted` is sorted."""

    counted: tuple[str, ...] = ()
    spent: bool = False
    released: tuple[str, ...] = ()
    """Services that were held when a person released the budget: they count no more, until the next release."""

    @property
    def admitted(self) -> frozenset[str]:
        """The services whose requests may be skipped as long as the budget is not spent."""
        return frozenset((*self.counted, *self.released))

    def count(self, service: str, seen: Collection[str], *, services_max: int) -> "Budget":
        """The budget after this service had a request skipped, or was about to.

        `seen` are the services of the last hour. A budget that would be exceeded is spent *instead*: the service is
        not added, and the request must not be skipped.
        """
        if self.spent or service in self.admitted:
            return self
        counted = tuple(sorted({*self.counted, service}))
        known = len({*seen, *counted} - set(self.released))
        if len(counted) > services_max or (known > 1 and 2 * len(counted) > known):
            return msgspec.structs.replace(self, spent=True)
        return msgspec.structs.replace(self, counted=counted)

    def release(self, held: Collection[str]) -> "Budget":
        """The budget after a person has looked: nothing is counted, and what is `held` because of it may pass."""
        return Budget(released=tuple(sorted(set(held))))

    def encode(self) -> bytes:
        """The budget as a document's bytes."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> "Budget":
        """The budget of a document's bytes; raises ValueError when they are not that."""
        return decode_document(raw, cls)

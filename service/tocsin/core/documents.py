"""Documents: the small rows of JSON in which a replica's creators write down what concerns it as a whole.

Creators write them, and queriers and people's commands read them; a name or a field spelt in two places would one day
be spelt in two ways. A reader ignores fields that it does not know, so a newer creator may write more. The budget is
such a document too, with a page of its own (`budget.py`).
"""

from typing import Final, Self, TypeVar

import msgspec

T = TypeVar("T")

BUDGET: Final = "budget"
REGION_WORDS: Final = "region-words"
SERVICES_SEEN: Final = "services-seen"
STATUS_PREFIX: Final = "status/"
PAGER_PREFIX: Final = "pager/"


def decode_document(raw: bytes, kind: type[T]) -> T:
    """The value of a document's bytes; raises ValueError when they are not that."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except RecursionError as error:
        raise ValueError("the document is nested without end") from error


class _Written(msgspec.Struct, frozen=True, kw_only=True):
    """A document's value."""

    def encode(self) -> bytes:
        """The document's bytes."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """The value of a document's bytes; raises ValueError when they are not that."""
        return decode_document(raw, cls)


class RegionWords(_Written, frozen=True, kw_only=True):
    """What people said of regions, as this replica's creators read it in the ledgers."""

    drained: tuple[str, ...]
    """The regions that count as drained, by name."""


class ServicesSeen(_Written, frozen=True, kw_only=True):
    """The services of which requests came lately: half of them is a bound of the budget."""

    seen_us: dict[str, int]
    """When the latest request of each came, in Unix microseconds."""


class Position(msgspec.Struct, frozen=True):
    """Where in a topic: `offset` and all above it is still to be read. Elsewhere than in this log it means nothing."""

    cluster: str
    incarnation: str
    offset: int


class PagerPositions(_Written, frozen=True, kw_only=True):
    """How far the inputs of one user partition are in what is kept of its users. Its version is its owner's fence."""

    topics: dict[str, Position]

    @staticmethod
    def name(partition: int) -> str:
        """The name of the document."""
        return f"{PAGER_PREFIX}{partition}"


class PartitionStatus(_Written, frozen=True, kw_only=True):
    """How one partition number was when its owner last wrote it down."""

    partition: int
    at_us: int
    epoch: int
    phase: str
    halted: tuple[str, ...]
    """Why it takes no new sets, `<request>: <row of the table>`; empty when it does."""
    ill: bool
    """The store has answered nothing for longer than the grace."""
    store_answers: bool
    lag_records: int
    lag_s: float
    held: int
    set_aside: int
    quarantined: int
    incarnation: int

    @property
    def name(self) -> str:
        """The name of the document."""
        return f"{STATUS_PREFIX}{self.partition}"

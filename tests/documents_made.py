"""Documents as creators write them, for the tests of those who read them."""

from collections.abc import Sequence

from tocsin.core.documents import REGION_WORDS, PartitionStatus, RegionWords
from tocsin.engines.store import Document


def status(
    partition: int,
    *,
    at_us: int = 1,
    halted: Sequence[str] = (),
    ill: bool = False,
    held: int = 0,
    set_aside: int = 0,
    quarantined: int = 0,
) -> Document:
    """How a partition number is: running, unless said otherwise."""
    written = PartitionStatus(
        partition=partition,
        at_us=at_us,
        epoch=1,
        phase="running",
        halted=tuple(halted),
        ill=ill,
        store_answers=not ill,
        lag_records=0,
        lag_s=0.0,
        held=held,
        set_aside=set_aside,
        quarantined=quarantined,
        incarnation=1,
    )
    return Document(written.name, at_us, written.encode())


def drained(*regions: str) -> Document:
    """The words of people by which these regions are drained."""
    return Document(REGION_WORDS, 1, RegionWords(drained=regions).encode())

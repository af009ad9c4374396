"""What can change in the environment, at each state of the search.

A change is offered only where something can tell it from the same change made later: a store's fault where a write or
a look waits to be answered, a cut where something waits to be brought across. A change that nobody notices yet is the
same as one that comes just before it is noticed, so nothing is left out by that.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.exploration.region import Head, Nature, Region, opens_or_beats
from tocsin.core.effects import Keep, Look, Mark, Save, Write
from tocsin.core.failures import Kind
from tocsin.core.partition import Phase
from tocsin.core.statements import Payload, PersonWord, RegionOrder, Said

if TYPE_CHECKING:
    from tests.exploration.world import Link


class Change(NamedTuple):
    """A change in one region. `when_quiet`: it makes a difference only when time passes next; `by_person`: said in one
    region, it does not matter which.
    """

    action: tuple[Any, ...]
    when_quiet: bool = False
    by_person: bool = False


DURABLE = (Write, Keep, Mark, Save)


def of_region(region: Region, names: tuple[str, ...]) -> Iterator[Change]:
    """What can change in a region."""
    if region.dead:
        yield Change(("set", "dead", False), when_quiet=True)
        return
    if region.stalled:
        yield Change(("set", "stalled", False), when_quiet=True)
        return
    yield from _of_store(region)
    yield from _of_process(region)
    yield from _by_person(region, names)
    for source, log in region.logs.items():
        if region.machine is not None and region.machine.sources.position(source) < len(log) > region.starts[source]:
            yield Change(("retain", source))


def _of_store(region: Region) -> Iterator[Change]:
    waiting = [op for op in region.ops if isinstance(op, Write | Look)]
    for number, (key, nature) in enumerate(region.natures.items()):
        if key in region.faults or nature is not Nature.GOOD:
            continue
        written = any(isinstance(op, Write) and key in (one.key for one in op.requests) for op in waiting)
        if written:
            yield Change(("fault", number, Kind.REJECTED))
            yield Change(("fault", number, Kind.CRASHED))
        if written or any(isinstance(op, Look) and op.key == key for op in waiting):
            yield Change(("fault", number, Kind.UNAVAILABLE))
    if not region.silent:
        yield Change(("set", "silent", True), when_quiet=not region.ops)
    if region.faults or region.silent:
        yield Change(("lift",), when_quiet=not waiting and not region.silent)
    if region.store.entries or region.store.kept:
        yield Change(("restore",))


def _of_process(region: Region) -> Iterator[Change]:
    machine = region.machine
    if region.old:
        yield Change(("upgrade",))
    elif machine is not None and not (machine.cases.open or region.store.entries or region.ops):
        yield Change(("set", "old", True))
    yield Change(("perish",))
    if machine is None or machine.phase is not Phase.RUNNING:
        return
    yield Change(("crash", None))
    for index, op in enumerate(region.ops):
        if isinstance(op, DURABLE):
            yield Change(("crash", index))
    if region.says and region.head is Head.WAITING and not opens_or_beats(region.says[0]):
        yield Change(("crash", -1))
    if not machine._stopping:
        yield Change(("stop",))
    yield Change(("set", "stalled", True), when_quiet=True)
    yield Change(("halt", not region.halted_elsewhere), when_quiet=True)


def _by_person(region: Region, names: tuple[str, ...]) -> Iterator[Change]:
    drained = drained_regions(region)
    for name in names:
        yield Change(("join" if name in drained else "drain", name), by_person=True)
    for number in range(len(region.natures)):
        yield Change(("drop", number), by_person=True)
        yield Change(("redrive", number), by_person=True)


def drained_regions(region: Region) -> set[str]:
    """The regions that a person has drained, as far as this one was told."""
    latest: dict[str, RegionOrder] = {}
    for ledger in region.ledgers.values():
        for said in ledger.values():
            for one in said:
                if isinstance(one, RegionOrder) and (
                    one.region not in latest or latest[one.region].number < one.number
                ):
                    latest[one.region] = one
    return {name for name, order in latest.items() if order.word is PersonWord.DRAINED}


def of_link(link: "Link", source: Region, quiet: bool) -> Iterator[tuple[str, "Link"]]:  # noqa: FBT001
    """What can change on a mirror."""
    if link.cut:
        yield "mend", link._replace(cut=False)
        return
    waits = bool(link.ledger or link.requests)
    if waits or quiet:
        yield "cut", link._replace(cut=True)
    said = tuple((one,) for statements in source.ledgers[source.name].values() for one in statements)
    records = source.logs["requests"]
    if said != link.ledger or records != link.requests:
        yield "replay", link._replace(ledger=(*link.ledger, *said), requests=(*link.requests, *records))
    for index, batch in enumerate(link.ledger[:2]):
        if any(isinstance(one, Payload) for one in batch) and len(batch) > 1:
            turned = (batch[1:], batch[:1])
            yield "overtake", link._replace(ledger=(*link.ledger[:index], *turned, *link.ledger[index + 1 :]))
    if len(link.ledger) > 1 and not (_is_word(link.ledger[0]) and _is_word(link.ledger[1])):
        yield "overtake", link._replace(ledger=(link.ledger[1], link.ledger[0], *link.ledger[2:]))


def _is_word(batch: tuple[Any, ...]) -> bool:
    return any(isinstance(one, Said) for one in batch)

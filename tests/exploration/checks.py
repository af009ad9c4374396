"""The checkers: the promises of the protocol as functions of what a region did, held, and had been told.

They do not ask the machine what it believes. What peers have said is read from the ledgers as they stand in the region,
who hears us from the echoes that really arrived, and the verdict is derived again from the design's table, by other
code than the core's.
"""

from collections.abc import Iterator
from typing import NamedTuple

from tests.exploration.limits import LIMITS
from tests.exploration.region import Region
from tocsin.core.case import Case
from tocsin.core.effects import Lose
from tocsin.core.failures import Kind
from tocsin.core.ids import RequestKey
from tocsin.core.kept import Kept, Stage
from tocsin.core.partition import Partition, Phase
from tocsin.core.statements import (
    Opened,
    Payload,
    PersonWord,
    RegionOrder,
    RequestOrder,
    Said,
    Standing,
    Statement,
    Word,
)

EVIDENCE = (Kind.REJECTED, Kind.CRASHED)


class View(NamedTuple):
    """A peer, from what really arrived here."""

    name: str
    stored: bool
    refused: bool
    drained: bool
    asked: bool
    halted: bool
    ill: bool

    @property
    def serves(self) -> bool:
        return self.asked and not (self.drained or self.halted or self.ill)


def _statements(region: Region) -> Iterator[Statement]:
    for ledger in region.ledgers.values():
        for said in ledger.values():
            yield from said


def _views(region: Region, key: RequestKey) -> list[View]:
    machine = region.machine
    assert machine is not None
    statements = list(_statements(region))
    fresh = region.now.mono_s - machine.known.hearing._assigned_s < LIMITS.ask_limit_s
    views = []
    for peer in region.peers:
        orders = [one for one in statements if isinstance(one, RegionOrder) and one.region == peer]
        drained = bool(orders) and max(orders, key=lambda one: one.number).word is not PersonWord.JOINED
        beats = [one for one in statements if isinstance(one, Standing) and one.replica.region == peer]
        last = max(beats, key=lambda one: one.beat, default=None)
        current = max(
            (o.incarnation for o in statements if isinstance(o, Opened) and o.replica.region == peer), default=0
        )
        said = [
            one
            for one in statements
            if isinstance(one, Said) and one.key == key and one.replica.region == peer and one.incarnation >= current
        ]
        stored = any(one.word is Word.STORED for one in said)
        latest = max(said, key=lambda one: (one.incarnation, one.attempt), default=None)
        echo_s = region.echoed.get(peer)
        heard = echo_s is not None and region.now.mono_s - echo_s < LIMITS.ask_limit_s
        views.append(
            View(
                peer,
                stored,
                latest is not None and not stored and latest.kind in EVIDENCE,
                drained,
                heard or (fresh and not drained),
                last is not None and last.halted,
                last is not None and last.ill,
            )
        )
    return views


def _is_better(me: str, view: View) -> bool:
    comes_before = view.halted and not view.ill and not view.drained and view.asked and view.name < me
    return view.stored and (view.serves or comes_before)


def _is_dropped(region: Region, key: RequestKey) -> bool:
    orders = [one for one in _statements(region) if isinstance(one, RequestOrder) and one.key == key]
    last = max(orders, key=lambda one: (one.number, one.word is PersonWord.DROPPED), default=None)
    return last is not None and last.word is PersonWord.DROPPED


def of_progress(region: Region) -> list[str]:
    """Promise 6: what is done is stored, or kept whole by a decision, or named as lost."""
    machine, store = region.machine, region.store
    if machine is None:
        return []
    breaches = []
    for source in region.sources:
        runs = machine.sources.runs(source)
        for offset in range(len(region.logs[source])):
            if offset not in runs or store.justifies(region.key_at(source, offset)):
                continue
            if offset >= region.starts[source]:
                breaches.append("progress-before-data")
            elif (source, offset) not in store.lost and not any(isinstance(op, Lose) for op in region.ops):
                breaches.append("loss-unnamed")
    return breaches


def of_start(region: Region) -> list[str]:
    """Promise 5: what an acknowledged save called done is done for ever."""
    machine = region.machine
    assert machine is not None
    forgotten = any(offset not in machine.sources.runs(source) for source, offset in region.store.confirmed)
    return ["done-is-forgotten"] if forgotten else []


def of_decision(region: Region, kept: Kept) -> list[str]:
    """Promises 3, 4, 8 and 9, when a decision is to be kept."""
    last = kept.decisions[-1] if kept.decisions else None
    if last is None or kept.stage is Stage.DONE or last.verdict == "REDRIVE":
        return []
    views = _views(region, kept.key)
    breaches = []
    if kept.stage is Stage.QUARANTINED:
        voters = [view for view in views if not view.drained]
        if any(view.stored for view in views):
            breaches.append("quarantined-though-stored")
        elif last.row == "all-refused" and (
            kept.kind not in EVIDENCE or not voters or not all(view.refused for view in voters)
        ):
            breaches.append("quarantined-without-evidence")
    if kept.stage in (Stage.ASIDE, Stage.QUARANTINED) and kept.kind in EVIDENCE and not _is_here(region, kept):
        budget = region.store.budget
        if kept.key.service not in budget.admitted:
            breaches.append("budget-exceeded")
    return [*breaches, *_of_stage(region, kept.key, kept.stage, kept.kind, last.row, views)]


def _is_here(region: Region, kept: Kept) -> bool:
    """Whether our own store has it: then nothing is skipped, another copy of it failed."""
    return kept.stage is Stage.ASIDE and kept.key in region.store.entries


def _of_stage(region: Region, key: RequestKey, stage: Stage, kind: Kind, row: str, views: list[View]) -> list[str]:
    better = any(_is_better(region.name, view) for view in views)
    if stage is Stage.HELD and row == "better-peer-stored" and not better:
        return ["needless-halt"]
    if stage is Stage.ASIDE and better and kind is not Kind.TOO_NEW and key not in region.store.entries:
        return ["silent-skip"]
    if stage is Stage.DROPPED and not _is_dropped(region, key):
        return ["dropped-by-nobody"]
    return []


def of_quiet(region: Region) -> list[str]:
    """Promises 3 and 4 where nothing is under way: every decision still is what the table says now."""
    machine = region.machine
    if machine is None or region.stalled or machine.phase is not Phase.RUNNING:
        return []
    breaches = []
    for case in machine.cases.open.values():
        if case.kind is None or case.due or case.stage is Stage.DONE or _is_dropped(region, case.key):
            continue
        views = _views(region, case.key)
        found = _of_stage(region, case.key, case.stage, case.kind, case.row, views)
        if found and not _waits_for_its_store(region, machine, case, found):
            breaches += found
        if case.stage is Stage.QUARANTINED and any(view.stored for view in views):
            breaches.append("quarantined-though-stored")
    return breaches


def _waits_for_its_store(region: Region, machine: Partition, case: Case, found: list[str]) -> bool:
    """Whether the table says RETRY before anything else: the way out of a halt, and of what was set aside for another
    reason before the store stopped answering, begins with an answer of the store, and a grace from then on.
    """
    if found == ["needless-halt"]:
        return region.silent
    since_s = max(case.failed_s, machine.known.answering_since_s)
    in_grace = not machine.known.answers or region.now.mono_s - since_s < LIMITS.grace_s
    return case.kind is Kind.UNAVAILABLE and (region.silent or in_grace)


def of_rest(regions: list[Region]) -> list[str]:
    """Promises 1, 2, 3 and 7, when the environment is healed and nothing changes any more."""
    breaches = []
    for key in regions[0].natures:
        outcomes = {region.store.outcome(key) for region in regions if not _is_lost(region, key, regions)}
        if "absent" in outcomes:
            breaches.append("lost")
        elif len(outcomes) > 1:
            breaches.append("disagreement")
        elif outcomes & {"held", "set_aside"}:
            breaches.append("undecided")
    for region in regions:
        machine = region.machine
        if machine is None or machine.phase is not Phase.RUNNING:
            breaches.append("not-running")
            continue
        if machine.halted and not region.store.budget.spent:
            breaches.append("halted-at-rest")
        if any(machine.sources.runs(name).low < len(log) for name, log in region.logs.items()):
            breaches.append("progress-behind")
        if any(_is_unnamed(region, name, offset) for name, log in region.logs.items() for offset in range(len(log))):
            breaches.append("loss-unnamed")
    return breaches


def of_standstill(regions: list[Region]) -> list[str]:
    """When all is still but the stores are not healed: never all undrained living regions halt on proof (promise 3),
    and every question has its answer.
    """
    return [*_of_halts(regions), *("question-unanswered" for region in regions if _owes_an_answer(region))]


def _owes_an_answer(region: Region) -> bool:
    """Whether a peer's `failed` and what it is about were brought to a region whose store answers, and the region has
    said nothing.
    """
    if region.machine is None or region.silent:
        return False
    incarnation = region.machine.known.incarnation
    said = [one for one in _statements(region) if isinstance(one, Said)]
    ours = {one.key for one in said if one.replica == region.me and one.incarnation == incarnation}
    brought = {one.key for one in _statements(region) if isinstance(one, Payload)}
    asked = {one.key for one in said if one.replica != region.me and one.word is Word.FAILED} & brought
    return any(key not in ours and region.faults.get(key) is not Kind.UNAVAILABLE for key in asked)


def _of_halts(regions: list[Region]) -> list[str]:
    running = [r for r in regions if r.machine is not None and not r.silent]  # a silent store is a reason of its own
    living = [r for r in running if not any(_is_drained(x, r.name) for x in regions)]
    halted = [
        region
        for region in living
        if any(case.row == "better-peer-stored" for case in region.machine.cases.halting)  # type: ignore[union-attr]
    ]
    return ["all-halted"] if living and len(halted) == len(living) else []


def _is_drained(region: Region, name: str) -> bool:
    orders = [one for one in _statements(region) if isinstance(one, RegionOrder) and one.region == name]
    return bool(orders) and max(orders, key=lambda one: one.number).word is not PersonWord.JOINED


def _is_unnamed(region: Region, source: str, offset: int) -> bool:
    named = (source, offset) in region.store.lost or offset >= region.starts[source]
    return not named and not region.store.justifies(region.key_at(source, offset))


def _is_lost(region: Region, key: RequestKey, regions: list[Region]) -> bool:
    """Whether retention took every copy of a request that this region's logs had, and no ledger has brought another."""
    places = [(n, o) for n, log in region.logs.items() for o in range(len(log)) if region.key_at(n, o) == key]
    gone = all(offset < region.starts[name] for name, offset in places) and bool(places)
    asked = any(isinstance(one, Said) and one.key == key and one.word is Word.FAILED for one in _statements(region))
    return gone and not asked and not region.store.justifies(key)

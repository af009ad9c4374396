"""The normal form of a partition machine: two machines that can never behave differently have one form.

Theory
------
A search that remembers states ends only if states repeat. A machine's memory holds clocks, counters and texts that grow
for ever though nothing depends on them any more. So every machine is brought into a normal form, in which

* **time stands still**: all times are shifted so that `now` is the constant `NOW`; an age beyond the longest limit is
  that limit, since every comparison in the core is of an age with a limit;
* **heartbeats** are numbered by their age: a machine that missed some goes on from the present one (a heartbeat is only
  compared with another of its owner); one that is older than any echo that counts is the oldest. Of one that was read,
  what it echoes is forgotten, since that is told once; and a machine reads its own for nothing;
* **versions** of kept rows and numbers of writes are their ranks: they are only compared with one another;
* **texts** (reasons, evidence) are empty, and of a row's decisions there remain those that are ever looked at again;
* counters for people (`tries`, `decided`, `seen`) are empty: the limits of the search make every pause constant.

`HELD` below names every attribute of every class of the machine; a new one in the core fails here, aloud, until
somebody has said whether it holds a time. The naive enumeration (`naive.py`) shows at the smallest bound that machines
that are never normalised reach the same states.
"""

import copy
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Final

import msgspec

from tests.exploration.limits import AGE_MAX, BEAT_MIN, LIMITS, NOW, UNIT_S, UNIT_US
from tocsin.core.case import Case
from tocsin.core.effects import Effect, Keep, Save, Say, Write
from tocsin.core.kept import Decision, Kept
from tocsin.core.partition import Partition
from tocsin.core.progress import ProgressRow, SourceProgress
from tocsin.core.sources import Hand
from tocsin.core.statements import Beat, Said, Standing, Statement, Unknown

HELD: Final = {
    "Partition": "known sources cases phase seen _hands _blocked _writes _questions _beat _beat_s _beating _first_save"
    " _stopping _handlers _unclean",
    "Knowledge": "place limits book hearing incarnation ready answers answering_since_s silent_since_s counted spent"
    " region suspects _sent out",
    "Book": "words payloads orders region_orders standings opened promotions unknown crashers",
    "Hearing": "_region _assigned_s _limit_s _sent _echoed_s",
    "Sources": "_limits _progress _position _suspect_below _saved_reach _ticks _anchors _dirty saving _saved_s",
    "Cases": "_known _sources open _held tries decided _head _no_grace _version _counting _marks _marks_due _facts",
    "Questions": "_known _cases _open _looking",
    "Case": "key copy stage kind reason since_us failed_s places verdict row decisions version settled"
    " keep_due kept_kind trying tries next_try_s looking checked due found counted",
    "Hand": "source offsets requests span holes alone case",
}
"""Every attribute that the normal form knows of."""


def check_attributes(machine: Partition) -> None:
    """Fails when the core remembers something of which nobody has said how it goes into the normal form."""
    known = machine.known
    for part in (machine, known, known.book, known.hearing, machine.sources, machine.cases, machine._questions):
        _same(type(part).__name__ if part is not machine else "Partition", vars(part))
    _same("Case", Case.__slots__)
    _same("Hand", Hand.__slots__)


def _same(name: str, present: Iterable[str]) -> None:
    strange = set(present) ^ set(HELD[name].split())
    assert not strange, f"{name}: say in tests/exploration/normal.py how {sorted(strange)} go into the normal form"


# Copies ---------------------------------------------------------------------------------------------------------


def clone(machine: Partition) -> Partition:
    """An independent copy: all that a step changes is copied, all that is immutable is shared."""
    known = machine.known
    twin = type(machine)(known.place, known.limits, NOW, sources={}, rows=[], kept=[])
    handlers = twin._handlers
    _copy_into(twin.known.book, known.book)
    twin.known.book.words = {key: dict(said) for key, said in known.book.words.items()}
    _copy_into(twin.known.hearing, known.hearing)
    _copy_into(twin.known, known, "book", "hearing")
    _copy_into(twin.sources, machine.sources)
    twin.sources._progress = {name: _copy_source(one) for name, one in machine.sources._progress.items()}
    twin.sources._ticks = {name: deque(ticks) for name, ticks in machine.sources._ticks.items()}
    twin.sources._anchors = {name: deque(anchors) for name, anchors in machine.sources._anchors.items()}
    cases = {key: _copy_case(case) for key, case in machine.cases.open.items()}
    _copy_into(twin.cases, machine.cases, "_known", "_sources")
    twin.cases.open = cases
    twin.cases.tries = [cases.get(case.key) or _copy_case(case) for case in machine.cases.tries]
    _copy_into(twin._questions, machine._questions, "_known", "_cases")
    _copy_into(twin, machine, "known", "sources", "cases", "_questions", "_handlers")
    twin._hands = {number: _copy_hand(hand) for number, hand in machine._hands.items()}
    twin._blocked = {number: _copy_hand(hand) for number, hand in machine._blocked.items()}
    twin._handlers = handlers
    return twin


_COPIED: Final = (dict, set, list, deque, OrderedDict, Counter)


def _copy_into(twin: object, original: object, *but: str) -> None:
    target = vars(twin)
    for name, value in vars(original).items():
        if name not in but:
            target[name] = value.copy() if type(value) in _COPIED else value


def _copy_source(source: SourceProgress) -> SourceProgress:
    return SourceProgress(source.coordinates, source.runs.copy(), source.anchor, source.reach, source.tick_us)


def _copy_case(case: Case) -> Case:
    twin = copy.copy(case)
    twin.places = set(case.places)
    return twin


def _copy_hand(hand: Hand) -> Hand:
    return Hand(hand.source, list(hand.offsets), hand.requests, hand.span, set(hand.holes), hand.alone, hand.case)


# Time -----------------------------------------------------------------------------------------------------------


def younger(seconds: float, units: int, limit_s: float = AGE_MAX) -> float:
    """A time of a monotonic clock, when `units` have passed since. From the limit on that it is compared with, an age
    makes no difference.
    """
    return max(seconds - units * UNIT_S, NOW.mono_s - limit_s)


def younger_us(unix_us: int, units: int) -> int:
    """The same of a Unix clock."""
    return max(unix_us - units * UNIT_US, NOW.unix_us - AGE_MAX * UNIT_US)


def older_beat(beat: Beat, units: int, oldest: int = BEAT_MIN) -> Beat:
    """A heartbeat, renumbered when `units` have passed since."""
    return Beat(beat.epoch, max(beat.n - units, oldest))


@cache
def _shift_said(said: Said, units: int) -> Said:
    return msgspec.structs.replace(said, since_us=younger_us(said.since_us, units), reason="")


def shift_waiting(batch: Iterable[Statement], units: int) -> tuple[Any, ...]:
    """What waits to be brought across, when `units` have passed since."""
    return tuple(shift_statement(one, units, BEAT_MIN + 1) for one in batch)


def shift_statement(statement: Statement | Unknown, units: int, oldest: int = BEAT_MIN) -> Any:
    """A statement, when `units` have passed since it was said."""
    match statement:
        case Said():
            return _shift_said(statement, units)
        case Standing():
            return msgspec.structs.replace(
                statement,
                beat=older_beat(statement.beat, units, oldest),
                at_us=0,
                heard={peer: older_beat(beat, units) for peer, beat in sorted(statement.heard.items())},
            )
        case _:
            return statement


def without_echoes(standing: Standing) -> Standing:
    """A heartbeat that was read."""
    beat = standing.beat if standing.beat.n > -AGE_MAX else Beat(standing.beat.epoch, BEAT_MIN)
    return msgspec.structs.replace(standing, beat=beat, heard={})


def shift_machine(machine: Partition, units: int) -> None:
    """Brings a machine's memory into the normal form, when `units` have passed since it was last there. Only copies of
    it take a step from now on.
    """
    machine._handlers = {}  # which refer to it: without them it is freed as soon as nobody needs it
    _shift_knowledge(machine, units)
    sources, cases = machine.sources, machine.cases
    sources._saved_s = younger(sources._saved_s, units, LIMITS.flush_every_s)
    machine._beat_s = younger(machine._beat_s, units, LIMITS.standing_every_s)
    machine._beat = max(machine._beat - units, 0)
    machine.seen = {}
    cases.decided.clear()
    for case in {id(one): one for one in (*cases.open.values(), *cases.tries)}.values():
        case.since_us = younger_us(case.since_us, units) if case.kind is not None else 0
        case.failed_s = younger(case.failed_s, units, LIMITS.grace_s) if case.kind is not None else 0.0
        case.next_try_s = max(case.next_try_s - units * UNIT_S, NOW.mono_s)
        case.tries, case.reason = 0, ""
        case.decisions = shorten(case.decisions)


def _shift_knowledge(machine: Partition, units: int) -> None:
    known = machine.known
    book, hearing = known.book, known.hearing
    known.answering_since_s = younger(known.answering_since_s, units, LIMITS.grace_s)
    if known.silent_since_s is not None:
        known.silent_since_s = younger(known.silent_since_s, units, LIMITS.grace_s)
    known._sent = {key: shift_statement(said, units) for key, said in known._sent.items()}
    if units:  # what was said is in the normal form from the moment that it is said
        for key, words in book.words.items():
            book.words[key] = {replica: shift_statement(said, units) for replica, said in words.items()}
        book.standings = {key: shift_statement(standing, units) for key, standing in book.standings.items()}
    book.standings = {key: without_echoes(one) for key, one in book.standings.items() if key != known.place.me}
    hearing._assigned_s = younger(hearing._assigned_s, units)
    oldest_s = NOW.mono_s - LIMITS.ask_limit_s
    sent = ((older_beat(beat, units), younger(sent_s, units)) for beat, sent_s in hearing._sent.items())
    hearing._sent = OrderedDict((beat, sent_s) for beat, sent_s in sent if sent_s > oldest_s)
    echoed = ((peer, younger(sent_s, units)) for peer, sent_s in hearing._echoed_s.items())
    hearing._echoed_s = {peer: sent_s for peer, sent_s in echoed if sent_s > oldest_s}


def shorten(decisions: tuple[Decision, ...]) -> tuple[Decision, ...]:
    """Of a row's decisions those that the core ever looks at again: orders to redrive, and the last."""
    if not decisions:
        return ()
    redriven = sorted({one.row for one in decisions if one.verdict == "REDRIVE"})
    last = decisions[-1]
    kept = tuple(Decision(0, "REDRIVE", row, "") for row in redriven if row != last.row)
    return (*kept, Decision(0, last.verdict, last.row, ""))


def shift_kept(kept: Kept, units: int) -> Kept:
    """A kept row, when `units` have passed since."""
    since_us = younger_us(kept.since_us, units)
    return msgspec.structs.replace(kept, since_us=since_us, reason="", attempt=0, decisions=shorten(kept.decisions))


def shift_effect(effect: Effect, units: int) -> Any:
    """An effect that waits to be carried out, when `units` have passed since."""
    match effect:
        case Say(statements=statements):
            return Say(tuple(shift_statement(one, units) for one in statements))
        case Keep(kept=kept):
            return Keep(shift_kept(kept, units))
        case Write(requests=requests):
            return effect._replace(requests=tuple(requests))
        case _:
            return effect


# Ranks ----------------------------------------------------------------------------------------------------------


def rank_versions(machine: Partition | None, rows: Iterable[Kept]) -> Callable[[int], int]:
    """What each version of a kept row becomes: its rank among those of its epoch that anything still refers to."""
    versions = {kept.version for kept in rows}
    if machine is not None:
        versions.update(case.version for case in machine.cases.open.values() if case.version)
    ranks: dict[int, int] = {0: 0}
    counts: Counter[int] = Counter()
    for version in sorted(versions):
        epoch = version >> 32
        counts[epoch] += 1
        ranks[version] = epoch << 32 | counts[epoch]
    if machine is not None:
        for case in machine.cases.open.values():
            case.version = ranks[case.version]
        epoch = machine.known.place.epoch
        machine.cases._version = epoch << 32 | counts[epoch]
    return ranks.__getitem__


def rank_writes(machine: Partition) -> Mapping[int, int]:
    """What the number of each write under way becomes: its rank."""
    ranks = {number: rank for rank, number in enumerate(sorted({*machine._hands, *machine._blocked}), 1)}
    machine._hands = {ranks[number]: hand for number, hand in machine._hands.items()}
    machine._blocked = {ranks[number]: hand for number, hand in machine._blocked.items()}
    machine._writes = len(ranks)
    return ranks


# The form -------------------------------------------------------------------------------------------------------


def freeze(value: Any) -> Any:
    """A value as something hashable that is equal for equal values."""
    kind = type(value)
    freezer = _FREEZERS.get(kind)
    return value if freezer is None else freezer(value)


def _freeze_dict(value: dict[Any, Any]) -> frozenset[Any]:
    return frozenset([(key, freeze(one)) for key, one in value.items()])


def _freeze_sequence(value: Iterable[Any]) -> tuple[Any, ...]:
    return tuple([freeze(one) for one in value])


def _freeze_standing(one: Standing) -> tuple[Any, ...]:
    heard = tuple(sorted(one.heard.items()))
    return one.replica, one.beat, one.halted, one.ill, one.draining, one.incarnation, heard


def _freeze_source(one: SourceProgress) -> tuple[Any, ...]:
    return one.runs.low, tuple(one.runs), one.anchor, one.reach, one.tick_us


def _freeze_case(case: Case) -> tuple[Any, ...]:
    return tuple([freeze(getattr(case, name)) for name in Case.__slots__])


def _freeze_hand(hand: Hand) -> tuple[Any, ...]:
    return tuple([freeze(getattr(hand, name)) for name in Hand.__slots__])


def _freeze_row(row: ProgressRow) -> tuple[Any, ...]:
    return row.partition, row.epoch, row.clean, _freeze_dict(row.sources)


def _freeze_said(said: Said) -> tuple[Any, ...]:
    return said.key, said.replica, said.order, said.since_us, said.kind, said.crashed


_FREEZERS: Final[dict[type, Callable[[Any], Any]]] = {
    dict: _freeze_dict,
    OrderedDict: _freeze_dict,
    Said: _freeze_said,
    set: frozenset,
    list: _freeze_sequence,
    tuple: _freeze_sequence,
    deque: _freeze_sequence,
    Standing: _freeze_standing,
    SourceProgress: _freeze_source,
    ProgressRow: _freeze_row,
    Case: _freeze_case,
    Hand: _freeze_hand,
    Say: _freeze_sequence,
    Keep: _freeze_sequence,
    Write: _freeze_sequence,
    Save: _freeze_sequence,
}

_LEFT_OUT: Final = frozenset({"_handlers", "known", "_known", "_sources", "_cases", "place", "limits", "_limits"})


def freeze_machine(machine: Partition) -> tuple[Any, ...]:
    """The normal form of a machine that `shift_machine` and the ranks have gone over, in parts that many share."""
    known, cases = machine.known, machine.cases
    return (
        known.place.epoch,
        known.place.database,
        _freeze_parts(machine, "sources", "cases", "_questions"),
        _freeze_parts(known, "book", "hearing", "out"),
        _freeze_parts(known.book),
        _freeze_parts(known.hearing),
        _freeze_parts(machine.sources),
        tuple(cases.open),  # their order is that of what comes out
        tuple(case.key for case in cases.tries),
        _freeze_parts(cases, "tries", "decided"),
        _freeze_parts(machine._questions),
    )


def _freeze_parts(part: object, *but: str) -> tuple[Any, ...]:
    return tuple([freeze(value) for name, value in vars(part).items() if name not in _LEFT_OUT and name not in but])

"""Deliberately broken variants of the real core: one decision changed in each, and a checker that must catch it.

A search that finds nothing proves little unless it would have found something. Each variant undoes one decision of the
design by replacing one function (or one constant) of the core while it is searched; the same search of the unbroken
core must find nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import msgspec

from tests.exploration.bounds import Bound
from tests.exploration.region import Nature
from tocsin.core import cases, hearing, partition, progress, questions, sources, statements, verdict
from tocsin.core.case import Case
from tocsin.core.effects import LedgerRead, Now, Say
from tocsin.core.failures import Kind
from tocsin.core.ids import RequestKey
from tocsin.core.statements import Opened, Payload, Promoted, Said, Standing, Statement, Word


class Variant(NamedTuple):
    """A broken decision: what of the core is replaced by what, and the bound in which it is searched."""

    owner: Any
    attribute: str
    replacement: Any
    bound: Bound


@contextmanager
def broken(variant: Variant | None) -> Iterator[None]:
    """The core is broken in this way for as long."""
    if variant is None:
        yield
        return
    whole = variant.owner.__dict__[variant.attribute]
    setattr(variant.owner, variant.attribute, variant.replacement)
    try:
        yield
    finally:
        setattr(variant.owner, variant.attribute, whole)


def _outage_is_evidence(said: Said | None) -> verdict.Answer:
    if said is None:
        return verdict.Answer.NONE
    return verdict.Answer.STORED if said.word is Word.STORED else verdict.Answer.REFUSED


def _heard_though_deaf(self: hearing.Hearing, standing: Standing) -> None:
    self._echoed_s[standing.replica.region] = max(self._sent.values(), default=self._assigned_s)


def _latest_word_counts(self: Said) -> tuple[int, int, bool]:
    return self.incarnation, self.attempt, self.word is Word.FAILED


def _announce_what_the_database_says(self: partition.Partition) -> None:
    place = self.known.place
    self.phase = partition.Phase.ANNOUNCING
    self.known.incarnation = 1  # the backup's: the number was in the database
    said: list[Statement] = [Opened(place.me, 1, place.database), Promoted(place.me.region, 1, place.me.stack)]
    self.known.out.append(Say(said))


_ENCODE: Final = statements.encode_statement


def _payload_under_the_word(statement: Statement) -> tuple[bytes, bytes]:
    key, value = _ENCODE(statement)
    if isinstance(statement, Payload) or (isinstance(statement, Said) and statement.word is Word.FAILED):
        key = msgspec.json.encode(["failed", statement.key.printed])
    return key, value


_SAY_FAILED: Final = cases.Cases._say_failed


def _say_only_stored(self: cases.Cases, case: Case) -> None:
    if self._known.last_word(case.key) is not None or not self._known.book.is_asked(case.key):
        _SAY_FAILED(self, case)


def _serves_though_dead(self: verdict.Peer) -> bool:
    return not (self.drained or self.halted or self.ill)


def _settle_unkept(self: cases.Cases, case: Case) -> None:
    for source, offset in case.places:
        self._sources.done(source, offset, offset + 1)
    case.places.clear()


def _overwrite(self: progress.SourceProgress, other: progress.SourceProgress) -> None:
    self.runs, self.reach, self.anchor = other.runs.copy(), other.reach, other.anchor


def _look_first(self: questions.Questions, key: RequestKey, now: Now) -> None:
    if key not in self._cases.open and self._is_asked(key) and key not in self._looking:
        self._look(key)


def _register_then(self: questions.Questions, key: RequestKey, now: Now, *, stored: bool | None) -> None:
    self._looking.pop(key, None)
    if stored is None:
        self._looking[key] = False
    elif stored:
        self._cases.say_stored(key, now)
    elif key not in self._cases.open:
        self._open.add(key)  # the write under way will answer


_READ: Final = partition.Partition._read


def _read_from_committed(self: partition.Partition, event: LedgerRead, now: Now) -> None:
    if self.phase is partition.Phase.READING:
        event = event._replace(statements=[s for s in event.statements if isinstance(s, Opened | Promoted)])
    _READ(self, event, now)


def _halted_at_all(_me: str, peer: verdict.Peer) -> bool:
    return peer.halted and not peer.ill and not peer.drained and peer.can_be_asked


def _asked_only_by_echo(self: hearing.Hearing, region: str, now_s: float, *, drained: bool) -> bool:
    echoed_s = self._echoed_s.get(region)
    return echoed_s is not None and now_s - echoed_s < self._limit_s


_TICK: Final = cases.Cases.tick


def _tick_without_news(self: cases.Cases, now: Now) -> None:
    self._facts = [neighbour.facts for neighbour in self._known.neighbours(now)]
    _TICK(self, now)


_LOSE: Final = sources.Sources.lose


def _lose_silently(self: sources.Sources, source: str, log_start: int) -> list[tuple[int, int]]:
    for start, end in _LOSE(self, source, log_start):
        self.done(source, start, end)  # unnamed
    return []


_RUN: Final[Callable[[partition.Partition, Now], None]] = partition.Partition._run


def _run_without_old_orders(self: partition.Partition, now: Now) -> None:
    if self.known.incarnation > 1:
        self.known.book.orders.clear()
    _RUN(self, now)


def _at(
    changes: int, *faults: tuple[str, int, Kind], natures: Sequence[Nature] = (Nature.GOOD,), only: str = ""
) -> Bound:
    allowed = tuple(only.split(", ")) if only else ()
    return Bound("ab", tuple(natures), changes, faults=faults, prompt_at=changes, allowed=allowed)


REFUSED_BY_A: Final = ("a", 0, Kind.REJECTED)
REFUSED_BY_B: Final = ("b", 0, Kind.REJECTED)
BAD: Final = (Nature.BAD,)

VARIANTS: Final = {
    "no reopening": Variant(cases, "REOPENING", frozenset({"dropped"}), _at(1, REFUSED_BY_A, REFUSED_BY_B)),
    "outage counts as evidence": Variant(
        hearing, "answer_of", _outage_is_evidence, _at(0, REFUSED_BY_A, ("b", 0, Kind.UNAVAILABLE))
    ),
    "a deaf peer counts as a voter": Variant(hearing.Hearing, "heard", _heard_though_deaf, _at(1, REFUSED_BY_A)),
    "stored loses to a later failed": Variant(
        Said, "order", property(_latest_word_counts), _at(2, REFUSED_BY_A, REFUSED_BY_B, only="a crash -1, a lift")
    ),
    "incarnation from the database": Variant(
        partition.Partition,
        "_announce",
        _announce_what_the_database_says,
        _at(2, REFUSED_BY_B, only="a restore, a fault"),
    ),
    "payload under the word's key": Variant(
        statements, "encode_statement", _payload_under_the_word, _at(2, REFUSED_BY_A, only="b retain, b crash")
    ),
    "answers only stored": Variant(cases.Cases, "_say_failed", _say_only_stored, _at(0, natures=BAD)),
    "halting on a dead peer's word": Variant(
        verdict.Peer, "serves", property(_serves_though_dead), _at(1, REFUSED_BY_A)
    ),
    "progress before data": Variant(cases.Cases, "_settle", _settle_unkept, _at(1, natures=BAD)),
    "overwrite for union": Variant(
        progress.SourceProgress, "merge", _overwrite, _at(2, natures=(Nature.GARBAGE,), only="a crash")
    ),
    "question checked before it is registered": Variant(
        partition,
        "Questions",
        type("LookFirst", (questions.Questions,), {"ask": _look_first, "looked": _register_then}),
        Bound("ab", (Nature.GOOD,), 0, faults=(REFUSED_BY_A,), prompt_at=-1, split=True),
    ),
    "book read from a committed offset": Variant(
        partition.Partition, "_read", _read_from_committed, _at(1, REFUSED_BY_A)
    ),
    "halting without the order by name": Variant(
        verdict,
        "_halted_before",
        _halted_at_all,
        _at(0, ("a", 1, Kind.REJECTED), ("b", 0, Kind.REJECTED), natures=(Nature.GOOD, Nature.GOOD)),
    ),
    "a restart that forgets a halt": Variant(
        hearing.Hearing, "can_be_asked", _asked_only_by_echo, _at(1, REFUSED_BY_A)
    ),
    "a set-aside not decided again on a new standing": Variant(
        cases.Cases, "tick", _tick_without_news, _at(1, REFUSED_BY_A)
    ),
    "a gap by retention counted as done": Variant(sources.Sources, "lose", _lose_silently, _at(1)),
    "dropped lost by a restore": Variant(
        partition.Partition, "_run", _run_without_old_orders, _at(2, only="drop, b restore")
    ),
}
"""By name, as design 3.4 and its history know them."""

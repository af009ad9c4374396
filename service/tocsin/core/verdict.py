"""The verdict: what a replica does with a request that it could not store. One literal table, pure and total.

Theory
------
A failure that looks certain here says nothing of whose fault it is. So the same request is asked after in every other
region, and the answer decides: **a replica halts only on proof that the fault is its own, while a better region
serves.** What nobody stored and everybody refused is quarantined everywhere. What cannot be told is set aside: kept
whole, and decided again at every news. An outage is no evidence.

The world is first reduced to three small words: what a person said, how our own matter stands (`Own`), and how the
peers' does (`Peers`). Then the first row of `TABLE` that matches counts. There are 2 x 7 x 5 = 70 cases; the tests
walk all of them, and check the reductions over all combinations of what a peer can be.

WARNING: ARCHITECTURE.md holds this table and a diagram, generated from here by `make docs`; a test compares them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from tocsin.core.failures import Kind


class Verdict(StrEnum):
    """What is done with a request that failed."""

    DONE = "DONE"
    HALT = "HALT"
    RETRY = "RETRY"
    WAIT = "WAIT"
    SET_ASIDE = "SET_ASIDE"
    QUARANTINE = "QUARANTINE"


class Own(StrEnum):
    """How our own matter stands."""

    STORED = "stored"
    TOO_NEW = "too new"
    SILENT = "unavailable, and the store answers nothing"
    GRACE = "unavailable within its grace, neighbours are stored"
    LASTING = "unavailable past its grace, neighbours are stored"
    REFUSED = "rejected or crashed"
    HERE = "stored; what failed is an earlier copy of it, or its fold"


class Peers(StrEnum):
    """How the peers' matter stands; of several that hold, the first in this order."""

    BETTER = "stored by a peer that serves, or by a halted one that comes before us"
    ELSEWHERE = "stored only by others"
    ALL_REFUSED = "every undrained peer rejected it too"
    AWAITED = "nobody stored it, and one that can be asked has not answered within the deadline"
    REST = "the rest: nobody stored it, and no answer is to be waited for"


class Answer(StrEnum):
    """A peer region's word on the request."""

    STORED = "stored"
    REFUSED = "refused"
    NO_EVIDENCE = "unavailable or too new"
    NONE = "not answered"


class Peer(NamedTuple):
    """One peer region as far as a verdict is concerned."""

    region: str
    answer: Answer
    can_be_asked: bool
    drained: bool
    halted: bool
    ill: bool

    @property
    def serves(self) -> bool:
        """Whether clients can be sent there: it can be asked, is undrained, and neither halted nor ill."""
        return self.can_be_asked and not (self.drained or self.halted or self.ill)


class Row(NamedTuple):
    """One row: it matches when `dropped` is its own or None, and `own` and `peers` are in its sets."""

    name: str
    dropped: bool | None
    own: frozenset[Own]
    peers: frozenset[Peers]
    verdict: Verdict
    why: str


INCOMPLETE: Final = "incomplete"
"""The row of what is stored but not as everywhere: the one set-aside that skips nothing."""

_ANY_OWN: Final = frozenset(Own)
_ANY_PEERS: Final = frozenset(Peers)
_SAID: Final = True
_FAILED: Final = frozenset({Own.LASTING, Own.REFUSED})
_NOT_STORED: Final = frozenset({Peers.ALL_REFUSED, Peers.AWAITED, Peers.REST})


def _one(word: Own) -> frozenset[Own]:
    return frozenset({word})


TABLE: Final[tuple[Row, ...]] = (
    Row("dropped", _SAID, _ANY_OWN, _ANY_PEERS, Verdict.DONE, "a person said so; it is marked"),
    Row("stored", None, _one(Own.STORED), _ANY_PEERS, Verdict.DONE, "it is here"),
    Row(
        "too-new",
        None,
        _one(Own.TOO_NEW),
        _ANY_PEERS,
        Verdict.SET_ASIDE,
        "a rolling release of one region must not halt the other",
    ),
    Row(
        "store-silent",
        None,
        _one(Own.SILENT),
        _ANY_PEERS,
        Verdict.RETRY,
        "an outage is no evidence: the partition waits, past the grace the region is ill",
    ),
    Row("within-grace", None, _one(Own.GRACE), _ANY_PEERS, Verdict.RETRY, "it may pass"),
    Row(
        "better-peer-stored",
        None,
        _FAILED,
        frozenset({Peers.BETTER}),
        Verdict.HALT,
        "proof that the fault is ours, while a better region serves",
    ),
    Row(
        "stored-elsewhere",
        None,
        _FAILED,
        frozenset({Peers.ELSEWHERE}),
        Verdict.SET_ASIDE,
        "known to be stored, but nobody would serve if we halted",
    ),
    Row(
        INCOMPLETE,
        None,
        _one(Own.HERE),
        _ANY_PEERS,
        Verdict.SET_ASIDE,
        "the request is not in question, its row is: kept and retried until it is the one that every region has",
    ),
    Row(
        "lasting-outage",
        None,
        _one(Own.LASTING),
        _NOT_STORED,
        Verdict.SET_ASIDE,
        "a partial outage of ours must not stop the rest; never quarantined",
    ),
    Row(
        "all-refused",
        None,
        _one(Own.REFUSED),
        frozenset({Peers.ALL_REFUSED}),
        Verdict.QUARANTINE,
        "no region can store it: kept whole with all reasons, and everyone goes on",
    ),
    Row(
        "awaiting-answer",
        None,
        _one(Own.REFUSED),
        frozenset({Peers.AWAITED}),
        Verdict.WAIT,
        "an answer can still come",
    ),
    Row(
        "no-answer",
        None,
        _one(Own.REFUSED),
        frozenset({Peers.REST}),
        Verdict.SET_ASIDE,
        "nobody to ask, or the answer is no evidence; decided again at every news",
    ),
)


def decide(*, dropped: bool, own: Own, peers: Peers) -> Row:
    """The first row of the table that matches."""
    for row in TABLE:
        if row.dropped in (None, dropped) and own in row.own and peers in row.peers:
            return row
    raise AssertionError((dropped, own, peers))  # the table is total: walked by the tests


@dataclass(frozen=True, slots=True)
class OwnMatter:
    """What `own_word` reduces: our last failure's kind (None: stored), and what is known of our store."""

    kind: Kind | None
    store_answers: bool
    past_grace: bool
    here: bool
    """We have said that it is stored."""


def own_word(matter: OwnMatter) -> Own:
    """How our own matter stands."""
    match matter.kind:
        case None:
            return Own.STORED
        case Kind.TOO_NEW:
            return Own.TOO_NEW
        case Kind.REJECTED | Kind.CRASHED:
            return Own.HERE if matter.here else Own.REFUSED
        case Kind.UNAVAILABLE:
            if not matter.store_answers:
                return Own.SILENT
            if not matter.past_grace:
                return Own.GRACE
            return Own.HERE if matter.here else Own.LASTING


def peers_word(me: str, peers: Sequence[Peer], *, within_deadline: bool) -> Peers:
    """How the peers' matter stands, seen from the region `me`."""
    stored = [peer for peer in peers if peer.answer is Answer.STORED]
    if any(peer.serves or _halted_before(me, peer) for peer in stored):
        return Peers.BETTER
    if stored:
        return Peers.ELSEWHERE
    voters = [peer for peer in peers if not peer.drained]
    if voters and all(peer.answer is Answer.REFUSED for peer in voters):
        return Peers.ALL_REFUSED
    if within_deadline and any(peer.can_be_asked and not peer.ill and peer.answer is Answer.NONE for peer in peers):
        return Peers.AWAITED
    return Peers.REST


def _halted_before(me: str, peer: Peer) -> bool:
    # Two regions that stored what the other refuses would halt on each other; the order by name lets one go on.
    return peer.halted and not peer.ill and not peer.drained and peer.can_be_asked and peer.region < me


def as_markdown() -> str:
    """The table as Markdown, for ARCHITECTURE.md."""

    def spell(words: frozenset[Own] | frozenset[Peers], everything: int) -> str:
        return "any" if len(words) == everything else "; ".join(sorted(words))

    lines = ["| row | own word | peers | verdict | why |", "|---|---|---|---|---|"]
    for row in TABLE:
        own = "any, and a person said `dropped`" if row.dropped else spell(row.own, len(Own))
        verdict = f"**{row.verdict.replace('_', ' ')}**"
        lines.append(f"| `{row.name}` | {own} | {spell(row.peers, len(Peers))} | {verdict} | {row.why} |")
    return "\n".join(lines) + "\n"

"""Who can be asked: peers that hear us, proven by the echo of our own heartbeats.

Theory
------
A peer's heartbeat arriving proves that we hear the peer, not that the peer hears us: with a mirror cut one way the
deaf one goes on talking. So a heartbeat carries the last sequence heard of each peer, and a peer can be asked when it
echoes a sequence that *this process* sent, and that is younger than the limit by our own monotonic clock. No clock of
another machine is compared with ours.

For one limit after assignment nothing could have been echoed yet, and every undrained peer counts as able to be asked,
with its last standing: a restart must forget no halt.
"""

from collections import OrderedDict
from typing import Final

from tocsin.core.book import Book
from tocsin.core.failures import Kind
from tocsin.core.ids import RequestKey
from tocsin.core.statements import Beat, Said, Standing, Word
from tocsin.core.verdict import Answer, Peer

SENT_MAX: Final = 256
"""Heartbeats remembered; older ones are beyond any sensible limit."""


class Hearing:
    """Which peers hear us, by our monotonic clock."""

    def __init__(self, region: str, assigned_s: float, limit_s: float) -> None:
        self._region = region
        self._assigned_s = assigned_s
        self._limit_s = limit_s
        self._sent: OrderedDict[Beat, float] = OrderedDict()
        self._echoed_s: dict[str, float] = {}

    def assigned(self, now_s: float) -> None:
        """From now on we are heard: the one limit in which nothing could have been echoed begins."""
        self._assigned_s = now_s

    def sent(self, beat: Beat, now_s: float) -> None:
        """This process says this heartbeat now."""
        self._sent[beat] = now_s
        while len(self._sent) > SENT_MAX:
            self._sent.popitem(last=False)

    def heard(self, standing: Standing) -> None:
        """A peer's heartbeat arrived, with the last that it heard of us."""
        echoed = standing.heard.get(self._region)
        sent_s = self._sent.get(echoed) if echoed else None
        if sent_s is not None:
            peer = standing.replica.region
            self._echoed_s[peer] = max(sent_s, self._echoed_s.get(peer, sent_s))

    def can_be_asked(self, region: str, now_s: float, *, drained: bool) -> bool:
        """Whether what we say reaches that region, as far as we can know."""
        if not drained and now_s - self._assigned_s < self._limit_s:
            return True
        echoed_s = self._echoed_s.get(region)
        return echoed_s is not None and now_s - echoed_s < self._limit_s


class Neighbour:
    """A peer region's standing at one moment, ready to be joined with its word on each request."""

    __slots__ = ("can_be_asked", "drained", "halted", "ill", "region")

    def __init__(self, region: str, book: Book, hearing: Hearing, now_s: float, *, founding: bool) -> None:
        standing = book.region_standing(region)
        self.region = region
        self.drained = book.is_drained(region, founding=founding)
        self.can_be_asked = hearing.can_be_asked(region, now_s, drained=self.drained)
        self.halted = standing is not None and standing.halted
        self.ill = standing is not None and standing.ill

    @property
    def facts(self) -> tuple[str, bool, bool, bool, bool]:
        """Everything that a verdict reads of it, to see whether anything changed."""
        return self.region, self.drained, self.can_be_asked, self.halted, self.ill

    def on(self, key: RequestKey, book: Book) -> Peer:
        """This peer as far as a verdict on one request is concerned."""
        said = book.region_word(key, self.region)
        return Peer(self.region, answer_of(said), self.can_be_asked, self.drained, self.halted, self.ill)


def answer_of(said: Said | None) -> Answer:
    """What a peer's word amounts to."""
    if said is None:
        return Answer.NONE
    if said.word is Word.STORED:
        return Answer.STORED
    return Answer.REFUSED if said.kind in (Kind.REJECTED, Kind.CRASHED) else Answer.NO_EVIDENCE


def describe(peers: list[Peer]) -> str:
    """The evidence in words, for the record of a decision."""
    return "; ".join(_describe(peer) for peer in peers) or "no peer"


def _describe(peer: Peer) -> str:
    states = [
        word
        for word, holds in (
            ("drained", peer.drained),
            ("halted", peer.halted),
            ("ill", peer.ill),
            ("cannot be asked", not peer.can_be_asked),
            ("serves", peer.serves),
        )
        if holds
    ]
    return f"{peer.region}: {peer.answer} ({', '.join(states)})"

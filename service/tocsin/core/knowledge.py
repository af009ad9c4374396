"""What a partition machine knows: the book, who hears it, how its store and region are, what may still be skipped."""

from typing import NamedTuple

from tocsin.core.book import Book
from tocsin.core.effects import Effect, Now, RegionIs, Say
from tocsin.core.hearing import Hearing, Neighbour
from tocsin.core.ids import RequestKey
from tocsin.core.limits import Limits
from tocsin.core.statements import Replica, Said, Standing, Statement
from tocsin.core.verdict import Answer


class Place(NamedTuple):
    """Where a machine stands: its replica, the partition number, its owner's epoch, and the peers."""

    me: Replica
    partition: int
    epoch: int
    database: str
    """The identity of the data in the store: another one means that data can have been lost."""
    peers: tuple[str, ...]
    founding: frozenset[str]
    """The regions that count as joined without a person's word."""


class Knowledge:
    """Shared by the parts of one machine; only the machine's own step changes it."""

    def __init__(self, place: Place, limits: Limits, now: Now) -> None:
        self.place = place
        self.limits = limits
        self.book = Book()
        self.hearing = Hearing(place.me.region, now.mono_s, limits.ask_limit_s)
        self.incarnation = 0
        self.ready = False
        """The book was read to the end seen at assignment, and our incarnation is announced: verdicts may be given."""
        self.answers = True
        self.answering_since_s = now.mono_s
        self.silent_since_s: float | None = None
        self.counted: frozenset[str] = frozenset()
        self.spent = False
        self.region = RegionIs(halted=False, ill=False, draining=False)
        self.suspects: set[RequestKey] = set()
        """Retried or delivered, and perhaps what killed an earlier owner: tried in a child until one try has ended."""
        self._sent: dict[RequestKey, Said] = {}
        self.out: list[Effect] = []

    def store_answers(self, now: Now, *, answers: bool) -> bool:
        """Takes in whether the store answers; returns whether that is news."""
        if answers == self.answers:
            return False
        self.answers = answers
        if answers:
            self.answering_since_s, self.silent_since_s = now.mono_s, None
        else:
            self.silent_since_s = now.mono_s
        return True

    def heard(self, standing: Standing) -> None:
        """A heartbeat arrived; only that of a region's promoted stack tells whether the region can be asked."""
        promotion = self.book.promotions.get(standing.replica.region)
        if promotion is not None and promotion.stack == standing.replica.stack:
            self.hearing.heard(standing)

    def is_ill(self, now: Now) -> bool:
        """Whether our store has answered nothing for longer than the grace."""
        return self.silent_since_s is not None and now.mono_s - self.silent_since_s >= self.limits.grace_s

    def neighbours(self, now: Now) -> list[Neighbour]:
        """The peers as they stand now, by name."""
        founding = self.place.founding
        return [
            Neighbour(region, self.book, self.hearing, now.mono_s, founding=region in founding)
            for region in sorted(self.place.peers)
        ]

    def is_disputed(self, key: RequestKey, now: Now) -> bool:
        """Whether every undrained peer, and at least one, says that it refused a request: what we say of it alone."""
        answers = [peer.on(key, self.book).answer for peer in self.neighbours(now) if not peer.drained]
        return bool(answers) and all(answer is Answer.REFUSED for answer in answers)

    def own_word(self, key: RequestKey) -> Said | None:
        """What we last said of a request, in this incarnation, as far as it is acknowledged."""
        return self.book.word(key, self.place.me)

    def last_word(self, key: RequestKey) -> Said | None:
        """What we last said of a request, in this incarnation, acknowledged or still on its way to the ledger."""
        sent, said = self._sent.get(key), self.own_word(key)
        return said if sent is None or (said is not None and said.order > sent.order) else sent

    def say(self, word: Said, *before: Statement) -> None:
        """Says a word of ours, after these."""
        self._sent[word.key] = word
        self.out.append(Say([*before, word]))

    def acknowledged(self, word: Said) -> None:
        """A word of ours is on the ledger (and in the book)."""
        if self._sent.get(word.key) == word:
            del self._sent[word.key]

    def is_tried_alone(self, key: RequestKey) -> bool:
        """Whether a request is tried in a child only: it killed or hung one anywhere, or may have killed us."""
        return key in self.book.crashers or key in self.suspects

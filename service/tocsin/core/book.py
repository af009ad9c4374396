"""The book: all statements of the owned ledger partitions, merged.

Theory
------
The book is a join-semilattice: of each subject it keeps the highest statement in that subject's order, so merging is
commutative, associative and idempotent. It does not matter in which order, how often, or through which mirror a
statement arrives, and the book can be rebuilt at any time from the start of the ledger. It always is, at assignment.

What counts is read out of it, not merged into it: a region's word on a request is that of the stack which its latest
promotion names, and only of that stack's current incarnation. Words of older incarnations stay in the book and count
as nothing said.
"""

from collections.abc import Iterable
from typing import TypeVar

from tocsin.core.failures import Kind
from tocsin.core.ids import RequestKey
from tocsin.core.statements import (
    Opened,
    Payload,
    PersonWord,
    Promoted,
    RegionOrder,
    Replica,
    RequestOrder,
    Said,
    Standing,
    Statement,
    Unknown,
    Word,
    encode_statement,
)

_K = TypeVar("_K")
_S = TypeVar("_S", Said, Payload, RequestOrder, RegionOrder, Standing, Opened, Promoted, Unknown)


class Book:
    """Merged statements of one ledger partition, own and mirrored."""

    def __init__(self) -> None:
        self.words: dict[RequestKey, dict[Replica, Said]] = {}
        self.payloads: dict[RequestKey, Payload] = {}
        self.orders: dict[RequestKey, RequestOrder] = {}
        self.region_orders: dict[str, RegionOrder] = {}
        self.standings: dict[Replica, Standing] = {}
        self.opened: dict[Replica, Opened] = {}
        self.promotions: dict[str, Promoted] = {}
        self.unknown: dict[bytes, Unknown] = {}
        self.crashers: set[RequestKey] = set()
        """What any replica, in any incarnation, has called CRASHED: tried only in a child."""

    def merge(self, statement: Statement | Unknown) -> bool:
        """Takes a statement in; returns whether the book now says something else than before."""
        match statement:
            case Said(key=key, replica=replica):
                if statement.crashed or statement.kind is Kind.CRASHED:
                    self.crashers.add(key)
                return _raise(self.words.setdefault(key, {}), replica, statement)
            case Payload(key=key):
                return _raise(self.payloads, key, statement)
            case RequestOrder(key=key):
                return _raise(self.orders, key, statement)
            case RegionOrder(region=region):
                return _raise(self.region_orders, region, statement)
            case Standing(replica=replica):
                return _raise(self.standings, replica, statement)
            case Opened(replica=replica):
                return _raise(self.opened, replica, statement)
            case Promoted(region=region):
                return _raise(self.promotions, region, statement)
            case Unknown(ledger_key=ledger_key):
                return _raise(self.unknown, ledger_key, statement)

    def merge_all(self, statements: Iterable[Statement | Unknown]) -> None:
        """Takes many statements in."""
        for statement in statements:
            self.merge(statement)

    def word(self, key: RequestKey, replica: Replica) -> Said | None:
        """What a replica says of a request in its current incarnation."""
        said = self.words.get(key, {}).get(replica)
        if said is None or said.incarnation < self.incarnation(replica):
            return None
        return said

    def region_word(self, key: RequestKey, region: str) -> Said | None:
        """What a region says of a request: the word of its promoted stack."""
        promotion = self.promotions.get(region)
        return self.word(key, Replica(region, promotion.stack)) if promotion else None

    def region_standing(self, region: str) -> Standing | None:
        """The latest heartbeat of a region's promoted stack."""
        promotion = self.promotions.get(region)
        return self.standings.get(Replica(region, promotion.stack)) if promotion else None

    def incarnation(self, replica: Replica) -> int:
        """A replica's current incarnation; 0 when it never opened one."""
        opened = self.opened.get(replica)
        return opened.incarnation if opened else 0

    def is_asked(self, key: RequestKey) -> bool:
        """Whether anybody has ever said `failed`: even of a lost database the words still deliver the request."""
        return any(said.word is Word.FAILED for said in self.words.get(key, {}).values())

    def is_dropped(self, key: RequestKey) -> bool:
        """Whether a person's latest word on the request is `dropped`."""
        order = self.orders.get(key)
        return order is not None and order.word is PersonWord.DROPPED

    def is_drained(self, region: str, *, founding: bool) -> bool:
        """Whether a region is drained or removed; one that is not founding counts as drained until `joined`."""
        order = self.region_orders.get(region)
        return order.word is not PersonWord.JOINED if order else not founding

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Book) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # a book changes


def _raise(table: dict[_K, _S], subject: _K, statement: _S) -> bool:
    """Keeps the higher statement. Two owners of one replica can use a number twice: then their bytes decide, so that
    every reader of the ledger keeps the same one, whatever it read first.
    """
    known = table.get(subject)
    if known is not None and (
        statement.order < known.order
        or known == statement
        or (statement.order == known.order and _bytes(statement) < _bytes(known))
    ):
        return False
    table[subject] = statement
    return True


def _bytes(statement: Statement | Unknown) -> bytes:
    return statement.value if isinstance(statement, Unknown) else encode_statement(statement)[1]

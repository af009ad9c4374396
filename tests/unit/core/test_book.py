"""The book is a join-semilattice, and what is read out of it is what the design says."""

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.ledger_words import (
    KEYS,
    REPLICAS,
    any_statements,
    failed,
    keys,
    known_statements,
    replicas,
    request_orders,
    small,
    stored,
)
from tocsin.core.book import Book
from tocsin.core.failures import Kind
from tocsin.core.statements import (
    Opened,
    PersonWord,
    Promoted,
    RegionOrder,
    Replica,
    RequestOrder,
    Said,
    Statement,
    Unknown,
    Word,
    encode_statement,
)

KEY = KEYS[0]
BLUE, GREEN = Replica("a", "blue"), Replica("a", "green")


def book_of(statements: Sequence[Statement | Unknown]) -> Book:
    book = Book()
    book.merge_all(statements)
    return book


def word(attempt: int, kind: Kind | None, *, incarnation: int = 0, replica: Replica = BLUE) -> Said:
    return Said(KEY, replica, Word.FAILED if kind else Word.STORED, incarnation, attempt, 0, kind)


@given(st.lists(any_statements, max_size=12), st.randoms(use_true_random=False))
def test_merging_is_commutative(statements: list[Statement | Unknown], rng: random.Random) -> None:
    shuffled = rng.sample(statements, len(statements))
    assert book_of(statements) == book_of(shuffled)


@given(st.lists(any_statements, max_size=8), st.lists(any_statements, max_size=8), st.lists(any_statements, max_size=8))
def test_merging_is_associative(
    left: list[Statement | Unknown], middle: list[Statement | Unknown], right: list[Statement | Unknown]
) -> None:
    # What a reader keeps of two logs, read on top of a third, is what it keeps of all three in any grouping.
    assert book_of([*left, *middle, *right]) == book_of([*middle, *right, *left]) == book_of([*right, *left, *middle])


@given(st.lists(any_statements, max_size=12))
def test_merging_is_idempotent_and_says_so(statements: list[Statement | Unknown]) -> None:
    book = book_of(statements)
    again = [book.merge(statement) for statement in statements]
    assert not any(again)
    assert book == book_of(statements)


@given(st.lists(any_statements, max_size=12), any_statements)
def test_merge_says_whether_the_book_changed(statements: list[Statement | Unknown], last: Statement | Unknown) -> None:
    book, before = book_of(statements), book_of(statements)
    crashers = set(book.crashers)
    changed = book.merge(last)
    book.crashers = crashers  # what was ever called CRASHED is a memory beside the semilattice's news
    before.crashers = crashers
    assert changed == (book != before)


@given(st.lists(any_statements, max_size=12))
def test_books_that_differ_are_not_equal(statements: list[Statement | Unknown]) -> None:
    more = book_of([*statements, RequestOrder(KEY, 9, PersonWord.DROPPED, "eve", 0)])
    assert more != book_of(statements)


@given(st.lists(st.one_of(failed, stored), max_size=12), keys, replicas, small, small)
def test_within_an_incarnation_stored_is_for_ever(
    others: list[Said], key: object, replica: Replica, incarnation: int, attempt: int
) -> None:
    said = Said(KEY, replica, Word.STORED, incarnation, attempt, 0)
    book = book_of([said, *others])
    known = book.words[KEY][replica]
    assert known.incarnation > incarnation or known.word is Word.STORED


def test_a_later_failed_does_not_undo_stored() -> None:
    book = book_of([word(1, None), word(7, Kind.REJECTED)])
    said = book.word(KEY, BLUE)
    assert said is not None
    assert said.word is Word.STORED


def test_words_of_older_incarnations_count_as_nothing_said() -> None:
    book = book_of([word(1, None, incarnation=1), Opened(BLUE, 1, "db-1"), Promoted("a", 1, "blue")])
    assert book.region_word(KEY, "a") == word(1, None, incarnation=1)
    book.merge(Opened(BLUE, 2, "db-2"))
    assert book.region_word(KEY, "a") is None
    book.merge(word(1, Kind.REJECTED, incarnation=2))
    assert book.region_word(KEY, "a") == word(1, Kind.REJECTED, incarnation=2)


def test_the_word_of_a_region_is_that_of_the_stack_which_its_latest_promotion_names() -> None:
    book = book_of([word(1, None), word(1, Kind.REJECTED, replica=GREEN)])
    assert book.region_word(KEY, "a") is None
    book.merge(Promoted("a", 1, "blue"))
    assert book.region_word(KEY, "a") == word(1, None)
    book.merge(Promoted("a", 2, "green"))
    assert book.region_word(KEY, "a") == word(1, Kind.REJECTED, replica=GREEN)
    book.merge(Promoted("a", 1, "blue"))
    assert book.region_word(KEY, "a") == word(1, Kind.REJECTED, replica=GREEN)


@given(st.lists(request_orders, max_size=8))
def test_of_the_orders_on_a_request_the_highest_number_counts_and_dropped_wins_a_tie(
    orders: list[RequestOrder],
) -> None:
    book = book_of(orders)
    for key in KEYS:
        mine = [order for order in orders if order.key == key]
        highest = [order.word for order in mine if order.number == max(o.number for o in mine)]
        assert book.is_dropped(key) == (PersonWord.DROPPED in highest)


def test_a_region_that_is_not_founding_counts_as_drained_until_it_joined() -> None:
    book = Book()
    assert book.is_drained("c", founding=False)
    assert not book.is_drained("a", founding=True)
    book.merge(RegionOrder("c", 1, PersonWord.JOINED, "eve", 0))
    assert not book.is_drained("c", founding=False)
    book.merge(RegionOrder("c", 1, PersonWord.DRAINED, "eve", 0))
    assert book.is_drained("c", founding=False)
    book.merge(RegionOrder("c", 2, PersonWord.JOINED, "eve", 0))
    assert not book.is_drained("c", founding=False)
    book.merge(RegionOrder("c", 3, PersonWord.REMOVED, "eve", 0))
    assert book.is_drained("c", founding=True)


@given(st.lists(any_statements, max_size=8))
def test_unknown_statements_are_kept_and_count_as_nothing_said(statements: list[Statement | Unknown]) -> None:
    known = [statement for statement in statements if not isinstance(statement, Unknown)]
    book, without = book_of(statements), book_of(known)
    assert set(book.unknown) == {s.ledger_key for s in statements if isinstance(s, Unknown)}
    assert reading(book) == reading(without)


def reading(book: Book) -> list[object]:
    """Everything that anybody asks of a book."""
    regions = ["a", "b"]
    return [
        [book.word(key, replica) for key in KEYS for replica in REPLICAS],
        [book.region_word(key, region) for key in KEYS for region in regions],
        [book.region_standing(region) for region in regions],
        [book.is_dropped(key) for key in KEYS],
        [book.is_drained(region, founding=True) for region in regions],
        [key in book.crashers for key in KEYS],
        book.payloads,
    ]


@given(st.lists(known_statements, max_size=14))
def test_compaction_changes_nothing_that_is_read(statements: list[Statement]) -> None:
    written = as_its_writers_would(statements)
    compacted: dict[bytes, Statement] = {}
    for statement in written:
        compacted[encode_statement(statement)[0]] = statement
    assert reading(book_of(list(compacted.values()))) == reading(book_of(written))


def as_its_writers_would(statements: list[Statement]) -> list[Statement]:
    """In the order in which writers write: nobody says something lower than what it said of a subject before, and once
    a request was called CRASHED every later `failed` says so.
    """
    written: list[Statement] = []
    last: dict[bytes, Statement] = {}
    crashed = set()
    for statement in statements:
        if isinstance(statement, Said) and statement.word is Word.FAILED:
            if statement.crashed or statement.kind is Kind.CRASHED:
                crashed.add(statement.key)
            said: Statement = _crashed(statement) if statement.key in crashed else statement
        else:
            said = statement
        subject = encode_statement(said)[0]
        before = last.get(subject)
        if before is None or _rank(before) < _rank(said):
            last[subject] = said
            written.append(said)
    return written


def _crashed(said: Said) -> Said:
    return Said(
        said.key,
        said.replica,
        said.word,
        said.incarnation,
        said.attempt,
        said.since_us,
        said.kind,
        said.reason,
        crashed=True,
    )


def _rank(statement: Statement) -> tuple[object, bytes]:
    return statement.order, encode_statement(statement)[1]


def test_a_request_once_called_crashed_stays_one_to_be_tried_alone_through_compaction() -> None:
    crashed = Said(KEY, BLUE, Word.FAILED, 0, 1, 0, Kind.CRASHED)
    later = Said(KEY, BLUE, Word.FAILED, 0, 2, 0, Kind.UNAVAILABLE, crashed=True)
    assert encode_statement(crashed)[0] == encode_statement(later)[0]
    assert KEY in book_of([later]).crashers


def test_two_owners_of_one_replica_that_use_a_number_twice_leave_every_reader_with_the_same_word() -> None:
    first, second = word(2, Kind.REJECTED), word(2, Kind.UNAVAILABLE)
    assert book_of([first, second]).words == book_of([second, first]).words

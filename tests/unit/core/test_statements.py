"""The bytes of statements: a round trip, and a reader that nothing in the ledger can stop."""

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.core.ledger_words import KEYS, known_statements
from tocsin.core.book import Book
from tocsin.core.ids import Parent, RequestKey
from tocsin.core.statements import (
    Beat,
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
    decode_statement,
    encode_statement,
)

KEY = KEYS[0]


@given(known_statements)
def test_a_statement_comes_back_as_it_was(statement: Statement) -> None:
    ledger_key, value = encode_statement(statement)
    assert decode_statement(ledger_key, value) == statement


@given(known_statements, known_statements)
def test_equal_subjects_and_only_they_have_equal_ledger_keys(one: Statement, other: Statement) -> None:
    def subject(statement: Statement) -> object:
        match statement:
            case Said(key=key, replica=replica, word=word):
                return Said, key, replica, word
            case RequestOrder(key=key, number=number, word=order):
                return RequestOrder, key, number, order
            case RegionOrder(region=region, number=number, word=order):
                return RegionOrder, region, number, order
            case _:
                fields = msgspec.structs.asdict(statement)
                return type(statement), fields.get("key"), fields.get("region"), fields.get("replica")

    assert (subject(one) == subject(other)) == (encode_statement(one)[0] == encode_statement(other)[0])


@given(st.one_of(st.none(), st.binary(max_size=8)), st.binary(max_size=200))
@example(None, b"")
@example(b"k", b"[" * 100_000)
@example(b"k", b'{"type":"payload","more":' + b"[" * 100_000)
@example(b"k", b'{"type":"promoted","region":"\xff","number":1,"stack":"blue"}')
@example(b"k", b'{"type":"promoted","region":"\\ud800","number":1,"stack":"blue"}')
@example(b"k", b'{"type":"promoted","region":"a","number":1' + b"0" * 5_000 + b',"stack":"blue"}')
def test_decoding_never_raises(ledger_key: bytes | None, value: bytes) -> None:
    decoded = decode_statement(ledger_key, value)
    assert decoded is not None


@given(known_statements, st.data())
def test_a_damaged_statement_is_still_read_without_an_error(statement: Statement, data: st.DataObject) -> None:
    ledger_key, value = encode_statement(statement)
    place = data.draw(st.integers(0, len(value) - 1))
    damaged = value[:place] + data.draw(st.binary(max_size=3)) + value[place + 1 :]
    decode_statement(ledger_key, damaged)


@pytest.mark.parametrize("tag", ["said", "payload", "standing", "word_of_the_future"])
def test_a_statement_that_this_code_does_not_know_is_kept_as_it_stands(tag: str) -> None:
    value = b'{"type":"%s","since_version":9}' % tag.encode()
    assert decode_statement(b"k", value) == Unknown(b"k", value)


@given(known_statements)
def test_fields_that_this_code_does_not_know_are_ignored(statement: Statement) -> None:
    ledger_key, value = encode_statement(statement)
    assert decode_statement(ledger_key, value[:-1] + b',"of_the_future":[1]}') == statement


def test_a_word_that_this_code_does_not_know_counts_as_nothing_said() -> None:
    ledger_key, value = encode_statement(Said(KEY, Replica("a", "blue"), Word.STORED, 1, 1, 0))
    strange = value.replace(b'"stored"', b'"pondered"')
    assert decode_statement(ledger_key, strange) == Unknown(ledger_key, strange)


@pytest.mark.parametrize("word", [PersonWord.JOINED, PersonWord.DRAINED, PersonWord.REMOVED])
def test_a_word_on_a_region_says_nothing_of_a_request(word: PersonWord) -> None:
    ledger_key, value = encode_statement(RequestOrder(KEY, 1, PersonWord.REDRIVE, "eve", 0))
    strange = value.replace(b'"redrive"', b'"%s"' % word.encode())
    assert decode_statement(ledger_key, strange) == Unknown(ledger_key, strange)
    with pytest.raises(ValueError, match="a request is dropped or redrive"):
        RequestOrder(KEY, 1, word, "eve", 0)


@pytest.mark.parametrize("word", [PersonWord.DROPPED, PersonWord.REDRIVE])
def test_a_word_on_a_request_says_nothing_of_a_region(word: PersonWord) -> None:
    ledger_key, value = encode_statement(RegionOrder("a", 1, PersonWord.DRAINED, "eve", 0))
    strange = value.replace(b'"drained"', b'"%s"' % word.encode())
    assert decode_statement(ledger_key, strange) == Unknown(ledger_key, strange)
    with pytest.raises(ValueError, match="a region is joined, drained or removed"):
        RegionOrder("a", 1, word, "eve", 0)


def test_an_incarnation_is_opened_under_one_ledger_key_a_replica() -> None:
    first, second = (encode_statement(Opened(Replica("a", "blue"), n, f"db-{n}"))[0] for n in (1, 2))
    assert first == second


@pytest.mark.parametrize("lower", [PersonWord.REDRIVE, PersonWord.DROPPED])
def test_compaction_never_takes_a_persons_word_that_counts_for_one_that_was_said_later(lower: PersonWord) -> None:
    number = 1 if lower is PersonWord.REDRIVE else 0  # a tie, which `dropped` wins; or a lower number
    counts = RequestOrder(KEY, 1, PersonWord.DROPPED, "eve", 5)
    later = RequestOrder(KEY, number, lower, "ann", 9)
    assert later.order < counts.order
    compacted = dict(map(encode_statement, (counts, later)))
    book = Book()
    book.merge_all(decode_statement(key, value) for key, value in compacted.items())
    assert book.is_dropped(KEY)
    assert book.orders[KEY] == counts


ONE = RequestKey(Parent("checkout", "disk"), 5, b"d" * 16)
SPELT = b'"checkout","disk","0x0000000000000005","' + b"64" * 16 + b'"'
ME = Replica("b", "blue")


@pytest.mark.parametrize(
    ("statement", "ledger_key"),
    [
        (Said(ONE, ME, Word.STORED, 1, 1, 0), b'["said",' + SPELT + b',"b","blue","stored"]'),
        (Payload(ONE, b"record"), b'["payload",' + SPELT + b"]"),
        (RequestOrder(ONE, 3, PersonWord.DROPPED, "eve", 0), b'["request_order",' + SPELT + b',"3","dropped"]'),
        (RegionOrder("a", 2, PersonWord.DRAINED, "eve", 0), b'["region_order","a","2","drained"]'),
        (
            Standing(
                ME, Beat(1, 2), 0, halted=False, ill=False, draining=False, lag_s=0.0, schema=1, incarnation=1, heard={}
            ),
            b'["standing","b","blue"]',
        ),
        (Opened(ME, 1, "db"), b'["opened","b","blue"]'),
        (Promoted("a", 1, "blue"), b'["promoted","a"]'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_ledger_key_of_a_statement_never_changes(statement: Statement, ledger_key: bytes) -> None:
    """Compaction goes by it: an older release's word must be the one that a newer release's replaces."""
    assert encode_statement(statement)[0] == ledger_key

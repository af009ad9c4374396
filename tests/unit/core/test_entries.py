"""Entries: which record of a key is the entry, the order of the fold, and the digest that regions compare."""

import functools
import random

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.strategies import KEYS, REGIONS, TIMES
from tocsin.core.entries import Entry
from tocsin.core.ids import Parent, RequestKey

ENTRIES = st.builds(Entry, KEYS, TIMES, REGIONS, st.integers(1, 3), st.text(max_size=12), st.binary(max_size=40))
ENTRY = Entry(RequestKey(Parent("demo", "k"), 5, b"d" * 16), 1_000, "a", 1, "trigger", b"{}")


def winner(records: list[Entry]) -> Entry:
    return functools.reduce(lambda kept, record: record if record.precedes(kept) else kept, records)


@given(st.lists(st.builds(Entry, st.just(ENTRY.key), st.integers(0, 9), st.sampled_from("abc"), st.just(1),
                          st.just("trigger"), st.just(b"{}")), min_size=1), st.randoms())  # fmt: skip
def test_of_records_with_one_key_the_same_is_the_entry_in_whatever_order_they_come(
    records: list[Entry], chance: random.Random
) -> None:
    other_order = [*records, *records]
    chance.shuffle(other_order)

    assert winner(other_order) == winner(records) == min(records, key=lambda r: (r.received_us, r.region))


def test_no_record_precedes_itself() -> None:
    assert not ENTRY.precedes(ENTRY)


def test_of_records_received_at_one_time_the_first_region_by_name_wins() -> None:
    assert ENTRY.precedes(ENTRY._replace(region="b"))
    assert not ENTRY._replace(region="b").precedes(ENTRY)


def test_the_order_of_the_fold_is_received_at_then_id_then_digest() -> None:
    later = ENTRY._replace(received_us=1_001, key=ENTRY.key._replace(id=1))
    higher_id = ENTRY._replace(key=ENTRY.key._replace(id=6, digest=b"a" * 16))
    higher_digest = ENTRY._replace(key=ENTRY.key._replace(digest=b"e" * 16))

    assert sorted([later, higher_id, higher_digest, ENTRY], key=lambda e: e.order) == [
        ENTRY, higher_digest, higher_id, later,
    ]  # fmt: skip


@given(ENTRIES, ENTRIES)
def test_two_entries_have_one_row_digest_only_if_they_are_equal(one: Entry, other: Entry) -> None:
    assert (one.row_digest() == other.row_digest()) == (one == other)


@given(ENTRIES)
def test_every_field_counts_in_the_row_digest(entry: Entry) -> None:
    changed = [
        entry._replace(key=entry.key._replace(id=entry.key.id ^ 1)),
        entry._replace(key=entry.key._replace(digest=entry.key.digest[::-1] + b"x")),
        entry._replace(key=entry.key._replace(parent=Parent(entry.key.parent.service + "x", ""))),
        entry._replace(received_us=entry.received_us ^ 1),
        entry._replace(region=entry.region + "x"),
        entry._replace(schema=entry.schema + 1),
        entry._replace(action=entry.action + "x"),
        entry._replace(body=entry.body + b"x"),
    ]

    assert len({entry.row_digest(), *(e.row_digest() for e in changed)}) == len(changed) + 1


def test_the_row_digest_never_changes() -> None:
    assert ENTRY.row_digest().hex() == "73fe38dd99c775b346318874cbdd5ddd"


def test_a_row_with_a_time_before_1970_or_a_schema_below_zero_has_a_digest_of_its_own() -> None:
    """A store may hand out what nobody should have written; to compare regions must not fail on it."""
    odd = [ENTRY._replace(received_us=-1), ENTRY._replace(received_us=1), ENTRY._replace(schema=-1)]
    assert len({entry.row_digest() for entry in odd}) == len(odd)

"""Progress: runs against a set of integers, the union as a join, and bytes that must not advance anything."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.progress import FORMAT, Anchor, Coordinates, ProgressRow, Runs, SourceProgress, merge_rows

TOP = 60
SPANS = st.lists(st.tuples(st.integers(0, TOP), st.integers(0, TOP)), max_size=12)
RUNS = st.builds(Runs, st.integers(0, TOP // 2), SPANS)
HERE = Coordinates("cluster", "requests", "1", 3)
ANCHORS = st.none() | st.builds(Anchor, st.integers(0, TOP), st.just(b"digest"))
SOURCES = st.builds(SourceProgress, st.just(HERE), RUNS, ANCHORS, st.integers(0, 2**63 - 1), st.integers(0, 2**62 - 1))
ROWS = st.builds(
    ProgressRow,
    st.just(3),
    st.integers(0, 9),
    st.booleans(),
    st.dictionaries(st.sampled_from(["a", "b"]), SOURCES),
)


def done(runs: Runs) -> set[int]:
    """The model: the offsets, one by one."""
    return {offset for offset in range(TOP + 2) if offset in runs}


def union(*accounts: Runs) -> Runs:
    merged = Runs()
    for account in accounts:
        merged.update(account)
    return merged


@given(st.integers(0, TOP), SPANS)
def test_runs_hold_exactly_the_offsets_that_were_added(low: int, spans: list[tuple[int, int]]) -> None:
    assert done(Runs(low, spans)) == set(range(low)).union(*(range(start, end) for start, end in spans))


@given(st.integers(0, TOP), SPANS)
def test_runs_are_disjoint_not_adjacent_and_above_the_watermark(low: int, spans: list[tuple[int, int]]) -> None:
    runs = Runs(low, spans)

    bounds = [runs.low, *(bound for run in runs for bound in run)]
    assert bounds == sorted(set(bounds))
    assert runs.top == max(done(runs), default=-1) + 1


@given(st.integers(0, TOP), SPANS, st.randoms())
def test_the_order_and_number_of_additions_do_not_matter(
    low: int, spans: list[tuple[int, int]], chance: random.Random
) -> None:
    shuffled = [*spans, *spans]
    chance.shuffle(shuffled)

    assert Runs(low, shuffled) == Runs(low, spans)
    assert hash(Runs(low, shuffled)) == hash(Runs(low, spans))


@given(RUNS, RUNS, RUNS)
def test_the_union_is_a_join(one: Runs, two: Runs, three: Runs) -> None:
    assert done(union(one, two)) == done(one) | done(two)
    assert union(one, two) == union(two, one)
    assert union(union(one, two), three) == union(one, union(two, three))
    assert union(one, one) == one


@given(RUNS, st.integers(0, TOP))
def test_a_copy_is_independent(runs: Runs, start: int) -> None:
    before = done(runs)
    twin = runs.copy()
    twin.add(start, start + 5)

    assert done(runs) == before


@given(RUNS)
def test_runs_survive_their_bytes(runs: Runs) -> None:
    assert Runs.decode(runs.encode()) == runs


@given(st.integers(0, 2**63), st.integers(1, 2**62), st.integers(1, 2**62))
def test_offsets_of_any_size_survive(low: int, gap: int, length: int) -> None:
    runs = Runs(low, [(low + gap, low + gap + length)])

    assert Runs.decode(runs.encode()) == runs


@given(st.binary() | RUNS.flatmap(lambda runs: st.builds(lambda at, bit: flipped(runs.encode(), at, bit),
                                                         st.integers(0, 99), st.integers(0, 7))))  # fmt: skip
def test_damaged_bytes_raise_value_error_or_are_well_formed_runs(raw: bytes) -> None:
    try:
        runs = Runs.decode(raw)
    except ValueError:
        return
    assert Runs.decode(runs.encode()) == runs == Runs(runs.low, list(runs))


def flipped(raw: bytes, at: int, bit: int) -> bytes:
    at %= len(raw)
    return raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]


@given(RUNS.filter(len), st.data())
def test_bytes_that_were_cut_off_do_not_advance_anything(runs: Runs, data: st.DataObject) -> None:
    raw = runs.encode()
    cut = raw[: data.draw(st.integers(0, len(raw) - 1))]

    try:
        less = Runs.decode(cut)
    except ValueError:
        return
    assert done(less) <= done(runs)


DAMAGED = "progress is damaged: expected a watermark, then pairs of positive lengths"


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"", "progress of format none; this version reads format 1"),
        (b"\x02\x00", "progress of format 2; this version reads format 1"),
        (b"\x01", DAMAGED),
        (b"\x01\x05\x01", DAMAGED),
        (b"\x01\x05\x00\x01", DAMAGED),
        (b"\x01\x05\x01\x00", DAMAGED),
        (b"\x01\x85", "progress is damaged: it ends within a number"),
    ],
)
def test_bytes_of_another_format_or_shape_are_refused(raw: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^{complaint}$"):
        Runs.decode(raw)


def test_a_million_offsets_above_one_that_is_held_are_one_run_of_a_few_bytes() -> None:
    runs = Runs(7)
    for offset in range(8, 1_000_008):
        runs.add(offset, offset + 1)

    assert list(runs) == [(8, 1_000_008)]
    assert len(runs.encode()) <= 8
    runs.add(7, 8)
    assert runs == Runs(1_000_008)


@given(SOURCES)
def test_a_sources_account_survives_its_bytes(source: SourceProgress) -> None:
    assert SourceProgress.decode(source.encode()) == source


@given(ROWS)
def test_a_row_survives_its_bytes(row: ProgressRow) -> None:
    assert ProgressRow.decode(row.partition, row.epoch, clean=row.clean, raw=row.encode()) == row


@given(st.binary())
def test_bytes_that_are_no_account_raise_value_error_only(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (any text: msgspec's or ours)
        SourceProgress.decode(raw)
    if raw != b"\x80":  # no sources
        with pytest.raises(ValueError):  # noqa: PT011
            ProgressRow.decode(0, 0, clean=True, raw=raw)


@given(ROWS, ROWS, ROWS)
def test_the_union_of_rows_does_not_depend_on_their_order_or_number(
    one: ProgressRow, two: ProgressRow, three: ProgressRow
) -> None:
    merged = merge_rows([one, two, three])

    assert merge_rows([three, one, two, one]) == merged
    for name, source in merged.items():
        parts = [row.sources[name] for row in (one, two, three) if name in row.sources]
        assert done(source.runs) == set().union(*(done(part.runs) for part in parts))
        assert source.reach == max(part.reach for part in parts)
        assert source.tick_us == max(part.tick_us for part in parts)
        assert (source.anchor.offset if source.anchor else None) == max(
            (part.anchor.offset for part in parts if part.anchor), default=None
        )


def test_merging_rows_leaves_them_as_they_were() -> None:
    rows = [ProgressRow(3, epoch, clean=True, sources={"a": SourceProgress(HERE, Runs(epoch))}) for epoch in (1, 2)]

    merge_rows(rows)

    assert [row.sources["a"].runs.low for row in rows] == [1, 2]


@pytest.mark.parametrize("field", Coordinates._fields)
def test_progress_of_another_log_is_never_merged(field: str) -> None:
    other: dict[str, object] = {field: 9 if field == "partition" else "other"}
    ours, theirs = SourceProgress(HERE, Runs(5)), SourceProgress(HERE._replace(**other), Runs(9))  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="cannot be merged"):
        ours.merge(theirs)
    assert ours == SourceProgress(HERE, Runs(5))


def test_runs_are_shown_and_hashed_by_what_they_hold() -> None:
    assert repr(Runs(3, [(5, 9)])) == "Runs(3, [(5, 9)])"
    assert hash(Runs(3, [(5, 9)])) == hash(Runs(3, [(5, 7), (7, 9)]))
    assert len({hash(Runs(low)) for low in range(100)}) > 90


def test_accounts_are_equal_only_if_watermark_and_runs_are() -> None:
    account = Runs(3, [(5, 7)])
    assert account == Runs(3, [(5, 7)])
    assert hash(account) == hash(Runs(3, [(5, 7)]))
    assert account != Runs(2, [(5, 7)])
    assert account != Runs(3, [(5, 8)])
    assert Runs(1) != Runs(2)
    assert account != [(5, 7)]


def test_an_account_has_one_spelling_and_small_numbers_take_one_byte() -> None:
    assert Runs(127).encode() == bytes([FORMAT, 127])
    assert Runs(128).encode() == bytes([FORMAT, 0x80, 1])


@pytest.mark.parametrize(
    ("offset", "first"), [(0, 2), (2, 2), (3, 3), (4, 6), (5, 6), (6, 6), (8, 11), (10, 11), (11, 11)]
)
def test_the_first_open_offset_is_the_end_of_the_run_that_one_lies_in(offset: int, first: int) -> None:
    assert Runs(2, [(4, 6), (8, 11)]).first_open(offset) == first

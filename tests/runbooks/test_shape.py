"""Comparing in shape: numbers, ids and times are free, and a word or a column that changed is noticed."""

import pytest

from tests.runbooks.shape import fits

SAMPLE = [
    "region  entries  lost",
    "a       8        0",
    "b       6        -",
    "equal: before 2026-11-23T00:46:54Z (5 s ago)",
]


@pytest.mark.parametrize(
    "answer",
    [
        SAMPLE,
        [
            "region  entries  lost",
            "a       1,008    0",
            "",
            "b  6  3",
            "equal: before 2027-01-01T10:00:00Z (3 min ago)",
        ],
    ],
)
def test_what_differs_in_numbers_ids_and_times_alone_fits(answer: list[str]) -> None:
    assert fits(SAMPLE, answer)


@pytest.mark.parametrize(
    "answer",
    [
        [],
        SAMPLE[:-1],
        [*SAMPLE, "and more"],
        ["region  rows  lost", *SAMPLE[1:]],
        ["region  entries", *SAMPLE[1:]],
        [*SAMPLE[:-1], "equal: until 2026-11-23T00:46:54Z (5 s ago)"],
        [SAMPLE[0], "a       8        0        0", *SAMPLE[2:]],
    ],
)
def test_another_word_column_or_line_does_not_fit(answer: list[str]) -> None:
    assert not fits(SAMPLE, answer)


def test_what_was_left_out_may_be_anything_and_what_stands_must_be_there_in_its_order() -> None:
    answer = ["one", "two", "three", "four"]

    assert fits(["one", "...", "three", "..."], answer)
    assert fits(["...", "three", "four"], answer)
    assert not fits(["...", "three"], answer), "without `...` at the end, the end is meant"
    assert not fits(["two", "..."], answer), "without `...` at the beginning, the beginning is meant"
    assert not fits(["...", "three", "...", "two", "..."], answer)
    assert not fits(["...", "one", "three", "..."], answer), "nothing was said to be left out between"

"""Shares: bounded, and open to whoever holds little while somebody else wants all."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.shares import Shares


def fill(shares: Shares, *greedy: str) -> Counter[str]:
    """Lets the greedy enter by turns until none of them can."""
    held: Counter[str] = Counter()
    while entered := [who for who in greedy if shares.enter(who)]:
        held.update(entered)
    return held


@pytest.mark.parametrize(("greedy", "each"), [("a", 800), ("ab", 444), ("abcd", 235)])
def test_the_greedy_stop_at_equal_shares_and_leave_one_free(greedy: str, each: int) -> None:
    shares = Shares(1_000)
    held = fill(shares, *greedy)

    assert all(abs(count - each) <= 4 for count in held.values())
    assert shares.enter("quiet")


def test_while_one_service_holds_all_it_may_many_others_get_in() -> None:
    shares = Shares(1_000)
    fill(shares, "noisy")

    assert all(shares.enter(f"quiet {n}") for n in range(200))
    assert not shares.enter("one more")


def test_what_the_greedy_give_back_goes_to_others_first() -> None:
    shares = Shares(100)
    held = fill(shares, "noisy")
    fill(shares, "other")
    shares.leave("noisy")

    assert not shares.enter("noisy")
    assert shares.enter("quiet")
    assert held["noisy"] == 80


def test_a_few_places_are_all_of_use() -> None:
    shares = Shares(3)

    assert fill(shares, "a") == {"a": 3}
    assert shares.held == 3


def test_nobody_gives_back_what_he_does_not_hold() -> None:
    shares = Shares(3)
    with pytest.raises(KeyError):
        shares.leave("a")
    assert shares.held == 0


@given(st.integers(1, 30), st.lists(st.tuples(st.booleans(), st.sampled_from("abcd")), max_size=200))
def test_places_are_never_exceeded_and_who_holds_none_gets_in_while_there_is_one(
    places: int, steps: list[tuple[bool, str]]
) -> None:
    shares, held = Shares(places), Counter[str]()
    for wants_in, who in steps:
        if wants_in:
            has_entered = shares.enter(who)
            assert has_entered or held[who] > 0 or held.total() == places
            held[who] += has_entered
        elif held[who]:
            shares.leave(who)
            held[who] -= 1
        assert shares.held == held.total() <= places


def test_what_is_given_back_is_free_again_to_the_last_place() -> None:
    shares = Shares(10)
    for _ in range(3):
        assert fill(shares, "a") == {"a": 8}
        for _ in range(8):
            shares.leave("a")
        assert shares.held == 0
        with pytest.raises(KeyError):
            shares.leave("a")


def test_a_newcomer_holds_nothing_yet() -> None:
    shares = Shares(1)
    assert shares.enter("a")
    assert not shares.enter("b")
    shares.leave("a")
    assert shares.enter("b")

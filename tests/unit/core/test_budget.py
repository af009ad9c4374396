"""The budget: distinct services, the setting, half of those seen, and spent until a person releases it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.budget import Budget

SEEN = [f"service-{n}" for n in range(40)]
services = st.sampled_from(SEEN)


def after(names: list[str], *, seen: list[str] = SEEN, services_max: int = 5) -> Budget:
    budget = Budget()
    for name in names:
        budget = budget.count(name, seen, services_max=services_max)
    return budget


def test_a_service_counts_once_however_many_of_its_requests_are_bad() -> None:
    assert after(["service-1"] * 1_000) == Budget(("service-1",))


def test_it_is_spent_by_one_service_more_than_the_setting() -> None:
    assert not after(SEEN[:5]).spent
    spent = after(SEEN[:6])
    assert spent.spent
    assert "service-5" not in spent.counted, "what would exceed it is not skipped"


@pytest.mark.parametrize(("seen", "admitted"), [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (8, 4)])
def test_it_is_spent_by_more_than_half_of_those_seen_when_there_is_another(seen: int, admitted: int) -> None:
    names = SEEN[:seen]
    assert not after(names[:admitted], seen=names, services_max=100).spent
    if seen > 1:
        assert after(names[: admitted + 1], seen=names, services_max=100).spent


def test_the_only_service_there_is_can_be_skipped() -> None:
    assert not after(["service-0"], seen=["service-0"]).spent
    assert not after(["service-0"], seen=[]).spent


def test_services_that_were_counted_count_as_seen() -> None:
    assert after(["service-0", "service-1"], seen=[], services_max=100).spent


@given(st.lists(services, max_size=20), services)
def test_once_spent_it_stays_spent(names: list[str], name: str) -> None:
    spent = Budget(after(names).counted, spent=True)
    assert spent.count(name, SEEN, services_max=100) == spent


@given(st.lists(services, max_size=20), st.integers(0, 6))
def test_what_is_counted_never_exceeds_the_setting(names: list[str], services_max: int) -> None:
    budget = after(names, services_max=services_max)
    assert len(budget.counted) <= services_max
    assert list(budget.counted) == sorted(set(budget.counted))


@given(st.lists(services, max_size=20))
def test_it_comes_back_from_its_bytes(names: list[str]) -> None:
    budget = after(names)
    assert Budget.decode(budget.encode()) == budget


def test_bytes_that_are_no_budget_are_an_error() -> None:
    with pytest.raises(msgspec.DecodeError):
        Budget.decode(b'{"counted": 3}')


def test_what_a_release_lets_pass_does_not_spend_the_budget_again() -> None:
    seen = {"a", "b", "c"}
    budget = Budget().count("a", seen, services_max=5).count("b", seen, services_max=5)
    assert budget.spent
    released = budget.release({"b"})
    assert (released.spent, released.counted, released.admitted) == (False, (), frozenset({"b"}))
    assert released.count("b", seen, services_max=5) == released
    assert not released.count("a", seen, services_max=5).spent

"""The order of lists of incidents, where the store itself gives none."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tests.contract.store_rows import incident, key
from tocsin.core.incidents import Incident, IncidentFilter, Sort, SortBy
from tocsin.engines.cassandra.incident_list import in_order

INCIDENTS = st.lists(
    st.builds(
        lambda id, created_us, resolved_us, urgency: incident(
            key(id), created_us=created_us, resolved_us=resolved_us, urgency=urgency
        ),
        st.integers(0, 5),
        st.integers(0, 3),
        st.none() | st.integers(0, 3),
        st.sampled_from(["high", "low"]),
    ),
    max_size=8,
    unique_by=lambda one: one.key,
)
SORTS = st.lists(st.builds(Sort, st.sampled_from(SortBy), st.booleans()), max_size=3).map(tuple)


@given(INCIDENTS, SORTS, st.randoms())
def test_the_order_does_not_depend_on_how_incidents_were_found(
    incidents: list[Incident], sort: tuple[Sort, ...], chance: Random
) -> None:
    where = IncidentFilter(sort=sort)
    shuffled = chance.sample(incidents, len(incidents))

    assert in_order(shuffled, where) == in_order(incidents, where)


@given(INCIDENTS, SORTS)
def test_turning_every_key_round_turns_the_list_round(incidents: list[Incident], sort: tuple[Sort, ...]) -> None:
    turned = tuple(Sort(key.by, not key.descending) for key in sort) or (Sort(SortBy.CREATED),)

    assert in_order(incidents, IncidentFilter(sort=turned)) == in_order(incidents, IncidentFilter(sort=sort))[::-1]

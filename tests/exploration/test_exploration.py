"""The exploration at bounds that take a moment; `make explore` searches the rest."""

import pytest

from tests.exploration import naive
from tests.exploration.bounds import Bound
from tests.exploration.normal import check_attributes
from tests.exploration.region import Nature
from tests.exploration.timeline import lines_of
from tests.exploration.variants import VARIANTS, broken
from tests.exploration.world import World

GOOD = (Nature.GOOD,)


@pytest.mark.parametrize("nature", [Nature.GOOD, Nature.BAD, Nature.GARBAGE])
def test_whatever_order_things_come_in_no_promise_is_broken(nature: Nature) -> None:
    search = Bound("ab", (nature,), 0, prompt_at=0).search()
    search.run()
    assert search.complete
    assert not search.breaches


def test_a_naive_enumeration_counts_the_same_states() -> None:
    search = Bound("ab", GOOD, 0, prompt_at=-1).search()
    search.run()
    world = World("ab")
    assert search.states == naive.count(world, world.started({0: Nature.GOOD}, left=0))


def test_the_normal_form_knows_every_attribute_of_a_machine() -> None:
    world = World("ab")
    machine = world.region(world.started({0: Nature.GOOD}, left=0).regions[0]).machine
    assert machine is not None
    check_attributes(machine)


@pytest.mark.parametrize(
    ("name", "checker"),
    [
        ("outage counts as evidence", "quarantined-without-evidence"),
        ("answers only stored", "question-unanswered"),
        ("a gap by retention counted as done", "loss-unnamed"),
    ],
)
def test_a_broken_core_is_caught_and_the_way_there_can_be_read(name: str, checker: str) -> None:
    variant = VARIANTS[name]
    with broken(variant):
        search = variant.bound.search()
        search.run()
        assert search.breaches[0].checker == checker
        timeline = lines_of(search.world, search.breaches[0].states, search.breaches[0].trace)
    assert len(timeline) == len(search.breaches[0].trace)

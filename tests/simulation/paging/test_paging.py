"""The simulation of notifiers keeps promise 10 on seeds, replays them, and finds what is broken on purpose."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final
from unittest import mock

import pytest

from tests.simulation.paging.faults import KINDS
from tests.simulation.paging.run import ALERTS, CELLS, FAULTS_S, plan_of, run_seed, shape_of
from tocsin.core.effects import Now
from tocsin.core.paging import pager as pagers
from tocsin.core.paging.channel import Channel
from tocsin.core.paging.covers import Flight
from tocsin.core.paging.effects import Effect, HandOver, Input, IntentSaid, SayIntents
from tocsin.core.paging.feedback import Intent, IntentId
from tocsin.core.paging.flights import Flights
from tocsin.core.paging.limits import us
from tocsin.core.paging.pager import Pager
from tocsin.core.paging.places import Places

SEEDS: Final = range(1, 16)


def test_seeds_keep_the_promise_of_pages() -> None:
    for seed in SEEDS:
        result = run_seed(seed)
        assert not result.breaches, "\n".join([*result.story, *result.breaches])
        assert result.simulated_s >= FAULTS_S
        assert result.pages > ALERTS / 4


def test_a_seed_replays_bit_by_bit_whatever_ran_before() -> None:
    first = run_seed(5)
    run_seed(6)
    again = run_seed(5)
    assert (again.digest, again.steps, again.story) == (first.digest, first.steps, first.story)


def test_every_plan_has_three_faults_of_two_kinds_and_aims_at_a_cell_of_its_own() -> None:
    for seed in range(len(CELLS)):
        plan = plan_of(seed, shape_of(seed).regions)
        kinds = {one.kind for one in plan}
        assert len(plan) >= 3
        assert len(kinds) >= 2
        assert CELLS[seed][0] in kinds <= set(KINDS)
        assert all(one.at_s + one.length_s < FAULTS_S for one in plan)


# What is broken on purpose is found -----------------------------------------------------------------------------------

PLACE, SORT, STEP, ADD = Places.place, Places._sort, Pager.step, Flights.add


def _never_behind(self: Places, last: str = "") -> int:
    return 10_000 * PLACE(self, last)


def _always_fit(self: Places) -> None:
    fit, self._fit = self._fit, True
    SORT(self)
    self._fit = fit


def _call_first(self: Pager, event: Input, now: Now) -> list[Effect]:
    """Hands over what is decided at once, and not when it is on the log."""
    effects = [
        one for one in STEP(self, event, now) if not (isinstance(one, HandOver) and isinstance(event, IntentSaid))
    ]
    return list(_with_calls(self, effects))


def _with_calls(pager: Pager, effects: list[Effect]) -> Iterator[Effect]:
    for one in effects:
        if isinstance(one, SayIntents):
            for intent in one.intents:
                flight = pager._flights.get(intent.id)
                bundle = pager._bundle(flight) if flight is not None else None
                if bundle is not None:
                    yield HandOver(bundle)
        yield one


def _one_owner_for_all(region: str, _epoch: int, sequence: int) -> IntentId:
    return IntentId(region, 1, sequence)


def _for_ever(self: Flights, channel: Channel, intent: Intent, now_us: int) -> Flight:
    flight = ADD(self, channel, intent, now_us)
    flight.deadline_us += us(3600)
    return flight


def _impatient(self: Flights, channel: Channel, intent: Intent, now_us: int) -> Flight:
    """What a peer has in hand covers for two seconds, however long its call may take."""
    flight = ADD(self, channel, intent, now_us)
    if not flight.own:
        flight.deadline_us = now_us + us(2)
    return flight


def _none_is_silent(_self: Flights, _places: Places, _now_us: int) -> None:
    """What a dead region had in hand covers on."""


BROKEN: Final[dict[str, tuple[AbstractContextManager[object], tuple[int, ...], str]]] = {
    "no backstop": (mock.patch.object(Places, "place", _never_behind), (1,), "10, every due page"),
    "an intent after the call": (mock.patch.object(Pager, "step", _call_first), (1,), "10, intent before call"),
    "an intent that never lapses": (
        mock.patch.multiple(Flights, add=_for_ever, lapse_silent=_none_is_silent),
        (102,),
        "10, every due page",
    ),
    "an intent that lapses while its call lasts": (
        mock.patch.object(Flights, "add", _impatient),
        (102, 110),
        "10, no race with an intent",
    ),
    "an unfit region that races": (
        mock.patch.object(Places, "_sort", _always_fit),
        (24, 34),
        "10, who is not fit steps back",
    ),
    "shared bundle ids": (mock.patch.object(pagers, "IntentId", _one_owner_for_all), (3,), "10, one name a page"),
}
"""What is put in the place of what, the seeds that find it, and which promise it finds broken."""


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_on_purpose_is_found_and_named(name: str) -> None:
    broken, seeds, promise = BROKEN[name]
    with broken:
        breaches = [breach for seed in seeds for breach in run_seed(seed).breaches]
    assert any(breach.startswith(promise) for breach in breaches), breaches[:10]

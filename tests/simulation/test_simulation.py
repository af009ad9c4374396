"""The simulation itself: it keeps what it promises about seeds, and it finds what is broken on purpose."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final
from unittest import mock

import pytest

from tests.simulation.coverage import CELLS, MAKERS, NOT_ALLOWED, STATES
from tests.simulation.faults import KINDS
from tests.simulation.run import FAULTS_S, Result, plan_of, run_seed, shape_of
from tocsin.core import cases, sources
from tocsin.core.effects import Keep
from tocsin.core.sources import Hand, Sources
from tocsin.core.verdict import TABLE, Own, OwnMatter, Peers, Row, Verdict, decide, own_word
from tocsin.roles.owner import Owner

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", [3, 7, 24])
def test_a_seed_keeps_all_promises(seed: int) -> None:
    result = run_seed(seed)
    assert not result.breaches, "\n".join([*result.story, *result.breaches])
    assert result.simulated_s >= FAULTS_S
    assert result.requests >= 100


def test_a_seed_replays_bit_by_bit_whatever_ran_before_and_in_another_process() -> None:
    before = run_seed(13)
    run_seed(7)
    assert _same(run_seed(13), before)
    code = "from tests.simulation.run import run_seed; r = run_seed(13); print(r.digest, r.steps, r.events)"
    environ = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": str(ROOT)}
    elsewhere = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert elsewhere.stdout.split() == [str(before.digest), str(before.steps), str(before.events)]


def _same(one: Result, other: Result) -> bool:
    return (one.digest, one.steps, one.events, one.story) == (other.digest, other.steps, other.events, other.story)


def test_every_plan_has_three_faults_of_two_kinds_and_aims_at_a_cell_of_its_own() -> None:
    for seed in range(2 * len(CELLS)):
        plan = plan_of(seed, shape_of(seed).regions)
        kinds = {one.kind for one in plan}
        assert len(plan) >= 3
        assert len(kinds) >= 2
        assert CELLS[seed % len(CELLS)][0] in kinds
        assert all(one.ends_s < FAULTS_S for one in plan)


def test_the_coverage_table_speaks_of_faults_and_states_that_there_are() -> None:
    assert {kind for kind, _ in [*CELLS, *NOT_ALLOWED]} == set(KINDS)
    assert set(MAKERS) <= set(STATES)
    assert {kind for makers in MAKERS.values() for kind in makers} <= set(KINDS)


# What is broken on purpose is found -----------------------------------------------------------------------------------


def _progress_before_data(self: Sources, hand: Hand, real: Callable[..., None] = Sources.finish) -> None:
    hand.holes.clear()
    real(self, hand)


def _outage_as_evidence(matter: OwnMatter) -> Own:
    own = own_word(matter)
    return Own.REFUSED if own in (Own.LASTING, Own.GRACE) else own


def _halt_without_proof(*, dropped: bool, own: Own, peers: Peers) -> Row:
    row = decide(dropped=dropped, own=own, peers=peers)
    halt = next(row for row in TABLE if row.verdict is Verdict.HALT)
    return halt if row.name == "no-answer" else row


async def _die_of_it(_self: Owner, _effect: Keep) -> None:
    raise RuntimeError("a fault of ours")


BROKEN: Final = {
    "progress before data": (sources.Sources, "finish", _progress_before_data, 4, "6, progress never runs ahead"),
    "an outage as evidence": (cases, "own_word", _outage_as_evidence, 7, "8, an outage is no evidence"),
    "a halt without proof": (cases, "decide", _halt_without_proof, 4, "3, no needless halt"),
    "a creator that ends of a fault of ours": (Owner, "_keep", _die_of_it, 4, "an error that nobody took"),
}
"""What is put in the place of what, and the seed that finds which promise broken."""


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_on_purpose_is_found_and_named(name: str) -> None:
    place, attribute, double, seed, promise = BROKEN[name]
    with mock.patch.object(place, attribute, double):
        breaches = run_seed(seed).breaches
    assert any(breach.startswith(promise) for breach in breaches), breaches[:10]

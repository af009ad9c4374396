"""A drill's file is refused with every fault named, before anything is touched; those that we have load."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.ops.drills.conftest import action, probe
from tocsin.config import ConfigError
from tocsin.ops.drills.actions import ACTIONS
from tocsin.ops.drills.model import load_drill, load_drills
from tocsin.ops.drills.probes import PROBES
from tocsin.ops.drills.tolerance import within

CHAOS = Path(__file__).parents[4] / "chaos"
Write = Callable[..., Path]


def refused(write: Write, change: Callable[[dict[str, Any]], object]) -> str:
    with pytest.raises(ConfigError) as found:
        load_drill(write(change))
    return str(found.value)


def test_a_drill_is_read_with_its_configuration_in_place(write: Write) -> None:
    drill = load_drill(write())
    assert (drill.name, drill.limits.page_s, drill.events_per_s) == ("store-down", 5.0, 2.0)
    assert drill.method[0].arguments == {"region": "b"}
    assert drill.method[0].after_s == 5.0


def test_an_argument_that_the_function_does_not_take_is_named_with_the_nearest(write: Write) -> None:
    told = refused(
        write, lambda drill: drill["evidence"].append(probe("role_ready", tolerance=True, regoin="b", role="querier"))
    )
    assert "evidence[1].provider.arguments.regoin: role_ready takes no such argument; did you mean 'region'?" in told
    assert "evidence[1].provider.arguments.region: is missing" in told


def test_an_argument_of_another_kind_is_refused(write: Write) -> None:
    told = refused(write, lambda drill: drill["aborts"].append(probe("pages_overdue", 0, after_s="soon")))
    assert "aborts[1].provider.arguments.after_s: expected a number, is 'soon'" in told
    told = refused(
        write, lambda drill: drill["aborts"].append(probe("role_ready", tolerance=True, region="a", role="cook"))
    )
    assert "expected one of intake, creator, querier, notifier, is 'cook'" in told


def test_a_function_that_there_is_not_is_named_with_the_nearest(write: Write) -> None:
    told = refused(write, lambda drill: drill["method"].append(action("stop_stroe", region="a")))
    assert "method[2].provider.func: there is no 'stop_stroe'; did you mean 'stop_store'?" in told


def test_a_fault_that_nothing_heals_is_refused(write: Write) -> None:
    told = refused(write, lambda drill: drill.update(rollbacks=[action("start_store", region="a")]))
    assert "method[0]: nothing heals it: rollbacks needs start_store with {region: b}" in told


def test_an_action_is_no_evidence(write: Write) -> None:
    told = refused(write, lambda drill: drill.update(evidence=[action("stop_store", region="a")]))
    assert "evidence[0].type: only probes stand here" in told


def test_all_faults_are_told_at_once(write: Write) -> None:
    def spoil(drill: dict[str, Any]) -> None:
        drill["titel"] = drill.pop("title")
        drill["limits"]["page_s"] = -1
        drill["limits"].pop("detect_s")
        drill["evidence"] = []
        drill["controls"] = [{"name": "load", "events_per_s": 1_000}]
        drill["method"][0]["provider"]["arguments"]["region"] = "${place}"

    told = refused(write, spoil)
    for fault in ("titel: no such field; did you mean 'title'?", "limits.page_s", "limits.detect_s", "evidence:"):
        assert fault in told
    assert "controls: expected" in told
    assert "there is no 'place' in configuration; did you mean" in told or "there is no 'place'" in told


@pytest.mark.parametrize(
    "tolerance",
    [None, {"type": "range", "range": [5, 1]}, {"type": "regex", "pattern": "("}, {"type": "jsonpath"}, [], [[1]]],
)
def test_a_tolerance_that_means_nothing_is_refused(write: Write, tolerance: Any) -> None:
    assert "aborts[1].tolerance" in refused(
        write, lambda drill: drill["aborts"].append(probe("pages_overdue", tolerance, after_s=1))
    )


@pytest.mark.parametrize(
    ("tolerance", "value", "expected"),
    [
        (0, 0, True),
        (0, False, False),
        (True, 1, False),
        (True, True, True),
        ([200, 202], 202, True),
        ([200, 202], 503, False),
        ({"type": "range", "range": [0, 5]}, 5, True),
        ({"type": "range", "range": [0, 5]}, 5.1, False),
        ({"type": "range", "range": [0, 5]}, True, False),
        ({"type": "range", "range": [0, 5]}, None, False),
        ({"type": "regex", "pattern": "store"}, "its store is away", True),
        ({"type": "regex", "pattern": "store"}, None, False),
    ],
)
def test_a_value_is_within_a_tolerance_or_not(tolerance: Any, value: Any, expected: Any) -> None:
    assert within(tolerance, value) is expected


def test_every_drill_that_we_have_loads() -> None:
    drills = load_drills(CHAOS)
    assert len(drills) >= 10
    assert all(drill.name == path.stem for drill, path in zip(drills, sorted(CHAOS.glob("*.yaml")), strict=True))


def test_every_probe_and_action_says_what_it_does_and_every_undoing_takes_what_it_undoes() -> None:
    for registry in (PROBES, ACTIONS):
        assert all(entry.doc for entry in registry.values())
    for entry in ACTIONS.values():
        if entry.undo is not None:
            taken = ACTIONS[entry.undo].parameters
            assert set(taken) <= set(entry.parameters), entry.name
